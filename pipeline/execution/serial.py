"""Runs a plan: creates or resumes the store, does the missing shards, finishes it. With the serial executor."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Protocol

from ...stores.errors import StoreWriteError
from ...stores.format.fingerprint import canonical_json
from ...stores.locations.base import Location
from ...stores.writing.lock import StoreLock
from ...stores.writing.shards import ShardWriter, sweep_unfinished
from ...stores.writing.statistics import statistics
from ..extract import Extractor
from ..plan import Plan
from .batch_memory import ForwardLimit
from .results import ATTEMPTS, Progress, Results, ShardFailure, ShardResult, Silent
from .shard_job import process_shard

__all__ = ["ATTEMPTS", "Executor", "Outcome", "Progress", "SerialExecutor", "ShardFailure", "Silent", "execute"]


class Executor(Protocol):
    """Does shards, in any order. Closing the generator stops those that are under way."""

    def run(self, plan: Plan, location: Location, shards: list[int], progress: Progress) -> Results: ...


@dataclass
class SerialExecutor:
    """One shard after another, in this process. The networks are built when the first shard needs them."""

    build: Callable[[], Extractor]

    def run(self, plan: Plan, location: Location, shards: list[int], progress: Progress) -> Results:
        if not shards:
            return
        extractor = self.build()
        writer = ShardWriter(location, plan.layout, plan.fingerprint)
        limit = ForwardLimit()
        for index in shards:
            yield attempt(extractor, plan, index, writer, progress, limit)


def attempt(
    extractor: Extractor, plan: Plan, index: int, writer: ShardWriter, progress: Progress, limit: ForwardLimit
) -> ShardResult | ShardFailure:
    """Do a shard, up to ATTEMPTS times. A store that cannot be written ends the job: no other shard fares better."""
    for count in range(1, ATTEMPTS + 1):
        seen = 0

        def on_frames(frames: int) -> None:
            nonlocal seen
            seen += frames
            progress.frames(index, frames)

        try:
            return process_shard(extractor, plan, plan.shards[index], writer, on_frames, limit=limit)
        except StoreWriteError:
            raise
        except Exception as error:
            progress.frames(index, -seen)
            if count == ATTEMPTS:
                return ShardFailure(index, f"{type(error).__name__}: {error}".splitlines()[0], count)
    raise AssertionError("unreachable")


@dataclass
class Outcome:
    """How a job ended.

    results    of the shards done in this run
    failures   of the shards that failed; the store is complete only if there are none
    resumed    number of shards that were there already
    wall       seconds of the whole run
    counts     of the whole store, if it is complete
    """

    results: list[ShardResult] = field(default_factory=list)
    failures: list[ShardFailure] = field(default_factory=list)
    resumed: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    wall: float = 0.0

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by stage, over all shards of this run."""
        total: dict[str, float] = {}
        for result in self.results:
            for stage, seconds in result.seconds.items():
                total[stage] = total.get(stage, 0.0) + seconds
        return total

    @property
    def frames(self) -> int:
        """Frames done in this run."""
        return sum(result.frames for result in self.results)


def execute(plan: Plan, location: Location, executor: Executor, progress: Progress | None = None) -> Outcome:
    """Do the shards of a plan that the store at `location` does not have yet, and finish the store.

    Raises StoreLockedError if another job writes it or took it over, InvalidValueError if the store has another plan,
    StoreWriteError if it cannot be written. Shards in the ledger stay, whatever happens.
    """
    progress = progress or Silent()
    outcome = Outcome()
    begin = time.perf_counter()
    # Before the lock, which makes the folder: a plan that cannot be written down leaves nothing.
    described = plan.sequences(), plan.to_json(), plan.attributes()
    canonical_json(described[1:]).encode()
    with StoreLock(location) as lock:
        sweep_unfinished(location)
        writer = ShardWriter.create(location, plan.layout, *described)
        done = writer.done()
        outcome.resumed = len(done)
        progress.begin(plan.frames, sum(s.stop - s.start for s in plan.shards if s.index in done))
        missing = [shard.index for shard in plan.shards if shard.index not in done]
        # Closed before the lock is released: no worker may still write when another job begins.
        with closing(executor.run(plan, location, missing, progress)) as results:
            for result in results:
                lock.require()
                if isinstance(result, ShardResult):
                    outcome.results.append(result)
                else:
                    outcome.failures.append(result)
                progress.done(result)
        if missing:
            sweep_unfinished(location)  # partial files of workers that died in this run
        if not outcome.failures:
            lock.require()
            store = plan.open(location)
            complete = store.status == "complete" and not missing
            outcome.counts = store.attributes["counts"] if complete else writer.finalise(statistics(store))
            plan.publish()
    outcome.wall = time.perf_counter() - begin
    return outcome
