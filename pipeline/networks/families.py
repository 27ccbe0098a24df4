"""Who builds a network of a name: a row a family of named networks, and `CONFIG.py:CHECKPOINT` of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from . import detect, pose
from .blazepose import estimators as blazepose
from .blazepose.litert import require_litert
from .detect import Detector
from .models import Family, Kind, resolve
from .own_networks.config_file import check_files, config_file
from .pose import PoseEstimator

Weights = str | Path | None


@dataclass(frozen=True)
class Builders:
    """Of a name, the weights and a device a network; `require` raises MissingExtraError where a package is missing."""

    detector: Callable[[str, Weights, torch.device | str], Detector]
    pose: Callable[[str, Weights, torch.device | str], PoseEstimator]
    require: Callable[[], None] = lambda: None


# Depth networks have one file for all that transformers knows: depth.py.
FAMILIES: Mapping[Family, Builders] = {
    "openmmlab": Builders(detect.build_detector, pose.build_pose),
    "blazepose": Builders(blazepose.build_detector, blazepose.build_pose, require_litert),
}


def load_detector(name: str, weights: Weights, device: torch.device | str) -> Detector:
    """Load the named detector, or that of `CONFIG.py:CHECKPOINT`, onto the device; raises what its builder does."""
    own = config_file(name)
    if own is None:
        return FAMILIES[resolve(name, "detector").family].detector(name, weights, device)
    from .own_networks.mmdet_detector import build_mmdet

    return build_mmdet(own, weights, torch.device(device))


def load_pose(name: str, weights: Weights, device: torch.device | str) -> PoseEstimator:
    """Load the named pose network, or that of `CONFIG.py:CHECKPOINT`, onto the device; raises what its builder does."""
    own = config_file(name)
    if own is None:
        return FAMILIES[resolve(name, "pose").family].pose(name, weights, device)
    from .own_networks.mmpose_pose import build_topdown

    return build_topdown(own, weights, torch.device(device))


def find_own(name: str, kind: Kind, weights: Weights) -> bool:
    """Return whether it is a network that the user brings; then its files are there. Nothing is loaded or run.

    Raises MissingFileError.
    """
    own = config_file(name) if kind in ("detector", "pose") else None
    if own is None:
        return False
    check_files(own, kind, weights)
    return True


def require(name: str, kind: Kind) -> None:
    """Raise MissingExtraError where the packages that the named network runs on are not here."""
    builders = FAMILIES.get(resolve(name, kind).family)
    if builders is not None:
        builders.require()
