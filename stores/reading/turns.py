"""An epoch read by several workers in turn, a batch each, which another number of workers can go on with, exactly.

What an epoch's workers give depends on how many they are: each reads as a rank of its own. Where the number changes in
the middle of an epoch, the windows that were not used yet are found by making the first workers' orders again, and are
shared anew among those that go on, as if they were a whole epoch. So every window comes as often as it was drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..errors import InvalidValueError
from .blocks import Blocks, cut_into_blocks
from .order import Order, draw, random_keys, sequential_order, share, shuffled_order
from .windows import WindowLoader


@dataclass(frozen=True)
class Reading:
    """How a part of an epoch was read.

    workers              that took turns, the first one first
    pool, block_frames   of each worker's `MemoryPlan`: the order depends on them
    until                batches of the epoch that were used in the end
    """

    workers: int
    pool: int
    block_frames: tuple[int, ...]
    until: int

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Reading:
        return cls(**{**values, "block_frames": tuple(values["block_frames"])})

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "block_frames": list(self.block_frames)}

    def goes_on(self, other: Reading) -> bool:
        """Return whether the other one's workers would have given the same batches."""
        return (self.workers, self.pool, self.block_frames) == (other.workers, other.pool, other.block_frames)


class TurnLoader(WindowLoader):
    """A worker's part of this rank's epochs, as a `WindowLoader` of `workers`; `go_on` says which part it is."""

    def __init__(self, *args: Any, workers: int = 1, **options: Any):
        super().__init__(*args, **options)
        self.workers = workers
        self._turn = 0
        self._done: tuple[Reading, ...] = ()
        self._left: np.ndarray | None = None

    def reading(self, until: int) -> Reading:
        """Return how these workers read."""
        return Reading(self.workers, self.plan.pool, tuple(self.plan.block_frames), until)

    def go_on(self, epoch: int, worker: int, used: int, readings: Sequence[Reading] = ()) -> None:
        """Let the next iteration have what remains to this worker of an epoch of which `used` batches were used.

        readings   how they were read, the last of them until `used`; none: from the beginning, by these workers
        InvalidValueError where the epoch has not as many.
        """
        done = list(readings)
        if done and done[-1].goes_on(self.reading(used)):
            done.pop()
        start = done[-1].until if done else 0
        self._done, self._left = tuple(done), self._left_after(epoch, done)
        # A DataLoader takes batches from its workers in turn, the first one first: its turn it was.
        used -= start
        self._turn = (worker + used) % self.workers
        self.epoch, self._resume = epoch, max(0, -(-(used - self._turn) // self.workers))
        if self._resume > len(self):
            raise InvalidValueError(
                f"{used + start} batches of epoch {epoch} were used, it has fewer; take its own state"
            )

    def __len__(self) -> int:
        """Return the number of batches of an epoch of this worker."""
        return self._batches(self._left, self.workers, self._turn)

    def order(self, epoch: int) -> Order:
        """Return the windows of this worker's part of the epoch."""
        return self._order(epoch, self._left, len(self._done), self.workers, self._turn, self.plan.pool, self._blocks)

    def _left_after(self, epoch: int, readings: Sequence[Reading]) -> np.ndarray | None:
        """The windows, ascending, that were not used by these; None where there are none: all are left."""
        left, start = None, 0
        for stage, reading in enumerate(readings):
            blocks = cut_into_blocks(self.table, self.shape, reading.block_frames) if reading.pool else None
            parts, some = [], 0
            for turn in range(reading.workers):
                order = self._order(epoch, left, stage, reading.workers, turn, reading.pool, blocks)
                batches = self._batches(left, reading.workers, turn)
                used = max(0, -(-(reading.until - start - turn) // reading.workers))
                parts.append(order.windows[used * self.batch_size : batches * self.batch_size])
                some += batches
            if reading.until < start or reading.until - start > some:
                raise InvalidValueError(
                    f"{reading.until} batches of epoch {epoch} were used, it has {start + some}; take its own state"
                )
            left, start = np.sort(np.concatenate(parts)), reading.until
        return left

    def _order(
        self,
        epoch: int,
        left: np.ndarray | None,
        stage: int,
        workers: int,
        turn: int,
        pool: int,
        blocks: Blocks | None,
    ) -> Order:
        """What a worker gives of the windows that are left; None: of this rank's part of all."""
        of = None if blocks is None else blocks.of
        rank, world_size, unit, seed = turn, workers, self.batch_size if self.drop_last else 1, self.seed
        if left is None:
            left, unit = draw(self.table.counts, self.weights, self.seed, epoch), 1
            rank, world_size = self.rank * workers + turn, self.world_size * workers
        else:
            seed = int(random_keys(1, self.seed, epoch, stage)[0])
        if not self.shuffle:
            return sequential_order(left, of, rank, world_size, unit)
        return shuffled_order(left, of, pool, seed, epoch, rank, world_size, unit)

    def _batches(self, left: np.ndarray | None, workers: int, turn: int) -> int:
        if left is None:
            if self.drop_last:
                return self.windows // (self.world_size * workers) // self.batch_size
            first, last = share(self.windows, self.rank * workers + turn, self.world_size * workers)
        else:
            first, last = share(len(left), turn, workers, self.batch_size if self.drop_last else 1)
        return -(-(last - first) // self.batch_size)
