"""Depth at pixels of the frame from a smaller map, as bilinear upsampling with aligned corners would give it.

The full-size map is never made: a pixel's depth is worked out where it is wanted, along y first and then along x.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np


@lru_cache(maxsize=16)
def rule(
    frame_size: tuple[int, int], map_size: tuple[int, int], beyond: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two cells of each pixel, int64, and the weight of the second, float32, (X + Y,) each: x, then y.

    Pixel p of `length` lies at cell p (cells - 1) / (length - 1). In integers, so that a pixel that lies on a cell
    takes that cell alone. The `beyond` pixels behind the frame repeat its last: a square may be larger than a frame.
    """
    lower, upper, weight = [], [], []
    for length, cells in zip(frame_size, map_size, strict=True):
        gaps = max(length - 1, 1)
        pixel = np.minimum(np.arange(length + beyond, dtype=np.int64), length - 1)
        cell, rest = np.divmod(pixel * (cells - 1), gaps)
        lower.append(cell)
        upper.append(cell + (rest > 0))
        weight.append((rest / gaps).astype(np.float32))
    return np.concatenate(lower), np.concatenate(upper), np.concatenate(weight)
