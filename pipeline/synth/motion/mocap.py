"""Recorded motion, and the archive of CMU's as exponential maps, read once and cached.

Source of the archive's motions: mocap.cs.cmu.edu, created with funding from NSF EIA-0196217.
"""

from __future__ import annotations

import json
import lzma
import os
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ....stores.errors import InvalidValueError, MissingFileError, StoreWriteError
from ..seeding import Array

ARCHIVE_NAME = "cmu_mocap_expmap_120fps.tar.xz"
ARCHIVE_FPS = 120.0
_COLUMNS = 117

# The archive has numbers only; these are the joints that its skeleton.json means, by their place in the CMU hierarchy.
_CMU_ROLES = {
    "pelvis": 0,
    "left_hip": 2,
    "left_knee": 3,
    "left_ankle": 4,
    "left_toe": 5,
    "right_hip": 8,
    "right_knee": 9,
    "right_ankle": 10,
    "right_toe": 11,
    "lumbar": 13,
    "chest": 15,
    "neck": 16,
    "head": 18,
    "left_clavicle": 20,
    "left_shoulder": 21,
    "left_elbow": 22,
    "left_wrist": 23,
    "right_clavicle": 29,
    "right_shoulder": 30,
    "right_elbow": 31,
    "right_wrist": 32,
}


@dataclass(frozen=True)
class Recording:
    """Motion as it was captured, on the capture's own skeleton.

    parent    (K,) and offset (K, 3): the capture's skeleton at rest, in its own unit
    root      (T, 3) in that unit; rotation (T, K, 3, 3) local, acting on column vectors
    role      rig joint -> index of the captured joint that plays it
    """

    name: str
    fps: float
    parent: tuple[int, ...]
    offset: Array
    root: Array
    rotation: Array
    role: Mapping[str, int]

    def forward(self) -> tuple[Array, Array]:
        """Positions (T, K, 3), in the capture's unit, and world orientations (T, K, 3, 3)."""
        position = np.empty((len(self.root), len(self.parent), 3))
        orientation = np.empty((len(self.root), len(self.parent), 3, 3))
        for joint, parent in enumerate(self.parent):
            if parent < 0:
                position[:, joint], orientation[:, joint] = self.root, self.rotation[:, joint]
            else:
                position[:, joint] = position[:, parent] + orientation[:, parent] @ self.offset[joint]
                orientation[:, joint] = orientation[:, parent] @ self.rotation[:, joint]
        return position, orientation


