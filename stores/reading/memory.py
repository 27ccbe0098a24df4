"""How much memory windows may take, and what to do with it: all frames in memory, or a pool of blocks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from ..errors import InvalidValueError
from .records import Record
from .store import FeatureStore
from .window_table import WindowShape, WindowTable

# A pool of this many blocks mixes well (docs/windows.md has the figures); more would only be longer to fill.
WANTED_POOL, LARGEST_POOL = 16, 32
# Blocks on their way: a disk, and a machine that does other things too, are not always equally fast.
AHEAD = 4
# Batches are gathered several at a time where they are small: a hand-over between threads costs as much as 1 MB.
GATHERED_BYTES = 4 << 20
# Pieces that wait; beside them, one is being gathered, one is on its way, and the consumer holds the last one still.
READ_AHEAD, _IN_HANDS = 2, 3
# An order, while it is made: windows, and the keys that they are sorted by.
_TABLE_BYTES = 48
# A shard of narrow fields, as stored, and what Zarr, NumPy and Arrow need for themselves.
_SLACK_BYTES = 8 << 20


@dataclass(frozen=True)
class MemoryPlan:
    """What a budget comes to.

    budget         bytes
    bytes          expected at the most
    block_frames   frames a block, by store; empty: all frames in memory
    pool           blocks in memory; 0: all frames
    ahead          blocks on their way
    read_ahead     gathered pieces that wait for the consumer
    together       batches gathered as one piece
    """

    budget: int
    bytes: int
    block_frames: tuple[int, ...]
    pool: int
    ahead: int
    read_ahead: int
    together: int


def automatic_budget() -> int:
    """Return half of the memory of this machine or its container, divided by the ranks that torchrun starts here."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(limit).read_text()))
        except (OSError, ValueError):
            continue
    return total // 2 // max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def plan_memory(
    budget: int,
    stores: Sequence[FeatureStore],
    records: Sequence[Record],
    table: WindowTable,
    shape: WindowShape,
    batch_size: int,
    shuffle: bool,
    scattered: Sequence[bool],
) -> MemoryPlan:
    """Find the best use of a budget in bytes; the same for the same arguments, on any machine.

    Best is all frames in memory; then whole shards, as long as 16 fit in; then equal parts of shards.
    scattered   by record, as `Pieces` has it
    InvalidValueError where nothing fits.
    """
    plans = list(_plans(budget, stores, records, table, shape, batch_size, shuffle, scattered))
    for plan in plans:
        if plan.bytes <= budget:
            return plan
    raise InvalidValueError(
        f"memory of {_megabytes(budget)} is too small for batches of {batch_size} windows of {shape.window} frames: "
        f"give at least {_megabytes(min(plan.bytes for plan in plans))}, or a smaller batch_size"
    )


def _plans(
    budget: int,
    stores: Sequence[FeatureStore],
    records: Sequence[Record],
    table: WindowTable,
    shape: WindowShape,
    batch_size: int,
    shuffle: bool,
    scattered: Sequence[bool],
) -> Iterator[MemoryPlan]:
    """From the best to the most modest."""
    sizes = [record.dtype.itemsize for record in records]
    whole, spread = sum(sizes), sum(size for size, flag in zip(sizes, scattered, strict=True) if flag)
    window_bytes = sum(size * record.frames(shape.window) for size, record in zip(sizes, records, strict=True))
    batch_bytes = batch_size * (window_bytes + 17 * shape.window)  # 16: rows of the gather; 1: the mask of edges
    most = max(1, min(GATHERED_BYTES, budget // 32) // batch_bytes)
    buffers = {
        (ahead, together): _TABLE_BYTES * len(table) + _SLACK_BYTES + (ahead + _IN_HANDS) * together * batch_bytes
        for ahead, together in ((READ_AHEAD, most), (1, most), (1, 1))
    }
    frames = int((table.sequences["stop"] - table.sequences["start"]).sum())
    for (read_ahead, together), base in buffers.items():
        yield MemoryPlan(budget, base + frames * whole, (), 0, 0, read_ahead, together)
    pools = (range(LARGEST_POOL, WANTED_POOL - 1, -1), range(WANTED_POOL - 1, 3, -1), (3, 2), (1,))
    for some in pools if shuffle else ((1,),):
        for (read_ahead, together), base in buffers.items():
            for block_frames, pool in product(_block_sizes(stores, records), some):
                longest, ahead = max(block_frames), min(AHEAD, pool)
                # A piece is open from the first frame read into it to the last: half a pool more while that is filled.
                opened = ((pool + -(-pool // 2) + ahead + 1) * longest + together * batch_size) * spread
                # A block more, for what decompressing takes.
                pooled = (pool + ahead + 1) * (longest + shape.window - 1) * (whole - spread)
                yield MemoryPlan(budget, base + opened + pooled, block_frames, pool, ahead, read_ahead, together)


def _block_sizes(stores: Sequence[FeatureStore], records: Sequence[Record]) -> list[tuple[int, ...]]:
    """Frames a block, by store, from whole shards down to single chunks."""
    # Chunks of the largest field: of the others a part may be read twice, and it costs little.
    largest = max((field for record in records for field in record.fields), key=lambda field: field.frame_bytes)
    chunks = [store.layout.chunk_frames(largest) for store in stores]
    shards = [store.layout.shard_frames for store in stores]
    sizes, parts = [], 1
    while True:
        sizes.append(tuple(_part(shard, chunk, parts) for shard, chunk in zip(shards, chunks, strict=True)))
        if all(size <= chunk for size, chunk in zip(sizes[-1], chunks, strict=True)):
            return sizes
        parts *= 2


def _part(shard: int, chunk: int, parts: int) -> int:
    """A `parts`-th of a shard in whole chunks, that divides it; at least a chunk."""
    chunks = max(1, shard // chunk)
    return chunk * next(n for n in range(max(1, chunks // parts), 0, -1) if chunks % n == 0) if chunk < shard else shard


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
