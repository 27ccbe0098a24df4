"""The three tasks of training: what is built, sampled and minimised for detector, pose and depth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from .augment import Rng
from .batch import Batch
from .cache import FrameCache
from .depth_task import build_depth, depth_loss, depth_sample
from .detector_task import build_detector, detector_loss, detector_sample
from .pose_task import build_pose, pose_loss, pose_sample


@dataclass(frozen=True)
class Task:
    """How one network is trained.

    build   (seed) -> the network with random weights, trainable
    sample  (cache, indices, rng) -> a batch; without rng, unchanged frames, to measure the loss
    loss    (network, batch) -> the losses by name; their sum is minimised
    rate    the highest learning rate of AdamW
    """

    build: Callable[[int], nn.Module]
    sample: Callable[[FrameCache, np.ndarray, Rng | None], Batch]
    loss: Callable[[Any, Batch], dict[str, Tensor]]
    batch: int
    rate: float
    decay: float


TASKS: Mapping[str, Task] = {
    "detector": Task(build_detector, detector_sample, detector_loss, batch=8, rate=2e-3, decay=0.05),
    "pose": Task(build_pose, pose_sample, pose_loss, batch=16, rate=2e-3, decay=0.05),
    "depth": Task(build_depth, depth_sample, depth_loss, batch=16, rate=1e-3, decay=0.03),
}
