"""Resample whole frames bicubically on any device, equal to PIL to the last bit."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

# PIL weighs 8-bit pixels with whole numbers, in units of 2^-22, so that a weighted sum fits 32 bits.
_FRACTION_BITS = 22


def resize_bicubic(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize frames (B, H, W, 3) uint8 to (B, 3, h, w) at `size` (h, w), as PIL's `resize(..., BICUBIC)` does.

    The cubic kernel (a = -1/2, widened where the picture shrinks) along one axis, grey levels rounded and clipped, then
    the same along the other. All in whole numbers: neither the device nor the number of threads changes a bit.
    """
    height, width = frames.shape[1:3]
    # Along rows first, unless more than twice as many rows as columns go: PIL 13's order, found by trying.
    columns_first = 0 < height - size[0] > 2 * (width - size[1])
    if columns_first:
        pixels = _resample(frames.permute(0, 3, 1, 2), size[0])  # (B, 3, h, W)
        return _resample(pixels.transpose(2, 3), size[1]).transpose(2, 3).contiguous()
    pixels = _resample(frames.permute(0, 3, 2, 1), size[1])  # (B, 3, w, H)
    return _resample(pixels.transpose(2, 3), size[0])


def _resample(pixels: Tensor, length: int) -> Tensor:
    """Resample the last but one axis of uint8 pixels (..., n, m), to (..., length, m)."""
    if pixels.shape[-2] == length:
        return pixels.contiguous()
    pixels = pixels.contiguous()
    first, weights = (table.to(pixels.device) for table in _taps(pixels.shape[-2], length))
    last = pixels.shape[-2] - 1
    total = torch.full(
        (*pixels.shape[:-2], length, pixels.shape[-1]),
        1 << (_FRACTION_BITS - 1),
        dtype=torch.int32,
        device=pixels.device,
    )
    for tap in range(len(weights)):
        # Beyond the last pixel weights are zero, whichever pixel they are given.
        rows = pixels.index_select(-2, (first + tap).clamp_(max=last))
        total.add_(rows * weights[tap, :, None])
    return (total >> _FRACTION_BITS).clamp_(0, 255).to(torch.uint8)


@lru_cache(maxsize=64)
def _taps(source: int, target: int) -> tuple[Tensor, Tensor]:
    """For each of `target` places, the first of the `source` pixels it reads, (target,); their weights, (K, target)."""
    scale = source / target
    widened = max(scale, 1.0)
    support = 2 * widened
    centre = (torch.arange(target, dtype=torch.float64) + 0.5) * scale
    first = (centre - support + 0.5).clamp_(min=0).floor_()
    stop = (centre + support + 0.5).floor_().clamp_(max=source)
    place = first + torch.arange(2 * math.ceil(support) + 1, dtype=torch.float64)[:, None]
    weights = _cubic((place - centre + 0.5) / widened).where(place < stop, 0)
    weights /= weights.sum(0)
    whole = (weights * (1 << _FRACTION_BITS)).abs_().add_(0.5).floor_() * weights.sign()
    used = whole.ne(0).any(1)
    return first.long(), whole[: int(used.nonzero().max()) + 1].to(torch.int32)


def _cubic(x: Tensor) -> Tensor:
    """The cubic convolution kernel with a = -1/2 (Keys 1981)."""
    x = x.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((2.5 - 0.5 * x) * x - 4) * x + 2
    return near.where(x < 1, far.where(x < 2, 0))
