"""Small trainings on people that are made up, and what a test reads of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from auglift.lifters.training.checkpoint import BEST, load
from auglift.lifters.training.log import read_log
from auglift.lifters.training.setup import Setup, inputs_by_name, parse_changes
from auglift.lifters.training.train import NoWatcher

TINY = {
    "simple_baseline": ["width=16", "blocks=1"],
    "video_pose3d": ["width=8"],
    "poseformer": ["joint_width=8", "spatial_depth=1", "temporal_depth=1"],
    "context_aware": ["model.width=16", "fusion_depth=1", "joint_depth=1"],
    "dstformer": ["width=16", "representation_width=16", "depth=1"],
}


def setup_of(
    store: str, lifter: str = "simple_baseline", inputs: str = "uadd", sets: tuple[str, ...] = (), **more: Any
):
    options: dict[str, Any] = {"window": 3, "batch": 32, "epochs": 2, "device": "cpu"}
    changes = parse_changes(lifter, [*TINY[lifter], *sets])
    return Setup((store,), lifter, inputs_by_name(inputs), changes=changes, **options | more)


def losses(folder: Path) -> list[dict[str, Any]]:
    """The log without what a clock says."""
    clocks = ("seconds", "waited", "windows_per_second")
    return [{k: v for k, v in line.items() if k not in clocks} for line in read_log(folder / "log.jsonl")]


def weights(folder: Path, name: str = BEST) -> dict[str, torch.Tensor]:
    return load(folder / name)["weights"]


def assert_same_weights(ours: Path, theirs: Path, name: str = BEST):
    a, b = weights(ours, name), weights(theirs, name)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)


class StopAfter:
    """Stops a training after so many steps, once."""

    def __init__(self, steps: int):
        self.left = steps

    def __call__(self) -> bool:
        self.left -= 1
        return self.left == 0


class Notes(NoWatcher):
    def __init__(self):
        self.said: list[str] = []

    def message(self, message: str) -> None:
        self.said.append(message)
