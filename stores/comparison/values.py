"""Two arrays of values compared: how many differ, by how much, and where first. In one pass, whatever their length."""

from __future__ import annotations

import numpy as np

# The median is read off a histogram of the differences' own bits: 8 of exponent and 12 of mantissa, which orders them
# and makes the median good to one part in 4096.
_DROPPED_BITS = 11
_BINS = 1 << (32 - _DROPPED_BITS)


class Differences:
    """What differs between two arrays of one field, block by block.

    compared       values compared
    differ         of these, how many differ; NaN is equal to NaN
    only_one_nan   of these, how many are NaN on one side only: they have no difference in size
    largest        largest absolute difference of two finite values; 0.0 without one
    first          the first row that differs, in the order of the blocks; None without one
    """

    def __init__(self) -> None:
        self.compared = 0
        self.differ = 0
        self.only_one_nan = 0
        self.largest = 0.0
        self.first: tuple[int, int] | None = None
        self._histogram: np.ndarray | None = None

    def same(self, count: int) -> None:
        """So many values are known to be the same."""
        self.compared += count

    def add(self, ours: np.ndarray, theirs: np.ndarray, block: int) -> None:
        """Compare (rows, ...) arrays of equal shape. `block` is whatever names the rows: `first` is (block, row)."""
        self.compared += ours.size
        different = _different(ours, theirs)
        count = int(different.sum())
        if not count:
            return
        self.differ += count
        if self.first is None:
            rows = different.reshape(len(different), -1).any(axis=1)
            self.first = block, int(np.argmax(rows))
        here, there = ours[different].astype(np.float64), theirs[different].astype(np.float64)
        self.only_one_nan += int((np.isnan(here) != np.isnan(there)).sum())
        with np.errstate(invalid="ignore"):  # of two infinities
            sizes = np.abs(here - there)
        sizes = sizes[np.isfinite(sizes)]
        if len(sizes):
            self.largest = max(self.largest, float(sizes.max()))
            if self._histogram is None:
                self._histogram = np.zeros(_BINS, dtype=np.int64)
            bins = sizes.astype(np.float32).view(np.uint32) >> _DROPPED_BITS
            self._histogram += np.bincount(bins, minlength=_BINS)

    @property
    def share(self) -> float:
        """Of the values compared, how many differ."""
        return self.differ / self.compared if self.compared else 0.0

    @property
    def median(self) -> float | None:
        """The median absolute difference of those that differ, to three digits; None without one."""
        if self._histogram is None:
            return None
        below = np.cumsum(self._histogram)
        bin = int(np.searchsorted(below, (below[-1] + 1) // 2))
        middle = np.array((bin << _DROPPED_BITS) + (1 << (_DROPPED_BITS - 1)), dtype=np.uint32)
        return float(middle.view(np.float32))


def _different(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """(...) bool, NaN equal to NaN. Bits first: where all are equal nothing else is looked at."""
    if ours.dtype == theirs.dtype and ours.tobytes() == theirs.tobytes():
        return np.zeros(ours.shape, dtype=bool)
    different = ours != theirs
    if ours.dtype.kind == "f" or theirs.dtype.kind == "f":
        different &= ~(np.isnan(ours) & np.isnan(theirs))
    return different
