"""`fit3d`: videos, camera parameters and 25 joints in JSON; which leg is the right one is looked up in the movement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ...stores.errors import InvalidValueError
from ...stores.format.skeleton import H36M_17
from .archive import Found, Known, Part, gather, require_folder
from .formats.cameras import Camera
from .joints import FIT3D_25, mirrored
from .table import subjects_of

CAMERAS = ("50591643", "58860488", "60457274", "65906101")
SIZE = (900, 900)
LEGS = ((1, 4), (2, 5), (3, 6))
_AT = {joint: index for index, joint in enumerate(H36M_17.joints)}


def fit3d(root: Path, split: str = "all", fps: float | None = None, limit: int | None = None) -> Found:
    """A clip an action and camera. `root` holds `fit3d/train` or is `train`'s parent itself."""
    base = root / "fit3d" if (root / "fit3d").is_dir() else root
    require_folder(base, "subject of Fit3D", "train/s[0-9][0-9]")
    parts = []
    for subject, part in subjects_of("fit3d", split, base / "train"):
        folder = base / "train" / subject
        actions = {path.stem for path in (folder / "joints3d_25").glob("*.json")}
        actions |= {path.stem for path in folder.glob("videos/*/*.mp4")}
        for action in sorted(actions or {"(all)"}):
            for camera in CAMERAS:
                files = (
                    folder / "joints3d_25" / f"{action}.json",
                    folder / "camera_parameters" / camera / f"{action}.json",
                )
                source = folder / "videos" / camera / f"{action}.mp4"
                parts.append(Part(f"{subject}/{action}/{camera}", subject, action, camera, part, source, files, _load))
    return gather("fit3d", root, parts, fps, limit)


def _load(files: tuple[Path, ...], argument: Any) -> Known:
    solid, parameters = (_json(path) for path in files)
    try:
        world = np.asarray(solid["joints3d_25"], np.float64)[:, FIT3D_25]
        outer, inner = parameters["extrinsics"], parameters["intrinsics_w_distortion"]
        rotation = np.asarray(outer["R"], np.float64).reshape(3, 3)
        place = np.asarray(outer["T"], np.float64).reshape(3)
        focal, centre = (np.asarray(inner[key], np.float64).reshape(2) for key in "fc")
        p, k = np.asarray(inner["p"], np.float64).reshape(2), np.asarray(inner["k"], np.float64).reshape(3)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InvalidValueError(f"{files[0].name} or its camera lacks or mistakes {error}; fetch both again") from error
    camera = Camera(
        files[1].parent.name,
        SIZE,
        (float(focal[0]), float(focal[1])),
        (float(centre[0]), float(centre[1])),
        tuple(tuple(float(value) for value in row) for row in rotation),  # type: ignore[arg-type]
        tuple(float(value) for value in -rotation @ place),  # type: ignore[arg-type]  # T is the centre
        (float(k[0]), float(k[1]), float(p[0]), float(p[1]), float(k[2])),
    )
    notes = []
    if not legs_agree(world):
        world = mirrored(world, LEGS)
        notes.append("joints 1 to 3 are the left leg, by the shoulders; legs were exchanged")
    pose = camera.to_camera(world)
    return Known(pose, camera.project(pose), camera.intrinsics, SIZE, tuple(notes))


def legs_agree(pose: np.ndarray) -> bool:
    """Return whether hips and shoulders of (T, 17, 3) mostly point the same way: joints 11 to 13 are the left arm."""
    hips = pose[:, _AT["left_hip"]] - pose[:, _AT["right_hip"]]
    shoulders = pose[:, _AT["left_shoulder"]] - pose[:, _AT["right_shoulder"]]
    return bool(np.mean((hips * shoulders).sum(axis=-1) > 0) >= 0.5)


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InvalidValueError(f"{path.name} is not JSON: {error}; fetch it again") from error
    if not isinstance(content, dict):
        raise InvalidValueError(f"{path.name} holds a {type(content).__name__}, not an object; fetch it again")
    return content
