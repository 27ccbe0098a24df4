"""Joints in frames of the size that another project's code takes for granted."""

from __future__ import annotations

import numpy as np


def fitted(keypoints: np.ndarray, size: tuple[int, int], theirs: tuple[int, int]) -> np.ndarray:
    """(T, 17, 2) px in frames of `size` to px in frames of theirs: the middle stays, and the share of the width."""
    if size == theirs:
        return keypoints
    middle, their_middle = np.array(size) / 2, np.array(theirs) / 2
    return ((keypoints - middle) * (theirs[0] / size[0]) + their_middle).astype(keypoints.dtype)
