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
class Asked:
    """What is asked of S disks about a point, host arrays; the columns of the answer are in this order.

    reach        (S,)           px, floats; no radius of the set is larger
    percentiles  (Q,)    int64  Q > 0, in hundredths of a percent, linear between order statistics
    wanted       (S, Q)  bool   which of them are asked of the set; the others may be told or not
    located      (L,)    int64  the percentiles, by column, whose positions are asked: the x and the y, px, of the pixel
                                whose depth is nearest, the first in row-major order where several are
    locate       (S,)    bool   whether they are asked of the set; then all of `located` are wanted
    own          (S,)    bool   whether the depth at the point's own pixel is: (x, y) truncated and clipped into the
                                frame; a last column, if of any set
    answers                     of each answer, the set that it is of and the columns that are told, int64, in order
    """

    reach: tuple[float, ...]
    percentiles: np.ndarray
    wanted: np.ndarray
    located: np.ndarray
    locate: np.ndarray
    own: np.ndarray
    answers: tuple[tuple[int, np.ndarray], ...]

    @cached_property
    def columns(self) -> int:
        return len(self.percentiles) + 2 * len(self.located) + bool(self.own.any())

    @cached_property
    def pixels(self) -> float:
        """About as many as the disks of a point have at most."""
        return sum(4 * reach * reach for reach in self.reach)

    @cached_property
    def largest(self) -> int:
        """More pixels than any disk has."""
        return most_pixels(int(max(self.reach) + 0.5))


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
