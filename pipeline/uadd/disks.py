"""What percentiles of disks are computed from: the disks, the statistics wanted of them, and tables of ranks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

# A disk is treated whole, so that larger ones would break the bound on memory.
MAX_RADIUS = 256.0

HUNDREDTHS = 10_000  # percentiles are counted in hundredths of a percent, so that ranks are exact integers
# A joint's own pixel: the radius of a disk that holds its centre alone.
OWN_PIXEL = 0.25


@dataclass(frozen=True)
class Disks:
    """S disks about each of B x J points, host arrays.

    centre  (B, J, 2)  float64  px of the frame, x y; integer coordinates are the centre of a pixel
    radius  (S, B, J)  float32  px; pixel (u, v) belongs to the disk if (u - x)^2 + (v - y)^2 <= radius^2
    """

    centre: np.ndarray
    radius: np.ndarray


@dataclass(frozen=True)
class Queries:
    """The statistics that are wanted of S disks about a point, host arrays. A result's columns are in this order.

    max_radius   (S,)           px, floats; no radius of the set is larger
    percentiles  (Q,)    int64  Q > 0, in hundredths of a percent, linear between order statistics
    wanted       (S, Q)  bool   the percentiles wanted of each set; others may be computed or not
    located      (L,)    int64  the percentiles, by column, whose positions are wanted: x and y, px, of the pixel whose
                                depth is nearest, the first in row-major order where several are
    locate       (S,)    bool   whether positions are wanted of the set; then all of `located` are in `wanted`
    own          (S,)    bool   whether the depth at the point's own pixel is wanted: (x, y) truncated and clipped into
                                the frame; a last column, if of any set
    results                     of each result, its set and its columns, int64, in order
    """

    max_radius: tuple[float, ...]
    percentiles: np.ndarray
    wanted: np.ndarray
    located: np.ndarray
    locate: np.ndarray
    own: np.ndarray
    results: tuple[tuple[int, np.ndarray], ...]

    @cached_property
    def columns(self) -> int:
        return len(self.percentiles) + 2 * len(self.located) + bool(self.own.any())

    @cached_property
    def pixels(self) -> float:
        """About the most pixels that the disks of one point have."""
        return sum(4 * radius * radius for radius in self.max_radius)

    @cached_property
    def largest(self) -> int:
        """At least the pixels of the largest disk."""
        return most_pixels(int(max(self.max_radius) + 0.5))


def as_array(tensor: Tensor, dtype: type[np.floating[Any]] | None = None) -> np.ndarray:
    """The values of a tensor in host memory, contiguous; its own memory where that will do."""
    if tensor.requires_grad or tensor.dtype is torch.bfloat16:
        tensor = tensor.detach().float()
    return np.ascontiguousarray(tensor.numpy(), dtype)


@lru_cache(maxsize=8)
def ranks(most: int, percentiles: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """For 0 to `most` sorted values: the two ranks about each percentile (most + 1, 2 Q), and the upper one's share.

    The share is float32 (most + 1, Q), exactly 0.5 half-way; NaN for no values at all.
    """
    lower, rest = np.divmod(np.maximum(np.arange(most + 1) - 1, 0)[:, None] * np.array(percentiles), HUNDREDTHS)
    share = (rest / HUNDREDTHS).astype(np.float32)
    share[0] = math.nan
    return np.concatenate([lower, lower + (rest > 0)], axis=1), share


def most_pixels(half: int) -> int:
    """At least the pixels of the square about a disk; one of few numbers, as tables are kept for each."""
    return int(2 * (half // 16 * 16 + 16) + 1) ** 2
