"""What the landmark network says: 33 landmarks of one person, refined by its heat maps, and their visibility."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .litert import sigmoid

SIDE = 256  # px of its input
COUNT = 39  # 33 landmarks of a person, two alignment points, four that nobody uses
ALIGNMENT = slice(33, 35)  # as the detector's: the middle of the hips, and a point of the person's circle
# Below it, MediaPipe too says that nobody is there.
PRESENT = 0.5
# The heat map counts within so many cells of the landmark, and only if it is so sure somewhere there.
_RADIUS, _SURE = 3, 0.5

# COCO-17 <- MediaPipe's number: nose; left eye, right eye (of three points each the middle one); left ear, right ear;
# left and right shoulder, elbow, wrist, hip, knee, ankle.
COCO_FROM_MEDIAPIPE = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)


@dataclass(frozen=True)
class Landmarks:
    """at (39, 2), 0 to 1 over the crop; visibility (39,), 0 to 1; presence of a person in the crop, 0 to 1."""

    at: np.ndarray
    visibility: np.ndarray
    presence: float


def decode(values: np.ndarray, presence: np.ndarray, heatmaps: np.ndarray) -> Landmarks:
    """From the outputs of the network.

    values    (195,)        of each landmark x, y, z in px of the crop, and logits of visibility and of presence
    presence  (1,)          of a person
    heatmaps  (64, 64, 39)  logits
    """
    values = values.reshape(COUNT, 5)
    return Landmarks(_refined(values[:, :2] / SIDE, heatmaps), sigmoid(values[:, 3]), float(presence[0]))


def _refined(at: np.ndarray, heatmaps: np.ndarray) -> np.ndarray:
    """Landmarks (39, 2) moved to the mean of their heat map nearby, where that is sure of itself.

    Cell i lies at i / 64, as in MediaPipe; a mirrored picture then has mirrored landmarks to a tenth of a cell.
    """
    rows, columns = heatmaps.shape[:2]
    out = at.copy()
    for number, (x, y) in enumerate(at):
        column, row = int(x * columns), int(y * rows)
        if not (0 <= column < columns and 0 <= row < rows):
            continue
        top, left = max(0, row - _RADIUS), max(0, column - _RADIUS)
        near = sigmoid(heatmaps[top : row + _RADIUS + 1, left : column + _RADIUS + 1, number]).astype(np.float64)
        if near.max() >= _SURE:
            across = near.sum(axis=0) @ (left + np.arange(near.shape[1]))
            down = near.sum(axis=1) @ (top + np.arange(near.shape[0]))
            out[number] = np.array([across / columns, down / rows]) / near.sum()
    return out
