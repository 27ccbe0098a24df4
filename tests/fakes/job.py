"""A depth pass with stand-in networks as a process to kill: python -m tests.fakes.job OUT SECONDS SOURCES."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from auglift.pipeline.datasets.video import clips
from auglift.pipeline.execution.serial import Outcome, SerialExecutor, execute
from auglift.pipeline.extract import Extractor, describe
from auglift.pipeline.plan import Plan
from auglift.stores.locations.choose import locate

from .networks import FakeDepth, fake_extractor


class SlowDepth(FakeDepth):
    def __init__(self, seconds: float):
        self.seconds = seconds

    def estimate(self, frames):
        time.sleep(self.seconds * len(frames))
        return super().estimate(frames)


def fake_plan(sources: list[Path], extractor: Extractor, shard_frames: int = 8, batch: int = 4, **changes) -> Plan:
    found, bad = clips(sources)
    assert not bad
    settings = {**describe(extractor), "batch": batch, "threads": 1, **changes}
    return Plan(tuple(found), settings, tuple(p.name for p in extractor.presets), shard_frames)


def run_fake(out: str | Path, sources: list[Path], seconds: float = 0.0, progress=None, **changes) -> Outcome:
    """Run the whole pass in this process. Each frame sleeps for `seconds`."""
    fake = fake_extractor()
    extractor = Extractor(fake.detector, fake.pose, SlowDepth(seconds), fake.presets, fake.device)
    return execute(fake_plan(sources, extractor, **changes), locate(out), SerialExecutor(lambda: extractor), progress)


if __name__ == "__main__":
    run_fake(sys.argv[1], [Path(p) for p in sys.argv[3:]], float(sys.argv[2]))
