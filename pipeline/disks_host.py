"""Percentiles of disks on a CPU: a compiled loop from disk to disk, each read row by row and bucketed once.

Sorting a disk would cost four times as much as reading it. Its values are dealt out to buckets of equal width between
the least and the greatest instead, and an order statistic is looked for in its own bucket alone.

Compiled by numba when first called, for some seconds, and kept in a cache beside this file or, where that cannot be
written, in the user's own (NUMBA_CACHE_DIR).
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import torch
from numba import float32, int32, njit, uint32
from torch import Tensor

from .bilinear import rule
from .disks import Disks, most_pixels, ranks

# Another thread for every so many pixels: fewer are done before it has begun.
THREAD_PIXELS = 65_536
BUCKETS = 256
# Below this, dealing out costs more than it saves.
BUCKETED_PIXELS = 192
# Of a float32: all set where it is not finite; and from where on what is interpolated from it may not be.
_EXPONENT, _HUGE = np.int32(0x7F800000), np.int32(0x7E000000)
# No value is NaN where this is used, and the sign of a zero tells nothing: minima can be taken many at a time.
_PLAIN_NUMBERS = {"nnan", "nsz"}


def percentiles_on_host(
    maps: Tensor, disks: Disks, frame_size: tuple[int, int], percentiles: tuple[float, ...], columns: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """`disks.disk_percentiles`; `columns` are the percentiles whose positions are wanted."""
    total = len(disks.frame)
    values = np.full((total, len(percentiles)), math.nan, np.float32)
    positions = np.full((total, len(columns), 2), math.nan, np.float32)
    found = torch.from_numpy(values), torch.from_numpy(positions)
    rows = disks.inside(frame_size)
    if len(rows) == 0:
        return found
    most = most_pixels(int(disks.radius[rows].max() + 0.5))
    tables = (*rule(frame_size, (maps.shape[2], maps.shape[1]), 0), *ranks(most, percentiles))
    wanted = np.array(columns, dtype=np.int64)

    def work(some: np.ndarray) -> None:
        scratch = np.empty((3, most), np.float32), np.empty(most, np.int32), np.empty(maps.shape[2], np.float32)
        given = disks.frame, disks.centre, disks.radius, disks.locate
        _all(maps.numpy(), *frame_size, some, *given, *tables, wanted, *scratch, values, positions)

    pixels = 4 * float(np.square(disks.radius[rows]).sum())
    threads = max(1, min(torch.get_num_threads(), int(pixels / THREAD_PIXELS)))
    others = [_pool(threads - 1, os.getpid()).submit(work, rows[first::threads]) for first in range(1, threads)]
    work(rows[::threads])
    for other in others:
        other.result()
    return found


@lru_cache(maxsize=4)
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Kept, as starting threads would cost a small batch more than they save; a forked process needs its own."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"disks-{process}")


@njit(nogil=True, cache=True)
def _all(
    maps,
    width,
    height,
    rows,
    frame,
    centre,
    radius,
    locate,
    lower,
    upper,
    weight,
    ranks,
    shares,
    columns,
    scratch,
    buckets,
    line,
    values,
    positions,
):
    """Disks `rows` into `values` and `positions`; `scratch`, `buckets` and `line` are room to work in."""
    pixels, spare, ranked = scratch
    ends = np.zeros(BUCKETS, np.int32)
    count = shares.shape[1]
    low, high = np.empty(count, np.float32), np.empty(count, np.float32)
    for disk in rows:
        depth, x, y, r = maps[frame[disk]], centre[disk, 0], centre[disk, 1], radius[disk]
        read, whole = _read(depth, width, height, x, y, r, lower, upper, weight, line, pixels)
        known, n = (pixels, read) if whole else _finite(pixels, read, spare)
        if n == 0:
            continue
        _order_statistics(known, n, ranks[n], buckets, ends, ranked, low, high)
        for q in range(count):
            values[disk, q] = low[q] + (high[q] - low[q]) * shares[n, q]
        if locate[disk]:
            for place in range(len(columns)):
                q = columns[place]
                share = shares[n, q]
                # The nearer one of the two; half-way between them, either.
                one = low[q] if share <= 0.5 else high[q]
                other = high[q] if share >= 0.5 else low[q]
                nth = 0
                while pixels[nth] != one and pixels[nth] != other:
                    nth += 1
                u, v = _pixel(nth, width, height, x, y, r)
                positions[disk, place, 0] = u
                positions[disk, place, 1] = v


@njit(nogil=True, cache=True)
def _runs(width, height, x, y, r, v):
    """The pixels of row v that belong to the disk are a run: its first, and the one behind its last."""
    away = v - y
    rest = r * r - away * away
    if rest < 0:
        return 0, 0
    reach = math.sqrt(rest)
    # A disk at 1e20 has missed the frame before.
    begin, end = max(math.ceil(x - reach), 0), min(math.floor(x + reach) + 1, width)
    return begin, max(begin, end)


@njit(nogil=True, cache=True)
def _rows(height, y, r):
    """The rows that can hold pixels of the disk."""
    return max(math.floor(y - r), 0), min(math.ceil(y + r) + 1, height)


@njit(nogil=True, cache=True)
def _read(depth, width, height, x, y, r, lower, upper, weight, line, pixels):
    """Depth at the disk's pixels, in row-major order, into `pixels`; how many, and whether all are surely finite."""
    read, largest, bits = 0, int32(0), line.view(np.int32)
    top, bottom = _rows(height, y, r)
    for v in range(top, bottom):
        begin, end = _runs(width, height, x, y, r, v)
        if begin == end:
            continue
        # Along y, over the cells beneath the run; then along x.
        first, last = lower[begin], upper[end - 1] + 1
        above, below = depth[lower[width + v], first:last], depth[upper[width + v], first:last]
        share = weight[width + v]
        for cell in range(last - first):
            line[cell] = above[cell] + (below[cell] - above[cell]) * share
        for cell in range(last - first):
            largest = max(largest, bits[cell] & _EXPONENT)
        left, right, shares = lower[begin:end], upper[begin:end], weight[begin:end]
        out = pixels[read : read + end - begin]
        for u in range(end - begin):
            value = line[uint32(left[u] - first)]
            out[u] = value + (line[uint32(right[u] - first)] - value) * shares[u]
        read += end - begin
    return read, largest < _HUGE


