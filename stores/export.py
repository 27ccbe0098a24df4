"""Other people's formats: VideoPose3D's npz, MMPose's annotation npz, plain Parquet.

What a format cannot say is said here: VideoPose3D has no notion of a frame without a person, so such frames are filled
by linear interpolation, as its own converters do; MMPose marks them as not visible; Parquet keeps `valid` and NaN.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .errors import AugliftError, InvalidValueError, StoreWriteError
from .location import PARTIAL
from .sequences import Sequence, SequenceTable
from .skeleton import H36M_17
from .store import FeatureStore

PARQUET_FRAMES = 8192


@dataclass
class Exported:
    """What was written: files, frames, and a line for each thing that the format could not take as it is."""

    paths: list[Path] = field(default_factory=list)
    frames: int = 0
    notes: list[str] = field(default_factory=list)


def export(
    store: FeatureStore,
    format: str,
    folder: str | Path,
    sequences: SequenceTable | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write some of a store's sequences (default: all) into a folder, in a format of FORMATS.

    Raises InvalidValueError for an unknown format or a file that is there already, StoreWriteError where the folder
    cannot be written, and what `FeatureStore.read` raises.
    """
    if format not in FORMATS:
        raise InvalidValueError(f"no export format '{format}'; there are {', '.join(FORMATS)}")
    name = re.sub(r"[^\w-]+", "-", str(store.attributes.get("dataset") or "video"))
    return FORMATS[format].write(store, sequences or store.sequences, _Files(Path(folder), name, overwrite))


# --- VideoPose3D


def videopose3d(store: FeatureStore, sequences: SequenceTable, files: _Files) -> Exported:
    """data_2d_<dataset>_auglift.npz and, where there is ground truth, data_3d_<dataset>_auglift.npz.

    positions_2d   {subject: {action: [(T, 17, 2) float32 px, by camera]}}; of videos without a subject, {id: {"custom":
                   [...]}}, as its custom dataset wants it
    metadata       layout_name, num_joints, keypoints_symmetry (left, right), video_metadata {subject: {"w", "h"}}, and
                   cameras {subject: {action: [names]}}, which is ours
    positions_3d   the same nesting, (T, 17, 3) float32 metres in each camera's frame: its world_to_camera is done

    Its loader calls .item() on these entries: they are pickled dictionaries, which np.load reads with allow_pickle.
    """
    with_truth = "target/pose3d" in store.fields
    done, interpolated = Exported(), 0
    positions_2d: dict[str, Any] = {}
    positions_3d: dict[str, Any] = {}
    cameras: dict[str, Any] = {}
    sizes: dict[str, Any] = {}
    for row in sequences:
        keypoints = store.read("keypoints", row.start, row.stop)
        known = store.read("valid", row.start, row.stop) > 0
        if not known.any():
            done.notes.append(f"{row.id} is left out: nobody is found in any of its frames")
            continue
        subject, action = (row.subject, row.action or "custom") if row.subject else (row.id, "custom")
        interpolated += int((~known).sum())
        _append(positions_2d, subject, action, interpolate(keypoints, known))
        _append(cameras, subject, action, row.camera or row.id)
        sizes.setdefault(subject, {"w": row.width, "h": row.height})
        if with_truth:
            _append(positions_3d, subject, action, store.read("target/pose3d", row.start, row.stop))
        done.frames += row.length
    if not positions_2d:
        raise InvalidValueError(f"nobody is found in these sequences of {store.url}: there is nothing to write")
    if interpolated:
        done.notes.append(f"{interpolated} of {done.frames} frames have nobody in them and are interpolated")
    left, right = zip(*H36M_17.left_right, strict=True)
    metadata = {
        "layout_name": "h36m",
        "num_joints": len(H36M_17),
        "keypoints_symmetry": [sorted(left), sorted(right)],
        "video_metadata": sizes,
        "cameras": cameras,
    }
    with files.new("data_2d_{}_auglift.npz", done) as path, path.open("wb") as sink:
        np.savez_compressed(sink, positions_2d=np.array(positions_2d, object), metadata=np.array(metadata, object))
    if with_truth:
        with files.new("data_3d_{}_auglift.npz", done) as path, path.open("wb") as sink:
            np.savez_compressed(sink, positions_3d=np.array(positions_3d, object))
    return done


