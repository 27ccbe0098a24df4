"""What the person detector says: its anchors, and from them the people in a picture, each once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .litert import sigmoid

SIDE = 224  # px of its input
# Stride in px and boxes a cell of each part of the outputs; the layers of one stride lie together.
_GRIDS = ((8, 2), (16, 2), (32, 6))
# Two faces that overlap by more are one person.
_OVERLAP = 0.3


@dataclass(frozen=True)
class People:
    """The people in a picture, best first.

    score   (n,)       0 to 1
    points  (n, 2, 2)  alignment points: the middle of the hips, and a point of the circle about the whole person
    """

    score: np.ndarray
    points: np.ndarray

    @property
    def boxes(self) -> np.ndarray:
        """(n, 4) x1, y1, x2, y2: the square about each person's circle."""
        hips, rim = self.points[:, 0], self.points[:, 1]
        radius = np.linalg.norm(rim - hips, axis=1, keepdims=True)
        return np.concatenate([hips - radius, hips + radius], axis=1)


def anchors() -> np.ndarray:
    """Centres (2254, 2), 0 to 1 over the input, in the order of the outputs: row by row, a cell's boxes together."""
    found = []
    for stride, boxes in _GRIDS:
        at = (np.arange(SIDE // stride) + 0.5) / (SIDE // stride)
        y, x = np.meshgrid(at, at, indexing="ij")
        found.append(np.repeat(np.stack([x, y], axis=-1).reshape(-1, 2), boxes, axis=0))
    return np.concatenate(found).astype(np.float32)


def decode(values: np.ndarray, logits: np.ndarray, centres: np.ndarray, threshold: float) -> People:
    """The people of at least that score; positions are 0 to 1 over the input.

    values   (2254, 12)  px from the anchor: centre and size of the face's box, then four points, of which the first two
                         align the whole person and the others the upper body
    logits   (2254,)
    centres  (2254, 2)   of the anchors
    """
    score = sigmoid(logits)
    take = np.flatnonzero(score >= threshold)
    take = take[np.argsort(-score[take], kind="stable")]
    at, values = centres[take], values[take] / SIDE
    centre, half = at + values[:, :2], values[:, 2:4] / 2
    points = at[:, None] + values[:, 4:8].reshape(-1, 2, 2)
    return _merged(np.concatenate([centre - half, centre + half], axis=1), score[take], points)


def _merged(faces: np.ndarray, score: np.ndarray, points: np.ndarray) -> People:
    """One person for all faces (n, 4) that overlap the best one: its score, and the mean of the points by score."""
    found = []
    left = np.arange(len(faces))
    while len(left):
        same = overlap(faces[left], faces[left[0]]) > _OVERLAP
        same[0] = True  # also a face without extent
        weight = score[left[same]]
        found.append((weight[0], np.average(points[left[same]], axis=0, weights=weight)))
        left = left[~same]
    return People(
        np.array([one for one, _ in found], dtype=np.float32), np.array([at for _, at in found]).reshape(-1, 2, 2)
    )


def overlap(boxes: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (n, 4) with one (4,): (n,), 0 where there is nothing to divide by."""
    sides = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    shared = sides.clip(0).prod(axis=1)
    united = (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1) + (box[2:] - box[:2]).clip(0).prod() - shared
    return np.divide(shared, united, out=np.zeros_like(shared), where=united > 0)
