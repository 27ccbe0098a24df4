"""Many sequences read shard by shard: 100,000 short ones cost no more than a few long ones of as many frames."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from ..errors import StoreIncompleteError
from ..format.sequences import SequenceTable
from .read_ahead import read_ahead
from .shardfile import ShardReader
from .store import FeatureStore

# Of a longer shard, so much is in memory at a time.
BLOCK_FRAMES = 8192


@dataclass(frozen=True)
class Block:
    """Frames of one shard that are read at once, and which sequences they belong to.

    shard
    start, stop    frames on the store's axis, from the first that is wanted to the last
    sequence       (P,) int64: number of a sequence, in the order of the table given; each at most once
    first, last    (P,) int64: its frames here, [first, last), counted from `start`
    """

    shard: int
    start: int
    stop: int
    sequence: np.ndarray
    first: np.ndarray
    last: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        """Return (F,) int64: the frames that are wanted, counted from `start`, one sequence after the other."""
        return ranges(self.first, self.last)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Return (P,) sums of values (stop - start,) over the frames of each sequence."""
        edges = np.stack([self.first, self.last], axis=1).ravel()
        return np.add.reduceat(np.append(values, 0), edges)[::2]


def ranges(first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Return (F,) int64: first[0], ..., last[0] - 1, first[1], ... of (P,) bounds."""
    lengths = last - first
    return np.arange(lengths.sum()) + np.repeat(first - (np.cumsum(lengths) - lengths), lengths)


def blocks(store: FeatureStore, sequences: SequenceTable) -> list[Block]:
    """Cut the frames of these sequences, in their order, where shards end: a long sequence is in several blocks."""
    shard_frames = store.layout.shard_frames
    size = min(shard_frames, BLOCK_FRAMES)
    a_shard = -(-shard_frames // size)  # blocks in it
    starts, stops = sequences.starts, sequences.starts + sequences.lengths
    first = starts // shard_frames * a_shard + starts % shard_frames // size
    last = (stops - 1) // shard_frames * a_shard + (stops - 1) % shard_frames // size
    count = last - first + 1
    number = np.repeat(np.arange(len(starts)), count)
    block = np.arange(count.sum()) + np.repeat(first - (np.cumsum(count) - count), count)
    low = block // a_shard * shard_frames + block % a_shard * size
    high = np.minimum(low + size, (block // a_shard + 1) * shard_frames)
    low, high = np.maximum(low, starts[number]), np.minimum(high, stops[number])
    edges = np.flatnonzero(np.diff(block, prepend=-1)).tolist()
    found = []
    for begin, end in zip(edges, [*edges[1:], len(block)], strict=True):
        start, stop = int(low[begin:end].min()), int(high[begin:end].max())
        mine = slice(begin, end)
        shard = int(block[begin]) // a_shard
        found.append(Block(shard, start, stop, number[mine], low[mine] - start, high[mine] - start))
    return found


def read_blocks(
    store: FeatureStore, wanted: Iterable[Block], names: Iterable[str]
) -> Generator[tuple[Block, dict[str, np.ndarray]], None, None]:
    """Yield each block with its fields, (stop - start, *shape) each; the next one is read meanwhile.

    Raises as `FeatureStore.read`.
    """
    names = list(names)
    store.require(names)
    reader, finished = ShardReader(store), store.finished()

    def load() -> Iterator[tuple[Block, dict[str, np.ndarray]]]:
        for block in wanted:
            if not finished[block.shard]:
                raise StoreIncompleteError(f"shard {block.shard} of {store.url} is not written yet")
            arrays = {}
            for name in names:
                spec = store.fields[name]
                arrays[name] = np.empty((block.stop - block.start, *spec.shape), spec.dtype)
                reader.read(name, block.start, block.stop, arrays[name])
            yield block, arrays

    return read_ahead(load(), depth=1)


def read_frames(store: FeatureStore, sequences: SequenceTable, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Read all frames of these sequences, one sequence after the other in the order of the table, field by field.

    (F, *shape) each. Raises as `FeatureStore.read`.
    """
    names = list(names)
    store.require(names)
    whole = {name: np.empty((sequences.frames, *store.fields[name].shape), store.fields[name].dtype) for name in names}
    place = 0
    with closing(read_blocks(store, blocks(store, sequences), names)) as read:
        for block, arrays in read:
            rows = block.rows
            for name, values in arrays.items():
                np.take(values, rows, axis=0, out=whole[name][place : place + len(rows)], mode="clip")
            place += len(rows)
    return whole
