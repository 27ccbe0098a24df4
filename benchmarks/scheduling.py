"""How much of their time are workers busy, and what does a shard cost the driver?

Workers of Ray on logical GPUs whose networks only wait, 2 s a shard; all of them are processes of this machine. Busy
is the share of the time between the moment when the last worker began its first shard and the moment when the first
one ended its last: what scheduling loses, without starting and ending. What a shard costs the driver is the processor
time of its process, Ray's threads included.

The driver alone, without Ray: workers that return at once, so that nothing is measured but assigning shards and
handling their results. With W workers and shards of S seconds the driver is busy for cost x W / S of its time.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from auglift.pipeline.execution.ray_cluster import Cluster
from auglift.pipeline.execution.ray_executor import RayExecutor
from auglift.pipeline.execution.resources import WorkerGroup
from auglift.pipeline.execution.results import NoProgress, ShardFailure, ShardResult
from auglift.pipeline.execution.scheduling.placement import Place
from auglift.pipeline.execution.scheduling.scheduler import Job, Scheduler
from auglift.pipeline.execution.worker import Heartbeat, Loaded

from .harness import Row, main

SECONDS = 2.0  # a shard
FRAMES = 8192


@dataclass
class Waiting:
    """Networks that only wait."""

    seconds: float

    def load(self) -> tuple[dict[str, Any], dict[str, str]]:
        return {}, {}

    def begin(self, plan: Any, location: Any) -> None: ...

    def calibrate(self, plan: Any) -> None: ...

    def do(self, shard: int, heartbeat: Heartbeat) -> ShardResult:
        begin = time.time()
        heartbeat.enter("depth")
        time.sleep(self.seconds)
        heartbeat.batch(FRAMES)
        return ShardResult(shard, FRAMES, {}, [], {"begin": begin, "end": time.time()})


def on_ray(cluster: Cluster, workers: int, rounds: int) -> list[Row]:
    """A job of so many shards a worker."""
    job = Job(pickle.dumps((None, None)), lambda shard: None)
    with RayExecutor(cluster, WorkerGroup(workers, 1.0, 1), Waiting(SECONDS)) as executor:
        scheduler = executor.scheduler
        scheduler.start()
        while len(scheduler.workers) < workers or any(w.state == "loading" for w in scheduler.workers.values()):
            scheduler._step()
        begin = time.process_time()
        with closing(scheduler.run(job, range(workers * rounds), NoProgress())) as results:
            done = [result for result in results if isinstance(result, ShardResult)]
        spent = time.process_time() - begin
    if len(done) < workers * rounds:
        raise RuntimeError("a shard failed")
    return [
        Row(f"{workers} workers busy, {rounds} shards of {SECONDS:g} s each", 100 * busy(done), "%", wanted=">= 95"),
        Row(f"{workers} workers, driver's processor time a shard", spent / len(done) * 1e3, "ms", wanted="< 5"),
    ]


def busy(done: Sequence[ShardResult]) -> float:
    """Share of the workers' time in which they were at a shard, while all were at work."""
    spans: dict[int | None, list[tuple[float, float]]] = {}
    for result in done:
        spans.setdefault(result.worker, []).append((result.seconds["begin"], result.seconds["end"]))
    start = max(min(begin for begin, _ in mine) for mine in spans.values())
    stop = min(max(end for _, end in mine) for mine in spans.values())
    at_work = sum(max(0.0, min(end, stop) - max(begin, start)) for mine in spans.values() for begin, end in mine)
    return at_work / (len(spans) * (stop - start))


class AtOnce:
    """A worker whose calls return at once."""

    def call(self, method: str, *arguments: Any) -> Future[Any]:
        result: Future[Any] = Future()
        if method == "load":
            result.set_result(Loaded({}, {}, "here", 1, 0.0))
        elif method == "do":
            result.set_result(ShardResult(arguments[0], FRAMES, {}, [], {}))
        elif method == "begin":
            result.set_result(None)
        return result  # of `status`, never set

    def kill(self) -> None: ...


class BackendAtOnce:
    def __init__(self, workers: int):
        self._places = [Place(str(n), "here", 0) for n in range(workers)]

    def places(self) -> Sequence[Place]:
        return self._places

    def start(self, number: int, place: Place) -> AtOnce:
        return AtOnce()

    def explain(self, error: BaseException) -> str:
        return str(error)


def alone(workers: int, shards: int) -> Row:
    scheduler = Scheduler(BackendAtOnce(workers))
    scheduler.start()
    begin = time.process_time()
    failed = [
        r
        for r in scheduler.run(Job(None, lambda shard: None), range(shards), NoProgress())
        if isinstance(r, ShardFailure)
    ]
    spent = (time.process_time() - begin) / shards
    if failed:
        raise RuntimeError(failed[0].reason)
    share = spent * workers / SECONDS
    text = f"{100 * share:.2g} % of the driver's time with shards of {SECONDS:g} s"
    return Row(f"driver alone, {workers:,} workers", spent * 1e3, "ms a shard", text, wanted="< 5")


def rows(quick: bool) -> list[Row]:
    found = [alone(workers, 20_000 if quick else 100_000) for workers in (8, 64, 1000)]
    jobs: list[tuple[int, int]] = [(8, 6)] if quick else [(8, 20), (64, 20)]
    with Cluster(cpus=max(workers for workers, _ in jobs), gpus=max(workers for workers, _ in jobs)) as cluster:
        for workers, rounds in jobs:
            found += on_ray(cluster, workers, rounds)
    return found


if __name__ == "__main__":
    from benchmarks import scheduling  # by its name: workers cannot unpack what is in __main__

    main(scheduling.rows, __doc__)
