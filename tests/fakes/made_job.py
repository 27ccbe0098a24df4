"""A job on Ray that writes a made-up store, here or as a driver to kill; nowhere torch, so that it starts at once.

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

from auglift.pipeline.cluster import Cluster
from auglift.pipeline.pool import Job, Pool
from auglift.pipeline.ray_executor import RayExecutor
from auglift.pipeline.results import ShardFailure, ShardResult, Silent
from auglift.pipeline.workers import Crowd
from auglift.stores.layout import ledger_key
from auglift.stores.lock import StoreLock
from auglift.stores.shards import sweep_unfinished
from auglift.stores.statistics import statistics
from auglift.stores.store import FeatureStore

from .made_work import Dawdling, MadeWork
from .stores import MadeStore


@dataclass(frozen=True)
class MadeOutcome:
    resumed: int
    results: list[ShardResult | ShardFailure]

    @property
    def failures(self) -> list[ShardFailure]:
        return [result for result in self.results if isinstance(result, ShardFailure)]


def run_made(
    cluster: Cluster, out: Dawdling, work: MadeWork, workers: int = 2, watch: Callable[[Pool], None] | None = None
) -> MadeOutcome:
    """What `execute` does, for a store that is made up. `watch` is called with the pool, once a worker is ready."""
    with StoreLock(out), RayExecutor(cluster, Crowd(workers, 0.0, 1), work) as executor:
        sweep_unfinished(out)
        writer = work.store.begin(out)
        done = writer.done()
        executor.settings()
        if watch:
            watch(executor.pool)
        job = Job(cluster.ray.put(pickle.dumps((None, out))), lambda shard: _recorded(out, shard))
        missing = [shard for shard in range(work.store.layout.shards) if shard not in done]
        with closing(executor.pool.run(job, missing, Silent())) as results:
            outcome = MadeOutcome(len(done), list(results))
        sweep_unfinished(out)
        if not outcome.failures:
            writer.finalise(statistics(FeatureStore.open(out, allow_incomplete=True)))
    return outcome


def _recorded(out: Dawdling, shard: int) -> ShardResult | None:
    return ShardResult(shard, 0, {}, [], {}) if out.exists(ledger_key(shard)) else None


if __name__ == "__main__":
    address, store, notes, shards, seconds = sys.argv[1:]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Cluster(address) as cluster:
            work = MadeWork(MadeStore((int(shards) * 16,)), float(seconds))
            outcome = run_made(cluster, Dawdling(Path(store), 0.0, Path(notes)), work)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(1 if outcome.failures else 0)
