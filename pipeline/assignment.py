"""Which shard is whose: what waits, what is in flight with whom, what failed how often. No clock, no process."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

# A worker that ends a shard has the next one at hand while the driver hears of it.
IN_FLIGHT = 2


class Assignment:
    """The shards of a job among its workers. A worker does its shards in the order it was given them.

    shards     to do, in this order
    attempts   a shard that failed so often is given up
    """

    def __init__(self, shards: Iterable[int], attempts: int):
        self.waiting: deque[int] = deque(shards)
        self.allowed = attempts
        self.failures: Counter[int] = Counter()
        self.flying: dict[int, list[int]] = {}
        self._avoid: dict[int, int] = {}

    @property
    def unfinished(self) -> bool:
        return bool(self.waiting) or any(self.flying.values())

    def next_for(self, worker: int, workers: int) -> int | None:
        """Give a worker its next shard; None where it has enough or nothing waits for it.

        workers   how many can be given shards now. The last shards go out one at a time: a second one in the hand of
                  a busy worker would wait while another worker idles
        """
        mine = self.flying.setdefault(worker, [])
        if len(mine) >= IN_FLIGHT or (mine and len(self.waiting) <= workers):
            return None
        for position, shard in enumerate(self.waiting):
            if workers > 1 and self._avoid.get(shard) == worker:
                continue  # it failed here: let another one try
            del self.waiting[position]
            mine.append(shard)
            return shard
        return None

    def done(self, worker: int, shard: int) -> None:
        self.flying[worker].remove(shard)

    def failed(self, worker: int, shard: int) -> int | None:
        """A shard failed with a worker and waits for another one; or is given up: how often it failed, else None."""
        self.flying[worker].remove(shard)
        self.failures[shard] += 1
        if self.failures[shard] >= self.allowed:
            return self.failures[shard]
        self._avoid[shard] = worker
        self.waiting.appendleft(shard)
        return None

    def running(self, worker: int) -> int | None:
        """The shard a worker is at; those behind it have not begun."""
        return next(iter(self.flying.get(worker, [])), None)

    def lost(self, worker: int) -> None:
        """A worker is gone: what it had not begun waits again, first. What it was at must be settled before."""
        for shard in reversed(self.flying.pop(worker, [])):
            self.waiting.appendleft(shard)
