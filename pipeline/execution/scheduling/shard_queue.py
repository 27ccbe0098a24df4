"""The queue of shards: which wait, which are with which worker, how often each failed. No clock and no processes."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

# A worker has its next shard before it ends the present one, so that it never waits for the driver.
MAX_IN_FLIGHT = 2


class ShardQueue:
    """The shards of a job. A worker does its shards in the order in which it was given them.

    shards     to do, in this order
    attempts   a shard that failed so often is given up
    """

    def __init__(self, shards: Iterable[int], attempts: int):
        self.waiting: deque[int] = deque(shards)
        self.attempts = attempts
        self.failures: Counter[int] = Counter()
        self.in_flight: dict[int, list[int]] = {}
        self._failed_on: dict[int, int] = {}  # shard -> the worker with which it failed last

    @property
    def unfinished(self) -> bool:
        return bool(self.waiting) or any(self.in_flight.values())

    def next_for(self, worker: int, workers: int) -> int | None:
        """Give a worker its next shard; None if it has enough or no shard waits for it.

        workers   how many can take shards now. When few shards are left, no worker gets a second one: it would wait
                  behind the first while another worker is idle
        """
        given = self.in_flight.setdefault(worker, [])
        if len(given) >= MAX_IN_FLIGHT or (given and len(self.waiting) <= workers):
            return None
        for position, shard in enumerate(self.waiting):
            if workers > 1 and self._failed_on.get(shard) == worker:
                continue  # another worker tries it
            del self.waiting[position]
            given.append(shard)
            return shard
        return None

    def done(self, worker: int, shard: int) -> None:
        """Note that a worker finished a shard."""
        self.in_flight[worker].remove(shard)

    def failed(self, worker: int, shard: int) -> int | None:
        """Note that a shard failed: it waits again, for another worker, and None is returned.

        A shard that failed `attempts` times does not wait again; then the number of its failures is returned.
        """
        self.in_flight[worker].remove(shard)
        self.failures[shard] += 1
        if self.failures[shard] >= self.attempts:
            return self.failures[shard]
        self._failed_on[shard] = worker
        self.waiting.appendleft(shard)
        return None

    def running(self, worker: int) -> int | None:
        """Return the shard that a worker is doing; the others that it was given have not begun."""
        return next(iter(self.in_flight.get(worker, [])), None)

    def lost(self, worker: int) -> None:
        """Note that a worker is lost: shards that it had not begun wait again, first.

        Call `done` or `failed` for the shard that it was doing before.
        """
        for shard in reversed(self.in_flight.pop(worker, [])):
            self.waiting.appendleft(shard)
