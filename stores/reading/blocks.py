"""Where windows are gathered from: all frames in memory, or a pool of blocks that are read as an order needs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from .order import Order
from .pieces import Pieces
from .records import Buffers, Record, gather, load
from .shardfile import ShardReader
from .window_table import WindowShape, WindowTable

# Reading a block is copying and checking as much as waiting: one thread cannot keep up with a fast disk.
READERS = 2


# Frames that are read at once of a shard of which only some are wanted: a few chunks, so that they take little memory.
SOME = 1024


class Columns:
    """All frames of the sequences chosen, read once, in their order."""

    def __init__(self, readers: Sequence[ShardReader], records: Sequence[Record], table: WindowTable):
        start, stop = table.sequences["start"], table.sequences["stop"]
        lengths = stop - start
        self._shift = np.cumsum(lengths) - lengths - start
        columns = [np.empty(int(lengths.sum()), dtype=record.dtype) for record in records]
        self.columns: list[np.ndarray | None] = [*columns]
        at = 0
        for index, reader in enumerate(readers):
            mine = table.sequences["store"] == index
            wanted = _wanted(start[mine], stop[mine], reader.store.frames)
            for shard, finished in enumerate(reader.store.finished()):
                low, high = reader.store.layout.bounds(shard)
                count = int(wanted[low:high].sum())
                if finished:
                    for record, column in zip(records, columns, strict=True):
                        _load_some(reader, record, low, wanted[low:high], column[at : at + count])
                at += count

    def step(self, step: int) -> None:
        pass

    def shift(self, windows: np.ndarray, sequence: np.ndarray) -> np.ndarray:
        return np.take(self._shift, sequence, mode="clip")

    def close(self) -> None:
        pass


def _wanted(start: np.ndarray, stop: np.ndarray, frames: int) -> np.ndarray:
    """(frames,) bool: which frames are in one of these sequences."""
    edges = np.bincount(start, minlength=frames + 1) - np.bincount(stop, minlength=frames + 1)
    return np.cumsum(edges[:-1]) > 0


def _load_some(reader: ShardReader, record: Record, low: int, wanted: np.ndarray, column: np.ndarray) -> None:
    """The frames of a shard that are wanted into a column; wanted (shard,) bool, `low` the shard's first frame.

    Sequences may be short and many: their frames are read together, not one sequence after another.
    """
    frames, at = np.flatnonzero(wanted), 0
    while at < len(frames):
        first = int(frames[at])
        # As far as no frame is left out, or else a few chunks, from which those that are wanted are copied.
        gap = int(np.argmin(wanted[first:])) or len(wanted) - first
        stop = first + gap if gap >= SOME else min((first // SOME + 1) * SOME, len(wanted))
        here = frames[at : at + np.searchsorted(frames[at:], stop)]
        stop = int(here[-1]) + 1
        out = column[at : at + len(here)]
        if len(here) == stop - first:
            load(reader, record, low + first, low + stop, out)
        else:
            spare = np.empty(stop - first, dtype=record.dtype)
            load(reader, record, low + first, low + stop, spare)
            gather(spare, here - first, out)
        at += len(here)


@dataclass(frozen=True)
class Blocks:
    """The frame axes cut into blocks: shards, or equal parts of them. Blocks without windows are left out.

    of           (N,) int32  the block of every window's centre, ascending
    store        (n,) int32
    start, stop  (n,) int64  the frames that the windows of a block need, some of them in its neighbours
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
    begin = table.sequences["start"][table.sequence[first]]
    end = table.sequences["stop"][table.sequence[last]]
    return Blocks(
        of=(np.cumsum(new) - 1).astype(np.int32),
        store=store[first],
        start=np.maximum(table.centre[first].astype(np.int64) - shape.left, begin),
        stop=np.minimum(table.centre[last].astype(np.int64) + shape.right + 1, end),
    )


