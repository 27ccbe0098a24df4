"""Percentiles of disks in torch, on any device: squares of pixels about disks of like radius are sorted together.

A pixel outside the disk gets depth infinity, sorts to the end and is not counted. Nothing here waits for a GPU: no
value is looked at, and one copy goes up. Bounds of disks are worked out in float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..device.tables import kept_on_device
from ..device.traffic import upload
from .bilinear import rule
from .disks import OWN_PIXEL, Disks, Queries, most_pixels, ranks

# Pixels treated at once, which bounds memory and keeps a GPU busy.
CHUNK_PIXELS = 4_194_304
# Starting another chunk costs about as much as treating this many pixels more.
CHUNK_COST_PIXELS = 20_000


@dataclass(frozen=True)
class _Call:
    """What the chunks of a call share; `columns` are the percentiles whose positions are wanted."""

    maps: Tensor
    frame_size: tuple[int, int]
    ranks: Tensor
    shares: Tensor
    columns: Tensor


@dataclass(frozen=True)
class _Flat:
    """N disks of whatever set, host arrays: the map, centre and radius of each, and whether positions are wanted."""

    frame: np.ndarray
    centre: np.ndarray
    radius: np.ndarray
    locate: np.ndarray

    def take(self, rows: np.ndarray) -> _Flat:
        return _Flat(self.frame[rows], self.centre[rows], self.radius[rows], self.locate[rows])

    @property
    def half(self) -> np.ndarray:
        """(N,) int64, the pixels of a disk to each side of the pixel nearest to its centre, at most."""
        return np.floor(self.radius + 0.5).astype(np.int64)

    def inside(self, frame_size: tuple[int, int]) -> np.ndarray:
        """(n,) int64: those that lie partly in the frame's rectangle; one at NaN does not."""
        away = self.centre - np.minimum(np.maximum(self.centre, 0), (frame_size[0] - 1, frame_size[1] - 1))
        away *= away
        return np.flatnonzero(away[:, 0] + away[:, 1] <= self.radius * self.radius)


def percentiles_on_device(maps: Tensor, disks: Disks, frame_size: tuple[int, int], queries: Queries) -> Tensor:
    """`disks.disk_percentiles`."""
    (sets, batch, joints), own = disks.radius.shape, bool(queries.own.any())
    flat = _Flat(
        frame=np.tile(np.repeat(np.arange(batch), joints), sets),
        centre=np.tile(disks.centre.reshape(-1, 2), (sets, 1)),
        radius=disks.radius.ravel().astype(np.float64),
        locate=np.repeat(queries.locate, batch * joints),
    )
    if own:  # a disk of one pixel
        pixel = np.trunc(np.nan_to_num(flat.centre[: batch * joints], posinf=0, neginf=0))
        pixel = np.minimum(np.maximum(pixel, 0), np.asarray(frame_size) - 1)
        flat = _Flat(
            frame=np.concatenate([flat.frame, flat.frame[: batch * joints]]),
            centre=np.concatenate([flat.centre, pixel]),
            radius=np.append(flat.radius, np.full(batch * joints, OWN_PIXEL)),
            locate=np.append(flat.locate, np.zeros(batch * joints, bool)),
        )
    percentiles, located = tuple(queries.percentiles.tolist()), tuple(queries.located.tolist())
    values, positions = _percentiles(maps, flat, frame_size, percentiles, located)
    values = values.view(-1, batch, joints, len(percentiles))
    positions = positions.view(-1, batch, joints, 2 * len(located))
    parts = [values[:sets], positions[:sets]]
    if own:  # NaN where the disk holds no depth, and where the pixel has none
        parts.append(values[sets:, ..., :1] + values[:sets, ..., :1] * 0)
    # NaN comes with several bit patterns, that depend on how it came about; a store has one.
    return torch.cat(parts, dim=-1).nan_to_num_(math.nan, math.inf, -math.inf)


