"""MotionBERT: motion clips, and of Human3.6M the file that it, MotionAGFormer and TCPFormer cut theirs from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InvalidValueError
from ..format.sequences import SequenceTable
from ..reading.by_shard import read_frames
from ..reading.store import FeatureStore
from .files import Exported, Files, require_some
from .frame_sizes import fitted
from .gaps import (
    TRUTH,
    Parts,
    complete,
    interpolate,
    parts_with_truth,
    people_in,
    say_interpolated,
    say_what_is_missing,
)
from .h36m_names import CAMERAS, SIZES, shorter, takes, without_number
from .motionbert_image import factor, in_picture, normalised
from .npz import dump
from .options import Options

SUBSET, SOURCE = "{}-auglift", "{}_auglift_cam_source.pkl"
SPLITS = ("train", "test")
INTRINSICS = ("fx", "fy", "cx", "cy")


@dataclass(frozen=True)
class Motion:
    """All frames that are left, one part after the other.

    keypoints   (F, 17, 2) px, and score (F, 17): of the joints that are learned from
    image       (F, 17, 3) px: the truth, as `motionbert_image` says
    pose        (F, 17, 3) m
    width, height   (F,) px
    """

    keypoints: np.ndarray
    score: np.ndarray
    image: np.ndarray
    pose: np.ndarray
    width: np.ndarray
    height: np.ndarray


def write_motionbert(store: FeatureStore, sequences: SequenceTable, files: Files, options: Options) -> Exported:
    """MB3D_f<frames>s<stride>/<dataset>-auglift/{train,test}/00000000.pkl, ...: a dictionary a clip.

    data_input   (frames, 17, 3) float32: x and y in shares of half the picture's width, confidence, at most 1; 0 where
                 nobody was found and joints are interpolated
    data_label   (frames, 17, 3) float32: the truth in the picture, z too, in the same unit
    <dataset>_auglift_cam_source.pkl   of Human3.6M: `source` as its train.py reads it (dt_file), to evaluate

    Clips of training begin every `clip_stride` frames (default: a third of a clip), those of testing after one another;
    what is left at a sequence's end is in none, as in MotionBERT's own converter. Pickles of plain arrays.
    """
    done = Exported()
    frames, stride = options.clip_frames, options.clip_stride
    stride = max(1, frames // 3) if stride is None else stride
    if frames < 2 or stride < 1:
        raise InvalidValueError(f"--clip-frames {frames} --clip-stride {stride}: a clip has at least 2 frames")
    if TRUTH not in store.fields:
        raise InvalidValueError(f"{store.url} has no ground truth, without which MotionBERT neither trains nor tests")
    is_h36m = store.attributes.get("dataset") == "h36m"
    folder = f"MB3D_f{frames}s{stride}/{SUBSET}"
    files.require_new_folder(folder)
    files.require_new(*([SOURCE] if is_h36m else []))
    parts, motion = _motion(store, sequences, frames, options, done)
    split = np.array(sequences.table["split"].to_pylist())[parts.sequence]
    lengths = parts.last - parts.first
    first = np.cumsum(lengths) - lengths
    inputs = np.concatenate([normalised(motion.keypoints, motion.width, motion.height), motion.score[..., None]], -1)
    labels = normalised(motion.image, motion.width, motion.height)
    inputs, labels = inputs.astype(np.float32), labels.astype(np.float32)
    with files.new_folder(folder, done) as path:
        for part in SPLITS:
            (path / part).mkdir()
            step = stride if part == "train" else frames
            for number, start in enumerate(_starts(first[split == part], lengths[split == part], frames, step)):
                clip = slice(start, start + frames)
                with (path / part / f"{number:08d}.pkl").open("wb") as sink:
                    dump({"data_input": inputs[clip], "data_label": labels[clip]}, sink)
    if is_h36m:
        with files.new(SOURCE, done) as path, path.open("wb") as sink:
            dump(_source(sequences, parts, motion), sink)
    _say(done, files, folder, split, is_h36m, options)
    return done


def _starts(first: np.ndarray, lengths: np.ndarray, frames: int, step: int) -> Iterator[int]:
    for start, length in zip(first.tolist(), lengths.tolist(), strict=True):
        yield from range(start, start + length - frames + 1, step)


def _motion(
    store: FeatureStore, sequences: SequenceTable, frames: int, options: Options, done: Exported
) -> tuple[Parts, Motion]:
    """The parts of sequences that make clips, and their frames; why the others make none is in `done`."""
    read = read_frames(store, sequences, ["keypoints", "score", "valid", TRUTH])
    known, seen = complete(read[TRUTH]), people_in(read)
    parts = parts_with_truth(sequences.lengths, known, options.missing)
    ids = sequences.table["id"].to_pylist()
    say_what_is_missing(done, [(id,) for id in ids], sequences.lengths, parts, known, options.missing)
    parts = _usable(sequences, parts, seen, frames, options, done)
    require_some(len(parts.sequence), done, store)
    rows = parts.rows
    of_frame = np.repeat(parts.sequence, parts.last - parts.first)
    columns = {name: sequences.table[name].to_numpy()[of_frame] for name in ("width", "height", *INTRINSICS)}
    intrinsics = np.stack([columns[name] for name in INTRINSICS], axis=1)
    keypoints = interpolate(read["keypoints"], seen, sequences.lengths)[rows]
    width, height = columns["width"].copy(), columns["height"].copy()
    if store.attributes.get("dataset") == "h36m":
        _move_into_its_frames(sequences, parts, keypoints, intrinsics, width, height)
    image = in_picture(read[TRUTH][rows], intrinsics)
    if options.joints == "truth":
        keypoints, score = image[..., :2], np.ones(image.shape[:2])
    else:
        score = np.where(seen[rows, None], np.clip(read["score"][rows], 0, 1), 0)
        say_interpolated(done, int((~seen[rows]).sum()), len(rows))
    done.frames = len(rows)
    return parts, Motion(keypoints, score, image, read[TRUTH][rows], width, height)


def _usable(
    sequences: SequenceTable, parts: Parts, seen: np.ndarray, frames: int, options: Options, done: Exported
) -> Parts:
    """Those parts that MotionBERT can use. Of a sequence that has none, why is in `done`."""
    rows = list(sequences)
    counts = np.add.reduceat(seen, np.cumsum(sequences.lengths) - sequences.lengths)
    wanted, why = np.zeros(len(parts.sequence), dtype=bool), {}
    for place, (number, first, last) in enumerate(zip(parts.sequence, parts.first, parts.last, strict=True)):
        row = rows[number]
        if row.split not in SPLITS:
            why[row.id] = f"its split is {row.split!r}, and MotionBERT knows train and test"
        elif not np.isfinite([row.fx, row.fy, row.cx, row.cy]).all():
            why[row.id] = "its camera is not calibrated, and MotionBERT learns the truth in the picture"
        elif counts[number] == 0 and options.joints != "truth":
            why[row.id] = "nobody is found in it"
        elif last - first < frames:
            why.setdefault(row.id, f"it has no {frames} frames together; --clip-frames makes shorter clips")
        else:
            wanted[place] = True
    kept = {rows[number].id for number in parts.sequence[wanted]}
    for id, reason in why.items():
        if id not in kept:
            done.leave_out([id], reason)
    return parts.only(wanted)


def _move_into_its_frames(
    sequences: SequenceTable,
    parts: Parts,
    keypoints: np.ndarray,
    intrinsics: np.ndarray,
    width: np.ndarray,
    height: np.ndarray,
) -> None:
    """Change all of these, in place, to frames of the sizes that its code has for Human3.6M's cameras."""
    rows, start = list(sequences), 0
    for number, length in zip(parts.sequence.tolist(), (parts.last - parts.first).tolist(), strict=True):
        row, mine = rows[number], slice(start, start + length)
        start += length
        theirs = SIZES.get(row.camera)
        if theirs is None:
            raise InvalidValueError(f"{row.id}: camera {row.camera} is none of Human3.6M's, {', '.join(CAMERAS)}")
        size = (row.width, row.height)
        keypoints[mine] = fitted(keypoints[mine], size, theirs)
        intrinsics[mine, :2] *= theirs[0] / size[0]
        intrinsics[mine, 2:] = fitted(intrinsics[mine, 2:], size, theirs)
        width[mine], height[mine] = theirs


