"""Percentiles of disks on a CPU: a compiled loop from disk to disk, each read row by row.

Sorting a disk would cost four times as much as reading it. An order statistic is found by counting instead, which
takes many values at a time: how many lie below a guess says on which side of it to guess again.

Compiled by numba when first called, for some seconds, and kept in a cache where one can be written (`compiled.py`).
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import torch
from numba import float32, float64, int32, int64, uint32, uint64

from .bilinear import rule
from .compiled import njit
from .disks import HUNDREDTHS, OWN_PIXEL, Disks, Queries

# Another thread for every so many pixels: fewer are done before it has begun.
THREAD_PIXELS = 65_536
# Where so few values are left, they are put in order; and where so many guesses did not get there.
FEW, GUESSES = 16, 10
# How far to each side of a rank a guess is made, as a share of the values that are left.
MARGIN = np.float32(0.1)
# Values looked at together, to pass over those where none is wanted.
BLOCK = uint64(32)
# Of a float32: all set where it is not finite; and from where on what is interpolated from it may not be.
_EXPONENT, _HUGE = np.int32(0x7F800000), np.int32(0x7E000000)


def percentiles_on_host(maps: np.ndarray, disks: Disks, frame_size: tuple[int, int], queries: Queries) -> np.ndarray:
    """`disks.disk_percentiles` of contiguous float32 maps, as one array (S, B, J, columns)."""
    (sets, batch, joints), (width, height) = disks.radius.shape, frame_size
    statistics = np.empty((sets, batch, joints, queries.columns), np.float32)
    cells = rule(frame_size, (maps.shape[2], maps.shape[1]), 0)
    arrays = queries.percentiles, queries.wanted, queries.located, queries.locate, queries.own
    given = maps, width, height, disks.centre, disks.radius, *arrays, *cells, queries.largest, statistics
    pixels = batch * joints * queries.pixels
    threads = min(torch.get_num_threads(), int(pixels / THREAD_PIXELS)) if pixels >= 2 * THREAD_PIXELS else 1
    others = [_pool(threads - 1, os.getpid()).submit(_all, first, threads, *given) for first in range(1, threads)]
    _all(0, threads, *given)
    for other in others:
        other.result()
    return statistics


@lru_cache(maxsize=4)
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Kept, as starting threads would cost a small batch more than they save; a forked process needs its own."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"disks-{process}")


@njit(nogil=True)
def _all(
    first,
    step,
    maps,
    width,
    height,
    centre,
    radius,
    percentiles,
    wanted,
    located,
    locate,
    own,
    lower,
    upper,
    weight,
    most_pixels,
    statistics,
):
    """The disks of every `step`-th point into `statistics`; none has more than `most_pixels`."""
    sets, batch, joints = radius.shape
    count = len(percentiles)
    # Room to work in, each apart: as rows of one array they would be taken to overlap, and no loop would treat many
    # values at a time. A block may be looked at that ends behind the last pixel.
    room = most_pixels + int64(BLOCK)
    pixels, finite, few = np.empty(room, np.float32), np.empty(room, np.float32), np.empty(room, np.float32)
    line = np.empty(maps.shape[2], np.float32)
    low, high, shares = np.empty((3, count), np.float32)
    for point in range(first, batch * joints, step):
        frame, joint = point // joints, point % joints
        statistics[:, frame, joint] = math.nan
        depth, x, y = maps[frame], centre[frame, joint, 0], centre[frame, joint, 1]
        for disk in range(sets):
            r = float64(radius[disk, frame, joint])
            if not _reaches(width, height, x, y, r):
                continue
            read, whole = _read(depth, width, height, x, y, r, lower, upper, weight, line, pixels)
            known, n = (pixels, read) if whole else _finite(pixels, read, finite)
            if n == 0:
                continue
            out = statistics[disk, frame, joint]
            least, most = _range(known, n)
            for q in range(count):
                if wanted[disk, q]:
                    rank, rest = divmod((n - 1) * percentiles[q], HUNDREDTHS)
                    shares[q] = rest / HUNDREDTHS
                    low[q], high[q] = _pair(known, n, rank, rank + (rest > 0), least, most, few)
                    out[q] = _plain(low[q] + (high[q] - low[q]) * shares[q])
            for place in range(len(located) if locate[disk] else 0):
                q = located[place]
                # The nearer one of the two; half-way between them, either.
                one = low[q] if shares[q] <= 0.5 else high[q]
                other = high[q] if shares[q] >= 0.5 else low[q]
                nth = 0
                while pixels[nth] != one and pixels[nth] != other:
                    nth += 1
                u, v = _pixel(nth, width, height, x, y, r)
                out[count + 2 * place] = u
                out[count + 2 * place + 1] = v
            if own[disk]:
                u, v = min(max(int(x), 0), width - 1), min(max(int(y), 0), height - 1)
                _read(depth, width, height, float(u), float(v), OWN_PIXEL, lower, upper, weight, line, pixels)
                out[len(out) - 1] = pixels[0] if math.isfinite(pixels[0]) else math.nan


@njit(nogil=True)
def _plain(value):
    """NaN comes with several bit patterns, that depend on how it came about; a store has one."""
    return float32(math.nan) if math.isnan(value) else value


@njit(nogil=True)
def _reaches(width, height, x, y, r):
    """Return whether a disk lies partly in the frame's rectangle; one at NaN does not."""
    across, along = x - min(max(x, 0.0), width - 1.0), y - min(max(y, 0.0), height - 1.0)
    return across * across + along * along <= r * r


