"""NumPy's npz: everybody's poses with all that they were lifted from; opens without pickle."""

from __future__ import annotations

import io

import numpy as np

from ...stores.format.skeleton import H36M_17
from .poses import ClipPoses


def npz(clip: ClipPoses) -> bytes:
    """Return the file; its arrays are those of `ClipPoses`, with `joints`, their names, and `bones`, pairs of them."""
    file = io.BytesIO()
    np.savez_compressed(
        file,
        pose3d=clip.pose.astype(np.float32),
        found=clip.found,
        keypoints=clip.keypoints.astype(np.float32),
        score=clip.score.astype(np.float32),
        source_frame=clip.source_frame.astype(np.int64),
        fps=np.float64(clip.fps),
        people=np.array(clip.people),
        joints=np.array(H36M_17.joints),
        bones=np.array(H36M_17.bones),
    )
    return file.getvalue()
