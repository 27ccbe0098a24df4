"""Who builds a named network: a row a family of networks, each of which has a file or a folder here."""

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
    """The named detector with its weights; MissingFileError, InvalidValueError, MissingExtraError."""
    return FAMILIES[resolve(name, "detector").family].detector(name, weights, device)


def load_pose(name: str, weights: Weights, device: torch.device | str) -> PoseEstimator:
    """The named pose network with its weights; MissingFileError, InvalidValueError, MissingExtraError."""
    return FAMILIES[resolve(name, "pose").family].pose(name, weights, device)


def require(name: str, kind: Kind) -> None:
    """MissingExtraError where the packages that the named network runs on are not here."""
    builders = FAMILIES.get(resolve(name, kind).family)
    if builders is not None:
        builders.require()
