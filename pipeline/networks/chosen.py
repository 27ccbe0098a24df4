"""From what a user names to a network: a row of the table of models, or a network that the user brings."""

from __future__ import annotations

from pathlib import Path

import torch

from . import detect, pose
from .detect import Detector
from .models import Kind
from .own_networks.config_file import check_files, config_file
from .pose import PoseEstimator


def build_detector(name: str, weights: str | Path | None, device: torch.device) -> Detector:
    """The detector of that name, or of `CONFIG.py:CHECKPOINT`, on the device. Raises what its builder does."""
    named = config_file(name)
    if named is None:
        return detect.build_detector(name, weights, device)
    from .own_networks.mmdet_detector import build_mmdet

    return build_mmdet(named, weights, device)


def build_pose(name: str, weights: str | Path | None, device: torch.device) -> PoseEstimator:
    """The pose network of that name, or of `CONFIG.py:CHECKPOINT`, on the device. Raises what its builder does."""
    named = config_file(name)
    if named is None:
        return pose.build_pose(name, weights, device)
    from .own_networks.mmpose_pose import build_topdown

    return build_topdown(named, weights, device)


def find_own(name: str, kind: Kind, weights: str | Path | None) -> bool:
    """Whether it is a network that the user brings; then its files are there. Nothing is loaded, and no code is run.

    Raises MissingFileError.
    """
    named = config_file(name) if kind in ("detector", "pose") else None
    if named is None:
        return False
    check_files(named, kind, weights)
    return True
