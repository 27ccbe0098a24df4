"""Depth at pixels of the frame from a smaller map, as bilinear upsampling with aligned corners would give it.

The full-size map is never made. Squares of pixels are interpolated axis by axis from the cells beneath them.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from .arrays import Array, Library


@lru_cache(maxsize=16)
def _rule(
    frame_size: tuple[int, int], map_size: tuple[int, int], beyond: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two cells of each pixel and the weight of the second, (X + Y,) each: all pixels of x, then all of y.

    Pixel p of `length` lies at cell p (cells - 1) / (length - 1). In integers, so that a pixel that lies on a cell
    takes that cell alone. The `beyond` pixels behind the frame repeat its last: a square may be larger than a frame.
    """
    lower, upper, weight = [], [], []
    for length, cells in zip(frame_size, map_size, strict=True):
        gaps = max(length - 1, 1)
        pixel = np.minimum(np.arange(length + beyond, dtype=np.int64), length - 1)
        cell, rest = np.divmod(pixel * (cells - 1), gaps)
        lower.append(cell)
        upper.append(cell + (rest > 0))
        weight.append((rest / gaps).astype(np.float32))
    return np.concatenate(lower), np.concatenate(upper), np.concatenate(weight)


def depth_at(library: Library, maps: Array, frame: np.ndarray, pixel: np.ndarray, frame_size: tuple[int, int]) -> Array:
    """Depth at single pixels.

    maps   (B, h, w)  float32; not finite where there is no depth
    frame  (N,)       int64, host array: which map
    pixel  (N, 2)     int64, host array: x y, inside the frame
    Returns (N,) float32, to the bit what `depth_of_squares` says of that pixel; NaN where there is none.
    """
    height, width = maps.shape[1:]
    lower, upper, weight = _rule(frame_size, (width, height), 0)
    x, y = pixel[:, 0], pixel[:, 1] + frame_size[0]
    columns = np.stack([lower.take(x), upper.take(x)])
    rows = np.stack([lower.take(y), upper.take(y)])
    found = library.take(maps.reshape(-1), library.host((frame * height + rows)[:, None] * width + columns))
    with np.errstate(invalid="ignore"):  # infinity less infinity
        found = found[0] + (found[1] - found[0]) * library.host(weight.take(y))
        found = found[0] + (found[1] - found[0]) * library.host(weight.take(x))
    return library.module.where(library.module.isfinite(found), found, math.nan)


def depth_of_squares(
    library: Library, maps: Array, frame: Array, first: Array, size: int, frame_size: tuple[int, int]
) -> tuple[Array, bool]:
    """Depth at the pixels of n squares of `size` pixels a side.

    maps   (B, h, w)  float32; not finite where there is no depth
    frame  (n,)       int64: which map
    first  (2, n)     int64, x and y of the square's first pixel, in the frame; pixels behind the frame repeat its last
    Returns (n size, size) float32, COLUMNS FIRST, NaN where there is none: where a cell that has any weight is not
    finite. And whether it is known that there is depth everywhere.
    """
    take, height, width = library.take, *maps.shape[1:]
    count, pixels = first.shape[1], library.arange(size)
    beyond = max(size - min(frame_size), 0)
    lower, upper, weight = (library.host(table) for table in _rule(frame_size, (width, height), beyond))
    x, y = first[0][:, None] + pixels, first[1][:, None] + (pixels + (frame_size[0] + beyond))
    spans, origins, places, weights = [], [], [], []
    for axis, pixel in enumerate((x, y)):
        cells = maps.shape[2 - axis]
        # As many as can be needed anywhere: to see how many are needed here, a GPU would have to be waited for.
        span = min(cells, (size - 1) * (cells - 1) // max(frame_size[axis] - 1, 1) + 3)
        low, high = take(lower, pixel), take(upper, pixel)
        origin = library.clip(low[:, 0], 0, cells - span)
        # Counted through the spans of all squares, one after the other.
        shift = (library.arange(count) * span - origin)[:, None]
        low += shift
        high += shift
        spans.append(span)
        origins.append(origin)
        places.append((low.reshape(-1), high.reshape(-1)))
        weights.append(take(weight, pixel).reshape(-1, 1))

    corner = ((frame * height + origins[1]) * width + origins[0])[:, None, None]
    offset = library.arange(spans[1])[:, None] * width + library.arange(spans[0])
    found = take(maps.reshape(-1), corner + offset)
    # A sum tells whether all are finite; asking a GPU would mean to wait for it.
    whole = library.on_host and math.isfinite(found.sum())
    if not whole:
        found = library.module.where(library.module.isfinite(found), found, math.nan)
    # Along y, then along x: picking whole rows of a matrix is what is fast, so that columns end up first.
    found = _mix(library, found.reshape(-1, spans[0]), places[1], weights[1])
    found = found.reshape(count, size, spans[0]).swapaxes(1, 2).reshape(-1, size)
    return _mix(library, found, places[0], weights[0]), whole


def _mix(library: Library, lines: Array, places: tuple[Array, Array], weight: Array) -> Array:
    """Between two of the lines, for each pixel along an axis."""
    mixed, rise = (library.take(lines, place) for place in places)
    rise -= mixed
    rise *= weight
    mixed += rise
    return mixed
