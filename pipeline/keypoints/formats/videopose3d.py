"""VideoPose3D's npz of 2D joints, `positions_2d`: of Human3.6M by subject, action and camera, or of videos by name."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ....stores.errors import InvalidValueError
from ....stores.format.skeleton import COCO_17, H36M_17, Skeleton
from ...datasets.formats.pickles import load_pickle
from ..detections import Detections, Sequence

POSITIONS, METADATA = "positions_2d", "metadata"


def is_videopose3d(path: Path) -> bool:
    """Whether it is an npz with `positions_2d` in it."""
    if path.is_dir() or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return f"{POSITIONS}.npy" in archive.namelist()


def read_videopose3d(path: Path) -> Detections:
    """A sequence is `subject/action/number of the camera`, and `subject` alone where it has one action and camera.

    Joints are (T, J, 2) px, or (T, J, 3) with confidence. InvalidValueError for a pickle of other things than arrays
    and plain containers (nothing of it runs) and for another nesting.
    """
    positions, metadata = _entry(path, POSITIONS), _entry(path, METADATA)
    if not isinstance(positions, dict) or not positions:
        raise InvalidValueError(f"{path.name}: positions_2d is no dictionary of subjects")
    metadata = metadata if isinstance(metadata, dict) else {}
    sizes = metadata.get("video_metadata", {})
    sequences = []
    for subject, actions in positions.items():
        if not isinstance(actions, dict):
            raise InvalidValueError(f"{path.name}: {subject} holds no dictionary of actions")
        alone = len(actions) == 1 and all(len(cameras) == 1 for cameras in actions.values())
        for action, cameras in actions.items():
            for camera, joints in enumerate(cameras):
                names = (f"{subject}/{action}/{camera}", *((str(subject),) if alone else ()))
                size = sizes.get(subject) if isinstance(sizes, dict) else None
                sequences.append(_sequence(path, names[::-1] if alone else names, np.asarray(joints), size))
    if len({each.keypoints.shape[1] for each in sequences}) > 1:
        raise InvalidValueError(f"{path.name}: not all of its sequences have as many joints")
    return Detections(tuple(sequences), skeleton=_skeleton(metadata, sequences[0].keypoints.shape[1]))


def _sequence(path: Path, names: tuple[str, ...], joints: np.ndarray, size: Any) -> Sequence:
    if joints.ndim != 3 or joints.shape[2] not in (2, 3) or joints.dtype.kind not in "fiu":
        raise InvalidValueError(f"{path.name}: {names[0]} holds {joints.shape}, not (frames, joints, 2 or 3)")
    frames = np.arange(len(joints))
    known = None
    if isinstance(size, dict) and {"w", "h"} <= size.keys():
        known = (int(size["w"]), int(size["h"]))
    score = joints[..., 2] if joints.shape[2] == 3 else None
    return Sequence(names, frames, joints[..., :2], score, covered=frames, size=known)


def _skeleton(metadata: dict[str, Any], count: int) -> str:
    """Which of the two it knows: by the pairs that its flip exchanges, which its `layout_name` need not agree with."""
    symmetry = metadata.get("keypoints_symmetry")
    if count != len(H36M_17) or not symmetry:
        return ""
    sides = {frozenset(map(int, side)) for side in symmetry}
    for skeleton, name in ((H36M_17, "h36m-17"), (COCO_17, "coco-17")):
        if sides == _sides(skeleton):
            return name
    return ""


def _sides(skeleton: Skeleton) -> set[frozenset[int]]:
    return {frozenset(side) for side in zip(*skeleton.left_right, strict=True)}


def _entry(path: Path, name: str) -> Any:
    """What is in a 0-d array of one object; None where the file has no such entry."""
    try:
        with zipfile.ZipFile(path) as archive:
            if f"{name}.npy" not in archive.namelist():
                return None
            with archive.open(f"{name}.npy") as file:
                version = np.lib.format.read_magic(file)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(file)
                if dtype.kind != "O" or shape != ():
                    raise InvalidValueError(f"{path.name}: {name} is no pickled dictionary, but {dtype} {shape}")
                content = load_pickle(file, path.name)
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        if isinstance(error, InvalidValueError):
            raise
        raise InvalidValueError(f"{path.name} is damaged: {error}; fetch it again") from error
    return content.item() if isinstance(content, np.ndarray) and content.shape == () else content
