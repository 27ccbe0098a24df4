"""Square regions of a frame that lean with the person: from boxes and alignment points, to pixels, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

# The circle about the hips that holds the person is grown by this much: MediaPipe's, what the networks were trained on.
MARGIN = 1.25


@dataclass(frozen=True)
class Region:
    """A square of the frame: its centre and side in px, and the radians that its up leans to the right.

    As in MediaPipe, pixel i of a crop of n pixels lies side * (i / n - 1/2) from the centre, and the centre of the
    frame's first pixel at 0.
    """

    x: float
    y: float
    side: float
    angle: float = 0.0

    def to_frame(self, points: np.ndarray) -> np.ndarray:
        """Points (K, 2), 0 to 1 over the region, to px of the frame."""
        return points @ self._axes.T + self._corner

    def crop(self, frame: np.ndarray, size: int, border: int) -> np.ndarray:
        """The region of a frame (H, W, 3) uint8 as (size, size, 3) uint8, bilinear; `border` is one of cv2's."""
        import cv2

        matrix = np.column_stack([self._axes / size, self._corner])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(frame, matrix, (size, size), flags=flags, borderMode=border)

    @property
    def _axes(self) -> np.ndarray:
        """(2, 2): the sides that lead right and down, as columns."""
        right, down = self.side * math.cos(self.angle), self.side * math.sin(self.angle)
        return np.array([[right, -down], [down, right]])

    @property
    def _corner(self) -> np.ndarray:
        return np.array([self.x, self.y]) - self._axes.sum(axis=1) / 2


def whole(width: int, height: int) -> Region:
    """The smallest region that holds a whole frame."""
    return Region(width / 2, height / 2, max(width, height))


def about(box: np.ndarray, margin: float = MARGIN) -> Region:
    """The upright region about a box (4,) px: its longer side, grown."""
    x1, y1, x2, y2 = map(float, box)
    return Region((x1 + x2) / 2, (y1 + y2) / 2, margin * max(x2 - x1, y2 - y1))


def aligned(points: np.ndarray) -> Region:
    """The region of a person with these alignment points (2, 2) px: the middle of the hips, and one on his circle.

    The second lies above the first along the body: it says how large the person is, and how he leans.
    """
    (x, y), (up_x, up_y) = points.tolist()
    return Region(x, y, 2 * MARGIN * math.hypot(up_x - x, up_y - y), math.atan2(up_x - x, y - up_y))
