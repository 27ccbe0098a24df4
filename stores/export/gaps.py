"""Frames where something is missing: nobody was found, or there is no ground truth. Other formats know neither."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..reading.by_shard import ranges
from .files import Exported

TRUTH = "target/pose3d"
MISSING = {
    "split": "a sequence is split there, and each part is a sequence of its own",
    "longest": "only a sequence's longest part without such frames is kept",
    "leave-out": "a sequence with such frames is left out",
    "keep": "they stay: NaN for VideoPose3D, whose training becomes NaN; not visible for MMPose",
}


@dataclass(frozen=True)
class Parts:
    """What is left of sequences that lie one after another: P stretches of frames, in their order.

    sequence      (P,) int64: number of the sequence it is of
    first, last   (P,) int64: its frames [first, last)
    part          (P,) int64: 0 where its sequence has no other, else counted from 1
    """

    sequence: np.ndarray
    first: np.ndarray
    last: np.ndarray
    part: np.ndarray

    @property
    def columns(self) -> tuple[np.ndarray, ...]:
        """Return sequence, first, last, part."""
        return self.sequence, self.first, self.last, self.part

    @property
    def rows(self) -> np.ndarray:
        """Return (F,) int64: all their frames."""
        return ranges(self.first, self.last)

    def only(self, wanted: np.ndarray) -> Parts:
        """Return the parts that a mask (P,) selects."""
        return Parts(*(column[wanted] for column in self.columns))


def complete(values: np.ndarray) -> np.ndarray:
    """Return (F,) bool: the frames of (F, ...) in which every number is finite."""
    return np.asarray(np.isfinite(values).reshape(len(values), -1).all(axis=1))


def people_in(frames: dict[str, np.ndarray]) -> np.ndarray:
    """(F,) bool: somebody was found, in every joint."""
    return (frames["valid"] > 0) & complete(frames["keypoints"])


def say_interpolated(done: Exported, nobody: int, frames: int) -> None:
    if nobody:
        done.notes.append(f"{nobody} of {frames} frames have nobody in them and are interpolated")


def parts_with_truth(lengths: np.ndarray, known: np.ndarray, missing: str) -> Parts:
    """Cut sequences of these lengths into parts, where `known` (F,) bool says which frames have ground truth.

    missing   a key of MISSING
    """
    begins = np.cumsum(lengths) - lengths
    whole = Parts(np.arange(len(lengths)), begins, begins + lengths, np.zeros(len(lengths), dtype=np.int64))
    if missing == "keep" or known.all():
        return whole
    changes = np.diff(known, prepend=False)
    changes[begins] = True
    first = np.flatnonzero(changes)
    last = np.append(first[1:], len(known))
    first, last = first[known[first]], last[known[first]]
    sequence = np.searchsorted(begins, first, side="right") - 1
    if missing == "leave-out":
        wanted = last - first == lengths[sequence]
    elif missing == "longest":
        order = np.lexsort((first, first - last, sequence))  # of each sequence the longest first, then the earliest
        wanted = np.zeros(len(first), dtype=bool)
        wanted[order[np.flatnonzero(np.diff(sequence[order], prepend=-1))]] = True
    else:
        wanted = np.ones(len(first), dtype=bool)
    first, last, sequence = first[wanted], last[wanted], sequence[wanted]
    count = np.bincount(sequence, minlength=len(lengths))
    number = np.arange(len(first)) - np.searchsorted(sequence, sequence) + 1
    return Parts(sequence, first, last, np.where(count[sequence] > 1, number, 0))


def say_what_is_missing(
    done: Exported,
    ids: Sequence[Sequence[str]],
    lengths: np.ndarray,
    parts: Parts,
    known: np.ndarray,
    missing: str,
    frames: str = "frames",
) -> None:
    """Enter in `done` how many frames have no ground truth, and what became of their sequences.

    ids      of each sequence here, the ids that it has in the store
    frames   what a frame is called
    """
    lacking = int((~known).sum())
    if not lacking:
        return
    touched = np.add.reduceat(~known, np.cumsum(lengths) - lengths) > 0
    gone = np.ones(len(ids), dtype=bool)
    gone[parts.sequence] = False
    if missing == "keep":
        gone[:] = False
    kept, pieces = int((touched & ~gone).sum()), int(touched[parts.sequence].sum())
    what = {
        "split": f"they are left out, and {_sequences(kept)} split there into {pieces}",
        "longest": f"only the longest part without them is kept of {kept} sequences",
        "leave-out": f"{_sequences(int(gone.sum()))} left out",
        "keep": "they stay",
    }[missing]
    done.notes.append(f"{lacking} of {len(known)} {frames} have no ground truth: {what} (--missing {missing})")
    why = "it has frames without ground truth" if missing == "leave-out" else "it has no frame with ground truth"
    done.leave_out([id for number in np.flatnonzero(gone).tolist() for id in ids[number]], why)


def interpolate(keypoints: np.ndarray, known: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
    """Interpolate (F, ...) linearly in time where `known` (F,) bool is False; constant at the ends.

    lengths   of the sequences that lie one after another; without, it is one
    A sequence that is known nowhere stays as it is.
    """
    count = len(known)
    lengths = np.array([count]) if lengths is None else lengths
    stops = np.cumsum(lengths)
    frames = np.arange(count)
    before = np.maximum.accumulate(np.where(known, frames, -1))
    after = np.minimum.accumulate(np.where(known, frames, count)[::-1])[::-1]
    gaps = np.flatnonzero(~known)
    sequence = np.searchsorted(stops, gaps, side="right")
    before, after = before[gaps], after[gaps]
    left, right = before >= (stops - lengths)[sequence], after < stops[sequence]
    inside = left | right
    gaps, left, right = gaps[inside], left[inside], right[inside]
    before, after = before[inside], after[inside]
    before, after = np.where(left, before, after), np.where(right, after, before)
    share = (gaps - before) / np.maximum(after - before, 1)
    share = share.reshape(-1, *(1 for _ in keypoints.shape[1:]))
    filled = keypoints.copy()
    low, high = keypoints[before].astype(np.float64), keypoints[after].astype(np.float64)
    filled[gaps] = low + (high - low) * share
    return filled


def _sequences(count: int) -> str:
    return "1 sequence is" if count == 1 else f"{count} sequences are"
