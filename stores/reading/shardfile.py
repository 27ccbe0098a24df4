"""Read frames of a local shard straight into an array: Zarr's sharding format, read by hand where that is faster.

Zarr reads a shard chunk by chunk through layers that cost about a millisecond a chunk and copy every byte several
times; `benchmarks/windows.py` has the figures. Here a chunk is read or decompressed right where it is wanted, its
checksum checked all the same. Only the format that `ShardWriter` writes is known (Zarr v3, sharding codec 1.0):

    chunk, chunk, ...          each: bytes, blosc or as they are, then crc32c of what is stored (4 bytes)
    offset, length a chunk     uint64 little-endian, then crc32c of all of them

Whatever else there is, or looks wrong, is left to Zarr, which has the last word and the better error messages.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import google_crc32c
import numcodecs.blosc
import numpy as np

from ..format.layout import array_key
from ..format.schema import Field
from ..locations.local import LocalLocation
from .store import FeatureStore

_CRC_BYTES = 4
_ABSENT = (1 << 64) - 1
_PLACES = 1024  # that the system reads into at once (IOV_MAX), the checksum among them
# google_crc32c without its C part is slower than Zarr's detours.
_FAST = google_crc32c.implementation == "c"


@dataclass(frozen=True)
class ShardFormat:
    """How the shards of one array are stored."""

    shard_frames: int
    chunk_frames: int
    compressed: bool

    @property
    def chunks(self) -> int:
        return self.shard_frames // self.chunk_frames


def shard_format(metadata: dict[str, Any]) -> ShardFormat | None:
    """Return the format of an array with this metadata (its zarr.json); None where it is not the one known here."""
    frame = list(metadata["shape"][1:])
    try:
        (sharding,) = metadata["codecs"]
        shard_shape = list(metadata["chunk_grid"]["configuration"]["chunk_shape"])
        chunk_shape = list(sharding["configuration"]["chunk_shape"])
        codecs = [codec["name"] for codec in sharding["configuration"]["codecs"]]
        little = sharding["configuration"]["codecs"][0].get("configuration", {}).get("endian", "little") == "little"
        index = [codec["name"] for codec in sharding["configuration"]["index_codecs"]]
        known = (
            _FAST
            and sharding["name"] == "sharding_indexed"
            and sharding["configuration"]["index_location"] == "end"
            and index == ["bytes", "crc32c"]
            and codecs in (["bytes", "crc32c"], ["bytes", "blosc", "crc32c"])
            and little
            and shard_shape[1:] == frame
            and chunk_shape[1:] == frame
            and shard_shape[0] % chunk_shape[0] == 0
            and not metadata.get("storage_transformers")
        )
    except (KeyError, ValueError, TypeError, IndexError):
        return None
    return ShardFormat(shard_shape[0], chunk_shape[0], "blosc" in codecs) if known else None


class ShardReader:
    """Reads a store; remembers how its arrays are stored and where in a shard its chunks lie."""

    def __init__(self, store: FeatureStore):
        self.store = store
        self._formats: dict[str, ShardFormat | None] = {}
        self._indices: dict[Path, np.ndarray] = {}

    def read(self, name: str, start: int, stop: int, out: np.ndarray) -> None:
        """Read frames [start, stop) of a field into `out` (stop - start, *shape), one call a shard.

        Of `out`, only the first axis may have gaps. Raises as `FeatureStore.read`.
        """
        format = self._format(name)
        size = self.store.layout.shard_frames
        for shard in range(start // size, -(-stop // size)):
            low, high = max(start, shard * size), min(stop, (shard + 1) * size)
            part = out[low - start : high - start]
            if format is not None and self._read_shard(name, shard, format, low % size, high - shard * size, part):
                continue
            part[...] = self.store.read(name, low, high)

    def scatter(self, name: str, frames: np.ndarray, rows: Sequence[np.ndarray]) -> None:
        """Read each frame into a place of its own. Where frames are not compressed, the system reads them right there.

        frames  (n,) ascending, each once
        rows    n arrays of a frame's bytes, uint8
        Raises as `FeatureStore.read`.
        """
        format = self._format(name)
        by_hand = format is not None and not format.compressed and format.chunk_frames < _PLACES
        size = (
            format.chunk_frames if format is not None and by_hand else self.store.layout.chunk_frames(self._field(name))
        )
        spare = np.empty((size, self._field(name).frame_bytes), dtype=np.uint8)
        number = frames // size
        edges = np.append(np.flatnonzero(np.diff(number, prepend=-1)), len(frames)).tolist()
        for first, last in pairwise(edges):
            start = int(number[first]) * size
            inside = (frames[first:last] - start).tolist()
            if format is not None:
                places = list(spare)
                for frame, row in zip(inside, rows[first:last], strict=True):
                    places[frame] = row
                if self._scatter_chunk(name, format, start, places):
                    continue
            values = self.store.read(name, start, min(start + size, self.store.frames))
            for frame, row in zip(inside, rows[first:last], strict=True):
                row[...] = values[frame].reshape(-1).view(np.uint8)

    def _scatter_chunk(self, name: str, format: ShardFormat, start: int, places: list[np.ndarray]) -> bool:
        """A whole chunk, from frame `start` of the store on; False where that did not work."""
        shard, first = divmod(start, format.shard_frames)
        path = self._path(name, shard)
        checksum = bytearray(_CRC_BYTES)
        try:
            with _opened(path) as file:
                index = self._index(path, file, format)
                if index is None:
                    return False
                offset, length = (int(value) for value in index[first // format.chunk_frames])
                if length != len(places) * len(places[0]) + _CRC_BYTES:
                    return False
                if os.preadv(file, [*places, checksum], offset) != length:  # pyright: ignore[reportArgumentType]
                    return False
        except (OSError, ValueError):
            return False
        found = 0
        for place in places:
            found = google_crc32c.extend(found, place)
        return found == int.from_bytes(checksum, "little")

    def _field(self, name: str) -> Field:
        return self.store.fields[name]

    def _path(self, name: str, shard: int) -> Path:
        return self.store.location.path / array_key(self._field(name), shard)  # type: ignore[attr-defined]

    def _format(self, name: str) -> ShardFormat | None:
        """How a field is stored, where it can be read by hand."""
        if name not in self._formats:
            format = None
            if isinstance(self.store.location, LocalLocation):
                format = shard_format(self.store.array(name).metadata.to_dict())  # type: ignore[arg-type]
            # Frame numbers are turned into shards by the layout: the array has to agree with it.
            if format and format.shard_frames != self.store.layout.stored_shard_frames(self._field(name)):
                format = None
            self._formats[name] = format
        return self._formats[name]

    def _read_shard(self, name: str, shard: int, format: ShardFormat, first: int, last: int, out: np.ndarray) -> bool:
        """Frames [first, last) of a shard into `out`; False, and anything in `out`, where that did not work."""
        path = self._path(name, shard)
        try:
            with _opened(path) as file:
                index = self._index(path, file, format)
                if index is None:
                    return False
                size = format.chunk_frames
                for chunk in range(first // size, -(-last // size)):
                    low, high = max(first, chunk * size), min(last, (chunk + 1) * size)
                    offset, length = (int(value) for value in index[chunk])
                    if offset == _ABSENT or length <= _CRC_BYTES:
                        return False
                    read = _read_compressed if format.compressed else _read_plain
                    inside = slice(low - chunk * size, high - chunk * size)
                    if not read(file, offset, length, size, inside, out[low - first : high - first]):
                        return False
        except (OSError, RuntimeError, ValueError):
            return False
        return True

    def _index(self, path: Path, file: int, format: ShardFormat) -> np.ndarray | None:
        """(chunks, 2) uint64: offset and length of every chunk, checksum included."""
        if path not in self._indices:
            length = 16 * format.chunks + _CRC_BYTES
            data = _read_exactly(file, os.fstat(file).st_size - length, length)
            if data is None or not _checked(data):
                return None
            # Should the shard be written anew meanwhile, its chunks' checksums tell.
            self._indices[path] = data[:-_CRC_BYTES].view("<u8").reshape(-1, 2)
        return self._indices[path]


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_RDONLY)
    try:
        yield file
    finally:
        os.close(file)


def _read_compressed(file: int, offset: int, length: int, frames: int, inside: slice, out: np.ndarray) -> bool:
    data = _read_exactly(file, offset, length)
    if data is None or not _checked(data):
        return False
    whole = out.flags.c_contiguous and len(out) == frames
    target = out if whole else np.empty((frames, *out.shape[1:]), dtype=out.dtype)
    # Bytes 4 to 8 of Blosc's header: how much comes out.
    if int.from_bytes(data[4:8].tobytes(), "little") != target.nbytes:
        return False
    numcodecs.blosc.decompress(data[:-_CRC_BYTES], target)
    if not whole:
        out[...] = target[inside]
    return True


def _read_plain(file: int, offset: int, length: int, frames: int, inside: slice, out: np.ndarray) -> bool:
    """As stored: the file's bytes go to their place without a copy, where the whole chunk is wanted."""
    frame_bytes = math.prod(out.shape[1:]) * out.itemsize
    if length != frames * frame_bytes + _CRC_BYTES:
        return False
    whole = out.flags.c_contiguous and len(out) == frames
    target = out if whole else np.empty((frames, *out.shape[1:]), dtype=out.dtype)
    values = target.reshape(-1).view(np.uint8)
    checksum = bytearray(_CRC_BYTES)
    if os.preadv(file, [values.data, checksum], offset) != length:
        return False
    if google_crc32c.value(values) != int.from_bytes(checksum, "little"):
        return False
    if not whole:
        out[...] = target[inside]
    return True


def _read_exactly(file: int, offset: int, length: int) -> np.ndarray | None:
    """(length,) uint8, None where the file is shorter."""
    if offset < 0:
        return None
    data = np.frombuffer(os.pread(file, length, offset), dtype=np.uint8)
    return data if len(data) == length else None


def _checked(data: np.ndarray) -> bool:
    return google_crc32c.value(data[:-_CRC_BYTES]) == int.from_bytes(data[-_CRC_BYTES:].tobytes(), "little")
