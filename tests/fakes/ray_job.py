"""A depth pass on Ray with stand-in networks, here or as a driver to kill.

python -m tests.fakes.ray_job ADDRESS WORKERS SECONDS OUT LOGS SOURCES
"""

from __future__ import annotations

import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auglift.pipeline.cluster import Cluster
from auglift.pipeline.execute import Outcome, Progress, execute
from auglift.pipeline.extract import Extractor, describe
from auglift.pipeline.pool import Patience
from auglift.pipeline.ray_executor import RayExecutor
from auglift.pipeline.worker import ExtractorWork
from auglift.pipeline.workers import Crowd
from auglift.stores.location import LocalLocation
from auglift.stores.shards import LEDGER

from .job import SlowDepth, fake_plan
from .networks import fake_extractor


@dataclass
class FakeNetworks:
    """What `NetworkOptions` is to the real networks. `seconds` a frame are slept."""

    seconds: float = 0.0
    batch: int = 4

    def build(self) -> Extractor:
        fake = fake_extractor()
        return Extractor(fake.detector, fake.pose, SlowDepth(self.seconds), fake.presets, fake.device)

    def settings(self, extractor: Extractor) -> dict[str, Any]:
        return {**describe(extractor), "batch": self.batch, "threads": 1}


class Dawdling(LocalLocation):
    """Takes its time between a shard's arrays and its record, so that a kill can fall there."""

    def __init__(self, path: Path, seconds: float = 0.05):
        super().__init__(path)
        self.seconds = seconds

    def write(self, key: str, data: bytes) -> None:
        if key.startswith(LEDGER):
            time.sleep(self.seconds)
        super().write(key, data)


def run_ray(
    cluster: Cluster,
    out: Path,
    sources: list[Path],
    workers: int = 2,
    seconds: float = 0.0,
    progress: Progress | None = None,
    logs: Path | None = None,
    watch: Any = None,
    patience: Patience | None = None,
    **changes: Any,
) -> Outcome:
    """`job.run_fake`, on Ray. `watch` is called with the executor once its workers come up."""
    work = ExtractorWork(FakeNetworks(seconds))
    with RayExecutor(cluster, Crowd(workers, 0.0, 1), work, logs, patience) as executor:
        if watch:
            watch(executor)
        plan = fake_plan(sources, fake_extractor(), **changes)
        assert executor.settings() == plan.settings
        return execute(plan, Dawdling(out.absolute()), executor, progress)


if __name__ == "__main__":
    address, workers, seconds, out, logs, *sources = sys.argv[1:]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Cluster(address) as cluster:
            outcome = run_ray(
                cluster, Path(out), [Path(p) for p in sources], int(workers), float(seconds), logs=Path(logs)
            )
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(1 if outcome.failures else 0)
