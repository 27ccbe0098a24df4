"""From heat maps to joints, between the cells: DARK as ViTPose and MMPose's UDP have it, batched on the device."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...device.tables import kept_on_device

SIGMA, RADIUS = 0.8, 5  # cells, of the Gaussian that transformers smooths ViTPose's maps with
_LEAST, _MOST = 0.001, 50.0  # what a map is cut off at before its logarithm is taken


def decode_dark(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return positions (M, K, 2) in cells of the map, x and y, and scores (M, K), of heat maps (M, K, h, w).

    The score is the map's maximum. The position is that of the maximum, moved by one Newton step on the logarithm of
    the smoothed map (Zhang 2020, arXiv 1910.06278; with the Hessian as Huang 2020, arXiv 1911.07524, has it). Where
    the maximum is not positive it is (-1, -1); where the step is no number, the maximum stays where it is.
    """
    height, width = maps.shape[-2:]
    score, at = maps.flatten(2).max(dim=-1)
    x, y = at % width, at // width
    near = torch.arange(-1, 2, device=maps.device)
    rows, columns = (y[..., None] + near).clamp(0, height - 1), (x[..., None] + near).clamp(0, width - 1)
    (down,), (across,) = _smoothing(height, device=maps.device), _smoothing(width, device=maps.device)
    # Only the nine smoothed cells about each maximum are computed: (M, K, 3, 3).
    patch = down[rows] @ maps.double() @ across[columns].transpose(-1, -2)
    position = torch.stack([x, y], dim=-1) - _newton_step(patch.clamp(_LEAST, _MOST).log())
    position = position.where(position.isfinite().all(dim=-1, keepdim=True), torch.stack([x, y], dim=-1).double())
    return position.where(score[..., None] > 0, -1.0).to(maps.dtype), score


def _newton_step(log: Tensor) -> Tensor:
    """(..., 2) x and y, of log maps (..., 3, 3), rows first: the Hessian's inverse times the gradient."""
    dx, dy = (log[..., 1, 2] - log[..., 1, 0]) / 2, (log[..., 2, 1] - log[..., 0, 1]) / 2
    small = torch.finfo(torch.float32).eps
    dxx = log[..., 1, 2] - 2 * log[..., 1, 1] + log[..., 1, 0] + small
    dyy = log[..., 2, 1] - 2 * log[..., 1, 1] + log[..., 0, 1] + small
    beside = log[..., 1, 2] + log[..., 2, 1] + log[..., 1, 0] + log[..., 0, 1]
    dxy = (log[..., 2, 2] + log[..., 0, 0] + 2 * log[..., 1, 1] - beside) / 2
    step = torch.stack([dyy * dx - dxy * dy, dxx * dy - dxy * dx], dim=-1)
    return step / (dxx * dyy - dxy * dxy)[..., None]


@kept_on_device
def _smoothing(length: int) -> tuple[Tensor]:
    """(length, length) float64: row i weighs the cells that make cell i of the smoothed line; mirrored at the ends."""
    weights = [math.exp(-0.5 * (k / SIGMA) ** 2) for k in range(-RADIUS, RADIUS + 1)]
    matrix = torch.zeros(length, length, dtype=torch.float64)
    for cell in range(length):
        for k, weight in zip(range(-RADIUS, RADIUS + 1), weights, strict=True):
            place = (cell + k) % (2 * length)
            matrix[cell, min(place, 2 * length - 1 - place)] += weight / sum(weights)
    return (matrix,)
