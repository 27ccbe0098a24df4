"""Positions in the frame: from pixels to units of x and y, one size for all people, and places about the pelvis."""

from __future__ import annotations

import torch
from torch import Tensor

from ..stores.format.skeleton import H36M_17

ROOT = H36M_17.index("pelvis")


def normalise_xy(xy: tuple[Tensor, ...], size: Tensor) -> Tensor:
    """Normalise pixels, x and y (B, T, 17) each, to 2x/w - 1 and 2y/w - h/w, (2, B, T, 17); `size` (B, 2) is w, h.

    One unit is half the frame's width.
    """
    return torch.stack(xy).mul_(2).sub_(size.T[..., None, None]).div_(size[:, :1, None])


def box_of(xy: Tensor) -> Tensor:
    """Mean of width and height of each frame's joints, (B, T) of (2, B, T, 17); NaN where no joint is present."""
    missing = xy.isnan()
    extent = xy.masked_fill(missing, -torch.inf).amax(-1) - xy.masked_fill(missing, torch.inf).amin(-1)
    return torch.where(missing.all(-1)[0], torch.nan, extent.mean(0))


def absent(valid: Tensor, xy: Tensor) -> Tensor:
    """(B, T, 17): 0 where the frame is valid and the joint's position (2, B, T, 17) is finite, NaN elsewhere."""
    return 0 * (xy[0] + xy[1]) + torch.where(valid > 0, 0.0, torch.nan)[..., None]


class Placing:
    """Where positions (2, B, T, 17) are put: made from the joints, called on them and on the places of their depths.

    scale_to   None, or the size that each frame's box of joints gets, about the centroid of those that are present
    centred    whether x and y are those of the pelvis less, whose own stay; without a pelvis they are NaN
    nearness   None, or what all positions of a frame are multiplied by, (B, T, 1)
    """

    def __init__(self, xy: Tensor, scale_to: float | None, centred: bool, nearness: Tensor | None = None):
        self._nearness = nearness
        self._scaling: tuple[Tensor, Tensor] | None = None
        self._root: Tensor | None = None
        if scale_to is not None:
            size = box_of(xy)
            # A box without extent (one joint) tells no scale.
            self._scaling = xy.nanmean(-1, keepdim=True), torch.where(size > 0, scale_to / size, 1.0)[..., None]
        if centred:
            self._root = self._scaled(xy)[..., ROOT, None].repeat(1, 1, 1, xy.shape[-1])
            self._root[..., ROOT] = 0

    def __call__(self, positions: Tensor) -> Tensor:
        placed = self._scaled(positions)
        return placed if self._root is None else placed - self._root

    def _scaled(self, positions: Tensor) -> Tensor:
        if self._nearness is not None:
            return positions * self._nearness
        if self._scaling is None:
            return positions
        centre, scale = self._scaling
        return (positions - centre) * scale + centre
