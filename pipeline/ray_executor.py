"""Run a plan on Ray: one worker a GPU, or several without, here or in a cluster. Same interface, same bytes."""

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

from ..stores.errors import InvalidValueError
from ..stores.fingerprint import describe_difference
from ..stores.location import Location
from ..stores.shards import ShardWriter
from .cluster import Cluster, RayCrew
from .pool import Job, Patience, Pool
from .results import Progress, Results, ShardFailure
from .worker import Trouble, Work
from .workers import Crowd

if TYPE_CHECKING:
    from .calibrate import Calibration
    from .plan import Plan


class RayExecutor:
    """Workers in a Ray cluster, from `__enter__` to `__exit__`.

    with Cluster() as cluster, RayExecutor(cluster, crowd, work) as executor:
        plan = Plan(clips, executor.settings(), ...)
        execute(plan, location, executor, progress)

    crowd      how many workers, with what each
    work       what each of them loads and does; it travels pickled
    logs       folder for a log file a worker and the records of failed shards, on every node; None for neither
    Workers load their networks while the driver goes on; it needs none of its own, nor a GPU.
    """

    def __init__(
        self,
        cluster: Cluster,
        crowd: Crowd,
        work: Work,
        logs: str | Path | None = None,
        patience: Patience | None = None,
    ):
        self.logs = None if logs is None else Path(logs).absolute()
        crew = RayCrew(cluster, crowd, pickle.dumps(work), None if self.logs is None else str(self.logs))
        self.pool = Pool(crew, patience)
        self._put = cluster.ray.put

    def __enter__(self) -> RayExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pool.dismiss()

    def settings(self) -> Mapping[str, Any]:
        """What a plan's fingerprint holds of the workers' networks, from the first one that has loaded them.

        A worker whose networks or libraries differ is left out of the job. InvalidValueError where none can start.
        """
        return self.pool.prepare().settings

    def run(self, plan: Plan, location: Location, shards: list[int], progress: Progress) -> Results:
        from .work import recorded

        if not shards:
            return
        loaded = self.settings()
        known = {name: plan.settings.get(name) for name in loaded}
        if known != dict(loaded):
            raise InvalidValueError(f"the plan is not of these workers: {describe_difference(known, loaded)}")
        writer = ShardWriter(location, plan.layout, plan.fingerprint)
        job = Job(self._put(pickle.dumps((plan, location))), lambda shard: recorded(writer, shard))
        with closing(self.pool.run(job, shards, progress)) as results:
            for result in results:
                if isinstance(result, ShardFailure):
                    self._record(result)
                yield result

    def calibrate(self, plan: Plan) -> Calibration:
        """How long a plan would take with one of the workers, from a few batches."""
        self.settings()
        member = next(member for member in self.pool.members.values() if member.state != "loading")
        answer = member.handle.call("calibrate", pickle.dumps(plan)).result()
        if isinstance(answer, Trouble):
            raise InvalidValueError(f"the calibration failed on {member.name}: {answer.reason}")
        return answer

    def _record(self, failure: ShardFailure) -> None:
        """A failed shard's record: beside the workers' logs, for the store holds nothing but what was computed."""
        if self.logs is None:
            return
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            record = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **asdict(failure)}
            (self.logs / f"failed-{failure.shard:08d}.json").write_text(json.dumps(record, indent=2) + "\n")
        except OSError:
            return  # the failure is reported anyway
