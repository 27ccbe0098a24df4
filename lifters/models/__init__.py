"""The lifters by name: architectures of the papers, any channels a joint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .dstformer import DSTformer
from .hyperparameters import Hyperparameters, canonical, hyperparameters
from .lifter import Lifter
from .poseformer import PoseFormer
from .simple_baseline import SimpleBaseline
from .video_pose3d import VideoPose3D

MODELS: dict[str, Callable[..., Lifter]] = {
    "simple_baseline": SimpleBaseline,
    "video_pose3d": VideoPose3D,
    "poseformer": PoseFormer,
    "dstformer": DSTformer,
    "dstformer_lite": DSTformer,
}


def build(name: str, channels: int, window: int | None = None, **overrides: Any) -> Lifter:
    """Build the lifter `name` for so many channels a joint and frames a window (None: the paper's).

    overrides  of the `[model]` table of its TOML file. InvalidValueError for a name or key that is not there
    """
    settings = hyperparameters(name, {"model": overrides})
    window = settings.training.window if window is None else window
    return MODELS[canonical(name)](channels, window, **settings.model)


__all__ = ["MODELS", "Hyperparameters", "Lifter", "build", "hyperparameters"]