@njit(nogil=True, cache=True)
def _pixel(nth, width, height, x, y, r):
    """Where the n-th pixel of a disk lies, in row-major order."""
    top, bottom = _rows(height, y, r)
    for v in range(top, bottom):
        begin, end = _runs(width, height, x, y, r, v)
        if nth < end - begin:
            return begin + nth, v
        nth -= end - begin
    return 0, 0


@njit(nogil=True, cache=True)
def _finite(pixels, read, spare):
    """The finite ones of the first `read` pixels, in order, in `spare`, and how many."""
    n = 0
    for i in range(read):
        spare[n] = pixels[i]
        n += math.isfinite(pixels[i])
    return spare, n


@njit(nogil=True, cache=True)
def _order_statistics(known, n, ranks, buckets, ends, ranked, low, high):
    """Of the first n > 0 values: the two order statistics about each percentile into `low` and `high`."""
    least, most = _range(known, n)
    width = most - least
    # Ranges so small or so large that no bucket has a width that is a number are searched as one.
    scale = float32(BUCKETS) / width if width > 0 else float32(0)
    bucketed = n >= BUCKETED_PIXELS and scale > 0 and math.isfinite(scale)
    if bucketed:
        _deal_out(known, n, least, scale, buckets, ends, ranked)
    else:
        ranked[:n] = known[:n]
    count = len(low)
    for q in range(count):
        for upper, found in ((False, low), (True, high)):
            rank = ranks[count + q] if upper else ranks[q]
            if upper and rank == ranks[q]:
                found[q] = low[q]
            elif rank == 0:
                found[q] = least
            elif rank == n - 1:
                found[q] = most
            else:
                first, last = 0, n
                if bucketed:
                    bucket = np.searchsorted(ends, rank, side="right")
                    first, last = ends[bucket - 1] if bucket > 0 else 0, ends[bucket]
                _put(ranked, first, last, rank)
                found[q] = ranked[rank]


@njit(nogil=True, cache=True)
def _deal_out(known, n, least, scale, buckets, ends, ranked):
    """n values into `ranked`, bucket after bucket; `ends`: where each ends."""
    values, bucket = known[:n], buckets[:n]
    for i in range(n):
        bucket[i] = min(int32((values[i] - least) * scale), int32(BUCKETS - 1))
    ends[:] = 0
    for i in range(n):
        ends[uint32(bucket[i])] += 1
    start = int32(0)
    for b in range(BUCKETS):
        start, ends[b] = start + ends[b], start
    for i in range(n):
        b = uint32(bucket[i])
        ranked[uint32(ends[b])] = values[i]
        ends[b] += 1


@njit(nogil=True, cache=True)
def _put(values, first, last, rank):
    """values[rank] becomes what it were if values[first:last] were sorted: smaller ones before it, larger behind.

    Hoare's selection about the median of three; without a branch that depends on a value, which would be guessed wrong
    every other time.
    """
    while last - first > 1:
        a, b, c = values[first], values[(first + last) // 2], values[last - 1]
        pivot = max(min(a, b), min(max(a, b), c))
        split = first
        for i in range(first, last):
            value = values[i]
            values[i] = values[split]
            values[split] = value
            split += value < pivot
        if rank < split:
            last = split
            continue
        for i in range(split, last):
            value = values[i]
            values[i] = values[split]
            values[split] = value
            split += value <= pivot
        if rank < split:  # among those that equal the pivot
            return
        first = split


@njit(nogil=True, cache=True, fastmath=_PLAIN_NUMBERS)
def _range(values, n):
    """The least and the greatest of the first n > 0 values."""
    least = most = values[0]
    for i in range(n):
        least, most = min(least, values[i]), max(most, values[i])
    return least, most