@njit(nogil=True)
def _runs(width, height, x, y, r, v):
    """The pixels of row v that belong to the disk are a run: its first, and the one behind its last."""
    away = v - y
    rest = r * r - away * away
    if rest < 0:
        return 0, 0
    half_width = math.sqrt(rest)
    # A disk at 1e20 has missed the frame before.
    begin, end = max(math.ceil(x - half_width), 0), min(math.floor(x + half_width) + 1, width)
    return begin, max(begin, end)


@njit(nogil=True)
def _rows(height, y, r):
    """The rows that can hold pixels of the disk."""
    return max(math.floor(y - r), 0), min(math.ceil(y + r) + 1, height)


@njit(nogil=True)
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
            largest = max(largest, bits[cell] & _EXPONENT)
        left, right, shares = lower[begin:end], upper[begin:end], weight[begin:end]
        out = pixels[read : read + end - begin]
        for u in range(end - begin):
            value = line[uint32(left[u] - first)]
            out[u] = value + (line[uint32(right[u] - first)] - value) * shares[u]
        read += end - begin
    return read, largest < _HUGE


@njit(nogil=True)
def _pixel(nth, width, height, x, y, r):
    """Where the n-th pixel of a disk lies, in row-major order."""
    top, bottom = _rows(height, y, r)
    for v in range(top, bottom):
        begin, end = _runs(width, height, x, y, r, v)
        if nth < end - begin:
            return begin + nth, v
        nth -= end - begin
    return 0, 0


@njit(nogil=True)
def _finite(pixels, read, spare):
    """The finite ones of the first `read` pixels, in order, in `spare`, and how many."""
    n = 0
    for i in range(read):
        spare[n] = pixels[i]
        n += math.isfinite(pixels[i])
    return spare, n


@njit(nogil=True)
def _pair(known, n, rank, above, least, most, few):
    """Of the first n > 0 values: the order statistics `rank` and `above`, which is the same or the next.

    least, most  the outermost of the values
    few          room to work in
    """
    if above == 0:
        return least, least
    if rank == n - 1:
        return most, most
    m, below = _hem(known, n, rank, above, least, most, few)
    _put(few, 0, m, rank - below)
    if above > rank:
        _put(few, above - below, m, above - below)
    return few[rank - below], few[above - below]


@njit(nogil=True)
def _hem(known, n, rank, above, least, most, few):
    """The values about two ranks into `few`, in order; how many, and how many smaller ones there are.

    As if the values were spread evenly, a guess is made to each side of the ranks, until few values lie between
    the two. Some are spread so unevenly, or are so often the same, that this ends with many.
    """
    start, low, stop, high = 0, least, n, most
    for _ in range(GUESSES):
        if stop - start <= FEW:
            break
        step = (high - low) / float32(stop - start)
        middle, margin = float32(rank - start), float32(stop - start) * MARGIN
        one, other = low + step * (middle - margin), low + step * (middle + margin)
        for guess, smaller in zip((one, other), _smaller(known, n, one, other)):  # noqa: B905, numba has no `strict`
            if start < smaller <= rank:
                start, low = smaller, guess
            elif above < smaller < stop:
                stop, high = smaller, guess
    return _between(known, n, low, high, few), start


@njit(nogil=True)
def _smaller(values, n, one, other):
    """How many of the first n values are smaller than one, and than the other."""
    a = b = int32(0)
    for i in range(n):
        a = int32(a + (values[i] < one))
        b = int32(b + (values[i] < other))
    return int64(a), int64(b)


@njit(nogil=True)
def _between(values, n, low, high, found):
    """Those of the first n values from low to high, both included, in order; how many."""
    m = uint64(0)
    for start in range(uint64(0), uint64(n), BLOCK):
        # Without a branch for each, many at a time; most blocks have none. The last may go on behind the n-th value.
        some = int32(0)
        for i in range(start, start + BLOCK):
            some = int32(some + ((values[i] >= low) & (values[i] <= high)))
        if some > 0:
            for i in range(start, min(start + BLOCK, uint64(n))):
                found[m] = values[i]
                m += uint64((values[i] >= low) & (values[i] <= high))
    return int64(m)


@njit(nogil=True)
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


@njit(nogil=True)
def _range(values, n):
    """The least and the greatest of the first n > 0 values, none of them NaN.

    As whole numbers in the same order, of which many are compared at a time; floats would be one by one.
    """
    bits = values[:n].view(np.int32)
    least = most = _ordered(bits[0])
    for i in range(len(bits)):
        least, most = min(least, _ordered(bits[i])), max(most, _ordered(bits[i]))
    ends = np.array([_ordered(least), _ordered(most)], np.int32).view(np.float32)
    return ends[0], ends[1]


@njit(nogil=True)
def _ordered(bits):
    """A float32's bits as a whole number that grows with it, or back again: below zero, all but the sign are turned."""
    return int32(bits ^ ((bits >> 31) & int32(0x7FFFFFFF)))
