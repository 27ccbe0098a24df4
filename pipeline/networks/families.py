"""Who builds a network of a name: a row a family of the table's, and what users bring, files and repositories."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from . import detect, pose
from .blazepose import estimators as blazepose
from .blazepose.litert import require_litert
from .detect import Detector
from .hugging_face import find_model
from .models import Family, Kind, is_named, resolve
from .own_networks.config_file import check_files, config_file
from .own_networks.transformers_detector import build_transformers_detector, check_detector
from .own_networks.vitpose import build_vitpose, check_vitpose
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
    """Load a detector onto the device; raises what its builder does.

    name  of the table; `CONFIG.py:CHECKPOINT` of MMDetection's; a folder or a repository that transformers loads
    """
    own = config_file(name)
    if own is not None:
        from .own_networks.mmdet_detector import build_mmdet

        return build_mmdet(own, weights, torch.device(device))
    found = find_model(name, "detector", weights)
    if found is not None:
        return build_transformers_detector(found, called(name), weights, torch.device(device))
    return FAMILIES[resolve(name, "detector").family].detector(name, weights, device)


def load_pose(name: str, weights: Weights, device: torch.device | str) -> PoseEstimator:
    """Load a pose network onto the device; raises what its builder does.

    name  of the table; `CONFIG.py:CHECKPOINT` of MMPose's; a folder or a repository with a ViTPose
    """
    own = config_file(name)
    if own is not None:
        from .own_networks.mmpose_pose import build_topdown

        return build_topdown(own, weights, torch.device(device))
    found = find_model(name, "pose", weights)
    if found is not None:
        return build_vitpose(found, called(name), weights, torch.device(device))
    return FAMILIES[resolve(name, "pose").family].pose(name, weights, device)


def find_own(name: str, kind: Kind, weights: Weights) -> bool:
    """Return whether it is a network that the user brings; then its files are there. No weights are loaded.

    Raises MissingFileError, and InvalidValueError for a folder or a repository of something else.
    """
    own = config_file(name) if kind in ("detector", "pose") else None
    if own is not None:
        check_files(own, kind, weights)
        return True
    found = find_model(name, kind, weights)
    if found is not None and kind == "detector":
        check_detector(found, called(name))
    elif found is not None and kind == "pose":
        check_vitpose(found, called(name))
    return found is not None


def name_in_store(name: str, kind: Kind) -> str | None:
    """Return what a store calls a network, where its name says so; None of a depth model in a folder.

    InvalidValueError where there is no such network.
    """
    own = config_file(name) if kind in ("detector", "pose") else None
    if own is not None:
        return own.name
    if Path(name).is_dir() and not is_named(name, kind):
        return None if kind == "depth" else called(name)
    return resolve(name, kind).name


def called(name: str) -> str:
    """What the store calls a folder's or a repository's network: the folder's own name, wherever it lies."""
    return Path(name).resolve().name if Path(name).is_dir() else name.strip()


def require(name: str, kind: Kind) -> None:
    """Raise MissingExtraError where the packages that the named network runs on are not here."""
    builders = FAMILIES.get(resolve(name, kind).family)
    if builders is not None:
        builders.require()
