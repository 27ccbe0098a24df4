"""VideoPose3D's `-d h36m`: takes of four cameras under the names it knows, and the truth in the world it knows.

Its loader holds the places of Human3.6M's cameras in its own code, wants the truth once, in the world, and takes it to
each camera itself. A store has the truth in each camera's frame and not where the cameras stand: `cameras`
finds that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import InvalidValueError
from ...format.sequences import SequenceTable
from ...reading.by_shard import read_frames
from ...reading.store import FeatureStore
from ..files import Exported, Files, require_some, unique
from ..frame_sizes import fitted
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
from ..h36m_names import shorter
from ..npz import Pickled, write_npz
from ..options import Options
from .cameras import Cameras, Place, find_cameras
from .custom import metadata

DETECTIONS = "auglift"
KEYPOINTS, POSES = f"data_2d_h36m_{DETECTIONS}.npz", "data_3d_h36m.npz"
FPS = 50.0  # of the truth that its own converter writes
# Its 32 joints, and which of our 17 lies there. It takes these 17 and drops the rest, which lie on a neighbour here.
LEGS_32, SPINE_32 = [0, 1, 2, 3, 3, 3, 4, 5, 6, 6, 6], [0, 7, 8, 9, 10]
JOINTS_32 = [*LEGS_32, *SPINE_32, 8, 11, 12, 13, 13, 13, 13, 13, 8, 14, 15, 16, 16, 16, 16, 16]
APART = 0.01  # m: the truth of a take is one in all its cameras, or others than VideoPose3D's filmed it


@dataclass(frozen=True)
class Take:
    """One subject's action, filmed by the four cameras in VideoPose3D's order.

    ids         of its sequences
    keypoints   (4, T, 17, 2) px of its frame sizes, interpolated
    seen        (4, T) bool: where they are not
    world       (T, 17, 3) m, NaN where it is not known; None where none is wanted
    """

    ids: tuple[str, ...]
    subject: str
    action: str
    keypoints: np.ndarray
    seen: np.ndarray
    world: np.ndarray | None

    @property
    def known(self) -> np.ndarray:
        """Return (T,) bool: which frames may stay."""
        if self.world is None:
            return np.ones(self.seen.shape[1], dtype=bool)
        return complete(self.world)


def write_h36m(store: FeatureStore, sequences: SequenceTable, files: Files, options: Options) -> Exported:
    """Write data_2d_h36m_auglift.npz and, with VideoPose3D's folder and ground truth, data_3d_h36m.npz.

    positions_2d   {subject: {action: [(T, 17, 2) float32 px, by camera]}}, four cameras a take in its own order
    metadata       as `custom.metadata`. Frame sizes are in its own code: joints in frames of other sizes
                   are moved, so that they are the same as before once it has normalised them
    positions_3d   {subject: {action: (T, 32, 3) float32 metres in the world of its cameras}}

    Without the cameras' places only the 2D joints are written, whole, to go with the data_3d_h36m.npz that its own
    converter makes. Its loader calls .item() on these entries: they are pickled dictionaries.
    """
    done = Exported()
    cameras = find_cameras(options.checkout, files.folder)
    with_truth = bool(cameras.places) and TRUTH in store.fields
    files.require_new(KEYPOINTS, *([POSES] if with_truth else []))
    groups = _groups(done, sequences, cameras)
    takes = _takes(done, store, sequences, groups, cameras, with_truth) if groups else []
    _require_some(len(takes), done, store)
    lengths = np.array([len(take.known) for take in takes])
    known = np.concatenate([take.known for take in takes])
    parts = parts_with_truth(lengths, known, options.missing)
    ids = [take.ids for take in takes]
    say_what_is_missing(done, ids, lengths, parts, known, options.missing, "frames of takes, four cameras each,")
    _require_some(len(parts.sequence), done, store)
    flat, solid = _nested(done, takes, lengths, parts)
    with files.new(KEYPOINTS, done) as path:
        write_npz(path, [("positions_2d", Pickled(flat)), ("metadata", Pickled(metadata()))])
    if with_truth:
        with files.new(POSES, done) as path:
            write_npz(path, [("positions_3d", Pickled(solid))])
    else:
        done.notes.append(
            f"{POSES} is not written"
            + (
                ": where the cameras stand is in VideoPose3D's code; name its folder with --checkout"
                if TRUTH in store.fields
                else ", as the store has no ground truth"
            )
            + ". These 2D joints, of whole takes, go with the one that its prepare_data_h36m.py writes"
        )
    done.notes.append(f"for VideoPose3D's run.py -d h36m -k {DETECTIONS}{_subjects(sequences, flat)}")
    return done


def _require_some(count: int, done: Exported, store: FeatureStore) -> None:
    try:
        require_some(count, done, store)
    except InvalidValueError as error:
        raise InvalidValueError(f"{error}; --format videopose3d-custom takes any sequence") from None


def _groups(done: Exported, table: SequenceTable, cameras: Cameras) -> dict[tuple[str, str], list[int]]:
    """(subject, VideoPose3D's name of the action) to the rows of its four cameras, in the cameras' order."""
    found: dict[tuple[str, str, int], dict[str, int]] = {}
    columns = [table.table[key].to_pylist() for key in ("subject", "action", "camera", "id")]
    for number, (subject, action, camera, id) in enumerate(zip(*columns, strict=True)):
        if camera not in cameras.ids:
            done.leave_out([id], "its camera is none of Human3.6M's four")
        elif cameras.places and subject not in cameras.places:
            done.leave_out([id], f"VideoPose3D does not know where the cameras of {subject} stand")
        else:
            again = 0
            while camera in found.setdefault((subject, action, again), {}):
                again += 1
            found[subject, action, again][camera] = number
    groups: dict[tuple[str, str], list[int]] = {}
    used: dict[str, set[str]] = {}
    for (subject, action, _), by_camera in found.items():
        if len(by_camera) < len(cameras.ids):
            lacking = ", ".join(camera for camera in cameras.ids if camera not in by_camera)
            ids = [columns[3][number] for number in by_camera.values()]
            done.leave_out(ids, f"VideoPose3D wants all four cameras of a take; this one lacks {lacking}")
        else:
            name = unique(shorter(action), used.setdefault(subject, set()))
            groups[subject, name] = [by_camera[camera] for camera in cameras.ids]
    return groups


def _takes(
    done: Exported,
    store: FeatureStore,
    table: SequenceTable,
    groups: Mapping[tuple[str, str], list[int]],
    cameras: Cameras,
    with_truth: bool,
) -> list[Take]:
    """Those takes whose four cameras go together; why the others do not is in `done`."""
    chosen = SequenceTable(table.table.take([number for numbers in groups.values() for number in numbers]))
    rates = chosen.table["fps"].to_numpy()
    if not with_truth and not np.allclose(rates, FPS, rtol=1e-3):
        named = "name its folder with --checkout, so that one that fits is written, or "
        raise InvalidValueError(
            f"{store.url} has {rates.min():g} frames a second, the {POSES} of VideoPose3D's own converter {FPS:g}: "
            f"{named if TRUTH in store.fields else ''}take --format videopose3d-custom"
        )
    frames = read_frames(store, chosen, ["keypoints", "valid", "source_frame", *([TRUTH] if with_truth else [])])
    seen = people_in(frames)
    keypoints = interpolate(frames["keypoints"], seen, chosen.lengths)
    rows, starts = list(chosen), (np.cumsum(chosen.lengths) - chosen.lengths).tolist()
    takes = []
    for turn, (subject, action) in enumerate(groups):
        mine = range(turn * len(cameras.ids), (turn + 1) * len(cameras.ids))
        count = min(rows[number].length for number in mine)

        def of(values: np.ndarray, mine: range = mine, count: int = count) -> np.ndarray:
            return np.stack([values[starts[number] : starts[number] + count] for number in mine])

        views, sources = of(seen), of(frames["source_frame"])
        world = _world(of(frames[TRUTH]), cameras.places[subject]) if with_truth else None
        if not views.any(axis=1).all():
            why = "nobody is found by one of its cameras"
        elif (sources != sources[0]).any():
            why = "its four cameras do not show the same frames of their videos"
        elif isinstance(world, str):
            why = world
        else:
            sizes = [(rows[number].width, rows[number].height) for number in mine]
            moved = [fitted(*each) for each in zip(of(keypoints), sizes, cameras.sizes, strict=True)]
            ids = tuple(rows[number].id for number in mine)
            takes.append(Take(ids, subject, action, np.stack(moved), views, world))
            continue
        done.leave_out([rows[number].id for number in mine], why)
    return takes


def _world(poses: np.ndarray, places: list[Place]) -> np.ndarray | str:
    """(4, T, 17, 3) of four cameras' frames in the world, (T, 17, 3) float32; or why that cannot be."""
    everywhere = np.stack([pose @ at.rotation.T + at.centre for pose, at in zip(poses, places, strict=True)])
    known = np.stack([complete(poses) for poses in everywhere])
    some = known.any(axis=0)
    weights = known[..., None, None] / np.maximum(known.sum(axis=0), 1)[:, None, None]
    mean = (np.nan_to_num(everywhere) * weights).sum(axis=0)
    if known.any():
        apart = float(np.median(np.linalg.norm(everywhere - mean, axis=-1)[known]))
        if apart > APART:
            return (
                f"its truth in the four cameras is {apart * 1000:.0f} mm apart where VideoPose3D says that they stand"
            )
    mean[~some] = np.nan
    return mean.astype(np.float32)


def _nested(
    done: Exported, takes: list[Take], lengths: np.ndarray, parts: Parts
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """What goes into the files: 2D joints and, where it is wanted, truth, by subject and action."""
    flat: dict[str, dict[str, Any]] = {}
    solid: dict[str, dict[str, Any]] = {}
    used: dict[str, set[str]] = {}
    for take in takes:
        used.setdefault(take.subject, set()).add(take.action)
    begins = np.cumsum(lengths) - lengths
    nobody = 0
    for number, first, last, part in zip(*(column.tolist() for column in parts.columns), strict=True):
        take, span = takes[number], slice(first - int(begins[number]), last - int(begins[number]))
        action = unique(f"{take.action} part {part}", used[take.subject]) if part else take.action
        flat.setdefault(take.subject, {})[action] = list(take.keypoints[:, span])
        if take.world is not None:
            solid.setdefault(take.subject, {})[action] = take.world[span][:, JOINTS_32]
        nobody += int((~take.seen[:, span]).sum())
        done.frames += take.seen[:, span].size
    say_interpolated(done, nobody, done.frames)
    return flat, solid


def _subjects(table: SequenceTable, flat: Mapping[str, Any]) -> str:
    """Return VideoPose3D's options for the subjects that are there: by default it needs all of Human3.6M's."""
    pairs = zip(table.table["subject"].to_pylist(), table.table["split"].to_pylist(), strict=True)
    by_split: dict[str, list[str]] = {}
    for subject, split in dict.fromkeys(pairs):
        if subject in flat:
            by_split.setdefault(split, []).append(subject)
    options = {"-str": by_split.get("train"), "-ste": by_split.get("test")}
    return "".join(f" {option} {','.join(names)}" for option, names in options.items() if names)
