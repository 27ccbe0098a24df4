"""Human3.6M's cameras as VideoPose3D's code holds them: read from its folder as numbers, nothing of its code runs."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InvalidValueError

FILE = Path("common", "h36m_dataset.py")
_INSIDE, _OUTSIDE = "h36m_cameras_intrinsic_params", "h36m_cameras_extrinsic_params"


@dataclass(frozen=True)
class Place:
    """Where a camera stands: X_world = rotation X_camera + centre, metres."""

    rotation: np.ndarray
    centre: np.ndarray


@dataclass(frozen=True)
class Cameras:
    """The four cameras in the order in which VideoPose3D counts them.

    ids      names, as Human3.6M gives them
    sizes    (width, height) that it normalises 2D joints by, px
    places   {subject: [Place]}; empty where its folder was not found
    """

    ids: tuple[str, ...] = ("54138969", "55011271", "58860488", "60457274")
    sizes: tuple[tuple[int, int], ...] = ((1000, 1002), (1000, 1000), (1000, 1000), (1000, 1002))
    places: Mapping[str, list[Place]] = field(default_factory=dict)


def find_cameras(checkout: Path | None, folder: Path) -> Cameras:
    """Read the cameras in VideoPose3D's folder: the one named, else the one that `folder` is the data folder of.

    Without places where none is named and none is found. InvalidValueError where the one named is none.
    """
    if checkout is not None:
        return read_cameras(checkout / FILE)
    near = folder.resolve().parent / FILE
    return read_cameras(near) if near.is_file() else Cameras()


def read_cameras(path: Path) -> Cameras:
    """Read VideoPose3D's common/h36m_dataset.py, which has mm and quaternions (w, x, y, z), camera to world."""
    try:
        tables = _tables(path.read_text(encoding="utf-8"))
        inside, outside = tables[_INSIDE], tables[_OUTSIDE]
        return Cameras(
            tuple(camera["id"] for camera in inside),
            tuple((camera["res_w"], camera["res_h"]) for camera in inside),
            {
                subject: [Place(_rotation(c["orientation"]), np.array(c["translation"]) / 1000) for c in places]
                for subject, places in outside.items()
                if all(places)  # of some subjects it knows no places
            },
        )
    except OSError as error:
        raise InvalidValueError(
            f"{path} cannot be read ({error.strerror}); --checkout names the folder of VideoPose3D's repository"
        ) from error
    except (KeyError, TypeError, ValueError, SyntaxError) as error:
        raise InvalidValueError(f"{path} does not hold Human3.6M's cameras as VideoPose3D's does") from error


def _tables(text: str) -> dict[str, Any]:
    """The tables of numbers among a module's assignments."""
    found = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name in (_INSIDE, _OUTSIDE):
                found[name] = ast.literal_eval(node.value)
    return found


def _rotation(quaternion: list[float]) -> np.ndarray:
    """(3, 3) of a quaternion (w, x, y, z)."""
    w, x, y, z = np.array(quaternion) / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
