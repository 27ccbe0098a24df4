"""Which pixel might meet which shape, and which of all hits is the nearest."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from . import geometry

_LATE = torch.iinfo(torch.int32).max


@dataclass(frozen=True)
class Candidates:
    """M pairs of a shape and a pixel inside the rectangle that bounds it; all int32, (M,).

    item    which of the N shapes of B frames, counted frame by frame
    frame   which frame
    pixel   index into all frames' pixels, frame by frame and row by row
    column, row  of that pixel
    """

    item: Tensor
    frame: Tensor
    pixel: Tensor
    column: Tensor
    row: Tensor

    def __getitem__(self, index: Tensor) -> Candidates:
        parts = (self.item, self.frame, self.pixel, self.column, self.row)
        return Candidates(*(part.index_select(0, index) for part in parts))


def candidates(bounds: Tensor, frames: int, width: int, height: int) -> Candidates:
    """Return every pixel of the rectangles `bounds` (frames * n, 4): left, top, right, bottom, ends excluded."""
    size = (bounds[:, 2:] - bounds[:, :2]).clamp_min(0)
    area = size[:, 0] * size[:, 1]
    item = torch.repeat_interleave(torch.arange(len(bounds), device=bounds.device, dtype=torch.int32), area)
    frame = torch.arange(frames, device=bounds.device).repeat_interleave(len(bounds) // max(frames, 1))
    first = area.cumsum(0) - area
    columns = (first, size[:, 0].clamp_min(1), bounds[:, 0], bounds[:, 1], frame)
    first, wide, left, top, frame = (part.to(torch.int32).index_select(0, item) for part in columns)
    local = torch.arange(len(item), device=bounds.device, dtype=torch.int32) - first
    row = torch.div(local, wide, rounding_mode="floor")
    column = local - row * wide + left
    row = row + top
    return Candidates(item, frame, (frame * height + row) * width + column, column, row)


def keep_nearest(depth: Tensor, pixel: Tensor, t: Tensor) -> Tensor:
    """Lower `depth` (P,) to the hits t (M,) at `pixel` (M,); the indices of the hits that are now what is seen.

    One for each pixel; of equal ones the first, so that the result does not depend on the order of the scatter.
    """
    depth.scatter_reduce_(0, pixel.to(torch.int64), t, "amin")
    won = torch.nonzero((depth.index_select(0, pixel) == t) & (t < torch.inf))[:, 0]
    at = pixel.index_select(0, won)
    order = torch.arange(len(won), device=t.device, dtype=torch.int32)
    first = torch.full((len(depth),), _LATE, dtype=torch.int32, device=t.device)
    first.scatter_reduce_(0, at.to(torch.int64), order, "amin")
    return won.index_select(0, torch.nonzero(first.index_select(0, at) == order)[:, 0])


def one_of_each(number: Tensor, limit: int) -> Tensor:
    """Return (K,) indices into `number` (M,), 0 <= number < limit, that name each number that occurs exactly once."""
    order = torch.arange(len(number), device=number.device, dtype=torch.int32)
    last = torch.empty(limit, dtype=torch.int32, device=number.device)
    last.index_copy_(0, number.to(torch.int64), order)  # whichever is written last, one is
    return torch.nonzero(last.index_select(0, number) == order)[:, 0]


def image_bounds(ends: Tensor, radius: Tensor, width: int, height: int, intrinsics: tuple[float, ...]) -> Tensor:
    """Return pixel rectangles (N, 4) int64 - left, top, right, bottom, ends excluded - that hold N hulls of balls.

    ends  (N, K, 3) the balls' centres, camera frame; radius (N, K)
    The image of a ball is bounded by the planes through the camera that touch it; a hull's by those of its balls.
    A hull that extends behind the camera is bounded, with a pixel to spare, by the box about it along the camera's
    axes: where a side of the box does not lie across the axis of sight, its farthest point is seen innermost.
    Empty (right <= left) when out of sight.
    """
    low, high = geometry.angular_bounds(ends, radius)
    low, high = low.amin(-2), high.amax(-2)
    across, z = ends[..., :2], ends[..., 2]
    least, most = (across - radius[..., None]).amin(-2), (across + radius[..., None]).amax(-2)
    nearest, farthest = (z - radius).amin(-1, keepdim=True), (z + radius).amax(-1, keepdim=True)
    behind = nearest <= geometry.NEAR
    low = torch.where(behind, least / torch.where(least < 0, geometry.NEAR, farthest), low)
    high = torch.where(behind, most / torch.where(most > 0, geometry.NEAR, farthest), high)
    fx, fy, cx, cy = intrinsics
    left, right = low[:, 0] * fx + cx, high[:, 0] * fx + cx
    top, bottom = low[:, 1] * fy + cy, high[:, 1] * fy + cy
    limits = torch.stack([(left - 0.5).ceil(), (top - 0.5).ceil(), (right + 0.5).floor(), (bottom + 0.5).floor()], -1)
    limits += behind * torch.tensor([-1, -1, 1, 1], device=limits.device)
    limits = torch.where(farthest <= geometry.NEAR, 0, limits)
    last = torch.tensor([width, height, width, height], dtype=limits.dtype, device=limits.device)
    return torch.minimum(limits.clamp_min(0), last).to(torch.int64)