def exponential_maps(vectors: Array) -> Array:
    """Axis times angle (..., 3), radians, to rotation matrices (..., 3, 3): Rodrigues' formula."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*vectors.shape, 3)
    small = np.sinc(angle / np.pi)  # sin(a) / a
    half = np.sinc(angle / 2 / np.pi)  # (1 - cos a) / a^2 = (sin(a/2) / (a/2))^2 / 2
    return np.eye(3) + small * cross + half**2 / 2 * (cross @ cross)


class MocapArchive:
    """The motions of the exponential-map archive by name, such as "train/walking/walking_1".

    The archive is decompressed once, in a stream, into an uncompressed `.npz` in the cache folder; from then on a
    motion costs one read. The cache is keyed by the archive's size and modification time.

    path   the `.tar.xz`, or the folder that holds it; `skeleton.json` lies beside it
    cache  a folder to keep the cache in; by default $AUGLIFT_CACHE, else the user's cache folder
    Raises MissingFileError where either file is missing, InvalidValueError where they are damaged.
    """

    def __init__(self, path: str | Path, cache: str | Path | None = None) -> None:
        path = Path(path)
        self.path = path / ARCHIVE_NAME if path.is_dir() else path
        if not self.path.is_file():
            raise MissingFileError(
                f"no motion capture archive at {self.path}; give the folder that holds {ARCHIVE_NAME} and "
                f"skeleton.json, or use procedural motion, which needs no file"
            )
        skeleton = self.path.with_name("skeleton.json")
        if not skeleton.is_file():
            raise MissingFileError(f"the archive {self.path} needs its skeleton.json beside it")
        try:
            fields = json.loads(skeleton.read_text())
            self._parent = tuple(int(parent) for parent in fields["parents"])
            self._offset = np.array(fields["offsets_cmu_units"], dtype=float)
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidValueError(f"{skeleton} does not hold parents and offsets_cmu_units: {error}") from None
        self._cache = self._cached(Path(cache) if cache else default_cache())
        self.names = tuple(sorted(name.replace(":", "/") for name in self._cache.files))

    def __reduce__(self) -> tuple:
        return type(self), (self.path, self._folder)

    def group(self, prefix: str) -> tuple[str, ...]:
        """List the names that begin with `prefix`, such as "train/walking"."""
        return tuple(name for name in self.names if name.startswith(prefix))

    def read(self, name: str) -> Recording:
        """Read one motion. InvalidValueError names the nearest for a name that is not there."""
        if name not in self.names:
            from difflib import get_close_matches

            near = get_close_matches(name, self.names, n=1, cutoff=0)
            raise InvalidValueError(
                f"{self.path} has no motion {name!r}; did you mean {near[0] if near else 'nothing'!r}?"
            )
        values = self._cache[name.replace("/", ":")].astype(float)
        # The archive's matrices multiply row vectors; ours columns: the transpose.
        rotation = exponential_maps(values[:, 3:].reshape(len(values), -1, 3)).swapaxes(-1, -2)
        return Recording(name, ARCHIVE_FPS, self._parent, self._offset, values[:, :3], rotation, _CMU_ROLES)

    def _cached(self, folder: Path) -> np.lib.npyio.NpzFile:
        self._folder = folder
        stat = self.path.stat()
        target = folder / f"cmu-expmap-{stat.st_size}-{stat.st_mtime_ns}.npz"
        if target.is_file():
            try:
                return np.load(target, allow_pickle=False)
            except (ValueError, OSError, zipfile.BadZipFile):
                target.unlink()  # a damaged cache is made again
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as part:
                try:
                    with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
                        for name, values in self._stream():
                            with archive.open(f"{name.replace('/', ':')}.npy", "w", force_zip64=True) as entry:
                                np.lib.format.write_array(entry, values, allow_pickle=False)
                    part.close()
                    Path(part.name).replace(target)
                except BaseException:
                    Path(part.name).unlink(missing_ok=True)
                    raise
        except OSError as error:
            if isinstance(error, tarfile.TarError) or error.errno is None:
                raise
            raise StoreWriteError(
                f"the motion cache {folder} cannot be written: {error.strerror}; set AUGLIFT_CACHE"
            ) from None
        return np.load(target, allow_pickle=False)

    def _stream(self) -> Iterator[tuple[str, Array]]:
        """(name, (T, 117) float32) of every motion, one at a time."""
        try:
            with tarfile.open(self.path, mode="r|xz") as archive:
                for entry in archive:
                    if not entry.isfile() or not entry.name.endswith(".txt"):
                        continue
                    stream = archive.extractfile(entry)
                    assert stream is not None  # a regular file
                    text = stream.read()
                    columns = text[: text.find(b"\n")].count(b",") + 1
                    values = np.array(text.replace(b"\n", b",").strip(b",").split(b","), dtype=np.float32)
                    if columns != _COLUMNS or values.size % _COLUMNS:
                        raise InvalidValueError(f"{self.path}: {entry.name} has {columns} columns, not {_COLUMNS}")
                    yield entry.name.removeprefix("cmu_mocap/").removesuffix(".txt"), values.reshape(-1, _COLUMNS)
        except (tarfile.TarError, lzma.LZMAError, EOFError, ValueError) as error:
            if isinstance(error, InvalidValueError):
                raise
            raise InvalidValueError(
                f"{self.path} is not a complete .tar.xz of motions: {error}; fetch it again"
            ) from None


def default_cache() -> Path:
    """Return the folder for what can be made again: $AUGLIFT_CACHE, else `auglift` in the user's cache folder."""
    if own := os.environ.get("AUGLIFT_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "auglift"
