"""Resample whole frames bicubically on any device, equal to PIL to the last bit."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..device.tables import kept_on_device

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
    if not pixels.is_cpu and _fits_matrix(pixels.shape[-2], length):
        return _resample_by_matrix(pixels, length)
    pixels = pixels.contiguous()
    first, weights = _taps(pixels.shape[-2], length, device=pixels.device)
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


# A weight is so many times this, and a rest between minus and plus half of it.
_UNIT = 1 << 11


def _resample_by_matrix(pixels: Tensor, length: int) -> Tensor:
    """`_resample` in two kernels for a GPU, where thirty small ones would take longer to start than to run.

    A weight of 23 bits is cut in two whole numbers of 12, which even a GPU's shortened factors (tf32) hold; so do they
    hold pixels. All sums are below 2^24, up to where float32 counts exactly: products and sums are exact in any order.
    """
    (matrix,) = _matrix(pixels.shape[-2], length, device=pixels.device)
    coarse, fine = torch.matmul(matrix, pixels.float()).to(torch.int32).chunk(2, dim=-2)
    total = coarse.mul_(_UNIT).add_(fine).add_(1 << (_FRACTION_BITS - 1))
    return (total >> _FRACTION_BITS).clamp_(0, 255).to(torch.uint8)


def _fits_matrix(source: int, target: int) -> bool:
    """Return whether 255 times the rests of a pixel's weights stay below 2^24: where less than fifteenfold shrunk."""
    return (2 * 2 * max(source / target, 1) + 3) * (_UNIT // 2) * 255 < 1 << 24


@kept_on_device
def _matrix(source: int, target: int) -> tuple[Tensor]:
    """(2 target, source) float32: the coarse parts of the weights of each target pixel, then the rests."""
    first, weights = _taps(source, target, device=torch.device("cpu"))
    coarse = (weights + _UNIT // 2).div(_UNIT, rounding_mode="floor")
    matrix = torch.zeros(2, target, source)
    for tap in range(len(weights)):
        column = (first + tap).clamp(max=source - 1)[:, None]
        matrix[0].scatter_add_(1, column, coarse[tap, :, None].float())
        matrix[1].scatter_add_(1, column, (weights[tap] - coarse[tap] * _UNIT)[:, None].float())
    return (matrix.view(2 * target, source),)


@kept_on_device
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
