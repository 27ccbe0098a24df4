"""What differs between two stores: how they were made, their sequences, their fields, and value by value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from ..format.families import field_of
from ..format.fingerprint import differing_keys
from ..format.schema import Field
from ..format.sequences import ARROW_SCHEMA, SequenceTable
from ..reading.store import FeatureStore
from .values import Differences

# Columns of the table that say where a sequence lies, not what it is.
_PLACE = ("id", "start")
# Values compared at a time.
BLOCK_VALUES = 1 << 24

Progress = Callable[[int, int], None]


def diff(
    ours: FeatureStore, theirs: FeatureStore, values_only: bool = False, progress: Progress = lambda done, of: None
) -> dict[str, Any]:
    """Plain data, fit for JSON.

    same            whether nothing differs
    configuration   key -> [here, there], where both say how they were made; {} with `values_only`
    sequences       only_here, only_there: ids; changed: id -> column -> [here, there], of those in both; order: whether
                    those in both lie in the same order
    fields          only_here, only_there: names; changed: name -> property -> [here, there]
    values          field -> frames and values compared, differ, share, one_nan (NaN on one side only), largest, median
                    (absolute, of the values that differ), first (sequence, frame in it, source_frame; None: none)

    Sequences are matched by id, whatever their place. Of one whose lengths differ, the frames that both have are
    compared. Shards that lie on the same frames and have the same sha256 in both ledgers are not read.
    progress        called with (fields compared, fields to compare)
    """
    made = () if values_only else differing_keys(_made(ours), _made(theirs))
    configuration = {key: [here, there] for key, here, there in made}
    sequences, pairs = _sequences(ours.sequences, theirs.sequences)
    fields, common = _fields(ours.fields, theirs.fields)
    values, alike = {}, _same_shards(ours, theirs)
    for number, name in enumerate(common):
        progress(number, len(common))
        values[name] = _Comparison(ours, theirs, name, pairs, alike.get(name, set())).result()
    progress(len(common), len(common))
    lists = [configuration, *(sequences[key] for key in ("only_here", "only_there", "changed")), *fields.values()]
    return {
        "same": sequences["order"] and not any(lists) and not any(value["differ"] for value in values.values()),
        "configuration": configuration,
        "sequences": sequences,
        "fields": fields,
        "values": values,
    }


def _sequences(ours: SequenceTable, theirs: SequenceTable) -> tuple[dict[str, Any], np.ndarray]:
    """What differs, and of the sequences in both: (S, 3) int64, first frame here, there, and frames to compare."""
    here, there = ours.table["id"].to_pylist(), theirs.table["id"].to_pylist()
    at = {id: row for row, id in enumerate(there)}
    both = [(row, at[id]) for row, id in enumerate(here) if id in at]
    mine, other = (np.array([pair[side] for pair in both], dtype=np.int64) for side in (0, 1))
    known = set(here)
    described = {
        "only_here": [id for id in here if id not in at],
        "only_there": [id for id in there if id not in known],
        "changed": _changed(ours.table.take(pa.array(mine)), theirs.table.take(pa.array(other))),
        "order": bool((np.diff(other) > 0).all()),
    }
    lengths = np.minimum(ours.lengths[mine], theirs.lengths[other])
    return described, np.stack([ours.starts[mine], theirs.starts[other], lengths], axis=1).reshape(-1, 3)


def _changed(ours: pa.Table, theirs: pa.Table) -> dict[str, dict[str, list[Any]]]:
    """Column by column; NaN is equal to NaN."""
    found: dict[str, dict[str, list[Any]]] = {}
    ids = ours["id"].to_pylist()
    for column in (name for name in ARROW_SCHEMA.names if name not in _PLACE):
        for id, here, there in zip(ids, ours[column].to_pylist(), theirs[column].to_pylist(), strict=True):
            if here != there and not (here != here and there != there):
                found.setdefault(id, {})[column] = [_plain(here), _plain(there)]
    return found


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and value != value else value


def _fields(ours: dict[str, Field], theirs: dict[str, Field]) -> tuple[dict[str, Any], list[str]]:
    """What differs, and the fields whose values can be compared."""
    changed: dict[str, dict[str, list[Any]]] = {}
    common = [name for name in ours if name in theirs]
    for name in common:
        for key in ("shape", "dtype", "unit"):
            here, there = (getattr(side[name], key) for side in (ours, theirs))
            if here != there:
                changed.setdefault(name, {})[key] = [list(v) if isinstance(v, tuple) else v for v in (here, there)]
    described = {
        "only_here": [name for name in ours if name not in theirs],
        "only_there": [name for name in theirs if name not in ours],
        "changed": changed,
    }
    return described, [name for name in common if "shape" not in changed.get(name, {})]


class _Comparison:
    """One field of two stores, in pieces: runs of frames that lie one after another in both."""

    def __init__(self, ours: FeatureStore, theirs: FeatureStore, name: str, pairs: np.ndarray, alike: set[int]):
        self.stores = (ours, theirs)
        self.name = name
        self.found = Differences()
        self.pieces = _pieces(pairs, ours, ours.fields[name])
        self.alike = alike

    def result(self) -> dict[str, Any]:
        frames = 0
        for number, (here, there, count) in enumerate(self.pieces):
            frames += count
            if here == there and self._is_known(here, count):
                self.found.same(count * int(np.prod(self.stores[0].fields[self.name].shape, dtype=np.int64)))
            else:
                ours, theirs = self.stores
                self.found.add(
                    ours.read(self.name, here, here + count), theirs.read(self.name, there, there + count), number
                )
        return {
            "frames": frames,
            "values": self.found.compared,
            "differ": self.found.differ,
            "share": self.found.share,
            "one_nan": self.found.only_one_nan,
            "largest": self.found.largest,
            "median": self.found.median,
            "first": self._first(),
        }

    def _is_known(self, start: int, count: int) -> bool:
        length = self.stores[0].layout.shard_frames
        return all(shard in self.alike for shard in range(start // length, (start + count - 1) // length + 1))

    def _first(self) -> dict[str, Any] | None:
        if self.found.first is None:
            return None
        piece, row = self.found.first
        store, frame = self.stores[0], self.pieces[piece][0] + row
        at = int(np.searchsorted(store.sequences.starts, frame, side="right")) - 1
        sequence = store.sequences[at]
        source = int(store.read("source_frame", frame, frame + 1)[0]) if "source_frame" in store.fields else None
        return {"sequence": sequence.id, "frame": frame - sequence.start, "source_frame": source}


def _pieces(pairs: np.ndarray, ours: FeatureStore, spec: Field) -> list[tuple[int, int, int]]:
    """(first frame here, there, frames): as long as both go on, cut at shards here and to what memory takes."""
    most = max(1, BLOCK_VALUES // max(1, spec.frame_bytes // np.dtype(spec.dtype).itemsize))
    length = ours.layout.shard_frames
    joined: list[list[int]] = []
    for here, there, count in pairs.tolist():
        if joined and joined[-1][0] + joined[-1][2] == here and joined[-1][1] + joined[-1][2] == there:
            joined[-1][2] += count
        elif count:
            joined.append([here, there, count])
    pieces = []
    for here, there, count in joined:
        done = 0
        while done < count:
            at = here + done
            size = min(count - done, length - at % length, most)
            pieces.append((at, there + done, size))
            done += size
    return pieces


def _made(store: FeatureStore) -> dict[str, Any]:
    """How a store and its families were made; of which store a family is, is plain."""
    families = {
        name: {key: value for key, value in family.configuration.items() if key != "store"}
        for name, family in store.families.items()
    }
    return {**store.configuration, **({"families": families} if families else {})}


def _same_shards(ours: FeatureStore, theirs: FeatureStore) -> dict[str, set[int]]:
    """By field, the shards that lie on the same frames and have the same bytes, as both ledgers say."""
    found: dict[str, set[int]] = {}
    parts = [("", ours, theirs)]
    parts += [
        (name, family, theirs.families[name]) for name, family in ours.families.items() if name in theirs.families
    ]
    for family, here, there in parts:
        if here.layout.shard_frames != there.layout.shard_frames:
            continue
        others = there.ledger()
        for shard, record in here.ledger().items():
            other = others.get(shard)
            if other is None or (record.start, record.stop) != (other.start, other.stop):
                continue
            for name, entry in record.arrays.items():
                if entry == other.arrays.get(name) and here.fields[name].dtype == there.fields[name].dtype:
                    found.setdefault(field_of(name, family) if family else name, set()).add(shard)
    return found
