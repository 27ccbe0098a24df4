"""Writing a store: the commit protocol of shards and their ledger.

A shard has one owner and is written whole: its arrays first, then, when they are on disk and were read back, its
record in the ledger. What has no record does not exist.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numcodecs.blosc
import numpy as np
import zarr
import zarr.storage
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.errors import ZarrUserWarning

from ..errors import CorruptStoreError, InvalidValueError, StoreIncompleteError, StoreWriteError
from ..format.families import FAMILIES
from ..format.fingerprint import canonical_json, describe_difference
from ..format.layout import (
    CARD,
    CHECKSUMS,
    GROUP,
    PLAN,
    SEQUENCES,
    SHARD_FRAMES,
    STATISTICS,
    StoreLayout,
    array_key,
    array_metadata_keys,
    ledger_key,
)
from ..format.record import ShardRecord
from ..format.schema import FORMAT, ROOT_VERSION, Field
from ..format.sequences import SequenceTable
from ..format.skeleton import H36M_17
from ..ledger import ledger_keys, read_ledger
from ..locations.base import PARTIAL, Location
from .lock import LOCK

__all__ = ["SHARD_FRAMES", "ShardRecord", "ShardWriter", "StoreLayout", "read_ledger", "sweep_unfinished"]

# Blosc's threads finish in any order and its bytes with them: one thread, and a shard always has the same bytes.
numcodecs.blosc.use_threads = False


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
        sequences: SequenceTable | None,
        plan: Mapping[str, Any],
        attributes: Mapping[str, Any],
    ) -> ShardWriter:
        """Begin a store, or go on with one that was begun from the same plan.

        sequences   None for a family, whose table is the store's
        plan        plain data with at least `configuration` and `fingerprint`; written as plan.json
        attributes  what a reader should know, beside format, skeleton, configuration and status
        Raises InvalidValueError, naming the keys that differ, where the store was begun from another plan.
        """
        if sequences is not None and sequences.frames != layout.frames:
            raise InvalidValueError(f"sequences hold {sequences.frames} frames, the layout {layout.frames}")
        writer = cls(location, layout, str(plan["fingerprint"]))
        if location.exists(PLAN):
            _check_same_plan(location, plan)
        else:
            if not _lost_this_plan(location, writer.fingerprint):
                _check_empty(location)
            location.write(PLAN, (canonical_json(plan) + "\n").encode())
        # The group's own metadata comes last: where it is, everything before it is.
        if not location.exists(GROUP):
            if sequences is not None:
                location.write(SEQUENCES, sequences.to_parquet())
            writer._create_arrays(attributes, plan)
        return writer

    def _create_arrays(self, attributes: Mapping[str, Any], plan: Mapping[str, Any]) -> None:
        memory: dict = {}
        group = zarr.create_group(
            zarr.storage.MemoryStore(memory),
            attributes={
                "format": FORMAT,
                "format_version": ROOT_VERSION,
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
            shards=(self.layout.stored_shard_frames(spec), *spec.shape),
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
        """Return the stored bytes of one shard of one array."""
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

    def done(self) -> dict[int, ShardRecord]:
        """Return the records of the finished shards; damaged or foreign records in the ledger are errors."""
        records = read_ledger(self.location)
        for record in records.values():
            misfit = record.misfit(self.layout, self.fingerprint)
            if misfit:
                raise InvalidValueError(
                    f"{ledger_key(record.shard)} in {self.location.url} {misfit}; auglift-store verify --repair, then "
                    "auglift-prep again"
                )
        return records

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
        encoded = ((spec, self.encode(spec, shard, arrays[spec.name])) for spec in self.layout.fields)
        return self.write_encoded(shard, encoded, counts, problems, versions)

    def write_encoded(
        self,
        shard: int,
        encoded: Iterable[tuple[Field, bytes]],
        counts: Mapping[str, int],
        problems: list[dict[str, Any]] | None = None,
        versions: Mapping[str, str] | None = None,
    ) -> ShardRecord:
        """As `write`, of the stored bytes of every array, in the layout's order."""
        entries = {}
        for spec, data in encoded:
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
        records = self.done()
        missing = [shard for shard in range(self.layout.shards) if shard not in records]
        if missing:
            raise StoreIncompleteError(
                f"{len(missing)} of {self.layout.shards} shards of {self.location.url} are missing "
                f"(the first is {missing[0]}); run the same command again"
            )
        counts: dict[str, int] = {}
        for shard, record in records.items():
            for spec in self.layout.fields:
                key = array_key(spec, shard)
                if self.location.size(key) != record.arrays[spec.name]["bytes"]:
                    raise CorruptStoreError(
                        f"{key} in {self.location.url} is not what the ledger says; auglift-store verify --repair, "
                        "then auglift-prep again"
                    )
            for name, count in record.counts.items():
                counts[name] = counts.get(name, 0) + count
        self.location.write(STATISTICS, (canonical_json(statistics) + "\n").encode())
        group = with_attributes(self.location, {"counts": counts, "status": "complete"})
        self.location.write(CHECKSUMS, self._checksums(group))
        self.location.write(GROUP, group)  # last: from here on the store is complete
        return counts

    def _checksums(self, group: bytes) -> bytes:
        keys = [PLAN, STATISTICS, *array_metadata_keys(self.layout.fields), *ledger_keys(self.location)]
        if "family" not in json.loads(group)["attributes"]:  # which has no table of its own
            keys.append(SEQUENCES)
        digests = {key: hashlib.sha256(self.location.read(key)).hexdigest() for key in keys}
        digests[GROUP] = hashlib.sha256(group).hexdigest()
        return "".join(f"{digest}  {key}\n" for key, digest in sorted(digests.items())).encode()


