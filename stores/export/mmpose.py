"""MMPose: annotations, detections and cameras for its Human36mDataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..format.sequences import SequenceTable
from ..format.skeleton import H36M_17
from ..reading.by_shard import read_frames
from ..reading.store import FeatureStore
from .files import Exported, Files, require_some
from .gaps import Parts, complete, parts_with_truth, say_what_is_missing
from .mmpose_names import image_stems
from .npz import dump, write_npz
from .options import Options

ANNOTATIONS, DETECTIONS, CAMERAS = "annotations_{}.npz", "detections_{}.npy", "cameras_{}.pkl"
TRUTH, DRAWN = "target/pose3d", "target/keypoints"


def write_mmpose(store: FeatureStore, sequences: SequenceTable, files: Files, options: Options) -> Exported:
    """Write annotations_<dataset>.npz for MMPose's Human36mDataset, and beside it the other files it takes.

    imgname   (N,) str           S1/S1_Eating.cam1/S1_Eating.cam1_000001.jpg; numbered by source frame, from 1
    center    (N, 2), scale (N,) float32   middle of the box, px; its longer side / 200
    part      (N, 17, 3) float32 x, y px, visible: the true 2D joints where the store has them, else the detected ones
    S         (N, 17, 4) float32 x, y, z metres in the camera's frame, visible; all zero without ground truth
    detections_<dataset>.npy   (N, 17, 3) float32 x, y px, score: for its option keypoint_2d_det_file
    cameras_<dataset>.pkl      {(subject, camera): ...} as `mmpose_names` says: for its option camera_param_file

    Frames without a person stay, so that windows do not jump: zeros, visible 0. Of the three only the cameras are a
    pickle, of plain arrays and numbers.
    """
    done = Exported()
    files.require_new(ANNOTATIONS, DETECTIONS, CAMERAS)
    wanted = ("keypoints", "score", "bbox", "valid", "source_frame", DRAWN, TRUTH)
    frames = read_frames(store, sequences, [name for name in wanted if name in store.fields])
    truth = frames.get(TRUTH)
    known = np.ones(len(frames["valid"]), dtype=bool) if truth is None else complete(truth)
    parts = parts_with_truth(sequences.lengths, known, options.missing)
    ids = [(id,) for id in sequences.table["id"].to_pylist()]
    say_what_is_missing(done, ids, sequences.lengths, parts, known, options.missing)
    require_some(len(parts.sequence), done, store)
    if len(parts.rows) < len(known):
        frames = {name: values[parts.rows] for name, values in frames.items()}
    stems, cameras = image_stems(sequences, parts)
    seen = frames["valid"] > 0
    done.frames = len(seen)
    _say(done, int((~seen).sum()), truth is not None, cameras)
    with files.new(ANNOTATIONS, done) as path:
        write_npz(path, _annotations(frames, seen, stems, parts))
    with files.new(DETECTIONS, done) as path, path.open("wb") as sink:
        detected = np.concatenate([frames["keypoints"], frames["score"][..., None]], axis=-1)
        detected[~seen] = 0
        np.save(sink, detected, allow_pickle=False)
    with files.new(CAMERAS, done) as path, path.open("wb") as sink:
        dump(cameras, sink)
    return done


def _say(done: Exported, nobody: int, has_truth: bool, cameras: Mapping[tuple[str, str], Mapping[str, Any]]) -> None:
    if nobody:
        done.notes.append(f"{nobody} of {done.frames} frames have nobody in them: visible 0")
    if not has_truth:
        done.notes.append("the store has no ground truth: S is zero and not visible, fit to predict from alone")
    uncalibrated = sum("f" not in camera for camera in cameras.values())
    if uncalibrated:
        done.notes.append(f"{uncalibrated} of {len(cameras)} cameras are not calibrated: they have a size, no f and c")


def _annotations(
    frames: Mapping[str, np.ndarray], seen: np.ndarray, stems: list[str], parts: Parts
) -> Iterator[tuple[str, np.ndarray]]:
    """Name and array of each entry, one after the other: together they are larger than the store."""
    of_part = np.repeat(np.arange(len(stems)), parts.last - parts.first).tolist()
    numbers = (frames["source_frame"] + 1).tolist()
    yield "imgname", np.array([f"{stems[part]}_{n:06d}.jpg" for part, n in zip(of_part, numbers, strict=True)])
    box = np.where(seen[:, None], frames["bbox"], 0)
    yield "center", (box[:, :2] + box[:, 2:4]) / 2
    yield "scale", (box[:, 2:4] - box[:, :2]).max(axis=1) / 200
    yield "part", _with_visibility(np.where(seen[:, None, None], frames.get(DRAWN, frames["keypoints"]), np.nan))
    yield "S", _with_visibility(frames.get(TRUTH, np.full((len(seen), len(H36M_17), 3), np.nan, "f4")))


def _with_visibility(points: np.ndarray) -> np.ndarray:
    """(T, J, D) to (T, J, D + 1): what is not finite is zero and not visible."""
    found = np.zeros((*points.shape[:-1], points.shape[-1] + 1), np.float32)
    seen = np.isfinite(points).all(axis=-1)
    found[..., :-1][seen] = points[seen]
    found[..., -1] = seen
    return found
