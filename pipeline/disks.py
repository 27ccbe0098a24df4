"""Exact percentiles of bilinearly sampled depth in disks about points: every pixel of the disk, no full-size map.

On a CPU a compiled loop goes from disk to disk (`disks_host.py`); elsewhere torch treats many at once
(`disks_device.py`). Both say the same to the bit: each result depends on its own disk and map alone, every floating
point operation is elementwise and rounds once, and choosing an order statistic rounds nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .tables import kept_on_device

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


def disk_percentiles(maps: Tensor, disks: Disks, frame_size: tuple[int, int], asked: Asked) -> list[Tensor]:
    """Statistics of depth over the pixels of each disk that lie in the frame and have a depth.

    maps         (B, h, w)  metres, at their own resolution; not finite where there is no depth
    frame_size   (W, H)     px; the depth at a pixel is what bilinear upsampling to it with align_corners=True would
                            give, and there is none where a cell that has any weight in it is not finite
    Returns, where the maps are, for each of `asked.answers` (B, J, its columns) float32; NaN, of one bit pattern, where
    a disk holds no depth at all, where the own pixel has none, and for positions that are not asked.
    """
    # Either brings its own compiler or kernels along; nobody needs both.
    if maps.is_cpu:
        from .disks_host import percentiles_on_host

        told = percentiles_on_host(as_array(maps, np.float32), disks, frame_size, asked)
        return [torch.from_numpy(told[disk].take(columns, axis=-1)) for disk, columns in asked.answers]
    from .disks_device import percentiles_on_device

    told = percentiles_on_device(maps.detach().to(torch.float32).contiguous(), disks, frame_size, asked)
    return [
        told[disk].index_select(-1, _columns(tuple(c.tolist()), device=maps.device)[0]) for disk, c in asked.answers
    ]


@kept_on_device
def _columns(columns: tuple[int, ...]) -> tuple[Tensor, ...]:
    return (torch.tensor(columns, dtype=torch.int64),)


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
