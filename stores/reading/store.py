"""`FeatureStore`: open a store and read from it, whole shards and any range of frames."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
import zarr.errors

from ..attributes import read_attributes
from ..errors import (
    AugliftError,
    CorruptStoreError,
    InvalidValueError,
    MissingFieldError,
    MissingFileError,
    StoreIncompleteError,
    StoreReadError,
)
from ..families import family_location, published
from ..format.described import described
from ..format.families import AT, field_of, split_field
from ..format.layout import CHECKSUMS, SEQUENCES, StoreLayout, array_key, ledger_key
from ..format.record import ShardRecord
from ..format.schema import Field
from ..format.sequences import SequenceTable
from ..ledger import read_ledger
from ..locations.base import Location
from ..locations.checksums import is_as_written, read_checksums
from ..locations.choose import locate
from . import labelled

if TYPE_CHECKING:
    import xarray


class FeatureStore:
    """A store opened for reading. What is not written yet, or was lost, is an error, never NaN.

    store = FeatureStore.open("walk.zarr")
    store.read("keypoints", 0, 100)          # (100, 17, 2) float32
    store.read("uadd/paper@base")            # of the family `base`, which auglift-prep extend added

    Families that are not complete do not exist here, not even where an incomplete store may be read.
    """

    def __init__(self, location: Location, attributes: dict[str, Any], sequences: SequenceTable, group: zarr.Group):
        self.location = location
        self.attributes = attributes
        self.sequences = sequences
        self._group = group
        self._arrays: dict[str, zarr.Array] = {}
        self._unreadable_families: dict[str, AugliftError] = {}

    @classmethod
    def open(
        cls, url: str | Path | Location, allow_incomplete: bool = False, *, check_table: bool = True
    ) -> FeatureStore:
        """Open what auglift-prep wrote.

        allow_incomplete   read a store that is still being written: its finished shards only
        check_table        refuse a table of sequences that is not what was written; `verify` looks further all the same
        Raises MissingFileError where there is no store, InvalidValueError where it is something else or of a newer
        format, StoreIncompleteError where it is not complete, CorruptStoreError where its small files are damaged.
        """
        location = locate(url)
        attributes = read_attributes(location)
        if attributes["status"] != "complete" and not allow_incomplete:
            raise StoreIncompleteError(
                f"{location.url} is not complete: run the auglift-prep command that began it again, or open it with "
                "allow_incomplete to read its finished shards"
            )
        if "family" in attributes:
            raise InvalidValueError(
                f"{location.url} is the family '{attributes['family']}' of a store, not a store; open that store, "
                f"which calls its fields {attributes['fields'][0]}@{attributes['family']}"
            )
        sequences = _read_table(location, attributes["status"] == "complete") if check_table else _any_table(location)
        return cls._open(location, attributes, sequences)

    @classmethod
    def _open(cls, location: Location, attributes: dict[str, Any], sequences: SequenceTable) -> FeatureStore:
        try:
            group = zarr.open_group(location.zarr_store(), mode="r", zarr_format=3)
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptStoreError(f"zarr.json of {location.url} is no Zarr group ({error})") from error
        store = cls(location, attributes, sequences, group)
        frames = store.array(attributes["fields"][0]).shape[0]
        if sequences.frames != frames:
            raise CorruptStoreError(
                f"{SEQUENCES} of {location.url} holds {sequences.frames} frames, the arrays {frames}; run "
                "auglift-store verify"
            )
        return store

    @property
    def url(self) -> str:
        return self.location.url

    @property
    def status(self) -> str:
        return self.attributes["status"]

    @property
    def fingerprint(self) -> str:
        return self.attributes["fingerprint"]

    @property
    def configuration(self) -> dict[str, Any]:
        return self.attributes["configuration"]

    def configuration_of(self, field: str) -> dict[str, Any]:
        """The configuration that made a field: the store's, or its family's."""
        family = split_field(field)[1]
        return self.families[family].configuration if family else self.configuration

    def open_family(self, name: str) -> FeatureStore:
        """The fields of one family under their plain names, whatever its status.

        Raises MissingFileError where there is no such family, CorruptStoreError where it is damaged or was made for
        another store.
        """
        location = family_location(self.location, name)
        attributes = read_attributes(location)
        if attributes.get("family") != name or attributes.get("store") != self.fingerprint:
            raise CorruptStoreError(
                f"{location.url} is not the family '{name}' of this store: its zarr.json says "
                f"'{attributes.get('family')}' of {str(attributes.get('store'))[:8]}, the store is "
                f"{self.fingerprint[:8]}; auglift-store remove-fields takes it away"
            )
        return self._open(location, attributes, self.sequences)

    @cached_property
    def families(self) -> dict[str, FeatureStore]:
        """The complete families of further fields, by name: those that were there at the first look."""
        if "family" in self.attributes:
            return {}
        found = {}
        for name in self._published():
            try:
                family = self.open_family(name)
                if family.status != "complete":
                    raise StoreIncompleteError(f"{family.url} is not complete: run auglift-prep extend again")
                family.own_fields  # noqa: B018  looks at every array
                found[name] = family
            except (AugliftError, zarr.errors.BaseZarrError) as error:
                # Whoever wants its fields gets the error; the others do not need it.
                self._unreadable_families[name] = CorruptStoreError(
                    f"the family '{name}' of {self.url} cannot be read: {error}"
                )
        return found

    def _published(self) -> Iterable[str]:
        try:
            return published(self.location)
        except AugliftError as error:  # a server that refuses to say whether there are any
            self._unreadable_families[""] = StoreReadError(f"the families of {self.url} are not known: {error}")
            return ()

    @cached_property
    def fields(self) -> dict[str, Field]:
        """Return the fields of this store, by name, with their shapes here; those of families last."""
        found = dict(self.own_fields)
        for name, family in self.families.items():
            for plain, spec in family.own_fields.items():
                found[field_of(plain, name)] = replace(spec, name=field_of(plain, name))
        return found

    @cached_property
    def own_fields(self) -> dict[str, Field]:
        """Return those of `fields` that belong to no family."""
        found = {}
        for name in self.attributes["fields"]:
            array = self.array(name)
            found[name] = described(name, array)
        return found

    @cached_property
    def layout(self) -> StoreLayout:
        frames = self.sequences.frames
        return StoreLayout(tuple(self.own_fields.values()), frames, int(self.attributes["shard_frames"]))

    @property
    def frames(self) -> int:
        """Return the length of the frame axis."""
        return self.sequences.frames

    def array(self, name: str) -> zarr.Array:
        """Return the Zarr array itself. MissingFieldError lists the fields there are."""
        self.require([name])
        plain, family = split_field(name)
        if family:
            return self.families[family].array(plain)
        if name not in self._arrays:
            try:
                array = self._group.get(name)
            except (ValueError, KeyError, TypeError) as error:
                raise CorruptStoreError(f"array '{name}' of {self.url} cannot be opened ({error})") from error
            if not isinstance(array, zarr.Array):
                raise CorruptStoreError(f"array '{name}' of {self.url} is missing; run auglift-store verify")
            self._arrays[name] = array
        return self._arrays[name]

    def require(self, names: Iterable[str]) -> None:
        """Raise MissingFieldError, with the fields there are, where the store lacks one of these."""
        there, wanted = self.attributes["fields"], list(names)
        if any(AT in name for name in wanted):  # else no one needs to look for families
            there = list(self.fields)
        missing = [name for name in wanted if name not in there]
        for name in missing:
            family = split_field(name)[1]
            problem = self._unreadable_families.get(family) or (family and self._unreadable_families.get(""))
            if family and problem:
                raise problem
        if missing:
            there = list(self.fields)
            raise MissingFieldError(
                f"{self.url} has no {', '.join(missing)}; it holds {', '.join(there)}{self.without_depth}"
            )

    @property
    def without_depth(self) -> str:
        """What an error about a missing field adds where the store holds 2D alone; else nothing."""
        if any(name.startswith("uadd/") for name in self.fields):
            return ""
        return (
            f". It is a store of 2D alone; add depth: auglift-prep extend {self.url} --depth NAME --name depth, and "
            "take uadd/paper@depth"
        )

    def ledger(self) -> dict[int, ShardRecord]:
        """Return the records of the shards that are finished now."""
        return read_ledger(self.location)

    def finished(self) -> np.ndarray:
        """Return (shards,) bool: which can be read now. It reads the ledger each time, as a job may be writing."""
        if self.status == "complete":
            return np.ones(self.layout.shards, dtype=bool)
        done = np.zeros(self.layout.shards, dtype=bool)
        for shard, record in self.ledger().items():
            misfit = record.misfit(self.layout, self.fingerprint)
            if misfit:
                raise CorruptStoreError(f"{ledger_key(shard)} in {self.url} {misfit}; run auglift-store verify")
            done[shard] = True
        return done

    def read(self, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Read frames [start, stop) of a field.

        Raises StoreIncompleteError where a shard in the range is not written yet, CorruptStoreError where it was and is
        gone or damaged.
        """
        stop = self.frames if stop is None else stop
        if not 0 <= start <= stop <= self.frames:
            raise InvalidValueError(f"frames {start} to {stop} of {self.url}, which has {self.frames}")
        plain, family = split_field(name)
        if family:
            self.require([name])
            return self.families[family].read(plain, start, stop)
        array, spec = self.array(name), self.own_fields[name]
        if start == stop:
            return spec.empty(0)
        first, last = start // self.layout.shard_frames, (stop - 1) // self.layout.shard_frames
        for shard in range(first, last + 1):
            if self.status != "complete" and not self.location.exists(ledger_key(shard)):
                raise StoreIncompleteError(f"shard {shard} of {self.url} is not written yet")
            if not self.location.size(array_key(spec, shard)):  # Zarr would read NaN, of an empty file too
                raise CorruptStoreError(
                    f"shard {shard} of '{name}' is missing from {self.url}; auglift-store verify --repair, then "
                    "auglift-prep again"
                )
        try:
            return np.asarray(array[start:stop])
        except MissingFileError as error:
            raise CorruptStoreError(f"a shard of '{name}' in {self.url} vanished: {error}") from error
        except StoreReadError:
            raise
        except (ValueError, RuntimeError, OSError) as error:
            raise CorruptStoreError(
                f"frames {start} to {stop} of '{name}' in {self.url} are damaged ({error}); auglift-store verify "
                "--repair, then auglift-prep again"
            ) from error

    def to_xarray(self, sequences: SequenceTable | Iterable[str] | str | None = None) -> xarray.Dataset:
        """The store as a lazy `xarray.Dataset`: nothing is read before it is used, and dask is not needed.

        sequences   those that it holds: a table (`store.sequences.select(split="test")`), ids, one id; all by default
        Coordinates: `joint`, `xy`, `xyz`, `stat` and their like hold names; `time` (seconds since its sequence began)
        and `sequence` (its id) lie along `frame`. `store.to_xarray().sel(joint="left_wrist")` works.
        MissingExtraError without xarray.
        """
        return labelled.to_xarray(self, sequences)

    def to_movement(self, sequence: str, positions: str = "keypoints") -> xarray.Dataset:
        """One sequence as a poses dataset of the package `movement`, in memory.

        positions   `keypoints` (px), `target/keypoints` (px) or `target/pose3d` (m, camera frame)
        `confidence` is the detector's score, which can exceed 1; NaN for ground truth. `keypoint` and `individual` are
        called `keypoints` and `individuals` where a `movement` older than 0.17 is installed. MissingExtraError without
        xarray.
        """
        return labelled.to_movement(self, sequence, positions)


def _read_table(location: Location, complete: bool) -> SequenceTable:
    """The table of sequences, as it was written: a row out of place would give other frames a sequence's name."""
    data = location.read(SEQUENCES)
    if complete and not is_as_written(data, SEQUENCES, _checksums(location)):
        raise CorruptStoreError(
            f"{SEQUENCES} of {location.url} is not what was written: its sha256 is not the one in {CHECKSUMS}; put the "
            "file back as it was, or auglift-store verify --repair, then auglift-prep again"
        )
    table = SequenceTable.from_parquet(data)
    fault = table.fault()
    if fault:
        raise CorruptStoreError(
            f"{SEQUENCES} of {location.url} is not what auglift-prep writes: {fault}; run auglift-store verify"
        )
    return table


def _any_table(location: Location) -> SequenceTable:
    return SequenceTable.from_parquet(location.read(SEQUENCES))


def _checksums(location: Location) -> dict[str, str]:
    """What there is of them: that the file itself is gone or spoilt is for `verify` to say."""
    try:
        return read_checksums(location) or {}
    except CorruptStoreError:
        return {}
