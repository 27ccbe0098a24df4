"""Predict every frame of a store, and put together what is of one clip: the people whom one camera sees at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ...stores.errors import InvalidValueError
from ...stores.format.schema import FIELDS
from ...stores.format.sequences import Sequence as SequenceRow
from ...stores.format.sequences import SequenceTable
from ...stores.reading.store import FeatureStore
from ..data.batches import require_inputs
from ..data.holdout import only
from ..evaluation.evaluate import predictions
from ..training.checkpoint import Run
from ..training.setup import device_of
from .poses import ClipPoses

FPS = 25.0  # of a source that does not say


@dataclass(frozen=True)
class LiftedClip:
    """The poses of one source's people; `rows` are their sequences, in the same order."""

    rows: tuple[SequenceRow, ...]
    poses: ClipPoses
    notes: tuple[str, ...] = ()


def choose_sequences(store: FeatureStore, ids: Sequence[str]) -> SequenceTable:
    """Return the sequences of these ids, all without ids; InvalidValueError for one that is not there."""
    if not ids:
        return store.sequences
    there = {row.id for row in store.sequences}
    lacking = [id for id in ids if id not in there]
    if lacking:
        some = ", ".join(sorted(there)[:4])
        raise InvalidValueError(f"{store.url} has no sequence '{lacking[0]}'; it has {some}{' ...' * (len(there) > 4)}")
    return SequenceTable(store.sequences.table.filter(only(list(ids))))


def lift(
    run: Run,
    store: FeatureStore,
    rows: SequenceTable | None = None,
    device: str = "cpu",
    flip: bool | None = None,
    batch: int = 1024,
    progress: Callable[[str, int, int], None] = lambda store, done, of: None,
) -> list[LiftedClip]:
    """Predict every frame of these sequences, by clip: sequences of one source with the same frames go together.

    flip   average with the mirror image's prediction; None: as the lifter was trained
    Raises MissingFieldError where the store lacks the lifter's inputs, InvalidValueError where it means something else
    by them or nobody was found in it.
    """
    rows = store.sequences if rows is None else rows
    require_inputs(store, run.inputs)
    run.check_store(store)
    if not any(store.read("valid", row.start, row.stop).any() for row in rows):
        raise InvalidValueError(
            f"nobody was found in any of the {rows.frames} frames of {store.url}: look at the clip, or try another "
            "--detector"
        )
    flip = run.setup.hyperparameters.training.flip if flip is None else flip
    where = device_of(device)
    found = predictions(run.model(where), store, run.inputs, "", flip, batch, None, where, progress, rows)
    pose = FIELDS["target/pose3d"].empty(store.frames)
    pose[found.frame] = found.pose.numpy()
    pose[store.read("valid") == 0] = np.nan
    pose -= pose[:, :1]
    values = {name: store.read(name) for name in ("keypoints", "score", "source_frame")}
    clips = []
    for people in _together(store, rows):
        parts = [slice(row.start, row.stop) for row in people]
        fps, notes = people[0].fps, ()
        if not (math.isfinite(fps) and fps > 0):
            fps, notes = FPS, (f"{people[0].source} has no frame rate: {FPS:g} frames a second are written",)
        poses = ClipPoses(
            tuple(f"person-{number + 1}" for number in range(len(people))),
            np.stack([pose[part] for part in parts]),
            np.stack([values["keypoints"][part] for part in parts]),
            np.stack([values["score"][part] for part in parts]),
            values["source_frame"][parts[0]].astype(np.int64),
            float(fps),
        )
        clips.append(LiftedClip(tuple(people), poses, notes))
    return clips


def _together(store: FeatureStore, rows: SequenceTable) -> list[list[SequenceRow]]:
    """Sequences of the same frames of the same source, in the store's order."""
    groups: dict[tuple[str, str, bytes], list[SequenceRow]] = {}
    for row in rows:
        frames = store.read("source_frame", row.start, row.stop).tobytes()
        groups.setdefault((row.source, row.camera, frames), []).append(row)
    return list(groups.values())
