"""A store as a recording for Rerun's viewer: video, joints, disks, depth over time, true and predicted 3D."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...stores.errors import AugliftError, MissingExtraError, StoreWriteError, reason
from ...stores.format.depth_unit import METRES, depth_unit
from ...stores.format.sequences import Sequence as SequenceRow
from ...stores.format.skeleton import H36M_17
from ...stores.reading.store import FeatureStore
from ...stores.report.sample import main_descriptors

QUALITY = 80
_CIRCLE = np.stack([f(np.linspace(0, 2 * np.pi, 25)) for f in (np.cos, np.sin)], axis=1)
_ROOT = H36M_17.index("pelvis")
_TRUE, _PREDICTED, _BOX = (60, 200, 120), (240, 140, 60), (90, 150, 255)
_POSES = ("true", "predicted")
_PERSON = 1  # class of the annotation context that has the skeleton

# Frames of a sequence by their number in the source: (place, (H, W, 3) uint8 RGB, (h, w) depth in metres or None).
Pictures = Callable[[SequenceRow, np.ndarray], Iterator[tuple[int, np.ndarray, np.ndarray | None]]]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Recorded:
    """What a recording holds. notes: what it lacks and why, a line each."""

    entities: int
    frames: int
    pictures: int
    notes: tuple[str, ...]


def record(
    store: FeatureStore,
    sequences: Sequence[SequenceRow],
    out: Path,
    pictures: Pictures | None = None,
    predicted: Mapping[int, np.ndarray] | None = None,
    progress: Progress = lambda step, done, of: None,
) -> Recorded:
    """Write a .rrd file. Each sequence is a branch of its own, from frame 0 of the timelines `frame` and `time`.

    pictures    None: without video and depth maps
    predicted   frame of the store -> (17, 3) m, root-relative; drawn about the true pelvis, else about the origin
    Raises MissingExtraError without rerun-sdk, StoreWriteError where the file cannot be written, and as
    `FeatureStore.read`.
    """
    try:
        import rerun as rr
    except ImportError as error:
        raise MissingExtraError("a recording needs rerun: pip install 'auglift[viz]'") from error
    name = store.url.rstrip("/").rsplit("/", 1)[-1]
    partial = out.with_name(f"{out.name}.partial")
    stream = rr.RecordingStream("auglift", recording_id=f"{name} {store.fingerprint[:16]}", send_properties=False)
    try:
        stream.save(partial, default_blueprint=_layout(rr, sequences, store))
    except (OSError, RuntimeError) as error:
        raise StoreWriteError(f"{out} cannot be written: {reason(error)}") from error
    log = _Log(rr, stream)
    try:
        _annotate(log)
        notes, shown = [], 0
        for number, row in enumerate(sequences):
            progress("sequences", number, len(sequences))
            shown += _sequence(log, store, row, pictures, predicted, notes)
        progress("sequences", len(sequences), len(sequences))
        stream.flush()
        stream.disconnect()
        partial.replace(out)
    except BaseException:
        stream.disconnect()
        partial.unlink(missing_ok=True)
        raise
    return Recorded(len(log.entities), sum(row.length for row in sequences), shown, tuple(dict.fromkeys(notes)))


class _Log:
    """A recording that is being written, and the entities that it has."""

    def __init__(self, rr: Any, stream: Any):
        self.rr, self.stream = rr, stream
        self.entities: set[str] = set()
        stream.set_log_time_enabled(False)
        stream.set_log_tick_enabled(False)

    def path(self, *parts: str) -> str:
        return self.rr.new_entity_path(list(parts))

    def static(self, path: str, *what: Any) -> None:
        self.entities.add(path)
        self.stream.log(path, *what, static=True)

    def columns(self, path: str, times: list[Any], columns: Any) -> None:
        self.entities.add(path)
        self.stream.send_columns(path, times, columns)


def _annotate(log: _Log) -> None:
    rr = log.rr
    joints = [rr.AnnotationInfo(n, label=joint) for n, joint in enumerate(H36M_17.joints)]
    person = rr.ClassDescription(
        info=rr.AnnotationInfo(_PERSON, label="person"), keypoint_annotations=joints, keypoint_connections=H36M_17.bones
    )
    log.static("/", rr.AnnotationContext([person]))


def _sequence(
    log: _Log,
    store: FeatureStore,
    row: SequenceRow,
    pictures: Pictures | None,
    predicted: Mapping[int, np.ndarray] | None,
    notes: list[str],
) -> int:
    """Write one sequence; return how many pictures of it there are."""
    rr = log.rr

    def value(field: str) -> np.ndarray:
        return store.read(field, row.start, row.stop)

    there = set(store.fields)
    valid, source = value("valid") > 0, value("source_frame")
    frames = np.arange(row.length) if len(np.unique(source)) < row.length else source
    times = [rr.TimeColumn("frame", sequence=frames.tolist())]
    if np.isfinite(row.fps):
        times.append(rr.TimeColumn("time", duration=(np.arange(row.length) / row.fps).tolist()))

    score, xy = value("score"), value("keypoints").astype(np.float64)
    xy[~valid] = np.nan
    plane = log.path(row.id, "camera", "image")
    log.static(log.path(row.id), rr.ViewCoordinates.RDF)
    if _calibrated(row):
        lens = [[row.fx, 0, row.cx], [0, row.fy, row.cy], [0, 0, 1]]
        log.static(plane, rr.Pinhole(image_from_camera=lens, resolution=[row.width, row.height]))
    _points(log, f"{plane}/joints", times, xy, colours(score), 4.0)
    _boxes(log, f"{plane}/box", times, value("bbox"), valid)
    if "target/keypoints" in there:
        _points(log, f"{plane}/true_joints", times, value("target/keypoints"), None, 2.5, _TRUE)
    for name in _descriptors(store):
        plain = name.removeprefix("uadd/")
        if f"radius/{plain}" in there:
            _disks(log, f"{plane}/disks/{plain}", times, xy, value(f"radius/{plain}"), score)
        unit = depth_unit(store.configuration_of(name))
        _series(log, log.path(row.id, "depth", plain), times, value(name)[..., :3], ("d", "d_min", "d_max"), unit)
    _series(log, log.path(row.id, "score"), times, score[..., None], ("score",), "1")
    pelvis = np.zeros((row.length, 3))
    if "target/pose3d" in there:
        true = value("target/pose3d").astype(np.float64)
        _points(log, log.path(row.id, "camera", "true_pose"), times, true, None, 0.02, _TRUE)
        pelvis = np.where(np.isfinite(true[:, _ROOT]), true[:, _ROOT], 0.0)
    if predicted is not None:
        pose = np.full((row.length, len(H36M_17), 3), np.nan)
        for place in range(row.length):
            if row.start + place in predicted:
                pose[place] = predicted[row.start + place] + pelvis[place]
        if not np.isfinite(pose).any():
            notes.append(f"{row.id} has no predictions: nobody is in it")
        _points(log, log.path(row.id, "camera", "predicted_pose"), times, pose, None, 0.02, _PREDICTED)
    if pictures is None:
        return 0
    try:
        return _pictures(log, plane, row, frames, pictures(row, source))
    except AugliftError as error:
        notes.append(f"no video of {row.id}: {reason(error, 300)}")
        return 0


def _calibrated(row: SequenceRow) -> bool:
    return all(np.isfinite(one) for one in (row.fx, row.fy, row.cx, row.cy))


def _descriptors(store: FeatureStore) -> list[str]:
    """One of the store and one of each family, as a page has them."""
    return main_descriptors(store)


def colours(score: np.ndarray) -> np.ndarray:
    """(..., 17) to (..., 17, 3) uint8: red where a joint is unsure, by yellow to green."""
    sure = np.clip(np.nan_to_num(score), 0, 1)
    return (np.stack([np.minimum(2 - 2 * sure, 1), np.minimum(2 * sure, 1), 0.2 + 0 * sure], axis=-1) * 230).astype(
        np.uint8
    )


def _points(
    log: _Log,
    path: str,
    times: list[Any],
    values: np.ndarray,
    each: np.ndarray | None,
    radius: float,
    one: tuple[int, int, int] = (0, 0, 0),
) -> None:
    """Joints (F, 17, 2 or 3) with their bones, a colour `each` or `one`; NaN: not there, also not as it was before."""
    archetype = log.rr.Points2D if values.shape[-1] == 2 else log.rr.Points3D
    there = np.isfinite(values).all(-1)
    lengths = there.sum(1)
    ids = np.broadcast_to(np.arange(len(H36M_17)), there.shape)[there]
    colour = np.broadcast_to(np.array(one, np.uint8), (int(there.sum()), 3)) if each is None else each[there]
    log.static(path, archetype.from_fields(radii=[radius]))
    columns = archetype.columns(
        positions=values[there], colors=colour, keypoint_ids=ids, class_ids=np.full(len(ids), _PERSON)
    )
    log.columns(path, times, columns.partition(lengths))


def _boxes(log: _Log, path: str, times: list[Any], bbox: np.ndarray, valid: np.ndarray) -> None:
    there = valid & np.isfinite(bbox[:, :4]).all(1)
    box = bbox[there]
    columns = log.rr.Boxes2D.columns(
        centers=(box[:, :2] + box[:, 2:4]) / 2, half_sizes=(box[:, 2:4] - box[:, :2]) / 2,
        colors=np.broadcast_to(np.array(_BOX, np.uint8), (len(box), 3)),
    )  # fmt: skip
    log.columns(path, times, columns.partition(there.astype(int)))


def _disks(log: _Log, path: str, times: list[Any], xy: np.ndarray, radius: np.ndarray, score: np.ndarray) -> None:
    there = np.isfinite(xy).all(-1) & np.isfinite(radius)
    rings = (xy[there][:, None] + radius[there][:, None, None] * _CIRCLE).astype(np.float32)
    columns = log.rr.LineStrips2D.columns(strips=list(rings), colors=colours(score)[there])
    log.columns(path, times, columns.partition(there.sum(1)))


def _series(log: _Log, path: str, times: list[Any], values: np.ndarray, names: tuple[str, ...], unit: str) -> None:
    """Curves of (F, 17, K) values, an entity a joint."""
    names = names[: values.shape[-1]]
    for number, joint in enumerate(H36M_17.joints):
        labels = [f"{joint} {name}, {unit}" if len(names) > 1 else joint for name in names]
        log.static(f"{path}/{joint}", log.rr.SeriesLines(names=labels))
        rows = values[:, number].astype(np.float64)
        columns = log.rr.Scalars.columns(scalars=rows.ravel())
        log.columns(f"{path}/{joint}", times, columns.partition([len(names)] * len(rows)))


def _pictures(
    log: _Log,
    plane: str,
    row: SequenceRow,
    frames: np.ndarray,
    given: Iterator[tuple[int, np.ndarray, np.ndarray | None]],
) -> int:
    from PIL import Image

    rr, count = log.rr, 0
    depth_map = log.path(row.id, "depth_map")
    for place, picture, depth in given:
        log.stream.set_time("frame", sequence=int(frames[place]))
        if np.isfinite(row.fps):
            log.stream.set_time("time", duration=place / row.fps)
        data = io.BytesIO()
        Image.fromarray(picture).save(data, "JPEG", quality=QUALITY)
        log.entities.add(plane)
        log.stream.log(plane, rr.EncodedImage(contents=data.getvalue(), media_type="image/jpeg"))
        if depth is not None:
            log.entities.add(depth_map)
            log.stream.log(depth_map, rr.DepthImage(depth.astype(np.float32), meter=1.0))
        count += 1
    log.stream.reset_time()
    return count


def _layout(rr: Any, sequences: Sequence[SequenceRow], store: FeatureStore) -> Any:
    """What the viewer shows at first: a tab a sequence, the video beside 3D and curves."""
    b = rr.blueprint
    curves = [f"depth/{name.removeprefix('uadd/')}" for name in _descriptors(store)[:2]]
    tabs = []
    for row in sequences:
        root = rr.new_entity_path([row.id])
        seen = f"{root}/camera/**" if _calibrated(row) else [f"{root}/camera/{one}_pose" for one in _POSES]
        right = [b.Spatial3DView(origin=f"{root}/camera", contents=seen, name="3D, m")]
        if depth_unit(store.configuration) == METRES and curves:
            right.append(b.Spatial2DView(origin=f"{root}/depth_map", name="depth map"))
        right += [b.TimeSeriesView(origin=f"{root}/{curve}", name=curve) for curve in curves]
        right.append(b.TimeSeriesView(origin=f"{root}/score", name="score"))
        left = b.Spatial2DView(origin=f"{root}/camera/image", name="video")
        tabs.append(b.Horizontal(left, b.Vertical(*right), name=row.id))
    return b.Blueprint(b.Tabs(*tabs), b.TimePanel(timeline="frame"), collapse_panels=True)
