"""Exact percentiles of bilinearly sampled depth in disks about points: every pixel of the disk, no full-size map.

What makes it fast: disks of like radius are treated together, as squares of pixels that lie inside the frame; a square
is interpolated axis by axis from the few cells of the map beneath it; a pixel outside the disk gets depth infinity,
sorts to the end and is not counted. Which pixels and which cells these are is found on the host, in exact integers.

A result depends on its own disk and map alone, bit by bit, however many others are computed with it: every floating
point operation here is elementwise and rounds once, sorting and comparing do not round, and no result is a sum.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from .arrays import Array, Library

# Pixels treated at once, which bounds memory: on a CPU what a core's cache holds, on a GPU what keeps it busy.
CHUNK_PIXELS_HOST = 98_304
CHUNK_PIXELS_GPU = 4_194_304
# Starting another chunk costs about as much as treating this many pixels more.
CHUNK_COST_PIXELS = 20_000
# One disk is the least that is treated at once, so that larger ones would break the bound on memory.
MAX_RADIUS = 256.0

_BEHIND = 2 * math.floor(MAX_RADIUS + 0.5) + 1
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

    def take(self, rows: np.ndarray | slice) -> Disks:
        return Disks(self.frame[rows], self.centre[rows], self.radius[rows], self.locate[rows])

    @property
    def half(self) -> np.ndarray:
        """(N,) int64, the pixels that a disk can reach to each side of the pixel nearest to its centre."""
        return np.floor(self.radius + 0.5).astype(np.int64)


def disk_percentiles(
    library: Library,
    maps: Array,
    disks: Disks,
    frame_size: tuple[int, int],
    percentiles: Sequence[float],
    located: Sequence[float] = (),
) -> tuple[Array, Array]:
    """Percentiles of depth over the pixels of each disk that lie in the frame and have a depth.

    maps         (B, h, w)  float32, at their own resolution; not finite where there is no depth
    frame_size   (W, H)     px; the depth at a pixel is what bilinear upsampling to it with align_corners=True would
                            give, and there is none where a cell that has any weight in it is not finite
    percentiles  (Q,)       0 to 100 in steps of 0.01, linear between order statistics
    located      (L,)       those of them that `disks.locate` is about
    Returns values (N, Q) float32; NaN where a disk holds no depth at all. And positions (N, L, 2) float32, px, x y: the
    pixel whose depth is nearest to the percentile, the first in row-major order where several are; NaN where not asked.
    """
    total, count = len(disks.frame), len(percentiles)
    xp = library.module
    values = library.host(np.full((total, count), math.nan, np.float32))
    positions = library.host(np.full((total, len(located), 2), math.nan, np.float32))
    away = disks.centre - np.minimum(np.maximum(disks.centre, 0), (frame_size[0] - 1, frame_size[1] - 1))
    away *= away
    rows = np.flatnonzero(away[:, 0] + away[:, 1] <= disks.radius * disks.radius)  # NaN misses the frame, too
    if len(rows) == 0:
        return values, positions
    order = np.argsort(-disks.take(rows).half, kind="stable")
    rows = rows[order]
    disks = disks.take(rows)
    half = disks.half
    most = int(2 * (half[0] // 16 * 16 + 16) + 1) ** 2  # few different ones, as the tables are kept
    ranks, shares = (library.host(table) for table in _ranks(most, tuple(percentiles)))
    columns = [list(percentiles).index(percentile) for percentile in located]

    def work(chunks: Sequence[slice]) -> list[tuple[Array, Array, Array | None]]:
        with np.errstate(invalid="ignore"):  # infinity less infinity, in a disk without any depth
            return [
                _chunk(library, maps, disks.take(chunk), int(half[chunk.start]), frame_size, ranks, shares, columns)
                for chunk in chunks
            ]

    area = (2 * half + 1) ** 2
    pixels, every = CHUNK_PIXELS_HOST if library.on_host else CHUNK_PIXELS_GPU, int(area.sum())
    threads = min(torch.get_num_threads(), every // CHUNK_COST_PIXELS) if library.on_host else 1
    if threads > 1:
        pixels = min(pixels, every // threads + int(area[0]))
    found = _in_threads(work, list(_chunks(area, pixels)), threads)
    pairs, shares = xp.concatenate([result[0] for result in found]), xp.concatenate([result[1] for result in found])
    low, high = pairs[:, :count], pairs[:, count:]
    with np.errstate(invalid="ignore"):  # likewise; the share is NaN there
        values[library.host(rows)] = low + (high - low) * shares
    places = [result[2] for result in found if result[2] is not None]
    if places:
        positions[library.host(rows[disks.locate])] = xp.concatenate(places)
    return values, positions


def depth_at(library: Library, maps: Array, frame: np.ndarray, pixel: np.ndarray, frame_size: tuple[int, int]) -> Array:
    """Depth (N,) at pixels (N, 2), x y, of frames (N,): the rule and bits of a disk; NaN where there is none."""
    height, width = maps.shape[1:]
    cells, weights = _interpolation(frame_size, (width, height))
    places = pixel[:, 0], pixel[:, 1] + frame_size[0] + _BEHIND
    (x, across), (y, down) = ((cells.take(place, axis=1), weights.take(place)) for place in places)
    found = library.take(maps.reshape(-1), library.host((frame * height + y)[:, None] * width + x))
    with np.errstate(invalid="ignore"):  # infinity less infinity
        found = found[0] + (found[1] - found[0]) * library.host(down)
        found = found[0] + (found[1] - found[0]) * library.host(across)
    return library.module.where(library.module.isfinite(found), found, math.nan)


def _chunks(area: np.ndarray, pixels: int) -> Iterator[slice]:
    """Disks to be treated together, of squares that fall in area: at most so many pixels, or one disk."""
    start = 0
    while start < len(area):
        group = area[start : start + max(1, pixels // int(area[start]))]
        # All squares get the size of the first; it can be cheaper to leave the small ones to the next chunk.
        saved = (group[0] - group) * np.arange(len(group), 0, -1)
        best = int(saved.argmax())
        size = best if saved[best] > CHUNK_COST_PIXELS else len(group)
        yield slice(start, start + size)
        start += size


def _in_threads(work: Callable[[Sequence[Any]], list[Any]], items: Sequence[Any], threads: int) -> list[Any]:
    """work(items), dealt out to threads of which the caller's is one."""
    threads = min(threads, len(items))
    if threads <= 1:
        return work(items)
    others = [_pool(threads - 1, os.getpid()).submit(work, items[first::threads]) for first in range(1, threads)]
    shares = [work(items[::threads]), *(other.result() for other in others)]
    return [shares[index % threads][index // threads] for index in range(len(items))]


@lru_cache(maxsize=4)
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Kept, as starting threads would cost a small batch more than they save; a forked process needs its own."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"disks-{process}")


@lru_cache(maxsize=8)
def _ranks(most: int, percentiles: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """For 0 to `most` sorted values: the two ranks about each percentile (most + 1, 2 Q), and the upper one's share.

    The share is float32 (most + 1, Q), exactly 0.5 half-way; NaN for no values at all.
    """
    wanted = np.array([round(percentile * HUNDREDTHS / 100) for percentile in percentiles])
    lower, rest = np.divmod(np.maximum(np.arange(most + 1) - 1, 0)[:, None] * wanted, HUNDREDTHS)
    share = (rest / HUNDREDTHS).astype(np.float32)
    share[0] = math.nan
    return np.concatenate([lower, lower + (rest > 0)], axis=1), share


@lru_cache(maxsize=16)
def _interpolation(frame_size: tuple[int, int], map_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The align_corners rule of both axes: each pixel's two cells (2, X + Y), and the second one's weight, float32.

    Pixel p of `length` lies at cell p (cells - 1) / (length - 1). In integers, so that a pixel that lies on a cell
    takes that cell alone. Pixels behind the frame repeat its last: a square may be larger than a frame.
    """
    all_cells, all_weights = [], []
    for length, cells in zip(frame_size, map_size, strict=True):
        gaps = max(length - 1, 1)
        pixel = np.minimum(np.arange(length + _BEHIND, dtype=np.int64), length - 1)
        lower, rest = np.divmod(pixel * (cells - 1), gaps)
        all_cells.append(np.stack([lower, lower + (rest > 0)]))
        all_weights.append((rest / gaps).astype(np.float32))
    return np.concatenate(all_cells, axis=1), np.concatenate(all_weights)


@lru_cache(maxsize=64)
def _outside(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `size` pixels, (size + 1, size): infinity before the i-th pixel and 0 from it on; and the reverse."""
    before = np.where(np.arange(size) < np.arange(size + 1)[:, None], np.float32(math.inf), np.float32(0))
    return before, np.where(before == 0, np.float32(math.inf), np.float32(0))


def _chunk(
    library: Library,
    maps: Array,
    disks: Disks,
    half: int,
    frame_size: tuple[int, int],
    ranks: Array,
    shares: Array,
    columns: list[int],
) -> tuple[Array, Array, Array | None]:
    """Of n disks: the order statistics about each percentile (n, 2 Q), the share of the upper (n, Q), and positions."""
    xp, host, take = library.module, library.host, library.take
    count, size = len(disks.frame), 2 * half + 1
    # The squares: (2, n) their first pixel, x and y, and (2, n, size) all, moved into the frame where they can be.
    centre = disks.centre.T
    room = [[max(frame_size[0] - size, 0)], [max(frame_size[1] - size, 0)]]
    first = np.minimum(np.maximum(np.rint(centre) - half, 0), room)
    pixel = first.astype(np.int64)[:, :, None] + np.arange(size)
    begin, end = _runs(disks, first, pixel[0], frame_size)

    # The cells beneath them: `span` each, and the place of each pixel's two cells in the spans of all disks.
    pixel[1] += frame_size[0] + _BEHIND
    all_cells, weights = _interpolation(frame_size, (maps.shape[2], maps.shape[1]))
    cell, weight = all_cells.take(pixel, axis=1), weights.take(pixel)
    origin = cell[0, :, :, 0]
    spans = ((cell[1, :, :, -1] - origin).max(axis=1) + 1).tolist()
    origin = np.minimum(origin, [[maps.shape[2] - spans[0]], [maps.shape[1] - spans[1]]])
    cell += (np.arange(count) * [[spans[0]], [spans[1]]] - origin)[:, :, None]
    cells, whole = _cells(library, maps, disks.frame, origin, spans)

    # Along y, then along x: picking whole rows of a matrix is what is fast, so that the squares end up columns first.
    mixed = _mix(library, cells.reshape(-1, spans[0]), cell[:, 1], weight[1])
    mixed = mixed.reshape(count, size, -1).swapaxes(1, 2).reshape(-1, size)
    pixels = _mix(library, mixed, cell[:, 0], weight[0])
    before, behind = _outside(size)
    pixels += take(host(before), host(begin.reshape(-1)))
    pixels += take(host(behind), host(end.reshape(-1)))
    pixels = pixels.reshape(count, size * size)
    if not whole:
        pixels = xp.nan_to_num(pixels, nan=math.inf, posinf=math.inf, neginf=math.inf)

    wanted = np.flatnonzero(disks.locate) if columns else np.zeros(0, np.int64)
    kept = take(pixels, host(wanted)).reshape(-1, size, size).swapaxes(1, 2) if len(wanted) else None
    ranked = library.sort(pixels)
    known = host((end - begin).sum(axis=1)) if whole else library.finite(ranked)
    place = take(ranks, known)
    place += host(np.arange(0, count * size * size, size * size)[:, None])
    pairs, share = take(ranked.reshape(-1), place), take(shares, known)
    if kept is None:
        return pairs, share, None
    near = take(share, host(wanted))[:, columns]
    bounds = [take(pairs, host(wanted))[:, [start + column for column in columns]] for start in (0, share.shape[1])]
    place = _locate(library, kept.reshape(-1, size * size), bounds[0], bounds[1], near)
    corner = host(first[:, wanted, None].astype(np.float32))
    xy = xp.stack([corner[0] + place % size, corner[1] + place // size], -1)
    return pairs, share, xp.asarray(xy + near[:, :, None] * 0, dtype=xp.float32)


def _runs(
    disks: Disks, first: np.ndarray, columns: np.ndarray, frame_size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of each disk in a column of its square are a run: where it begins and ends, (n, size) rows each."""
    size = columns.shape[1]
    away = columns - disks.centre[:, :1]
    rest = (disks.radius * disks.radius)[:, None] - away * away
    if frame_size[0] < size:
        rest[columns >= frame_size[0]] = -1
    # Negative where a column misses the disk: such a run ends before it begins.
    reach = np.copysign(np.sqrt(np.abs(rest)), rest)
    centre, most = (disks.centre[:, 1] - first[1])[:, None], min(size, frame_size[1])
    begin = np.minimum(np.maximum(np.ceil(centre - reach), 0), most).astype(np.int64)
    end = np.minimum(np.maximum(np.floor(centre + reach) + 1, 0), most).astype(np.int64)
    return begin, np.maximum(begin, end)


def _cells(
    library: Library, maps: Array, frame: np.ndarray, origin: np.ndarray, spans: list[int]
) -> tuple[Array, bool]:
    """(n, spans y, spans x) cells beneath each square, NaN where not finite; and whether all are known to be finite."""
    height, width = maps.shape[1:]
    corner = ((frame * height + origin[1]) * width + origin[0])[:, None, None]
    offset = np.arange(0, spans[1] * width, width)[:, None] + np.arange(spans[0])
    cells = library.take(maps.reshape(-1), library.host(corner) + library.host(offset))
    # A sum tells whether all are finite; asking a GPU would mean to wait for it.
    if library.on_host and math.isfinite(cells.sum()):
        return cells, True
    return library.module.where(library.module.isfinite(cells), cells, math.nan), False


def _mix(library: Library, lines: Array, cell: np.ndarray, weight: np.ndarray) -> Array:
    """Between two lines for each pixel of an axis: (n span, m) to (n size, m)."""
    pair = library.take(lines, library.host(cell.reshape(2, -1)))
    mixed, rise = pair[0], pair[1]
    rise -= mixed
    rise *= library.host(weight.reshape(-1, 1))
    mixed += rise
    return mixed


def _locate(library: Library, pixels: Array, low: Array, high: Array, share: Array) -> Array:
    """(n, L) the first of each row's pixels that is nearest to each percentile.

    That is one of the two order statistics about it, `low` and `high`: the nearer one, half-way between them either.
    """
    one = library.module.where(share <= 0.5, low, high)
    other = library.module.where(share >= 0.5, high, low)
    places = []
    for column in range(share.shape[1]):
        there = pixels == one[:, column, None]
        there |= pixels == other[:, column, None]
        places.append(library.first(there))
    return library.module.stack(places, 1)
