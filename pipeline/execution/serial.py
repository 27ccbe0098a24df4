"""Run a plan: create or resume the store, write the missing shards, finish it. Holds the serial executor."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Protocol

from ...stores.errors import StoreIncompleteError, StoreWriteError
from ...stores.format.fingerprint import canonical_json
from ...stores.locations.base import Location
from ...stores.writing.lock import StoreLock
from ...stores.writing.shards import ShardWriter, sweep_unfinished
from ...stores.writing.statistics import statistics
from ..device.device_errors import is_device_lost
from ..extract import Extractor
from ..plan import Plan
from .batch_memory import ForwardLimit
from .results import ATTEMPTS, NoProgress, Progress, Results, ShardFailure, ShardResult
from .shard_job import ComputedShard, compute_shard, write_shard

__all__ = ["ATTEMPTS", "Executor", "NoProgress", "Outcome", "Progress", "SerialExecutor", "ShardFailure", "execute"]


class Executor(Protocol):
    """Does shards, in any order. Closing the generator stops those that are under way."""

    def run(self, plan: Plan, location: Location, shards: list[int], progress: Progress) -> Results: ...


@dataclass
class SerialExecutor:
    """One shard after another, in this process; one is written while the next is computed.

    The networks are built when the first shard needs them.
    """

    build: Callable[[], Extractor]

    def run(self, plan: Plan, location: Location, shards: list[int], progress: Progress) -> Results:
        if not shards:
            return
        extractor = self.build()
        writer = ShardWriter(location, plan.layout, plan.fingerprint)
        limit = ForwardLimit()
        # On an error, or where the generator is closed, what is being written is finished first.
        with ThreadPoolExecutor(1, "write-shard") as pool:
            writing: Future[ShardResult | ShardFailure] | None = None
            for index in shards:
                steps = _computed(extractor, plan, index, progress, limit)
                while True:
                    try:
                        next(steps)
                    except StopIteration as end:
                        computed = end.value
                        break
                    if writing is not None and writing.done():
                        yield writing.result()
                        writing = None
                if writing is not None:
                    yield writing.result()
                    writing = None
                if isinstance(computed, ShardFailure):
                    yield computed
                else:
                    writing = pool.submit(_written, computed, writer)
            if writing is not None:
                yield writing.result()


def _computed(
    extractor: Extractor, plan: Plan, index: int, progress: Progress, limit: ForwardLimit
) -> Generator[None, None, ComputedShard | ShardFailure]:
    """Compute a shard, up to ATTEMPTS times; a step a batch. A GPU that is lost ends the job: no other shard fares
    better in this process."""
    for count in range(1, ATTEMPTS + 1):
        seen = 0
        steps = compute_shard(extractor, plan, plan.shards[index], limit=limit)
        try:
            while True:
                try:
                    frames = next(steps)
                except StopIteration as end:
                    return end.value
                seen += frames
                progress.frames(index, frames)
                yield
        except Exception as error:
            if is_device_lost(error):
                raise StoreIncompleteError(
                    f"the GPU is lost to this process ({_reason(error)}); what is finished is kept: run the same "
                    "command again"
                ) from error
            progress.frames(index, -seen)
            if count == ATTEMPTS:
                return ShardFailure(index, _reason(error), count)
    raise AssertionError("unreachable")


def _written(computed: ComputedShard, writer: ShardWriter) -> ShardResult | ShardFailure:
    """Write a shard, up to ATTEMPTS times. A store that cannot be written ends the job."""
    for count in range(1, ATTEMPTS + 1):
        try:
            return write_shard(computed, writer)
        except StoreWriteError:
            raise
        except Exception as error:
            if count == ATTEMPTS:
                return ShardFailure(computed.index, _reason(error), count)
    raise AssertionError("unreachable")


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


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
    progress = progress or NoProgress()
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
