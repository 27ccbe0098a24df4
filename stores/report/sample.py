"""Which frames the page looks at: stretches of them, evenly over the finished shards, chosen by a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..format.skeleton import H36M_17
from ..reading.shardfile import ShardReader
from ..reading.store import FeatureStore

MOST_FRAMES = 24_576
_STRETCH = 128
ROOT = H36M_17.index("pelvis")
JOINTS = tuple(joint.replace("_", " ") for joint in H36M_17.joints)


@dataclass(frozen=True)
class Sample:
    """Frames of a store with a person in them, and their fields.

    looked_at  frames that were read, with a person or without; `of` finished ones
    frame      (N,) int64  on the store's frame axis, ascending
    row        (N,) int64  number of its sequence
    values     field -> (N, *shape)
    """

    store: FeatureStore
    looked_at: int
    of: int
    frame: np.ndarray
    row: np.ndarray
    values: dict[str, np.ndarray]
    seed: int

    def __contains__(self, field: str) -> bool:
        return field in self.values

    def __getitem__(self, field: str) -> np.ndarray:
        return self.values[field]

    @property
    def words(self) -> str:
        """Say how many frames, and of how many."""
        if self.looked_at == self.of:
            return f"all {self.of:,} frames"
        share = f"{self.looked_at:,} of {self.of:,} frames"
        return f"{share}, in stretches of {_STRETCH} spread evenly, chosen by seed {self.seed}"

    def by_sequence(self) -> list[tuple[int, np.ndarray]]:
        """(number of a sequence, its places in the sample) of those that are in it."""
        edges = np.flatnonzero(np.diff(self.row, prepend=-1))
        return [
            (int(self.row[first]), np.arange(first, last))
            for first, last in zip(edges, [*edges[1:], len(self.row)], strict=True)
        ]


def stretches(store: FeatureStore, most: int, seed: int) -> list[tuple[int, int]]:
    """Choose (first frame, one past the last) of stretches of finished shards, at most `most` frames together."""
    begins, ends = [], []
    for shard in np.flatnonzero(store.finished()).tolist():
        first, last = store.layout.bounds(shard)
        starts = np.arange(first, last, _STRETCH)
        begins.append(starts)
        ends.append(np.minimum(starts + _STRETCH, last))
    if not begins:
        return []
    begin, end = np.concatenate(begins), np.concatenate(ends)
    wanted = max(most // _STRETCH, 1)
    if len(begin) > wanted:  # one at random of each of so many equal parts
        edges = np.linspace(0, len(begin), wanted + 1)
        places = edges[:-1] + np.random.default_rng(seed).random(wanted) * np.diff(edges)
        chosen = np.minimum(places.astype(np.int64), len(begin) - 1)
        begin, end = begin[chosen], end[chosen]
    return list(zip(begin.tolist(), end.tolist(), strict=True))


def take_sample(store: FeatureStore, fields: Sequence[str], most: int = MOST_FRAMES, seed: int = 0) -> Sample:
    """Read these fields of at most `most` frames; those that the store lacks are not in the sample.

    Raises as `FeatureStore.read`.
    """
    reader = ShardReader(store)
    names = [name for name in dict.fromkeys(("valid", *fields)) if name in store.fields]
    spans = stretches(store, most, seed)
    frames = np.concatenate([np.arange(*span) for span in spans]) if spans else np.zeros(0, np.int64)
    values: dict[str, np.ndarray] = {}
    keep = np.zeros(0, dtype=bool)
    for name in names:
        whole = np.empty((len(frames), *store.fields[name].shape), store.fields[name].dtype)
        place = 0
        for start, stop in spans:
            reader.read(name, start, stop, whole[place : place + stop - start])
            place += stop - start
        if name == "valid":
            keep = whole > 0
        values[name] = whole[keep]
    frame = frames[keep]
    row = np.searchsorted(store.sequences.starts, frame, side="right") - 1
    of = sum(stop - start for start, stop in map(store.layout.bounds, np.flatnonzero(store.finished()).tolist()))
    return Sample(store, len(frames), of, frame, row, values, seed)


def descriptors(store: FeatureStore) -> list[str]:
    """The fields that hold depth, those of families last."""
    return [name for name in store.fields if name.startswith("uadd/")]


def main_descriptors(store: FeatureStore) -> list[str]:
    """One descriptor of the store itself and one of each family: `paper` where there is one."""
    chosen: dict[str, str] = {}
    for name in descriptors(store):
        family = name.partition("@")[2]
        if family not in chosen or name.startswith("uadd/paper"):
            chosen[family] = name
    return list(chosen.values())