def with_attributes(location: Location, changes: Mapping[str, Any]) -> bytes:
    """Return the bytes of the group's metadata with some of its attributes replaced."""
    group = json.loads(location.read(GROUP))
    group["attributes"] = {**group["attributes"], **changes}
    return json.dumps(group, indent=2, allow_nan=False).encode()


def sweep_unfinished(location: Location) -> int:
    """Delete writes that a killed job left unfinished, and count them. Only for the job that holds the store's lock."""
    # What lies in families is the business of those who write them.
    partial = [key for key in location.listing() if key.endswith(PARTIAL) and not key.startswith(f"{FAMILIES}/")]
    for key in partial:
        location.delete(key)
    return len(partial)


def _lost_this_plan(location: Location, fingerprint: str) -> bool:
    """Whether a store without a plan (verify --repair takes a damaged one away) was begun with this one."""
    if location.exists(GROUP):
        try:
            attributes = json.loads(location.read(GROUP))["attributes"]
            begun_with = {attributes["fingerprint"]} if attributes["format"] == FORMAT else set()
        except (ValueError, KeyError, TypeError):
            begun_with = set()
        if begun_with != {fingerprint}:
            raise InvalidValueError(
                f"{location.url} is a Zarr group that auglift-prep did not begin, or not with this configuration; "
                "choose another --out"
            )
        return True
    return {record.fingerprint for record in read_ledger(location).values()} == {fingerprint}


def _check_empty(location: Location) -> None:
    """A job that was killed before it wrote its plan leaves nothing else that has a name of its own."""
    ours = {LOCK, CARD}
    strangers = [
        name for name in location.top() if name not in ours and not name.startswith(".") and PARTIAL not in name
    ]
    if strangers:
        shown = ", ".join(strangers[:3]) + (" ..." if len(strangers) > 3 else "")
        raise InvalidValueError(f"{location.url} holds something else ({shown}); choose an --out that is new or empty")


def _check_same_plan(location: Location, plan: Mapping[str, Any]) -> None:
    try:
        stored = json.loads(location.read(PLAN))
        known, configuration = stored["fingerprint"], stored["configuration"]
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptStoreError(
            f"plan.json in {location.url} cannot be read; auglift-store verify --repair, then auglift-prep again"
        ) from error
    if known != plan["fingerprint"]:
        raise InvalidValueError(
            f"{location.url} was begun with another configuration ("
            f"{describe_difference(plan['configuration'], configuration)}); "
            f"choose another {'--name' if 'store' in configuration else '--out'}, or give the configuration it was "
            "begun with"
        )
