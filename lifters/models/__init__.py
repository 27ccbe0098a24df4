"""The lifters by name: architectures of the papers, any channels a joint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .context_aware import ContextAware
from .dstformer import DSTformer
from .hyperparameters import Hyperparameters, canonical, hyperparameters
from .lifter import Lifter
from .poseformer import PoseFormer
from .simple_baseline import SimpleBaseline
from .streams import WHOLE, Streamed, channels_behind
from .video_pose3d import VideoPose3D

MODELS: dict[str, Callable[..., Lifter]] = {
    "simple_baseline": SimpleBaseline,
    "video_pose3d": VideoPose3D,
    "poseformer": PoseFormer,
    "dstformer": DSTformer,
    "dstformer_lite": DSTformer,
    "context_aware": ContextAware,
}


def build(
    name: str,
    channels: int,
    window: int | None = None,
    *,
    streams: Mapping[str, int] | None = None,
    **overrides: Any,
) -> Lifter:
    """Build the lifter `name` for so many channels a joint and frames a window (None: the paper's).

    streams    of learned features behind these channels, with their widths (`Inputs.widths`): see `Streamed`
    overrides  of the `[model]` table of its TOML file. InvalidValueError for a name or key that is not there
    """
    settings = hyperparameters(name, {"model": overrides})
    window = settings.training.window if window is None else window
    name = canonical(name)
    if not streams:
        return MODELS[name](channels, window, **settings.model)
    whole = {"streams": tuple(streams.values())} if name in WHOLE else {}
    behind = len(channels_behind(name, [""] * channels, streams))
    return Streamed(MODELS[name](behind, window, **settings.model, **whole), streams)


__all__ = ["MODELS", "Hyperparameters", "Lifter", "Streamed", "build", "channels_behind", "hyperparameters"]
