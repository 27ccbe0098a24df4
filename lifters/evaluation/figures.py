"""The figures of a store by any grouping, from sums of its errors by sequence and joint: frames are seen once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..metrics import ERRORS, MEASURES, errors

# Errors of pairs of joints take a kilobyte a frame, several times over: so many frames stay in the processor's cache.
FRAMES = 4096


@dataclass(frozen=True)
class Tally:
    """By measure, (S, K) float64 each: over a sequence's frames, the sum of what counts, and how many that were.

    K is the joints, and 1 for measures that are not of joints. frames (S,) int64: frames of each sequence.
    """

    total: Mapping[str, np.ndarray]
    count: Mapping[str, np.ndarray]
    frames: np.ndarray

    def overall(self) -> dict[str, float]:
        """Return each measure over everything; NaN where nothing counts."""
        return {name: float(_mean(self.total[name].sum(), self.count[name].sum())) for name in self.total}

    def by_sequence(self, group: np.ndarray, groups: int) -> list[dict[str, float]]:
        """Return each measure of groups of sequences; group (S,) int64 below `groups`."""
        columns = {
            name: _mean(*(np.bincount(group, of[name].sum(1), groups) for of in (self.total, self.count)))
            for name in self.total
        }
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def by_joint(self, joint: int) -> dict[str, float]:
        """Return each measure of each joint."""
        return {
            name: float(_mean(self.total[name][:, joint].sum(), self.count[name][:, joint].sum()))
            for name in self.total
            if self.total[name].shape[1] > 1
        }


def tally(
    pose: Tensor, target: Tensor, frame: np.ndarray, row: np.ndarray, sequences: int, joints: Sequence[int] | None
) -> Tally:
    """Sum up errors of predictions and truths (F, J, 3), m; frame (F,) ascending, row (F,) the sequence of each.

    joints   those that count; None: all. A step is one between neighbouring frames of a sequence.
    """
    with _one_thread():
        return _tally(pose, target, frame, row, sequences, joints)


def _tally(
    pose: Tensor, target: Tensor, frame: np.ndarray, row: np.ndarray, sequences: int, joints: Sequence[int] | None
) -> Tally:
    # Where frames are missing, another piece begins.
    gap = (np.diff(frame, prepend=frame[:1]) != 1) | (np.diff(row, prepend=row[:1]) != 0)
    piece = np.cumsum(gap)
    width = dict.fromkeys(ERRORS, pose.shape[1]) | {"ordinal": 1}
    total, count = ({name: np.zeros((sequences, width[m.of])) for name, m in MEASURES.items()} for _ in range(2))
    for start in range(0, len(frame), FRAMES):
        # The frame before the first one, for the step from it.
        before, stop = max(start - 1, 0), min(start + FRAMES, len(frame))
        here = slice(before, stop)
        found = errors(pose[here], target[here], joints=joints, sequence=piece[here])
        mine = row[start:stop]
        edges = np.flatnonzero(np.diff(mine, prepend=-1))
        for name, measure in MEASURES.items():
            values = measure.each(found[measure.of][start - before :]).numpy()
            counts = ~np.isnan(values)
            for to, what in ((total, np.where(counts, values, 0.0)), (count, counts)):
                if width[measure.of] == 1:
                    what = what.sum(1, keepdims=True)
                # A sequence that was begun in the frames before goes on here.
                to[name][mine[edges]] += np.add.reduceat(what, edges, axis=0, dtype=np.float64)
    return Tally(total, count, np.bincount(row, minlength=sequences))


@contextmanager
def _one_thread() -> Iterator[None]:
    """So few frames gain little from threads, and lose much to them where another process has a core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _mean(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count > 0, total / count, np.nan)
