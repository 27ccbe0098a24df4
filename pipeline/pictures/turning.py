"""A 3D skeleton that turns slowly, on a floor that turns with it, drawn frame by frame."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from ...stores.format.skeleton import H36M_17

# RGB. Left is dark and right is light, so that they differ in grey too.
LEFT, RIGHT, MIDDLE = (20, 70, 170), (240, 140, 40), (90, 96, 104)
INK, PAPER, FLOOR = (27, 36, 48), (255, 255, 255), (214, 219, 226)
SECONDS_A_TURN = 12.0
_TILT = math.radians(12)  # how far from above the skeleton is seen
_FILLS = 0.9  # of the view's height, by a person as tall as the tallest pose
_GRID = 0.5  # m
_LEAST = 0.8  # m: poses smaller than this do not fill the view


class TurningView:
    """Draws poses (T, 17, 3) m, camera's axes less the pelvis, a cell for each person.

    One turn of the view takes 12 s. NaN: the person is not there in this frame, and the cell says so.
    """

    def __init__(self, poses: Sequence[np.ndarray], names: Sequence[str], fps: float, side: int):
        self._poses, self._names, self._fps, self._side = list(poses), list(names), fps, side
        self._columns = math.ceil(math.sqrt(len(poses)))
        self._rows = math.ceil(len(poses) / self._columns)
        self._cell = side // max(self._columns, self._rows)
        found = [pose[np.isfinite(pose).all(axis=(1, 2))] for pose in poses]
        highest = [float(np.percentile(np.abs(pose[..., 1]).max(axis=1), 95)) for pose in found if len(pose)]
        widest = [
            float(np.percentile(np.hypot(pose[..., 0], pose[..., 2]).max(axis=1), 95)) for pose in found if len(pose)
        ]
        size = max([*highest, *widest, _LEAST / 2])
        self._scale = _FILLS * self._cell / (2 * size * (math.cos(_TILT) + math.sin(_TILT) / 2))
        self._floor = [float(np.percentile(pose[..., 1].max(axis=1), 95)) if len(pose) else 0.0 for pose in found]

    def draw(self, row: int) -> np.ndarray:
        """Return (side, side, 3) uint8 RGB for frame `row`."""
        view = np.full((self._side, self._side, 3), PAPER, np.uint8)
        angle = 2 * math.pi * row / (self._fps * SECONDS_A_TURN)
        for number, (pose, name) in enumerate(zip(self._poses, self._names, strict=True)):
            left = (number % self._columns) * self._cell
            top = (number // self._columns) * self._cell
            cell = np.ascontiguousarray(view[top : top + self._cell, left : left + self._cell])
            self._person(cell, pose[row], angle, self._floor[number])
            if len(self._names) > 1:
                put_text(cell, name, (8, 20), INK)
            view[top : top + self._cell, left : left + self._cell] = cell
        return view

    def _person(self, cell: np.ndarray, pose: np.ndarray, angle: float, floor: float) -> None:
        reach = 2 * _GRID
        ticks = np.arange(-reach, reach + 1e-6, _GRID)
        for tick in ticks.tolist():
            for ends in ([(tick, -reach), (tick, reach)], [(-reach, tick), (reach, tick)]):
                line = self._pixels(np.array([[x, floor, z] for x, z in ends]), angle)
                cv2.line(cell, line[0], line[1], FLOOR, 1, cv2.LINE_AA)
        if not np.isfinite(pose).all():
            put_text(cell, "not found", (8, self._cell - 12), INK)
            return
        at = self._pixels(pose, angle)
        depth = self._turned(pose, angle)[:, 2]
        # What is farther away is drawn first.
        for parent, child in sorted(H36M_17.bones, key=lambda bone: -(depth[bone[0]] + depth[bone[1]])):
            cv2.line(cell, at[parent], at[child], PAPER, 8, cv2.LINE_AA)
            cv2.line(cell, at[parent], at[child], side_colour(child), 5, cv2.LINE_AA)
        for joint in np.argsort(-depth).tolist():
            cv2.circle(cell, at[joint], 4, side_colour(joint), -1, cv2.LINE_AA)

    def _turned(self, points: np.ndarray, angle: float) -> np.ndarray:
        cos, sin = math.cos(angle), math.sin(angle)
        about_y = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
        cos, sin = math.cos(_TILT), math.sin(_TILT)
        tilted = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
        return points @ about_y.T @ tilted.T

    def _pixels(self, points: np.ndarray, angle: float) -> list[tuple[int, int]]:
        at = self._turned(points, angle)[:, :2] * self._scale + self._cell / 2
        return [(round(x), round(y)) for x, y in np.clip(at, -1e4, 1e4).tolist()]


def side_colour(joint: int) -> tuple[int, int, int]:
    """Return the colour of a joint, and of the bone that leads to it: left, right or middle."""
    name = H36M_17.joints[joint]
    return LEFT if name.startswith("left") else RIGHT if name.startswith("right") else MIDDLE


def put_text(
    picture: np.ndarray,
    text: str,
    at: tuple[int, int],
    colour: tuple[int, int, int],
    halo: tuple[int, int, int] | None = None,
) -> int:
    """Write a line, its lower left corner at `at`; return where it ends, px. Of other letters than ASCII: `?`."""
    text = text.encode("ascii", "replace").decode()
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.48
    if halo is not None:
        cv2.putText(picture, text, at, font, size, halo, 3, cv2.LINE_AA)
    cv2.putText(picture, text, at, font, size, colour, 1, cv2.LINE_AA)
    return at[0] + cv2.getTextSize(text, font, size, 1)[0][0]
