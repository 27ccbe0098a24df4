"""VideoPose3D's `-d custom`: a sequence is a video, to predict from."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...format.sequences import SequenceTable
from ...format.skeleton import H36M_17
from ...reading.by_shard import read_frames
from ...reading.store import FeatureStore
from ..files import Exported, Files, require_some, unique
from ..gaps import (
    TRUTH,
    Parts,
    complete,
    interpolate,
    parts_with_truth,
    people_in,
    say_interpolated,
    say_what_is_missing,
)
from ..npz import Pickled, write_npz
from ..options import Options

KEYPOINTS, POSES = "data_2d_custom_{}.npz", "data_3d_custom_{}.npz"
ACTION = "custom"  # the only one that its custom dataset knows


def write_custom(store: FeatureStore, sequences: SequenceTable, files: Files, options: Options) -> Exported:
    """Write data_2d_custom_<dataset>.npz and, where there is ground truth, data_3d_custom_<dataset>.npz.

    positions_2d   {sequence: {"custom": [(T, 17, 2) float32 px]}}: its custom dataset has one action and one camera a
                   subject, so every sequence is a subject of its own, and has a frame size of its own
    metadata       as `metadata` says, and video_metadata {sequence: {"w", "h"}} px
    positions_3d   the same nesting, (T, 17, 3) float32 metres in the camera's frame. Its own code reads none

    Its loader calls .item() on these entries: they are pickled dictionaries, which np.load reads with allow_pickle.
    """
    done = Exported()
    has_truth = TRUTH in store.fields
    files.require_new(KEYPOINTS, *([POSES] if has_truth else []))
    frames = read_frames(store, sequences, ["keypoints", "valid", *([TRUTH] if has_truth else [])])
    seen = people_in(frames)
    known = complete(frames[TRUTH]) if has_truth else np.ones(len(seen), dtype=bool)
    parts = parts_with_truth(sequences.lengths, known, options.missing)
    ids = sequences.table["id"].to_pylist()
    say_what_is_missing(done, [(id,) for id in ids], sequences.lengths, parts, known, options.missing)
    parts = _with_people(done, store, ids, sequences.lengths, parts, seen)
    keypoints = interpolate(frames["keypoints"], seen, sequences.lengths)
    names = _names(ids, parts)
    spans = list(zip(names, parts.first.tolist(), parts.last.tolist(), strict=True))
    width, height = (sequences.table[key].to_numpy()[parts.sequence].tolist() for key in ("width", "height"))
    about = metadata(video_metadata={n: {"w": w, "h": h} for n, w, h in zip(names, width, height, strict=True)})
    positions_2d = {name: {ACTION: [keypoints[first:last]]} for name, first, last in spans}
    with files.new(KEYPOINTS, done) as path:
        write_npz(path, [("positions_2d", Pickled(positions_2d)), ("metadata", Pickled(about))])
    if has_truth:
        positions_3d = {name: {ACTION: [frames[TRUTH][first:last]]} for name, first, last in spans}
        with files.new(POSES, done) as path:
            write_npz(path, [("positions_3d", Pickled(positions_3d))])
    done.frames = len(parts.rows)
    done.notes.append(
        f"for VideoPose3D's run.py -d custom -k {files.dataset}, which knows no ground truth: it predicts with a "
        "trained network (--evaluate, --render, --viz-export) and does not train"
    )
    return done


def metadata(**more: Any) -> dict[str, Any]:
    """Return what VideoPose3D's files of 2D joints say of them; its flip swaps the two lists of keypoints_symmetry."""
    left, right = zip(*H36M_17.left_right, strict=True)
    symmetry = [sorted(left), sorted(right)]
    return {"layout_name": "h36m", "num_joints": len(H36M_17), "keypoints_symmetry": symmetry, **more}


def _with_people(
    done: Exported, store: FeatureStore, ids: list[str], lengths: np.ndarray, parts: Parts, seen: np.ndarray
) -> Parts:
    """Return the parts whose sequence has a person in it; only frames between two with a person are interpolated."""
    some = np.add.reduceat(seen, np.cumsum(lengths) - lengths) > 0
    empty = np.unique(parts.sequence[~some[parts.sequence]])
    if len(empty):
        done.leave_out([ids[number] for number in empty], "nobody is found in it")
        parts = parts.only(some[parts.sequence])
    require_some(len(parts.sequence), done, store)
    rows = parts.rows
    say_interpolated(done, int((~seen[rows]).sum()), len(rows))
    return parts


def _names(ids: list[str], parts: Parts) -> list[str]:
    """The sequence's id, and the number of the part where there are several."""
    used = set(ids)
    return [
        unique(f"{ids[number]} part {part}", used) if part else ids[number]
        for number, part in zip(parts.sequence.tolist(), parts.part.tolist(), strict=True)
    ]
