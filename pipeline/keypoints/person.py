"""Which of the people in a frame is taken: a rule that looks at one frame alone, so that work can be cut anywhere."""

from __future__ import annotations

import numpy as np
import torch

from ..networks.detect import overlap
from .detections import Sequence

RULES = {
    "box": "the one whose box covers the true one best is taken",
    "joints": "the one whose joints have the highest mean confidence is taken",
    "score": "the one whose box has the highest score is taken",
    "size": "the largest is taken, as nobody has a confidence",
}


def rule_of(sequence: Sequence, true_boxes: bool) -> str:
    """A key of RULES. true_boxes: whether the true box is known; in a frame where it is not, the next rule holds."""
    if true_boxes:
        return "box"
    return "joints" if sequence.score is not None else "score" if sequence.box_score is not None else "size"


def choose(sequence: Sequence, frames: np.ndarray, boxes: np.ndarray | None) -> np.ndarray:
    """(n,) int64: the row of the person taken in each of these frames, as the file counts; -1 where nobody is.

    boxes   (n, 4) px, the true ones, NaN where not known; None: of no frame
    Of equals the first in the file is taken.
    """
    low, high = (np.searchsorted(sequence.frame, frames, side) for side in ("left", "right"))
    row = np.where(high > low, low, -1)
    for place in np.flatnonzero(high - low > 1):
        several = np.arange(low[place], high[place])
        true = None if boxes is None or not np.isfinite(boxes[place]).all() else boxes[place]
        row[place] = several[int(np.argmax(_merit(sequence, several, true)))]
    return row


def _merit(sequence: Sequence, rows: np.ndarray, true: np.ndarray | None) -> np.ndarray:
    spans = _spans(sequence, rows)
    rule = rule_of(sequence, true is not None)
    if rule == "box" and true is not None:
        return overlap(torch.from_numpy(spans), torch.from_numpy(true)).numpy()
    if rule == "joints" and sequence.score is not None:
        return np.nan_to_num(sequence.score[rows], nan=0.0).mean(axis=1)
    if rule == "score" and sequence.box_score is not None:
        return np.nan_to_num(sequence.box_score[rows], nan=-np.inf)
    return (spans[:, 2:] - spans[:, :2]).prod(axis=1)


def _spans(sequence: Sequence, rows: np.ndarray) -> np.ndarray:
    """(n, 4): the boxes of people, or what their joints span."""
    joints = sequence.keypoints[rows]
    span = np.concatenate([np.nanmin(joints, axis=1), np.nanmax(joints, axis=1)], axis=1)
    if sequence.box is None:
        return span
    return np.where(np.isfinite(sequence.box[rows]).all(axis=1, keepdims=True), sequence.box[rows], span)
