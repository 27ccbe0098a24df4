"""`3dpw`: 3D Poses in the Wild, images and Python 2 pickles, each actor a sequence."""

from __future__ import annotations

import math
import pickle
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ...stores.errors import InvalidValueError
from .archive import Found, Known, Part, gather, require_folder
from .joints import smpl_to_h36m

FPS = 30.0
FOLDERS = {"train": "train", "validation": "validation", "test": "test"}
APPROXIMATE = "H36M-17 approximated from SMPL's 24 joints; nose and head are some centimetres off"


def _latin1(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes for Python 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it encodes text as {encoding}")
    return text.encode("latin1")


# What a pickle may name: NumPy's arrays and scalars, and nothing else. The rest could run code.
_ALLOWED: dict[tuple[str, str], Any] = {
    **{
        (f"numpy.{core}.multiarray", name): getattr(np._core.multiarray, name)  # type: ignore[attr-defined]
        for core in ("core", "_core")
        for name in ("_reconstruct", "scalar")
    },
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
}


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no array")
        return _ALLOWED[module, name]


def read_pickle(path: Path) -> dict[str, Any]:
    """A pickle of arrays and plain containers, as Python 2 wrote it. InvalidValueError for one that holds more: it is
    refused before anything of it runs."""
    try:
        with path.open("rb") as file:
            content = _Restricted(file, encoding="latin1").load()
    except Exception as error:
        raise InvalidValueError(f"{path.name} is refused: {error}; fetch it again from the dataset's site") from error
    if not isinstance(content, dict):
        raise InvalidValueError(f"{path.name} holds a {type(content).__name__}, not a dictionary; fetch it again")
    return content


def threedpw(root: Path, split: str = "all", fps: float | None = None, limit: int | None = None) -> Found:
    """A clip an actor of a sequence. Splits: train, validation, test."""
    require_folder(root, "ground truth of 3DPW", "sequenceFiles/*/*.pkl")
    if split not in ("all", *FOLDERS):
        raise InvalidValueError(f"no split '{split}' in 3dpw; there are {', '.join(FOLDERS)}, all")
    parts = []
    for name in FOLDERS if split == "all" else (split,):
        for path in sorted((root / "sequenceFiles" / name).glob("*.pkl")):
            try:
                actors = len(_content(path)["jointPositions"])
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
                    (path,),
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
    world = smpl_to_h36m(world)
    pose = np.einsum("tab,tjb->tja", camera[:, :3, :3], world) + camera[:, None, :3, 3]
    pose[~valid] = math.nan
    depth = np.where(pose[..., 2:] > 0, pose[..., 2:], math.nan)
    focal, centre = np.diag(matrix)[:2], matrix[:2, 2]
    keypoints = pose[..., :2] / depth * focal + centre
    (fx, fy), (cx, cy) = focal.tolist(), centre.tolist()
    return Known(pose, keypoints, (fx, fy, cx, cy), None, (APPROXIMATE,))
