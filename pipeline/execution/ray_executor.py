"""Runs a plan on Ray: one worker for each GPU, or several without, here or in a cluster. Same bytes as serial."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ...stores.errors import InvalidValueError
from ...stores.format.fingerprint import describe_difference
from ...stores.locations.base import Location
from ...stores.writing.shards import ShardWriter
from .ray_cluster import Cluster, RayBackend
from .resources import WorkerGroup
from .results import Progress, Results, ShardFailure
from .scheduling.scheduler import Job, Scheduler, Timeouts
from .worker import Failure, Work

if TYPE_CHECKING:
    from ..plan import Plan
    from .calibration import Calibration


class RayExecutor:
    """Workers in a Ray cluster, from `__enter__` to `__exit__`.

    with Cluster() as cluster, RayExecutor(cluster, group, work) as executor:
        plan = Plan(clips, executor.settings(), ...)
        execute(plan, location, executor, progress)

    group      how many workers, with how many cores and GPUs each
    work       what each of them loads and does; it is sent pickled
    logs       folder for the workers' log files and the records of failed shards, on every node; None for neither
    The driver needs neither networks nor a GPU.
    """

    def __init__(
        self,
        cluster: Cluster,
        group: WorkerGroup,
        work: Work,
        logs: str | Path | None = None,
        timeouts: Timeouts | None = None,
    ):
        self.logs = None if logs is None else Path(logs).absolute()
        backend = RayBackend(cluster, group, pickle.dumps(work), None if self.logs is None else str(self.logs))
        self.scheduler = Scheduler(backend, timeouts)
        self._put = cluster.ray.put

    def __enter__(self) -> RayExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.scheduler.stop()

    def settings(self) -> Mapping[str, Any]:
        """Wait for the first worker that has loaded its networks; return their part of a plan's fingerprint.

        A worker whose networks or libraries differ is left out of the job. InvalidValueError if none can start.
        """
        return self.scheduler.start().settings

    def run(self, plan: Plan, location: Location, shards: list[int], progress: Progress) -> Results:
        from .shard_job import recorded

        if not shards:
            return
        loaded = self.settings()
        known = {name: plan.settings.get(name) for name in loaded}
        if known != dict(loaded):
            raise InvalidValueError(f"the plan is for other networks: {describe_difference(known, loaded)}")
        writer = ShardWriter(location, plan.layout, plan.fingerprint)
        job = Job(self._put(pickle.dumps((plan, location))), lambda shard: recorded(writer, shard))
        with closing(self.scheduler.run(job, shards, progress)) as results:
            for result in results:
                if isinstance(result, ShardFailure):
                    self._record(result)
                yield result

    def calibrate(self, plan: Plan) -> Calibration:
        """Estimate how long a plan takes with one worker, from a few batches."""
        self.settings()
        worker = next(worker for worker in self.scheduler.workers.values() if worker.state != "loading")
        result = worker.handle.call("calibrate", pickle.dumps(plan)).result()
        if isinstance(result, Failure):
            raise InvalidValueError(f"the calibration failed on {worker.name}: {result.reason}")
        return result

    def _record(self, failure: ShardFailure) -> None:
        """Write the record of a failed shard into the folder of the logs: the store holds only what was computed."""
        if self.logs is None:
            return
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            record = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **asdict(failure)}
            (self.logs / f"failed-{failure.shard:08d}.json").write_text(json.dumps(record, indent=2) + "\n")
        except OSError:
            return  # the failure is reported anyway
