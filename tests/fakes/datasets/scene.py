"""A person of known joints before known cameras, from which the fakes of all archives are written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# H36M-17, metres, person's frame: x to the person's left, y up, z to the front; knees bent, nose ahead.
STANDING = np.array(
    [
        (0, 0.95, 0),
        (-0.13, 0.95, 0),
        (-0.13, 0.52, 0.06),
        (-0.13, 0.09, 0),
        (0.13, 0.95, 0),
        (0.13, 0.52, 0.06),
        (0.13, 0.09, 0),
        (0, 1.2, 0),
        (0, 1.45, 0),
        (0, 1.55, 0.12),
        (0, 1.68, 0.02),
        (0.17, 1.42, 0),
        (0.25, 1.15, 0),
        (0.28, 0.9, 0.05),
        (-0.17, 1.42, 0),
        (-0.25, 1.15, 0),
        (-0.28, 0.9, 0.05),
    ]
)


def walk(frames: int) -> np.ndarray:
    """(T, 17, 3) m, world with z up: the person turns and goes ahead, bones as they are."""
    out = []
    for frame in range(frames):
        angle = 0.05 * frame
        x, up, z = STANDING.T
        out.append(
            np.stack(
                [
                    np.cos(angle) * x - np.sin(angle) * z + 0.02 * frame,
                    -(np.sin(angle) * x + np.cos(angle) * z) + 0.01 * frame,
                    up,
                ],
                axis=-1,
            )
        )
    return np.array(out)


@dataclass(frozen=True)
class View:
    """X_camera = R (X - centre); px."""

    rotation: np.ndarray
    centre: np.ndarray
    focal: tuple[float, float]
    middle: tuple[float, float]

    def see(self, world: np.ndarray) -> np.ndarray:
        return np.array([[self.rotation @ (point - self.centre) for point in pose] for pose in world])

    def project(self, seen: np.ndarray) -> np.ndarray:
        return seen[..., :2] / seen[..., 2:] * self.focal + self.middle


def view(number: int, size: tuple[int, int]) -> View:
    """Camera `number` on a circle of 5 m about the origin, 1.4 m high, looking level at its middle."""
    angle = 0.3 + 1.5 * number
    centre = np.array([5 * np.sin(angle), -5 * np.cos(angle), 1.4])
    ahead = np.array([-np.sin(angle), np.cos(angle), 0])
    right = np.array([np.cos(angle), np.sin(angle), 0])
    rotation = np.stack([right, (0, 0, -1), ahead])
    focal = 1.1 * min(size)
    return View(rotation, centre, (focal, focal + 2), (size[0] / 2 + 7, size[1] / 2 - 5))


def grey(frames: int, size: tuple[int, int]) -> np.ndarray:
    """(T, H, W, 3): frames that compress to nothing."""
    return np.full((frames, size[1], size[0], 3), 90, np.uint8)
