"""A pinhole camera, fixed or carried by hand.

Camera frame: x right, y down, z ahead, metres. Pixels: the pixel in column j covers x from j to j + 1, so its centre is
at j + 0.5, and a position is inside the image when 0 <= x < width; truncating it names the pixel that holds it.
That is the renderer's own convention alone. In a store, in UADD and in every network's coordinates the centre of pixel
j is j: whatever leaves the renderer for one of them is less `HALF_PIXEL`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..seeding import Array

# Less this, px, a position of the renderer is one of a store: the centre of pixel j is j + 0.5 here, and j there.
HALF_PIXEL = 0.5


@dataclass(frozen=True)
class Camera:
    """One camera over T frames.

    width, height         pixels
    fx, fy, cx, cy        pixels, in the convention above
    rotation, translation (T, 3, 3), (T, 3): X_camera = rotation X_world + translation
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    rotation: Array
    translation: Array

    @property
    def intrinsics(self) -> tuple[float, float, float, float]:
        return self.fx, self.fy, self.cx, self.cy

    def __getitem__(self, frames: Array | slice) -> Camera:
        return Camera(self.width, self.height, *self.intrinsics, self.rotation[frames], self.translation[frames])

    def to_camera(self, world: Array) -> Array:
        """Transform (T, ..., 3) from the world to camera frame, metres."""
        shape = world.shape
        moved = world.reshape(shape[0], -1, 3) @ self.rotation.swapaxes(-1, -2) + self.translation[:, None]
        return moved.reshape(shape)

    def project(self, points: Array) -> Array:
        """Project (..., 3) in the camera frame to (..., 2) pixels; NaN for what is not in front of the camera."""
        z = np.where(points[..., 2] > 1e-6, points[..., 2], np.nan)
        return np.stack([self.fx * points[..., 0] / z + self.cx, self.fy * points[..., 1] / z + self.cy], axis=-1)

    @property
    def centre(self) -> Array:
        """Return (T, 3) where it is in the world."""
        return -np.einsum("tba,tb->ta", self.rotation, self.translation)


def look_at(eye: Array, target: Array, roll: Array) -> tuple[Array, Array]:
    """Return rotation (T, 3, 3) and translation (T, 3) of a camera at `eye` (T, 3) that looks at `target` (T, 3).

    It is turned about its axis by `roll` (T,) radians.
    """
    ahead = target - eye
    ahead = ahead / np.linalg.norm(ahead, axis=-1, keepdims=True)
    right = np.cross(ahead, np.broadcast_to([0.0, 1.0, 0.0], ahead.shape))
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    down = np.cross(ahead, right)
    cos, sin = np.cos(roll)[:, None], np.sin(roll)[:, None]
    rotation = np.stack([cos * right + sin * down, cos * down - sin * right, ahead], axis=1)
    return rotation, -np.einsum("tab,tb->ta", rotation, eye)
