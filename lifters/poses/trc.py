"""TRC, the text table of markers that OpenSim and Pose2Sim read: metres, y up."""

from __future__ import annotations

import numpy as np

from ...stores.format.skeleton import H36M_17
from .poses import Y_UP, PersonPoses

_COLUMNS = (
    "DataRate", "CameraRate", "NumFrames", "NumMarkers", "Units", "OrigDataRate", "OrigDataStartFrame", "OrigNumFrames",
)  # fmt: skip


def trc(person: PersonPoses) -> bytes:
    """Return the file: a marker a joint; a frame in which the person was not found has empty cells."""
    pose, rate = person.turned(Y_UP), f"{person.fps:.6g}"
    frames, joints = pose.shape[:2]
    names, count = H36M_17.joints, str(frames)
    head = [
        ["PathFileType", "4", "(X/Y/Z)", f"{person.name}.trc"],
        list(_COLUMNS),
        [rate, rate, count, str(joints), "m", rate, "1", count],
        ["Frame#", "Time", *(cell for name in names for cell in (name, "", ""))],
        ["", "", *(f"{axis}{joint + 1}" for joint in range(joints) for axis in "XYZ")],
    ]
    rows = [
        [str(number + 1), f"{number / person.fps:.6f}", *map(_cell, values)]
        for number, values in enumerate(pose.reshape(frames, -1).tolist())
    ]
    return "".join("\t".join(row) + "\n" for row in [*head, *rows]).encode()


def _cell(value: float) -> str:
    return f"{value:.6f}" if np.isfinite(value) else ""
