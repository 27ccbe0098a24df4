"""Project points of the world with a calibrated camera. OpenCV's conventions.

Frames of reference: world, whatever the calibration says; camera, x right, y down, z forward, metres; picture, px, the
centre of the first pixel at (0, 0).
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ....stores.errors import InvalidValueError, MissingFileError

# A calibration for frames this much larger or smaller, in px: they were padded or cropped to what a codec likes, and
# not scaled.
PADDING_PX = 16


@dataclass(frozen=True)
class Camera:
    """X_camera = rotation X_world + translation; then a pinhole with Brown's distortion (k1, k2, p1, p2[, k3]).

    size         (width, height) px that the calibration is of
    focal        (fx, fy) px
    centre       (cx, cy) px
    rotation     rows of a (3, 3) matrix
    translation  (3,) m
    """

    name: str
    size: tuple[int, int]
    focal: tuple[float, float]
    centre: tuple[float, float]
    rotation: tuple[tuple[float, float, float], ...]
    translation: tuple[float, float, float]
    distortion: tuple[float, ...] = ()

    @property
    def intrinsics(self) -> tuple[float, float, float, float]:
        return (*self.focal, *self.centre)

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """Transform (..., 3) m from the world's frame to the camera's."""
        return np.asarray(points, np.float64) @ np.array(self.rotation).T + np.array(self.translation)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project (..., 3) m in the camera's frame to (..., 2) px with the lens's distortion; NaN behind the camera."""
        points = np.asarray(points, np.float64)
        depth = np.where(points[..., 2] > 0, points[..., 2], math.nan)
        x, y = points[..., 0] / depth, points[..., 1] / depth
        k1, k2, p1, p2, k3 = (*self.distortion, *[0.0] * (5 - len(self.distortion)))
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        v = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
        return np.stack([u * self.focal[0] + self.centre[0], v * self.focal[1] + self.centre[1]], axis=-1)

    def fitted(self, width: int, height: int) -> tuple[Camera, str | None]:
        """Return the camera for frames of another size, and what was done, in a line; None where nothing was.

        A few px of difference: the codec padded or cropped the right and lower edges, so that pixels kept their places.
        The same shape in another size: the frames were scaled. InvalidValueError for anything else.
        """
        if (width, height) == self.size:
            return self, None
        across, down = width / self.size[0], height / self.size[1]
        said = f"{self.name}: frames are {width} x {height}, the calibration is of {self.size[0]} x {self.size[1]}"
        if max(abs(width - self.size[0]), abs(height - self.size[1])) <= PADDING_PX:
            return replace(self, size=(width, height)), f"{said}; taken as cut or padded on the right and below"
        if abs(across / down - 1) < 0.01:
            return replace(
                self,
                size=(width, height),
                focal=(self.focal[0] * across, self.focal[1] * down),
                # The centre of the first pixel is at 0, its edge at -1/2.
                centre=((self.centre[0] + 0.5) * across - 0.5, (self.centre[1] + 0.5) * down - 0.5),
            ), f"{said}; taken as scaled by {across:.4g}"
        raise InvalidValueError(
            f"{said}: neither a few px of padding nor the same shape scaled; give the calibration of these videos"
        )


def read_calibration(path: Path) -> dict[str, Camera]:
    """Read cameras by name, from a TOML as Pose2Sim and anipose write it.

    A table a camera: `size` (2,) px, `matrix` (3, 3), `distortions` (4 or 5,), `rotation` (3,) Rodrigues vector,
    `translation` (3,) m, `fisheye` false. Tables without a matrix (`metadata`) are left out.
    MissingFileError, and InvalidValueError where it is not that.
    """
    if not path.is_file():
        raise MissingFileError(f"no calibration at {path}; give a TOML as Pose2Sim writes it")
    try:
        tables = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidValueError(f"{path} is not TOML: {error}") from error
    cameras = {}
    for key, table in tables.items():
        if not isinstance(table, dict) or "matrix" not in table:
            continue
        name = str(table.get("name", key))
        if table.get("fisheye"):
            raise InvalidValueError(f"{path}: camera {name} is a fisheye; undistort the video first")
        try:
            cameras[name] = _camera(name, table)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidValueError(f"{path}: camera {name} lacks or mistakes {error}") from error
    if not cameras:
        raise InvalidValueError(f"{path} holds no camera: no table with a `matrix`")
    return cameras


def _camera(name: str, table: dict) -> Camera:
    width, height = (round(value) for value in table["size"])
    matrix = np.array(table["matrix"], np.float64).reshape(3, 3)
    rotation = rotation_of(np.array(table["rotation"], np.float64).reshape(3))
    numbers = [*matrix.ravel(), *rotation.ravel(), *table["translation"], *table["distortions"]]
    if not np.isfinite(numbers).all() or not 4 <= len(table["distortions"]) <= 5 or len(table["translation"]) != 3:
        raise ValueError("its numbers: all finite, 4 or 5 distortions, 3 for the translation")
    return Camera(
        name,
        (width, height),
        (float(matrix[0, 0]), float(matrix[1, 1])),
        (float(matrix[0, 2]), float(matrix[1, 2])),
        tuple(tuple(float(v) for v in row) for row in rotation),  # type: ignore[arg-type]
        tuple(float(v) for v in table["translation"]),  # type: ignore[arg-type]
        tuple(float(v) for v in table["distortions"]),
    )


def rotation_of(vector: np.ndarray) -> np.ndarray:
    """Return the (3, 3) rotation of (3,) axis times angle in radians (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross
