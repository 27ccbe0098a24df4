"""`3dpw`: 3D Poses in the Wild, images and Python 2 pickles, each actor a sequence."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ...stores.errors import InvalidValueError, MissingFileError
from .archive import Found, Known, Part, gather, require_folder
from .formats.pickles import read_pickle
from .formats.smpl import find_files, load_smpl, pose_joints
from .joints import smpl_to_h36m

FPS = 30.0
FOLDERS = {"train": "train", "validation": "validation", "test": "test"}
APPROXIMATE = "H36M-17 approximated from SMPL's 24 joints; nose and head are some centimetres off"
REGRESSED = "H36M-17 by a joint regressor from SMPL's vertices"
_MOST_OFF = 0.02  # m, between the joints of the archive and those of the model given for them


def threedpw(
    root: Path, split: str = "all", fps: float | None = None, limit: int | None = None, smpl: Path | None = None
) -> Found:
    """Make a clip for each actor of a sequence. Splits: train, validation, test.

    smpl   a folder with SMPL for men and women and the regressor of H36M's joints; None: joints are approximated
    """
    require_folder(root, "ground truth of 3DPW", "sequenceFiles/*/*.pkl")
    if split not in ("all", *FOLDERS):
        raise InvalidValueError(f"no split '{split}' in 3dpw; there are {', '.join(FOLDERS)}, all")
    models = {} if smpl is None else find_files(smpl)
    parts = []
    for name in FOLDERS if split == "all" else (split,):
        for path in sorted((root / "sequenceFiles" / name).glob("*.pkl")):
            genders: list[str] = []
            try:
                actors = len(_content(path)["jointPositions"])
                if models:
                    genders = [str(gender)[:1].lower() for gender in _content(path)["genders"]]
                    if strange := set(genders) - set(models):
                        raise MissingFileError(f"{path.name}: no body model for gender {strange.pop()!r}")
            except (InvalidValueError, KeyError, TypeError):
                actors = 1  # said when it is loaded
            parts += [
                Part(
                    f"{path.stem}/{actor}",
                    f"{path.stem}/{actor}",
                    path.stem,
                    "",
                    name,
                    root / "imageFiles" / path.stem,
                    (path, *(models[genders[actor]] if actor < len(genders) else ())),
                    _load,
                    actor,
                    FPS,
                )
                for actor in range(actors)
            ]
    return gather("3dpw", root, parts, fps, limit)


@lru_cache(maxsize=4)
def _content(path: Path) -> dict[str, Any]:
    return read_pickle(path)


def _load(files: tuple[Path, ...], actor: int) -> Known:
    content = _content(files[0])
    try:
        world = np.asarray(content["jointPositions"][actor], np.float64).reshape(-1, 24, 3)
        camera = np.asarray(content["cam_poses"], np.float64).reshape(-1, 4, 4)
        matrix = np.asarray(content["cam_intrinsics"], np.float64).reshape(3, 3)
        valid = np.asarray(content["campose_valid"][actor]).ravel() > 0
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InvalidValueError(f"{files[0].name} lacks or mistakes {error}; fetch it again") from error
    if not len(world) == len(camera) == len(valid):
        raise InvalidValueError(
            f"{files[0].name}: {len(world)} poses, {len(camera)} cameras, {len(valid)} flags; fetch it again"
        )
    world = smpl_to_h36m(world) if len(files) == 1 else _regressed(content, actor, world, files)
    pose = np.einsum("tab,tjb->tja", camera[:, :3, :3], world) + camera[:, None, :3, 3]
    pose[~valid] = math.nan
    depth = np.where(pose[..., 2:] > 0, pose[..., 2:], math.nan)
    focal, centre = np.diag(matrix)[:2], matrix[:2, 2]
    keypoints = pose[..., :2] / depth * focal + centre
    (fx, fy), (cx, cy) = focal.tolist(), centre.tolist()
    return Known(pose, keypoints, (fx, fy, cx, cy), None, (APPROXIMATE if len(files) == 1 else REGRESSED,))


def _regressed(content: dict[str, Any], actor: int, theirs: np.ndarray, files: tuple[Path, ...]) -> np.ndarray:
    """(T, 17, 3) of the vertices that the sequence's parameters give; its own 24 joints tell whether the model fits."""
    path, *model = files
    try:
        poses, betas, trans = (np.asarray(content[name][actor], np.float64) for name in ("poses", "betas", "trans"))
        joints, centres = pose_joints(load_smpl(model[0], model[1]), poses.reshape(-1, 72), betas.ravel(), trans)
        off = float(np.median(np.linalg.norm(centres - theirs, axis=-1)))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InvalidValueError(f"{path.name} lacks or mistakes {error}; fetch it again") from error
    if not off <= _MOST_OFF:
        raise InvalidValueError(
            f"{path.name}: by {model[0].name} the joints are {1000 * off:.0f} mm from those of the archive; "
            "is it the body model of this gender?"
        )
    return joints
