"""Exact percentiles of bilinearly sampled depth in disks about points: every pixel of the disk, no full-size map.

What makes it fast: disks of like radius are treated together, as squares of pixels that lie inside the frame; a pixel
outside the disk gets depth infinity, sorts to the end and is not counted. Bounds of disks are worked out in float64.

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
from .bilinear import depth_of_squares

# Pixels treated at once, which bounds memory: on a CPU what a core's cache holds, on a GPU what keeps it busy.
CHUNK_PIXELS_HOST = 98_304
CHUNK_PIXELS_GPU = 4_194_304
# Starting another chunk costs about as much as treating this many pixels more.
CHUNK_COST_PIXELS = 20_000
# One disk is the least that is treated at once, so that larger ones would break the bound on memory.
MAX_RADIUS = 256.0

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

    def take(self, rows: np.ndarray) -> Disks:
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

    call = _Call(library, maps, frame_size, ranks, shares, columns)
    frame, centre, radius = (library.host(part) for part in (disks.frame, disks.centre.T.copy(), disks.radius))

    def work(chunks: Sequence[slice]) -> list[tuple[Array, Array, Array | None]]:
        with np.errstate(invalid="ignore"):  # infinity less infinity, in a disk without any depth
            return [
                _chunk(call, frame[part], centre[:, part], radius[part], disks.locate[part], int(half[part.start]))
                for part in chunks
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


@lru_cache(maxsize=64)
def _outside(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `size` pixels, (size + 1, size): infinity before the i-th pixel and 0 from it on; and the reverse."""
    before = np.where(np.arange(size) < np.arange(size + 1)[:, None], np.float32(math.inf), np.float32(0))
    return before, np.where(before == 0, np.float32(math.inf), np.float32(0))


@dataclass(frozen=True)
class _Call:
    """What the chunks of a call share; `columns` are those percentiles whose positions are wanted."""

    library: Library
    maps: Array
    frame_size: tuple[int, int]
    ranks: Array
    shares: Array
    columns: list[int]


def _chunk(
    call: _Call, frame: Array, centre: Array, radius: Array, locate: np.ndarray, half: int
) -> tuple[Array, Array, Array | None]:
    """Of n disks: the order statistics about each percentile (n, 2 Q), the share of the upper (n, Q), and positions.

    frame (n,), centre (2, n), radius (n,), and whether positions are wanted (n,), a host array, as in `Disks`.
    """
    library, frame_size, columns = call.library, call.frame_size, call.columns
    xp, host, take = library.module, library.host, library.take
    count, size = len(frame), 2 * half + 1
    # The first pixel of each square, (2, n): the squares are moved into the frame where they can be.
    first = xp.floor(centre + 0.5) - half
    first = xp.stack([library.clip(first[axis], 0, max(frame_size[axis] - size, 0)) for axis in (0, 1)])
    pixels, whole = depth_of_squares(library, call.maps, frame, library.integer(first), size, frame_size)
    begin, end = _runs(library, centre, radius, first, size, frame_size)
    before, behind = _outside(size)
    pixels += take(host(before), begin.reshape(-1))
    pixels += take(host(behind), end.reshape(-1))
    pixels = pixels.reshape(count, size * size)
    if not whole:
        pixels = xp.nan_to_num(pixels, nan=math.inf, posinf=math.inf, neginf=math.inf)

    wanted = np.flatnonzero(locate) if columns else np.zeros(0, np.int64)
    kept = take(pixels, host(wanted)).reshape(-1, size, size).swapaxes(1, 2) if len(wanted) else None
    ranked = library.sort(pixels)
    known = (end - begin).sum(1) if whole else library.finite(ranked)
    place = take(call.ranks, known)
    place += library.arange(count)[:, None] * (size * size)
    pairs, share = take(ranked.reshape(-1), place), take(call.shares, known)
    if kept is None:
        return pairs, share, None
    rows = host(wanted)
    near, both = take(share, rows)[:, columns], take(pairs, rows)
    low, high = (both[:, [start + column for column in columns]] for start in (0, share.shape[1]))
    place = _locate(library, kept.reshape(-1, size * size), low, high, near)
    left, top = take(first[0], rows)[:, None], take(first[1], rows)[:, None]
    xy = library.single(xp.stack([left + place % size, top + place // size], -1))
    return pairs, share, xy + near[:, :, None] * 0


def _runs(
    library: Library, centre: Array, radius: Array, first: Array, size: int, frame_size: tuple[int, int]
) -> tuple[Array, Array]:
    """The pixels of each disk in a column of its square are a run: where it begins and ends, (n, size) rows each."""
    xp = library.module
    away = library.arange(size) - (centre[0] - first[0])[:, None]
    rest = (radius * radius)[:, None] - away * away
    if frame_size[0] < size:
        rest = xp.where(library.arange(size) >= frame_size[0], -1.0, rest)
    # Negative where a column misses the disk: such a run ends before it begins.
    reach = xp.copysign(xp.sqrt(abs(rest)), rest)
    middle, most = (centre[1] - first[1])[:, None], min(size, frame_size[1])
    begin = library.integer(library.clip(xp.ceil(middle - reach), 0, most))
    end = library.integer(library.clip(xp.floor(middle + reach) + 1, 0, most))
    return begin, xp.maximum(begin, end)


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
