"""Writing a store: the commit protocol of shards and their ledger.

A shard has one owner and is written whole: its arrays first, then, when they are on disk and were read back, its
record in the ledger. What has no record does not exist.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numcodecs.blosc
import numpy as np
import zarr
import zarr.storage
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.errors import ZarrUserWarning

from .errors import CorruptStoreError, InvalidValueError, StoreIncompleteError, StoreWriteError
from .fingerprint import canonical_json, describe_difference
from .location import PARTIAL, Location
from .schema import FORMAT, FORMAT_VERSION, Field
from .sequences import SequenceTable
from .skeleton import H36M_17

SHARD_FRAMES = 8192
GROUP, SEQUENCES, PLAN, STATISTICS = "zarr.json", "sequences.parquet", "plan.json", "statistics.json"
LEDGER = "ledger/"

# Blosc's threads finish in any order and its bytes with them: one thread, and a shard always has the same bytes.
numcodecs.blosc.use_threads = False


@dataclass(frozen=True)
class StoreLayout:
    """What fixes the shape of a store before a frame is seen.

    fields         the arrays it will hold
    frames         length of the frame axis
    shard_frames   frames a shard, the last one excepted
    chunk_frames   frames a chunk inside a shard: the field's own wish, cut down to divide the shard
    """

    fields: tuple[Field, ...]
    frames: int
    shard_frames: int = SHARD_FRAMES

    def __post_init__(self):
        if self.frames < 1:
            raise InvalidValueError("the store would hold no frame; give at least one readable source")
        if self.shard_frames < 1:
            raise InvalidValueError(f"a shard holds at least one frame, not {self.shard_frames}")

    @property
    def shards(self) -> int:
        return -(-self.frames // self.shard_frames)

    def bounds(self, shard: int) -> tuple[int, int]:
        """First frame of a shard, and one past its last."""
        return shard * self.shard_frames, min((shard + 1) * self.shard_frames, self.frames)

    def chunk_frames(self, field: Field) -> int:
        wish = min(field.chunk_frames, self.shard_frames)
        return next(size for size in range(wish, 0, -1) if self.shard_frames % size == 0)

    @property
    def bytes(self) -> int:
        """Size of all arrays, uncompressed."""
        return self.frames * sum(f.frame_bytes for f in self.fields)


@dataclass(frozen=True)
class ShardRecord:
    """The ledger's entry: what a shard holds.

    arrays        field -> {"sha256": of the shard's stored bytes, "bytes": how many}
    counts        frames, valid, nobody, unreadable
    problems      the first unreadable frames, each {"sequence", "source_frame", "reason"}
    versions      of the libraries that computed it
    """

    shard: int
    start: int
    stop: int
    fingerprint: str
    arrays: dict[str, dict[str, Any]]
    counts: dict[str, int] = field(default_factory=dict)
    problems: list[dict[str, Any]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> bytes:
        return (canonical_json(vars(self)) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes, key: str) -> ShardRecord:
        """CorruptStoreError where the bytes are no record."""
        try:
            record = cls(**json.loads(data))
            if not isinstance(record.arrays, dict) or record.stop <= record.start or record.shard < 0:
                raise ValueError("its values make no sense")
            for entry in record.arrays.values():
                if len(entry["sha256"]) != 64 or entry["bytes"] < 1:
                    raise ValueError("its hashes make no sense")
        except (ValueError, TypeError, KeyError, UnicodeDecodeError) as error:
            raise CorruptStoreError(f"{key} is not a ledger record ({error}); delete it to redo its shard") from error
        return record


def ledger_key(shard: int) -> str:
    return f"{LEDGER}{shard:08d}.json"


def array_key(field: Field, shard: int) -> str:
    """Where Zarr keeps a shard of an array."""
    return "/".join([field.name, "c", str(shard), *("0" for _ in field.shape)])


def read_ledger(location: Location) -> dict[int, ShardRecord]:
    """Every record there is, by shard. CorruptStoreError for one that cannot be read or has another shard's name."""
    records = {}
    for key in location.listing(LEDGER):
        if key.endswith(PARTIAL):
            continue
        record = ShardRecord.from_json(location.read(key), key)
        if key != ledger_key(record.shard):
            raise CorruptStoreError(f"{key} is the record of shard {record.shard}; delete it to redo its shard")
        records[record.shard] = record
    return records


class ShardWriter:
    """Creates a store, writes its shards, closes it. Any number of writers may write different shards of one store."""

    def __init__(self, location: Location, layout: StoreLayout, fingerprint: str):
        self.location = location
        self.layout = layout
        self.fingerprint = fingerprint

    @classmethod
    def create(
        cls,
        location: Location,
        layout: StoreLayout,
        sequences: SequenceTable,
        plan: Mapping[str, Any],
        attributes: Mapping[str, Any],
    ) -> ShardWriter:
        """Begin a store, or go on with one that was begun from the same plan.

        plan        plain data with at least `configuration` and `fingerprint`; written as plan.json
        attributes  what a reader should know, beside format, skeleton, configuration and status
        Raises InvalidValueError, naming the keys that differ, where the store was begun from another plan.
        """
        if sequences.frames != layout.frames:
            raise InvalidValueError(f"sequences hold {sequences.frames} frames, the layout {layout.frames}")
        writer = cls(location, layout, str(plan["fingerprint"]))
        if location.exists(PLAN):
            _check_same_plan(location, plan)
        elif location.exists(GROUP):
            raise InvalidValueError(
                f"{location.url} is a Zarr group that auglift-prep did not begin, or its plan.json was lost; "
                "choose another --out"
            )
        else:
            location.write(PLAN, (canonical_json(plan) + "\n").encode())
        # The group's own metadata comes last: where it is, everything before it is.
        if not location.exists(GROUP):
            location.write(SEQUENCES, sequences.to_parquet())
            writer._create_arrays(attributes, plan)
        return writer

    def _create_arrays(self, attributes: Mapping[str, Any], plan: Mapping[str, Any]) -> None:
        memory: dict = {}
        group = zarr.create_group(
            zarr.storage.MemoryStore(memory),
            attributes={
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "skeleton": {"name": H36M_17.name, "joints": list(H36M_17.joints)},
                "fingerprint": self.fingerprint,
                "configuration": plan["configuration"],
                "fields": [spec.name for spec in self.layout.fields],
                "shard_frames": self.layout.shard_frames,
                **attributes,
                "status": "building",
            },
        )
        for spec in self.layout.fields:
            self._create_array(group, spec)
        with warnings.catch_warnings():  # Zarr says that its specification does not have this yet; xarray wants it
            warnings.simplefilter("ignore", ZarrUserWarning)
            zarr.consolidate_metadata(group.store)
        for key in sorted(memory):
            if key != GROUP:
                self.location.write(key, memory[key].to_bytes())
        self.location.write(GROUP, memory[GROUP].to_bytes())

    def _create_array(self, group: zarr.Group, spec: Field) -> zarr.Array:
        compress = [] if spec.wide else [BloscCodec(cname="zstd", clevel=3, shuffle="shuffle")]
        return group.create_array(
            spec.name,
            shape=(self.layout.frames, *spec.shape),
            dtype=spec.dtype,
            shards=(self.layout.shard_frames, *spec.shape),
            chunks=(self.layout.chunk_frames(spec), *spec.shape),
            compressors=[*compress, Crc32cCodec()],
            filters=None,
            fill_value=spec.fill_value,
            dimension_names=("frame", *spec.dimensions),
            attributes={
                "units": spec.unit,
                "description": spec.meaning,
                **({"components": list(spec.components)} if spec.components else {}),
            },
            config={"write_empty_chunks": True},
        )

    def encode(self, spec: Field, shard: int, values: np.ndarray) -> bytes:
        """The stored bytes of one shard of one array."""
        start, stop = self.layout.bounds(shard)
        if values.shape != (stop - start, *spec.shape) or values.dtype != np.dtype(spec.dtype):
            raise InvalidValueError(
                f"shard {shard} of {spec.name} is {values.dtype}{list(values.shape)}, "
                f"not {spec.dtype}{[stop - start, *spec.shape]}"
            )
        memory: dict = {}
        array = self._create_array(zarr.create_group(zarr.storage.MemoryStore(memory)), spec)
        array[start:stop] = values
        return memory[array_key(spec, shard)].to_bytes()

    def done(self) -> set[int]:
        """Shards whose record carries this plan's fingerprint; garbage and strangers in the ledger are errors."""
        records = read_ledger(self.location)
        for record in records.values():
            if record.fingerprint != self.fingerprint:
                raise InvalidValueError(
                    f"{ledger_key(record.shard)} is of another plan ({record.fingerprint[:8]}, not "
                    f"{self.fingerprint[:8]}); delete it to redo its shard"
                )
        return set(records)

    def write(
        self,
        shard: int,
        arrays: Mapping[str, np.ndarray],
        counts: Mapping[str, int],
        problems: list[dict[str, Any]] | None = None,
        versions: Mapping[str, str] | None = None,
    ) -> ShardRecord:
        """Write one shard of every array, read it back, and enter it in the ledger.

        arrays   field -> (frames of this shard, *shape), exactly the layout's fields and dtypes
        Raises StoreWriteError where the disk will not take it or gives back something else: then there is no record.
        """
        expected = {spec.name for spec in self.layout.fields}
        if set(arrays) != expected:
            raise InvalidValueError(f"shard {shard} has {sorted(arrays)}; the store holds {sorted(expected)}")
        entries = {}
        for spec in self.layout.fields:
            data = self.encode(spec, shard, arrays[spec.name])
            key = array_key(spec, shard)
            self.location.write(key, data)
            digest = hashlib.sha256(data).hexdigest()
            if hashlib.sha256(self.location.read(key)).hexdigest() != digest:
                raise StoreWriteError(f"{key} in {self.location.url} does not read back as written; check the disk")
            entries[spec.name] = {"sha256": digest, "bytes": len(data)}
        start, stop = self.layout.bounds(shard)
        record = ShardRecord(
            shard, start, stop, self.fingerprint, entries, dict(counts), list(problems or []), dict(versions or {})
        )
        self.location.write(ledger_key(shard), record.to_json())
        return record

    def finalise(self, statistics: Mapping[str, Any]) -> dict[str, int]:
        """Check that every shard has its record and its arrays, then mark the store complete.

        statistics  what the whole store's values look like (`statistics.statistics`); kept as statistics.json
        Returns the counts of all shards together. StoreIncompleteError names what is missing.
        """
        records = read_ledger(self.location)
        self.done()
        missing = [shard for shard in range(self.layout.shards) if shard not in records]
        if missing:
            raise StoreIncompleteError(
                f"{len(missing)} of {self.layout.shards} shards of {self.location.url} are missing "
                f"(the first is {missing[0]}); run the same command again"
            )
        for shard, record in records.items():
            for spec in self.layout.fields:
                key = array_key(spec, shard)
                if self.location.size(key) != record.arrays.get(spec.name, {}).get("bytes"):
                    raise CorruptStoreError(
                        f"{key} in {self.location.url} is not what the ledger says; run auglift-store verify --repair"
                    )
        counts: dict[str, int] = {}
        for record in records.values():
            for name, count in record.counts.items():
                counts[name] = counts.get(name, 0) + count
        self.location.write(STATISTICS, (canonical_json(statistics) + "\n").encode())
        update_attributes(self.location, {"counts": counts, "status": "complete"})
        return counts


def update_attributes(location: Location, changes: Mapping[str, Any]) -> None:
    """Replace some of the group's attributes in one atomic write; a reader sees the old ones or the new."""
    group = json.loads(location.read(GROUP))
    group["attributes"] = {**group["attributes"], **changes}
    location.write(GROUP, json.dumps(group, indent=2, allow_nan=False).encode())


def sweep_unfinished(location: Location) -> int:
    """Delete writes that a killed job left unfinished; how many. Only for the job that holds the store's lock."""
    partial = [key for key in location.listing() if key.endswith(PARTIAL)]
    for key in partial:
        location.delete(key)
    return len(partial)


def _check_same_plan(location: Location, plan: Mapping[str, Any]) -> None:
    try:
        stored = json.loads(location.read(PLAN))
        known, configuration = stored["fingerprint"], stored["configuration"]
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptStoreError(f"plan.json in {location.url} cannot be read; choose another --out") from error
    if known != plan["fingerprint"]:
        raise InvalidValueError(
            f"{location.url} was begun with another configuration ("
            f"{describe_difference(plan['configuration'], configuration)}); "
            "choose another --out, or give the configuration it was begun with"
        )
