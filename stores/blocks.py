"""Where windows are gathered from: all frames in memory, or a pool of blocks that are read as an order needs them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .order import Order
from .records import Record, load
from .store import FeatureStore
from .window_table import WindowShape, WindowTable


class Source(Protocol):
    """Frames in memory, one column a record."""

    columns: list[np.ndarray]

    def step(self, step: int) -> None:
        """Have in memory what a step of the order needs."""
        ...

    def shift(self, windows: np.ndarray) -> np.ndarray:
        """(n,) int64: what to add to a frame of its store to have the row in the columns."""
        ...

    def close(self) -> None: ...


class Columns:
    """All frames of the sequences chosen, read once."""

    def __init__(self, stores: Sequence[FeatureStore], records: Sequence[Record], table: WindowTable):
        sequences = table.sequences
        lengths = sequences.stop - sequences.start
        first_row = np.cumsum(lengths) - lengths
        self._shift = first_row - sequences.start
        self._sequence = table.sequence
        self.columns = [np.empty(int(lengths.sum()), dtype=record.dtype) for record in records]
        finished = [store.finished() for store in stores]
        for index, store in enumerate(stores):
            size = store.layout.shard_frames
            for low, high, shift in _runs(sequences.start, sequences.stop, self._shift, sequences.store == index):
                for shard in range(low // size, -(-high // size)):
                    if finished[index][shard]:
                        a, b = max(low, shard * size), min(high, (shard + 1) * size)
                        for record, column in zip(records, self.columns, strict=True):
                            load(store, record, a, b, column[a + shift : b + shift])

    def step(self, step: int) -> None:
        pass

    def shift(self, windows: np.ndarray) -> np.ndarray:
        return self._shift[self._sequence[windows]]

    def close(self) -> None:
        pass


def _runs(start: np.ndarray, stop: np.ndarray, shift: np.ndarray, mine: np.ndarray) -> list[tuple[int, int, int]]:
    """Sequences that follow one another without a gap, together: first frame, one past the last, shift."""
    start, stop, shift = start[mine], stop[mine], shift[mine]
    first = np.flatnonzero(np.append(True, start[1:] != stop[:-1]))
    last = np.append(first[1:], len(start)) - 1
    return list(zip(start[first].tolist(), stop[last].tolist(), shift[first].tolist(), strict=True))


@dataclass(frozen=True)
class Blocks:
    """The frame axes cut into blocks: shards, or equal parts of them. Blocks without windows are left out.

    of           (N,) int32  the block of every window's centre, ascending
    store        (n,) int32
    start, stop  (n,) int64  the frames that the windows of a block need: they may reach into its neighbours
    """

    of: np.ndarray
    store: np.ndarray
    start: np.ndarray
    stop: np.ndarray

    @property
    def longest(self) -> int:
        return int((self.stop - self.start).max())


def cut_into_blocks(table: WindowTable, shape: WindowShape, block_frames: Sequence[int]) -> Blocks:
    """block_frames   frames a block, by store"""
    store = np.repeat(np.arange(len(table.counts), dtype=np.int32), table.counts)
    number = table.centre // np.asarray(block_frames, dtype=np.int32)[store]
    new = np.append(True, (number[1:] != number[:-1]) | (store[1:] != store[:-1]))
    first = np.flatnonzero(new)
    last = np.append(first[1:], len(table)) - 1
    begin = table.sequences.start[table.sequence[first]]
    end = table.sequences.stop[table.sequence[last]]
    return Blocks(
        of=(np.cumsum(new) - 1).astype(np.int32),
        store=store[first],
        start=np.maximum(table.centre[first].astype(np.int64) - shape.left, begin),
        stop=np.minimum(table.centre[last].astype(np.int64) + shape.right + 1, end),
    )


class BlockPool:
    """`order.pool` blocks in memory, and the next one on its way in a thread of its own."""

    def __init__(self, stores: Sequence[FeatureStore], records: Sequence[Record], blocks: Blocks, order: Order):
        self._stores, self._records, self._blocks, self._order = stores, records, blocks, order
        slots = min(order.pool + 1, len(order.blocks))
        self._size = blocks.longest
        self.columns = [np.empty(slots * self._size, dtype=record.dtype) for record in records]
        self._free = list(range(slots))
        self._slot: dict[int, int] = {}
        self._reading: dict[int, Future[None]] = {}
        self._shift = np.zeros(len(blocks.store), dtype=np.int64)
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="read-block")

    def step(self, step: int) -> None:
        for turn in [turn for turn in self._slot if turn < step]:
            self._wait(turn)
            self._free.append(self._slot.pop(turn))
        needed = range(step, min(step + self._order.pool, len(self._order.blocks)))
        for turn in needed:
            self._begin(turn)
        for turn in needed:
            self._wait(turn)
        if self._free and needed.stop < len(self._order.blocks):
            self._begin(needed.stop)

    def _begin(self, turn: int) -> None:
        if turn not in self._slot:
            self._slot[turn] = self._free.pop()
            self._reading[turn] = self._reader.submit(self._read, turn, self._slot[turn])

    def _wait(self, turn: int) -> None:
        if turn in self._reading:
            self._reading.pop(turn).result()

    def _read(self, turn: int, slot: int) -> None:
        block = int(self._order.blocks[turn])
        start, stop = int(self._blocks.start[block]), int(self._blocks.stop[block])
        row = slot * self._size
        for record, column in zip(self._records, self.columns, strict=True):
            load(self._stores[self._blocks.store[block]], record, start, stop, column[row : row + stop - start])
        self._shift[block] = row - start

    def shift(self, windows: np.ndarray) -> np.ndarray:
        return self._shift[self._blocks.of[windows]]

    def close(self) -> None:
        self._reader.shutdown(wait=True, cancel_futures=True)
