"""Find the frames a lifter can be trained and measured on: those with ground truth in which a person was found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...stores.errors import AugliftError, InvalidValueError
from ...stores.format.layout import STATISTICS
from ...stores.format.sequences import SequenceTable
from ...stores.reading.shardfile import ShardReader
from ...stores.reading.store import FeatureStore
from ...stores.reading.window_table import WindowShape, valid_frames
from ..metrics import ROOT

TARGET = "target/pose3d"


@dataclass(frozen=True)
class Truth:
    """Of a store, by frame.

    known    (frames,) bool  the truth has a pelvis, from which poses are measured, and another joint
    usable   (frames,) bool  and a person was found there
    In shards that are not finished nothing is known.
    """

    known: np.ndarray
    usable: np.ndarray


def truth_of(store: FeatureStore, joints: Sequence[int] | None = None) -> Truth:
    """Find the frames with usable ground truth; a finished store with all its truth is not read for it.

    joints   that count beside the pelvis; None: all
    """
    reader, done = ShardReader(store), store.finished()
    valid = valid_frames(reader, done)
    known = np.repeat(done, store.layout.shard_frames)[: store.frames]
    if not _complete(store):
        for shard in np.flatnonzero(done).tolist():
            low, high = store.layout.bounds(shard)
            pose = store.fields[TARGET].empty(high - low)
            reader.read(TARGET, low, high, pose)
            known[low:high] = countable(pose, joints)
    return Truth(known, known & valid)


def countable(pose: np.ndarray, joints: Sequence[int] | None = None) -> np.ndarray:
    """Return (F,) bool: whether a true pose (F, J, 3) has a finite pelvis and another finite joint, of `joints`.

    A pelvis alone says nothing: less itself it is 0, as in every prediction.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        finite = np.isfinite(pose - pose[:, ROOT, None])
    others = [joint for joint in (range(pose.shape[1]) if joints is None else joints) if joint != ROOT]
    return np.asarray(finite[:, others].all(axis=-1).any(axis=-1))


def check_truth(store: FeatureStore, table: SequenceTable, truth: Truth, purpose: str) -> None:
    """Raise InvalidValueError where none of these sequences has a frame to be trained or measured on.

    purpose   what a lifter cannot be on it: "trained", "measured"
    """
    usable, known = per_sequence(table, truth.usable), per_sequence(table, truth.known)
    if usable.any():
        return
    if known.any():
        found = f"of the {known.sum()} frames of {store.url} that have ground truth none shows a person who was found"
    elif store.status != "complete":
        found = f"{store.url} has no ground truth yet in the shards that are finished"
    else:
        found = f"{store.url} has no ground truth in any of the {table.frames} frames chosen: {TARGET} is NaN there"
    raise InvalidValueError(f"{found}; a lifter cannot be {purpose} on it: take a store, or a split, that has 3D")


def per_sequence(table: SequenceTable, frames: np.ndarray) -> np.ndarray:
    """Count (S,) int64: the frames of each sequence that are True; frames (frames of the store,) bool."""
    before = np.concatenate([[0], np.cumsum(frames, dtype=np.int64)])
    return before[table.starts + table.lengths] - before[table.starts]


def centres_near(store: FeatureStore, usable: np.ndarray, shape: WindowShape) -> np.ndarray:
    """Return (frames,) bool: the centres whose windows hold a usable frame, for a lifter that predicts every frame."""
    lengths = store.sequences.lengths
    start = np.repeat(store.sequences.starts, lengths)
    frame = np.arange(store.frames)
    before = np.concatenate([[0], np.cumsum(usable, dtype=np.int64)])
    first = np.maximum(frame - shape.left, start)
    last = np.minimum(frame + shape.right + 1, start + np.repeat(lengths, lengths))
    return before[last] > before[first]


def _complete(store: FeatureStore) -> bool:
    """Whether the store's statistics say that no number of the truth is missing."""
    if store.status != "complete":
        return False
    try:
        finite = json.loads(store.location.read(STATISTICS))[TARGET]["finite"]
    except (AugliftError, ValueError, KeyError, TypeError):
        return False
    return bool((np.asarray(finite) == store.frames).all())
