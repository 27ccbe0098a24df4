"""The truth as MotionBERT learns it: in the picture, px, and with a depth in px too (LCN, Ci 2019, `gendb.py`).

x and y are the joints' places in the picture. z is how much farther than the pelvis a joint is, times what a metre is
in px at the pelvis' distance. From that back to mm its evaluation goes by one factor a frame.
"""

from __future__ import annotations

import numpy as np

from ..format.skeleton import H36M_17

_ROOT = H36M_17.index("pelvis")
# A square of 2 m about the pelvis is this many mm wide; LCN counts its px with both ends.
_SQUARE = 2000.0


def in_picture(pose3d: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """(T, 17, 3) m, camera frame, to (T, 17, 3) px. intrinsics: (T, 4) fx, fy, cx, cy px."""
    fx, fy, cx, cy = (column[:, None] for column in intrinsics.T)
    pose = pose3d.astype(np.float64) * 1000
    depth = pose[..., 2]
    root = depth[:, _ROOT, None]
    ratio = (fx * _SQUARE / root + 1) / _SQUARE
    return np.stack([pose[..., 0] / depth * fx + cx, pose[..., 1] / depth * fy + cy, ratio * (depth - root)], axis=-1)


def factor(image: np.ndarray, pose3d: np.ndarray) -> np.ndarray:
    """(T,) mm a px: 1 / lambda, which makes lambda times the pose nearest to the picture's, both less the pelvis."""
    flat = (image - image[:, _ROOT, None]).reshape(len(image), -1)
    solid = 1000 * (pose3d.astype(np.float64) - pose3d[:, _ROOT, None]).reshape(len(image), -1)
    return (solid * solid).sum(axis=1) / (solid * flat).sum(axis=1)


def normalised(image: np.ndarray, width: np.ndarray, height: np.ndarray) -> np.ndarray:
    """(T, 17, 2 or 3) px to shares of half the width, (T,) px each, counted from the middle of the picture."""
    w, h = (side.reshape(-1, 1).astype(np.float64) for side in (width, height))
    parts = [image[..., 0] / w * 2 - 1, image[..., 1] / w * 2 - h / w]
    return np.stack([*parts, *([image[..., 2] / w * 2] if image.shape[-1] == 3 else [])], axis=-1)
