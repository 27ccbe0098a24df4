"""The names of pictures that MMPose's Human36mDataset cuts subject, action and camera out of, and the cameras so named.

It finds a camera by subject and camera alone. So names hold nothing that would be cut in the wrong place, and a camera
that is calibrated in two ways has two names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..format.sequences import Sequence, SequenceTable
from .files import unique
from .gaps import Parts

# A calibration of one's own for every take, as some datasets' are fitted, is one camera's as long as it is so near:
# a share of the frame's width.
NEAR = 0.01


@dataclass
class _Camera:
    """One camera of one subject: its size, and (fx, fy, cx, cy) of each sequence that it filmed."""

    name: str
    id: str
    size: tuple[int, int]
    seen: list[tuple[float, ...]]

    def filmed(self, size: tuple[int, int], intrinsics: tuple[float, ...]) -> bool:
        """Return whether a sequence with these can be of this camera."""
        near = NEAR * size[0]
        return size == self.size and all(
            abs(ours - theirs) <= near or (ours != ours and theirs != theirs)  # NaN: not known
            for ours, theirs in zip(self.seen[0], intrinsics, strict=True)
        )

    @property
    def parameters(self) -> dict[str, Any]:
        """Return them as MMPose writes them. R and T do nothing: `S` is in the camera's frame, there too."""
        width, height = self.size
        found: dict[str, Any] = {"R": np.eye(3), "T": np.zeros((3, 1)), "k": np.zeros((3, 1)), "p": np.zeros((2, 1))}
        found |= {"w": width, "h": height, "name": self.name, "id": self.id}
        fx, fy, cx, cy = np.median(np.array(self.seen), axis=0).tolist()
        if np.isfinite([fx, fy, cx, cy]).all():  # its codecs look whether there is an f and a c
            found |= {"f": np.array([[fx], [fy]]), "c": np.array([[cx], [cy]])}
        return found


def image_stems(sequences: SequenceTable, parts: Parts) -> tuple[list[str], dict[tuple[str, str], dict[str, Any]]]:
    """Return how each part's pictures are named, and the cameras by (subject, camera) as these names have them.

    S1/S1_Eating.cam1/S1_Eating.cam1
    """
    rows = list(sequences)
    cameras: dict[str, list[_Camera]] = {}
    stems: list[str] = []
    used: set[str] = set()
    for number, part in zip(parts.sequence.tolist(), parts.part.tolist(), strict=True):
        row = rows[number]
        subject = re.sub(r"[^A-Za-z0-9-]+", "-", row.subject or row.id)
        action = re.sub(r"[^A-Za-z0-9-]+", "_", row.action or "video") + (f"-part{part}" if part else "")
        camera = _camera_of(row, cameras.setdefault(subject, [])).name
        name, copy = f"{subject}_{action}.{camera}", 2
        while name in used:
            name, copy = f"{subject}_{action}-{copy}.{camera}", copy + 1
        used.add(name)
        stems.append(f"{subject}/{name}/{name}")
    found = {(subject, camera.name): camera.parameters for subject, mine in cameras.items() for camera in mine}
    return stems, found


def _camera_of(row: Sequence, mine: list[_Camera]) -> _Camera:
    """Which of a subject's cameras filmed a sequence; a new one is added to them."""
    size, intrinsics = (row.width, row.height), (row.fx, row.fy, row.cx, row.cy)
    for camera in mine:
        if camera.id == row.camera and camera.filmed(size, intrinsics):
            camera.seen.append(intrinsics)
            return camera
    name = unique(re.sub(r"[^A-Za-z0-9-]+", "-", row.camera or "0"), {camera.name for camera in mine})
    mine.append(_Camera(name, row.camera, size, [intrinsics]))
    return mine[-1]
