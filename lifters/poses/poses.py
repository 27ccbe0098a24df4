"""What a clip's predictions are: people by frame, and the axes that other programs take them in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...stores.format.skeleton import H36M_17

ROOT = H36M_17.index("pelvis")
# From the camera's axes (x right, y down, z away) by a half or a quarter turn about x: up is y, or z.
Y_UP = np.diag([1.0, -1.0, -1.0])
Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


@dataclass(frozen=True)
class ClipPoses:
    """Everybody in one clip: P people, T frames.

    people        P names
    pose          (P, T, 17, 3) float32 m, camera's axes, H36M-17 less its pelvis; NaN where a person was not found
    keypoints     (P, T, 17, 2) float32 px, and score (P, T, 17), that the poses were lifted from
    source_frame  (T,) int64  number of the frame in the source
    fps           frames a second
    """

    people: tuple[str, ...]
    pose: np.ndarray
    keypoints: np.ndarray
    score: np.ndarray
    source_frame: np.ndarray
    fps: float

    @property
    def found(self) -> np.ndarray:
        """Return (P, T) bool: where there is a pose."""
        return np.asarray(np.isfinite(self.pose).all(axis=(2, 3)))

    def of(self, person: int) -> PersonPoses:
        return PersonPoses(self.people[person], self.pose[person], self.fps)


@dataclass(frozen=True)
class PersonPoses:
    """One person's poses (T, 17, 3) m in the camera's axes, less the pelvis; NaN where the person was not found."""

    name: str
    pose: np.ndarray
    fps: float

    def turned(self, axes: np.ndarray) -> np.ndarray:
        """Return (T, 17, 3) float64 m in other axes."""
        return self.pose.astype(np.float64) @ axes.T


def without_gaps(pose: np.ndarray) -> np.ndarray:
    """Fill frames that are NaN: on a straight line between those found, at the ends as the nearest one.

    pose   (T, J, 3) with at least one frame that is found
    """
    there = np.flatnonzero(np.isfinite(pose).all(axis=(1, 2)))
    frames, flat = np.arange(len(pose)), pose.reshape(len(pose), -1)
    filled = np.stack([np.interp(frames, there, column[there]) for column in flat.T], axis=1)
    return filled.reshape(pose.shape)
