"""An extension with stand-in networks, here or to kill: python -m tests.fakes.extend_job STORE ROOT SECONDS."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auglift.pipeline.execution.ray_cluster import Cluster
from auglift.pipeline.execution.ray_executor import RayExecutor
from auglift.pipeline.execution.resources import WorkerGroup
from auglift.pipeline.execution.serial import Outcome, SerialExecutor, execute
from auglift.pipeline.execution.worker import ExtractorWork
from auglift.pipeline.extension.plan import ExtensionPlan, clips_of, extension_of
from auglift.pipeline.extract import Extractor, describe
from auglift.pipeline.networks.substitutes.stored import FromStore
from auglift.stores.locations.choose import locate
from auglift.stores.reading.store import FeatureStore

from .job import SlowDepth
from .networks import FakeDepth, fake_extractor


class OtherDepth(SlowDepth):
    name = "other"

    def estimate(self, frames):
        return super().estimate(frames) * 2


@dataclass
class FakeExtension:
    """Stands in for `NetworkOptions`: the stored joints, and another depth network, or the first again.

    pose   also joints of its own, by the fake pose network in the stored boxes
    """

    seconds: float = 0.0
    other: bool = True
    pose: bool = False
    presets: tuple[str, ...] = ("paper", "fixed")

    def build(self) -> Extractor:
        fake = fake_extractor()
        presets = tuple(preset for preset in fake.presets if preset.name in self.presets)
        depth = OtherDepth(self.seconds) if self.other else FakeDepth()
        return Extractor(FromStore(), fake.pose if self.pose else FromStore(), depth, presets, fake.device)

    def settings(self, extractor: Extractor) -> dict[str, Any]:
        return {**describe(extractor), "batch": 4, "threads": 1}


def plan_of(store: str | Path, root: Path, networks: FakeExtension, name: str = "base") -> ExtensionPlan:
    opened = FeatureStore.open(locate(store))
    settings = networks.settings(networks.build())
    return extension_of(opened, clips_of(opened, root), name, settings=settings, presets=networks.presets)


def extend_fake(store: str | Path, root: Path, networks: FakeExtension, name: str = "base", progress=None) -> Outcome:
    plan = plan_of(store, root, networks, name)
    return execute(plan, plan.location, SerialExecutor(networks.build), progress)


def extend_ray(cluster: Cluster, store: str | Path, root: Path, networks: FakeExtension, watch=None) -> Outcome:
    with RayExecutor(cluster, WorkerGroup(2, 0.0, 1), ExtractorWork(networks)) as executor:
        plan = plan_of(store, root, networks)
        assert executor.settings() == plan.settings
        if watch:
            watch(executor.scheduler)
        return execute(plan, plan.location, executor)


if __name__ == "__main__":
    extend_fake(sys.argv[1], Path(sys.argv[2]), FakeExtension(float(sys.argv[3])))
