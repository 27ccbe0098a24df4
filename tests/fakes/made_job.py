"""A job on Ray that writes a made-up store, here or as a driver to kill; without torch, so that it starts at once.

python -m tests.fakes.made_job ADDRESS OUT NOTES SHARDS SECONDS
"""

from __future__ import annotations

import pickle
import signal
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from auglift.pipeline.execution.ray_cluster import Cluster
from auglift.pipeline.execution.ray_executor import RayExecutor
from auglift.pipeline.execution.resources import WorkerGroup
from auglift.pipeline.execution.results import NoProgress, ShardFailure, ShardResult
from auglift.pipeline.execution.scheduling.scheduler import Job, Scheduler
from auglift.stores.format.layout import ledger_key
from auglift.stores.reading.store import FeatureStore
from auglift.stores.writing.lock import StoreLock
from auglift.stores.writing.shards import sweep_unfinished
from auglift.stores.writing.statistics import statistics

from .made_work import MadeWork, SlowRecords
from .stores import MadeStore


@dataclass(frozen=True)
class MadeOutcome:
    resumed: int
    results: list[ShardResult | ShardFailure]

    @property
    def failures(self) -> list[ShardFailure]:
        return [result for result in self.results if isinstance(result, ShardFailure)]


def run_made(
    cluster: Cluster,
    out: SlowRecords,
    work: MadeWork,
    workers: int = 2,
    watch: Callable[[Scheduler], None] | None = None,
) -> MadeOutcome:
    """Do what `execute` does, for a made-up store. `watch` gets the scheduler when the first worker is ready."""
    with StoreLock(out), RayExecutor(cluster, WorkerGroup(workers, 0.0, 1), work) as executor:
        sweep_unfinished(out)
        writer = work.store.begin(out)
        done = writer.done()
        executor.settings()
        if watch:
            watch(executor.scheduler)
        job = Job(cluster.ray.put(pickle.dumps((None, out))), lambda shard: _recorded(out, shard))
        missing = [shard for shard in range(work.store.layout.shards) if shard not in done]
        with closing(executor.scheduler.run(job, missing, NoProgress())) as results:
            outcome = MadeOutcome(len(done), list(results))
        sweep_unfinished(out)
        if not outcome.failures:
            writer.finalise(statistics(FeatureStore.open(out, allow_incomplete=True)))
    return outcome


def _recorded(out: SlowRecords, shard: int) -> ShardResult | None:
    return ShardResult(shard, 0, {}, [], {}) if out.exists(ledger_key(shard)) else None


if __name__ == "__main__":
    address, store, notes, shards, seconds = sys.argv[1:]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Cluster(address) as cluster:
            work = MadeWork(MadeStore((int(shards) * 16,)), float(seconds))
            outcome = run_made(cluster, SlowRecords(Path(store), 0.0, Path(notes)), work)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(1 if outcome.failures else 0)
