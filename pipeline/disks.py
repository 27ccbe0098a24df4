"""Exact percentiles of bilinearly sampled depth in disks about points: every pixel of the disk, no full-size map.

On a CPU a compiled loop goes from disk to disk (`disks_host.py`); elsewhere torch treats many at once
(`disks_device.py`). Both say the same to the bit: each result depends on its own disk and map alone, every floating
point operation is elementwise and rounds once, and choosing an order statistic rounds nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

# A disk is treated whole, so that larger ones would break the bound on memory.
MAX_RADIUS = 256.0

HUNDREDTHS = 10_000  # percentiles are counted in hundredths of a percent, so that ranks are exact integers


@dataclass(frozen=True)
class Disks:
    """N disks, host arrays.

    frame   (N,)    int64    which map of the batch
    centre  (N, 2)  float64  px of the frame, x y; integer coordinates are the centre of a pixel
    radius  (N,)    float64  px; pixel (u, v) belongs to the disk if (u - x)^2 + (v - y)^2 <= radius^2
    locate  (N,)    bool     whether positions are wanted
    """

    frame: np.ndarray
    centre: np.ndarray
    radius: np.ndarray
    locate: np.ndarray

    def take(self, rows: np.ndarray) -> Disks:
        return Disks(self.frame[rows], self.centre[rows], self.radius[rows], self.locate[rows])

    @property
    def half(self) -> np.ndarray:
        """(N,) int64, the pixels that a disk can reach to each side of the pixel nearest to its centre."""
        return np.floor(self.radius + 0.5).astype(np.int64)

    def inside(self, frame_size: tuple[int, int]) -> np.ndarray:
        """(n,) int64: those that reach into the frame's rectangle; one at NaN does not."""
        away = self.centre - np.minimum(np.maximum(self.centre, 0), (frame_size[0] - 1, frame_size[1] - 1))
        away *= away
        return np.flatnonzero(away[:, 0] + away[:, 1] <= self.radius * self.radius)


def disk_percentiles(
    maps: Tensor,
    disks: Disks,
    frame_size: tuple[int, int],
    percentiles: Sequence[float],
    located: Sequence[float] = (),
) -> tuple[Tensor, Tensor]:
    """Percentiles of depth over the pixels of each disk that lie in the frame and have a depth.

    maps         (B, h, w)  float32, at their own resolution; not finite where there is no depth
    frame_size   (W, H)     px; the depth at a pixel is what bilinear upsampling to it with align_corners=True would
                            give, and there is none where a cell that has any weight in it is not finite
    percentiles  (Q,)       0 to 100 in steps of 0.01, linear between order statistics
    located      (L,)       those of them that `disks.locate` is about
    Returns, where the maps are, values (N, Q) float32; NaN where a disk holds no depth at all. And positions (N, L, 2)
    float32, px, x y: the pixel whose depth is nearest to the percentile, the first in row-major order where several
    are; NaN where not asked.
    """
    maps = maps.detach().to(torch.float32).contiguous()
    columns = [list(percentiles).index(percentile) for percentile in located]
    # Either brings its own compiler or kernels along; nobody needs both.
    if maps.device.type == "cpu":
        from .disks_host import percentiles_on_host

        return percentiles_on_host(maps, disks, frame_size, tuple(percentiles), columns)
    from .disks_device import percentiles_on_device

    return percentiles_on_device(maps, disks, frame_size, tuple(percentiles), columns)


@lru_cache(maxsize=8)
def ranks(most: int, percentiles: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """For 0 to `most` sorted values: the two ranks about each percentile (most + 1, 2 Q), and the upper one's share.

    The share is float32 (most + 1, Q), exactly 0.5 half-way; NaN for no values at all.
    """
    wanted = np.array([round(percentile * HUNDREDTHS / 100) for percentile in percentiles])
    lower, rest = np.divmod(np.maximum(np.arange(most + 1) - 1, 0)[:, None] * wanted, HUNDREDTHS)
    share = (rest / HUNDREDTHS).astype(np.float32)
    share[0] = math.nan
    return np.concatenate([lower, lower + (rest > 0)], axis=1), share


def most_pixels(half: int) -> int:
    """At least the pixels of the square about a disk; one of few numbers, as tables are kept for each."""
    return int(2 * (half // 16 * 16 + 16) + 1) ** 2