def interpolate(keypoints: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(T, J, D) with frames that are not known, (T,) bool, linear between those that are, and constant at the ends."""
    frames = np.arange(len(keypoints))
    flat = keypoints.reshape(len(keypoints), -1)
    columns = [np.interp(frames, frames[known], column) for column in flat[known].T]
    return np.stack(columns, axis=1).reshape(keypoints.shape).astype(keypoints.dtype)


def _append(nested: dict[str, Any], subject: str, action: str, value: Any) -> None:
    nested.setdefault(subject, {}).setdefault(action, []).append(value)


# --- MMPose


def mmpose(store: FeatureStore, sequences: SequenceTable, files: _Files) -> Exported:
    """annotations_<dataset>.npz as MMPose's Human36mDataset reads it, and detections_<dataset>.npy beside it.

    imgname   (N,) str           S1/S1_Eating.cam1/S1_Eating.cam1_000001.jpg; numbered by source frame, from 1
    center    (N, 2), scale (N,) float32   middle of the box, px; its longer side / 200
    part      (N, 17, 3) float32 x, y px, visible: the true 2D joints where the store has them, else the detected ones
    S         (N, 17, 4) float32 x, y, z metres in the camera's frame, visible; all zero without ground truth
    detections_<dataset>.npy   (N, 17, 3) float32 x, y px, score: for its option keypoint_2d_det_file

    No pickle is in it. Frames without a person stay, so that windows do not jump: zeros, visible 0.
    """
    done, nobody = Exported(), 0
    columns: dict[str, list[np.ndarray]] = {
        key: [] for key in ("imgname", "center", "scale", "part", "S", "detections")
    }
    for row, stem in zip(sequences, _image_stems(sequences), strict=True):
        span = (row.start, row.stop)
        known = store.read("valid", *span) > 0
        detected, score = store.read("keypoints", *span), store.read("score", *span)
        drawn = store.read("target/keypoints", *span) if "target/keypoints" in store.fields else detected
        has_3d = "target/pose3d" in store.fields
        truth = store.read("target/pose3d", *span) if has_3d else np.full((row.length, len(H36M_17), 3), np.nan, "f4")
        box = np.where(known[:, None], store.read("bbox", *span), 0)
        numbers = store.read("source_frame", *span) + 1
        columns["imgname"].append(np.array([f"{stem}_{number:06d}.jpg" for number in numbers]))
        columns["center"].append((box[:, :2] + box[:, 2:4]) / 2)
        columns["scale"].append((box[:, 2:4] - box[:, :2]).max(axis=1) / 200)
        columns["part"].append(_with_visibility(np.where(known[:, None, None], drawn, np.nan)))
        columns["S"].append(_with_visibility(truth))
        columns["detections"].append(
            np.where(known[:, None, None], np.concatenate([detected, score[..., None]], axis=-1), 0)
        )
        done.frames += row.length
        nobody += int((~known).sum())
    if nobody:
        done.notes.append(f"{nobody} of {done.frames} frames have nobody in them: visible 0")
    whole = {key: np.concatenate(parts) for key, parts in columns.items()}
    center, scale = whole["center"].astype(np.float32), whole["scale"].astype(np.float32)
    with files.new("annotations_{}.npz", done) as path, path.open("wb") as sink:
        np.savez_compressed(
            sink, imgname=whole["imgname"], center=center, scale=scale, part=whole["part"], S=whole["S"]
        )
    with files.new("detections_{}.npy", done) as path, path.open("wb") as sink:
        np.save(sink, whole["detections"].astype(np.float32), allow_pickle=False)
    return done


def _with_visibility(points: np.ndarray) -> np.ndarray:
    """(T, J, D) to (T, J, D + 1): what is not finite is zero and not visible."""
    seen = np.isfinite(points).all(axis=-1, keepdims=True)
    return np.concatenate([np.where(seen, points, 0), seen], axis=-1).astype(np.float32)


def _image_stems(sequences: SequenceTable) -> Iterator[str]:
    """Paths of images as Human3.6M's are called: MMPose cuts subject, action and camera out of the file's name."""
    used: set[str] = set()
    for row in sequences:
        subject = re.sub(r"[^A-Za-z0-9-]+", "-", row.subject or row.id)
        action = re.sub(r"[^A-Za-z0-9-]+", "_", row.action or "video")
        camera = re.sub(r"[^A-Za-z0-9-]+", "-", row.camera or "0")
        name, copy = f"{subject}_{action}.{camera}", 2
        while name in used:
            name, copy = f"{subject}_{action}-{copy}.{camera}", copy + 1
        used.add(name)
        yield f"{subject}/{name}/{name}"


# --- Parquet


def parquet(store: FeatureStore, sequences: SequenceTable, files: _Files) -> Exported:
    """frames_<dataset>.parquet, a row a frame, and sequences_<dataset>.parquet, the table of sequences.

    sequence, frame   the sequence's id, and the frame's index inside it
    a column a field  nested lists of fixed size, [joint][component]; the column's metadata has unit, meaning and the
                      names of the components. Learned features are left out: a store is the better place for them
    """
    done = Exported()
    specs = [spec for spec in store.fields.values() if not spec.wide]
    columns = [pa.field("sequence", pa.string()), pa.field("frame", pa.int64())]
    for spec in specs:
        kind: pa.DataType = pa.from_numpy_dtype(np.dtype(spec.dtype))
        for length in reversed(spec.shape):
            kind = pa.list_(kind, length)
        about = {"unit": spec.unit, "meaning": spec.meaning, "components": ", ".join(spec.components)}
        columns.append(pa.field(spec.name, kind, metadata={k: v for k, v in about.items() if v}))
    schema = pa.schema(columns, metadata={"skeleton": H36M_17.name, "joints": ", ".join(H36M_17.joints)})
    with files.new("frames_{}.parquet", done) as path, pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for row in sequences:
            for start in range(row.start, row.stop, PARQUET_FRAMES):
                writer.write_table(_frames_table(store, schema, row, start, min(start + PARQUET_FRAMES, row.stop)))
            done.frames += row.length
    with files.new("sequences_{}.parquet", done) as path:
        path.write_bytes(sequences.to_parquet())
    return done


def _frames_table(store: FeatureStore, schema: pa.Schema, row: Sequence, start: int, stop: int) -> pa.Table:
    arrays: list[Any] = [pa.array([row.id] * (stop - start)), pa.array(np.arange(start, stop) - row.start)]
    for column in list(schema)[2:]:
        values = store.read(column.name, start, stop)
        array: pa.Array = pa.array(values.ravel())
        for length in reversed(values.shape[1:]):
            array = pa.FixedSizeListArray.from_arrays(array, length)
        arrays.append(array)
    return pa.Table.from_arrays(arrays, schema=schema)


# --- what all formats share


@dataclass(frozen=True)
class _Files:
    """Where an export puts its files: whole, under their own names, or not at all."""

    folder: Path
    dataset: str
    overwrite: bool

    @contextmanager
    def new(self, pattern: str, done: Exported) -> Iterator[Path]:
        path = self.folder / pattern.format(self.dataset)
        if path.exists() and not self.overwrite:
            raise InvalidValueError(f"{path} is there already; choose another --out, or --force to replace it")
        temporary = path.with_name(path.name + PARTIAL)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
        except AugliftError:
            temporary.unlink(missing_ok=True)
            raise
        except OSError as error:
            if temporary.parent.is_dir():
                temporary.unlink(missing_ok=True)
            raise StoreWriteError(
                f"{path} cannot be written: {error.strerror or error}; choose another --out"
            ) from error
        done.paths.append(path)


@dataclass(frozen=True)
class Format:
    write: Callable[[FeatureStore, SequenceTable, _Files], Exported]
    meaning: str


FORMATS = {
    "videopose3d": Format(videopose3d, "VideoPose3D's npz: data_2d and data_3d"),
    "mmpose": Format(mmpose, "MMPose's Human3.6M annotations, npz"),
    "parquet": Format(parquet, "a row a frame"),
}
