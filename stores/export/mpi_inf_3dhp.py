"""P-STMO's files of MPI-INF-3DHP, which MotionAGFormer, TCPFormer and D3DP read: 3DHP's order of joints, mm."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import InvalidValueError
from ..format.sequences import SequenceTable
from ..format.skeleton import H36M_17
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
from .npz import Pickled, write_npz
from .options import Options

TRAIN, TEST = "data_train_3dhp.npz", "data_test_3dhp.npz"
DRAWN = "target/keypoints"
# Which of 3DHP's 17 joints each of H36M-17 is.
PLACES = (14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4)
# Frame sizes that its loader takes for granted, px.
SIZE, WIDE, WIDE_ONES = (2048, 2048), (1920, 1080), ("TS5", "TS6")
# Kind of ground truth, and who trains and tests on it.
ANNOTATIONS = {
    "annot3": "metric, as D3DP and PoSynDA train and test on it; NOT comparable with P-STMO, MotionAGFormer, TCPFormer",
    "univ_annot3": "scaled to one size of person, as P-STMO, MotionAGFormer and TCPFormer train and test on it; NOT "
    "comparable with D3DP, PoSynDA",
}


def write_3dhp(store: FeatureStore, sequences: SequenceTable, files: Files, options: Options) -> Exported:
    """data_train_3dhp.npz and data_test_3dhp.npz, of the splits that there are; `data` is a pickled dictionary.

    train   {"S1 Seq1": [{"0": {"data_2d": (T, 17, 2) px, "data_3d": (T, 17, 3) mm, camera frame}, ...}, fps]}
    test    {"TS1": {"data_2d", "data_3d", "valid": (T,)}}; frames that are not valid are interpolated, and stay

    data_2d is the true joints, as in P-STMO's own files, or the detected ones (`joints`). The kind of ground truth is
    what the store holds: `annotation` only has it confirmed.
    """
    if store.attributes.get("dataset") != "mpi-inf-3dhp" or TRUTH not in store.fields:
        raise InvalidValueError(
            f"{store.url} is no store of MPI-INF-3DHP with ground truth; its files hold nothing else"
        )
    held = store.attributes.get("ground_truth", {}).get("annotation", "annot3")
    if options.annotation not in (None, held):
        raise InvalidValueError(
            f"{store.url} holds {held}, not {options.annotation}: auglift-prep mpi-inf-3dhp --annotation "
            f"{options.annotation} makes a store of that"
            if options.annotation in ANNOTATIONS
            else f"--annotation {options.annotation}: there are {', '.join(ANNOTATIONS)}"
        )
    done = Exported()
    split = np.array(sequences.table["split"].to_pylist())
    wanted = [(name, file) for name, file in (("train", TRAIN), ("test", TEST)) if (split == name).any()]
    files.require_new(*(file for _, file in wanted))
    for name, file in wanted:
        part = SequenceTable(sequences.table.filter(np.asarray(split == name)))
        content = _split(store, part, name == "train", options, done)
        if content:
            with files.new(file, done) as path:
                write_npz(path, [("data", Pickled(content))])
    others = [
        id for id, of in zip(sequences.table["id"].to_pylist(), split, strict=True) if of not in ("train", "test")
    ]
    done.leave_out(others, "it is neither of the train nor of the test split")
    require_some(len(done.paths), done, store)
    joints = "detected joints" if options.joints == "detected" else "true joints, as in the papers"
    done.notes.append(f"ground truth is {held}: {ANNOTATIONS[held]} (docs/datasets.md); data_2d is the {joints}")
    return done


def _split(store: FeatureStore, table: SequenceTable, train: bool, options: Options, done: Exported) -> dict[str, Any]:
    detected = options.joints == "detected"
    name = "keypoints" if detected else DRAWN
    read = read_frames(store, table, dict.fromkeys([name, TRUTH, *(["keypoints", "valid"] if detected else [])]))
    known = complete(read[TRUTH]) & (np.ones(len(read[TRUTH]), dtype=bool) if detected else complete(read[DRAWN]))
    there = people_in(read) if detected else known
    lengths, ids = table.lengths, table.table["id"].to_pylist()
    parts = parts_with_truth(lengths, known, options.missing if train else "keep")
    if train:
        say_what_is_missing(done, [(id,) for id in ids], lengths, parts, known, options.missing)
    some = np.add.reduceat(there, np.cumsum(lengths) - lengths) > 0
    some &= np.add.reduceat(known, np.cumsum(lengths) - lengths) > 0
    empty = np.unique(parts.sequence[~some[parts.sequence]])
    done.leave_out([ids[number] for number in empty], "nobody is found in it" if detected else "it has no ground truth")
    parts = parts.only(some[parts.sequence])
    flat = interpolate(read[name], there, lengths)
    solid = read[TRUTH] if train else interpolate(read[TRUTH], known, lengths)
    if detected:
        say_interpolated(done, int((~there[parts.rows]).sum()), len(parts.rows))
    done.frames += len(parts.rows)
    return (_train if train else _test)(table, parts, flat, solid, known)


def _train(
    table: SequenceTable, parts: Parts, flat: np.ndarray, solid: np.ndarray, known: np.ndarray
) -> dict[str, Any]:
    rows, content = list(table), {}
    for number, first, last, part in zip(*(column.tolist() for column in parts.columns), strict=True):
        row = rows[number]
        # Its loader cuts the name at the one blank.
        key = f"{row.subject} {row.action}".replace("  ", " ") + (f"-part{part}" if part else "")
        cameras, _ = content.setdefault(key, [{}, row.fps])
        cameras[row.camera] = _joints(flat[first:last], solid[first:last], (row.width, row.height), SIZE)
    return content


def _test(table: SequenceTable, parts: Parts, flat: np.ndarray, solid: np.ndarray, known: np.ndarray) -> dict[str, Any]:
    rows, content = list(table), {}
    for number, first, last in zip(parts.sequence.tolist(), parts.first.tolist(), parts.last.tolist(), strict=True):
        row = rows[number]
        size = WIDE if row.subject in WIDE_ONES else SIZE
        found = _joints(flat[first:last], solid[first:last], (row.width, row.height), size)
        content[row.subject] = {**found, "valid": known[first:last].astype(np.float64)}
    return content


def _joints(
    flat: np.ndarray, solid: np.ndarray, size: tuple[int, int], theirs: tuple[int, int]
) -> dict[str, np.ndarray]:
    moved = fitted(flat, size, theirs)
    data_2d, data_3d = np.empty_like(moved), np.empty_like(solid)
    data_2d[:, PLACES], data_3d[:, PLACES] = moved, solid * np.float32(1000)
    assert len(PLACES) == len(H36M_17)
    return {"data_2d": data_2d, "data_3d": data_3d}