class BlockPool:
    """`order.pool` blocks in memory, and the next ones on their way, read by threads of their own."""

    def __init__(
        self, readers: Sequence[ShardReader], blocks: Blocks, pieces: Pieces, order: Order, ahead: int, buffers: Buffers
    ):
        """ahead   blocks on their way at a time"""
        self._readers, self._blocks, self._pieces, self._order = readers, blocks, pieces, order
        slots = min(order.pool + ahead, len(order.blocks))
        self._size = blocks.longest
        self._pooled = [record for record, flag in zip(pieces.records, pieces.scattered, strict=True) if not flag]
        self._memory = buffers.lend([(record.dtype, (slots * self._size,)) for record in self._pooled])
        waiting = iter(self._memory)
        self.columns: list[np.ndarray | None] = [None if flag else next(waiting) for flag in pieces.scattered]
        self._free = list(range(slots))
        self._slot: dict[int, int] = {}
        self._reading: dict[int, list[Future[None]]] = {}
        self._shift = np.zeros(len(blocks.store), dtype=np.int64)
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="read-block")

    def step(self, step: int) -> None:
        for turn in [turn for turn in self._slot if turn < step]:
            self._wait(turn)
            self._free.append(self._slot.pop(turn))
        last = min(step + self._order.pool, len(self._order.blocks))
        for turn in range(step, min(last + len(self._free), len(self._order.blocks))):
            if turn not in self._slot and self._free:
                self._begin(turn)
        for turn in range(step, last):
            self._wait(turn)

    def _begin(self, turn: int) -> None:
        slot = self._slot[turn] = self._free.pop()
        block = int(self._order.blocks[turn])
        reader = self._readers[self._blocks.store[block]]
        start, stop = int(self._blocks.start[block]), int(self._blocks.stop[block])
        shift = slot * self._size - start
        self._shift[block] = shift
        self._reading[turn] = [
            *self._scatter(reader, turn),
            *(
                self._threads.submit(load, reader, record, low, high, column[low + shift : high + shift])
                for record, column in zip(self._pooled, self._memory, strict=True)
                for low, high in _parts(reader, record, start, stop)
            ),
        ]

    def _scatter(self, reader: ShardReader, turn: int) -> Iterator[Future[None]]:
        """Read the scattered records of a block, a part of them a reader, each frame into its piece."""
        scattered = [record for record, flag in zip(self._pieces.records, self._pieces.scattered, strict=True) if flag]
        if not scattered:
            return
        positions, frames = self._positions(turn)
        for nth, record in enumerate(scattered):
            name = record.fields[0].name
            places = self._pieces.places(positions, nth)
            chunk = reader.store.layout.chunk_frames(record.fields[0])
            middle = int(np.searchsorted(frames, (frames[0] + frames[-1]) // 2 // chunk * chunk)) if len(frames) else 0
            for part in (slice(middle), slice(middle, None)):
                yield self._threads.submit(reader.scatter, name, frames[part], places[part])

    def _positions(self, turn: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions in the order, of those wanted, that a block's windows have; and their frames, ascending."""
        by_turn, edges = self._turns
        mine = by_turn[edges[turn] : edges[turn + 1]]
        return mine + self._pieces.part.first, self._pieces.table.centre[self._wanted[mine]].astype(np.int64)

    @cached_property
    def _wanted(self) -> np.ndarray:
        return self._order.windows[self._pieces.part.first : self._pieces.part.end]

    @cached_property
    def _turns(self) -> tuple[np.ndarray, np.ndarray]:
        """The windows wanted, by turn of their block and by frame; and where each turn's begin."""
        turn_of = np.zeros(len(self._blocks.store), dtype=np.int64)
        turn_of[self._order.blocks] = np.arange(len(self._order.blocks))
        turn = turn_of[self._blocks.of[self._wanted]]
        by_turn = np.lexsort((self._pieces.table.centre[self._wanted], turn))
        return by_turn, np.searchsorted(turn[by_turn], np.arange(len(self._order.blocks) + 1))

    def _wait(self, turn: int) -> None:
        for reading in self._reading.pop(turn, ()):
            reading.result()

    def shift(self, windows: np.ndarray, sequence: np.ndarray) -> np.ndarray:
        return np.take(self._shift, np.take(self._blocks.of, windows, mode="clip"), mode="clip")

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)


def _parts(reader: ShardReader, record: Record, start: int, stop: int) -> list[tuple[int, int]]:
    """A range of frames, one part a reader, cut between chunks."""
    chunk = max(reader.store.layout.chunk_frames(field) for field in record.fields)
    cuts = [(start + (stop - start) * n // READERS) // chunk * chunk for n in range(1, READERS)]
    edges = [start, *(cut for cut in cuts if start < cut < stop), stop]
    return list(pairwise(edges))