def _percentiles(
    maps: Tensor, disks: _Flat, frame_size: tuple[int, int], percentiles: tuple[int, ...], columns: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Values (N, Q), and positions (N, L, 2) for the columns whose positions are wanted."""
    device, total, count = maps.device, len(disks.frame), len(percentiles)
    values = torch.full((total, count), math.nan, device=device)
    positions = torch.full((total, len(columns), 2), math.nan, device=device)
    rows = disks.inside(frame_size)
    if len(rows) == 0:
        return values, positions
    rows = rows[np.argsort(-disks.take(rows).half, kind="stable")]
    disks = disks.take(rows)
    half = disks.half

    order, share = _ranks(most_pixels(int(half[0])), percentiles, device=device)
    located = _indices(columns, device=device)[0]
    call = _Call(maps, frame_size, order, share, located)
    wanted = disks.locate & bool(columns)
    parts = list(_chunks((2 * half + 1) ** 2))
    # Of each chunk, which of its own disks are located.
    inside = np.concatenate([np.flatnonzero(wanted[part]) for part in parts])
    # One copy for all that the device needs. A whole number is exact in float64.
    packed = np.concatenate([disks.frame, disks.radius, disks.centre.ravel(), rows, rows[wanted], inside])
    frame, radius, centre, where, where_located, inside = upload(packed.astype(np.float64, copy=False), device).split(
        [len(rows), len(rows), 2 * len(rows), len(rows), len(inside), len(inside)]
    )
    frame, where, where_located, inside = (each.long() for each in (frame, where, where_located, inside))
    centre = centre.view(-1, 2)
    pairs, shares, places, start = [], [], [], 0
    for part in parts:
        stop = start + int(wanted[part].sum())
        pair, share, place = _chunk(
            call, frame[part], centre[part], radius[part], inside[start:stop], int(half[part.start])
        )
        pairs.append(pair)
        shares.append(share)
        places += [] if place is None else [place]
        start = stop
    low, high = torch.cat(pairs).split(count, dim=1)
    values[where] = low + (high - low) * torch.cat(shares)
    if places:
        positions[where_located] = torch.cat(places)
    return values, positions


@partial(kept_on_device, kept=4)  # of the largest disks, 40 MB
def _ranks(most: int, percentiles: tuple[int, ...]) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(table) for table in ranks(most, percentiles))


@kept_on_device
def _indices(columns: tuple[int, ...]) -> tuple[Tensor, ...]:
    return (torch.tensor(columns, dtype=torch.int64),)


@kept_on_device
def _rule(frame_size: tuple[int, int], map_size: tuple[int, int]) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(table) for table in rule(frame_size, map_size, 0))


def _chunks(area: np.ndarray) -> Iterator[slice]:
    """Disks to be treated together, of squares that fall in area: at most so many pixels, or one disk."""
    start = 0
    while start < len(area):
        group = area[start : start + max(1, CHUNK_PIXELS // int(area[start]))]
        # All squares get the size of the first; it can be cheaper to leave the small ones to the next chunk.
        saved = (group[0] - group) * np.arange(len(group), 0, -1)
        best = int(saved.argmax())
        size = best if saved[best] > CHUNK_COST_PIXELS else len(group)
        yield slice(start, start + size)
        start += size


def _chunk(
    call: _Call, frame: Tensor, centre: Tensor, radius: Tensor, rows: Tensor, half: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Of n disks: the order statistics about each percentile (n, 2 Q), the share of the upper (n, Q), and positions.

    frame (n,), centre (n, 2) and radius (n,), as in `_Flat`; rows (m,), those of the disks whose positions are wanted.
    """
    size, (width, height) = 2 * half + 1, call.frame_size
    # The first pixel of each square; the squares are moved into the frame where they can be.
    first = (torch.floor(centre + 0.5) - half).to(torch.int64)
    left, top = first[:, 0].clamp(0, max(width - size, 0)), first[:, 1].clamp(0, max(height - size, 0))
    u, v = (start[:, None] + torch.arange(size, device=frame.device) for start in (left, top))
    pixels = _depth(call.maps, frame, u, v, call.frame_size)
    away = v - centre[:, 1, None]
    rest = (radius * radius)[:, None] - away * away
    half_width, x = rest.clamp(min=0).sqrt(), centre[:, 0, None]
    begin, end = torch.ceil(x - half_width), torch.floor(x + half_width)
    run = (rest >= 0) & (v < height)
    inside = run[:, :, None] & (u[:, None] >= begin[:, :, None]) & (u[:, None] <= end[:, :, None])
    inside &= (u < width)[:, None]
    pixels = torch.where(inside & pixels.isfinite(), pixels, math.inf).flatten(1)

    ranked = pixels.sort(dim=1).values
    known = torch.searchsorted(ranked, torch.full((len(ranked), 1), math.inf, device=frame.device)).view(-1)
    pairs, share = ranked.gather(1, call.ranks[known]), call.shares[known]
    if not len(rows):
        return pairs, share, None
    near = share[rows][:, call.columns]
    low, high = (part[rows][:, call.columns] for part in pairs.split(share.shape[1], dim=1))
    nth = _locate(pixels[rows], low, high, near)
    xy = torch.stack([left[rows, None] + nth % size, top[rows, None] + nth // size], dim=-1)
    return pairs, share, xy.to(torch.float32) + near[:, :, None] * 0


def _depth(maps: Tensor, frame: Tensor, u: Tensor, v: Tensor, frame_size: tuple[int, int]) -> Tensor:
    """Depth (n, size, size) at the pixels of n squares, rows first; pixels behind the frame repeat its last."""
    height, width = maps.shape[1:]
    lower, upper, weight = _rule(frame_size, (width, height), device=maps.device)
    u = u.clamp(max=frame_size[0] - 1)
    v = v.clamp(max=frame_size[1] - 1) + frame_size[0]
    corner = frame[:, None] * (height * width)
    above, below = ((corner + cells[v] * width)[:, :, None] for cells in (lower, upper))
    sides, flat = [], maps.reshape(-1)
    for cells in (lower, upper):
        column = cells[u][:, None]
        high = flat[above + column]
        sides.append(high + (flat[below + column] - high) * weight[v][:, :, None])
    return sides[0] + (sides[1] - sides[0]) * weight[u][:, None]


def _locate(pixels: Tensor, low: Tensor, high: Tensor, share: Tensor) -> Tensor:
    """(n, L) the first of each row's pixels that is nearest to each percentile.

    That is one of the two order statistics about it, `low` and `high`: the nearer one, half-way between them either.
    """
    one, other = torch.where(share <= 0.5, low, high), torch.where(share >= 0.5, high, low)
    places = []
    for column in range(share.shape[1]):
        there = (pixels == one[:, column, None]) | (pixels == other[:, column, None])
        places.append(there.to(torch.uint8).argmax(dim=1))
    return torch.stack(places, dim=1)
