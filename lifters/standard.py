"""Standardised inputs: each joint's channels by mean and deviation over a training set and its mirror images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..stores.errors import InvalidValueError
from ..stores.format.skeleton import H36M_17

LIMIT = 4.0  # deviations: what is farther off is cut to this
# Deviations under this are rounding: float32 channels are of the size of 1.
_CONSTANT = 1e-6
_FLIP = np.asarray(H36M_17.flip)

Table = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Statistics:
    """Of a training set together with its mirror images; (17, C) each, a row a joint, plain numbers for a checkpoint.

    mean        of what was measured
    deviation   0: the channel of this joint never changed; then it is 0 in standardised inputs
    """

    mean: Table
    deviation: Table

    @classmethod
    def of(cls, values: Any, mirrored: Sequence[bool]) -> Statistics:
        """Read what a checkpoint holds; InvalidValueError where it is not that of such channels.

        values     Statistics, or a mapping of both
        mirrored   by channel: whether a horizontal flip negates it
        """
        try:
            found = values if isinstance(values, Statistics) else cls(**{k: _table(v) for k, v in values.items()})
            mean, deviation = np.array(found.mean, np.float64), np.array(found.deviation, np.float64)
        except (TypeError, ValueError, AttributeError) as error:
            raise InvalidValueError(f"statistics of inputs cannot be read ({error}); train again") from error
        shape = (len(_FLIP), len(mirrored))
        if mean.shape != shape or deviation.shape != shape:
            raise InvalidValueError(
                f"statistics of {mean.shape} and {deviation.shape} numbers: these inputs have {shape}, joints and "
                "channels; take those of a training on these inputs"
            )
        sign = np.where(mirrored, -1.0, 1.0)
        if not np.isfinite([mean, deviation]).all() or (deviation < 0).any():
            raise InvalidValueError("statistics of inputs hold NaN, infinity or a negative deviation; train again")
        if (mean[_FLIP] * sign != mean).any() or (deviation[_FLIP] != deviation).any():
            raise InvalidValueError(
                "statistics of inputs that differ for mirror images: a flip would change what they mean; train again"
            )
        return found

    def with_columns(self, theirs: Statistics, places: Sequence[int]) -> Statistics:
        """Take another's channels, in their order, for those at `places`."""
        mean, deviation = (
            _table(_put(np.array(ours), np.array(others), places))
            for ours, others in ((self.mean, theirs.mean), (self.deviation, theirs.deviation))
        )
        return Statistics(mean, deviation)

    def constant(self) -> list[int]:
        """Return the channels that never change, at any joint."""
        return np.flatnonzero((np.array(self.deviation) == 0).all(axis=0)).tolist()


def standardise(columns: Sequence[Tensor], missing: Sequence[float], statistics: Statistics, out: Tensor) -> None:
    """Write channels (B, T, 17), NaN where not measured, into the first of `out` (B, T, 17, C or more).

    missing   what stands for that, by channel, before it is standardised. 0 is then the mean: nothing is known. -1 of a
              confidence is as far below as it was, and cut like any other number
    """
    mean, scale = _tensors(statistics, columns[0].device)
    for index, (column, constant, place) in enumerate(zip(columns, missing, out.unbind(-1), strict=False)):
        known = column if constant == 0 else column.nan_to_num(constant, constant, constant)
        place.copy_(((known - mean[index]) * scale[index]).clamp_(-LIMIT, LIMIT).nan_to_num_(0.0))


@lru_cache(maxsize=32)
def _tensors(statistics: Statistics, device: torch.device) -> tuple[Tensor, Tensor]:
    """(C, 17) float32 each: the mean, and one by the deviation, 0 where that is."""
    deviation = np.array(statistics.deviation)
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0)
    return tuple(torch.from_numpy(part.T.astype(np.float32)).to(device) for part in (np.array(statistics.mean), scale))  # type: ignore[return-value]


class Moments:
    """Counts, means and sums of squares of channels, as batches come in; float64, a function of their order alone."""

    def __init__(self, channels: int):
        self._count, self._mean, self._square = (np.zeros((len(_FLIP), channels)) for _ in range(3))

    def add(self, values: Tensor, mask: Tensor) -> None:
        """Count the measured (mask) of values (..., 17, C)."""
        x = values.reshape(-1, *values.shape[-2:]).cpu().numpy().astype(np.float64)
        known = mask.reshape(x.shape).cpu().numpy()
        count = known.sum(axis=0).astype(np.float64)
        mean = np.divide(np.where(known, x, 0).sum(axis=0), count, out=np.zeros_like(count), where=count > 0)
        square = np.square(np.where(known, x - mean, 0)).sum(axis=0)
        self._count, self._mean, self._square = _together(
            (self._count, self._mean, self._square), (count, mean, square)
        )

    def statistics(self, mirrored: Sequence[bool]) -> Statistics:
        """Return those of all that was added, with its mirror images, exactly the same for both.

        InvalidValueError where nothing was measured, or nothing ever changed.
        """
        if not self._count.any():
            raise InvalidValueError("@standard: no frame to train on has a person; take other sequences")
        sign = np.where(mirrored, -1.0, 1.0)
        images = self._count[_FLIP], self._mean[_FLIP] * sign, self._square[_FLIP]
        count, mean, square = _together((self._count, self._mean, self._square), images)
        deviation = np.sqrt(np.divide(square, count, out=np.zeros_like(count), where=count > 0))
        deviation[deviation < _CONSTANT] = 0
        if not deviation.any():
            raise InvalidValueError(
                "@standard: every channel of every joint is the same in all frames to train on; take more frames"
            )
        return Statistics(_table(mean + 0.0), _table(deviation))


Parts = tuple[np.ndarray, np.ndarray, np.ndarray]


def _together(one: Parts, other: Parts) -> Parts:
    """Counts, means and sums of squares about the mean of two sets as one (Chan 1979). The same either way round."""
    (n, mean, square), (m, mean_too, square_too) = one, other
    count = n + m
    share = np.divide(1.0, count, out=np.zeros_like(count), where=count > 0)
    between = np.square(mean - mean_too) * (n * m * share)
    return count, (n * mean + m * mean_too) * share, (square + square_too) + between


def _put(ours: np.ndarray, theirs: np.ndarray, places: Sequence[int]) -> np.ndarray:
    ours[:, list(places)] = theirs
    return ours


def _table(values: Iterable[Iterable[float]]) -> Table:
    return tuple(tuple(float(value) for value in row) for row in values)


def plain(statistics: Statistics) -> Mapping[str, list[list[float]]]:
    """Return what JSON has in its place."""
    return {"mean": [list(row) for row in statistics.mean], "deviation": [list(row) for row in statistics.deviation]}