def _source(sequences: SequenceTable, parts: Parts, motion: Motion) -> dict[str, dict[str, Any]]:
    """What its DataReaderH36M reads: all frames of either split, and of the test split what its figures are made of."""
    rows = list(sequences)
    acts = {
        subject: takes(row.action for row in rows if row.subject == subject)
        for subject in {row.subject for row in rows}
    }
    lengths = (parts.last - parts.first).tolist()
    names: list[str] = []
    for number, part in zip(parts.sequence.tolist(), parts.part.tolist(), strict=True):
        row = rows[number]
        act, take = acts[row.subject][row.action]
        piece = f"_part{part}" if part else ""
        subject = row.subject.removeprefix("S").zfill(2)
        names.append(f"s_{subject}_act_{act:02d}_subact_{take:02d}{piece}_ca_{CAMERAS.index(row.camera) + 1:02d}")
    of_part = np.repeat(np.arange(len(names)), lengths)
    number = parts.sequence[of_part]
    split = np.array([row.split for row in rows])[number]
    scale = factor(motion.image, motion.pose)
    found = {}
    for name in SPLITS:
        mine = split == name
        found[name] = {
            "joint_2d": motion.keypoints[mine].astype(np.float32),
            "confidence": motion.score[mine].astype(np.float32),
            "joint3d_image": motion.image[mine].astype(np.float32),
            "camera_name": [rows[each].camera for each in number[mine].tolist()],
            "source": [names[each] for each in of_part[mine].tolist()],
        }
    mine = split == "test"
    found["test"] |= {
        "2.5d_factor": scale[mine].astype(np.float32),
        "joints_2.5d_image": (motion.image * scale[:, None, None])[mine].astype(np.float32),
        "action": [without_number(shorter(rows[each].action)) for each in number[mine].tolist()],
    }
    return found


def _say(done: Exported, files: Files, folder: str, split: np.ndarray, is_h36m: bool, options: Options) -> None:
    root, subset = files.path(folder).parent.name, files.path(folder).name
    joints = "the true 2D joints" if options.joints == "truth" else "the detected joints"
    done.notes.append(
        f"for MotionBERT, where the folder written to is its data/motion3d: data_root: data/motion3d/{root}/, "
        f"subset_list: [{subset}], clip_len: {options.clip_frames}; data_input is {joints}"
    )
    missing = [part for part in SPLITS if not (split == part).any()]
    if missing:
        done.notes.append(f"no sequence is of the split {' or '.join(missing)}: its train.py wants clips of both")
    if is_h36m:
        name = files.path(SOURCE).name
        done.notes.append(
            f"dt_file: {name}, to evaluate; MotionAGFormer and TCPFormer cut their clips of any length from it "
            "(data/preprocess/h36m.py), where it is called h36m_sh_conf_cam_source_final.pkl"
        )
    else:
        done.notes.append("its train.py evaluates with the cameras of Human3.6M alone: these clips train, or are read")
