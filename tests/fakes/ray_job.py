"""A depth pass on Ray with stand-in networks, here or as a driver to kill.

python -m tests.fakes.ray_job ADDRESS WORKERS SECONDS OUT NOTES SOURCES
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auglift.pipeline.execution.ray_cluster import Cluster
from auglift.pipeline.execution.ray_executor import RayExecutor
from auglift.pipeline.execution.resources import WorkerGroup
from auglift.pipeline.execution.scheduling.scheduler import Scheduler
from auglift.pipeline.execution.serial import Outcome, Progress, execute
from auglift.pipeline.execution.worker import ExtractorWork
from auglift.pipeline.extract import Extractor, describe
from auglift.stores.locations.local import LocalLocation

from .job import SlowDepth, fake_plan
from .made_work import SlowRecords
from .networks import fake_extractor


@dataclass
class FakeNetworks:
    """Stands in for `NetworkOptions`. Each frame sleeps for `seconds`."""

    seconds: float = 0.0
    batch: int = 4

    def build(self) -> Extractor:
        fake = fake_extractor()
        return Extractor(fake.detector, fake.pose, SlowDepth(self.seconds), fake.presets, fake.device)

    def settings(self, extractor: Extractor) -> dict[str, Any]:
        return {**describe(extractor), "batch": self.batch, "threads": 1}


def run_ray(
    cluster: Cluster,
    out: LocalLocation,
    sources: list[Path],
    workers: int = 2,
    seconds: float = 0.0,
    progress: Progress | None = None,
    logs: Path | None = None,
    watch: Callable[[Scheduler], None] | None = None,
) -> Outcome:
    """Run `job.run_fake` on Ray. `watch` gets the scheduler when the first worker is ready."""
    work = ExtractorWork(FakeNetworks(seconds))
    with RayExecutor(cluster, WorkerGroup(workers, 0.0, 1), work, logs) as executor:
        plan = fake_plan(sources, fake_extractor())
        assert executor.settings() == plan.settings
        if watch:
            watch(executor.scheduler)
        return execute(plan, out, executor, progress)


if __name__ == "__main__":
    address, workers, seconds, store, notes, *sources = sys.argv[1:]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Cluster(address) as cluster:
            location = SlowRecords(Path(store), 0.02, Path(notes))
            outcome = run_ray(cluster, location, [Path(p) for p in sources], int(workers), float(seconds))
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(1 if outcome.failures else 0)
