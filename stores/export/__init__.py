"""Other people's formats: of VideoPose3D, MMPose, MotionBERT and P-STMO, and plain Parquet.

What a format cannot say is said here: none knows a frame without a person, and VideoPose3D and MMPose know no frame
without ground truth in a sequence that has some. `gaps.py` is where that is decided.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InvalidValueError
from ..format.sequences import SequenceTable
from ..reading.store import FeatureStore
from .files import Exported, Files
from .gaps import MISSING, interpolate
from .mmpose import write_mmpose
from .motionbert import write_motionbert
from .mpi_inf_3dhp import ANNOTATIONS, write_3dhp
from .options import JOINTS, Options
from .parquet import write_parquet
from .videopose3d.choose import write_videopose3d
from .videopose3d.custom import write_custom

__all__ = ["ANNOTATIONS", "FORMATS", "JOINTS", "MISSING", "Exported", "Format", "export", "interpolate"]


@dataclass(frozen=True)
class Format:
    """One project's format.

    takes   which of `Options` it knows
    """

    write: Callable[[FeatureStore, SequenceTable, Files, Options], Exported]
    meaning: str
    takes: tuple[str, ...] = ("missing",)


FORMATS = {
    "videopose3d": Format(
        write_videopose3d,
        "VideoPose3D's npz: for its -d h36m where the store is of Human3.6M, else as below",
        ("missing", "checkout"),
    ),
    "videopose3d-custom": Format(write_custom, "the same for its -d custom: each sequence a video to predict from"),
    "mmpose": Format(write_mmpose, "MMPose's Human3.6M annotations, detections and cameras"),
    "motionbert": Format(
        write_motionbert,
        "MotionBERT's motion clips; of Human3.6M also the file that MotionAGFormer and TCPFormer cut theirs from",
        ("missing", "joints", "clip_frames", "clip_stride"),
    ),
    "mpi-inf-3dhp": Format(
        write_3dhp,
        "data_train_3dhp.npz and data_test_3dhp.npz of P-STMO, MotionAGFormer, D3DP",
        ("missing", "joints", "annotation"),
    ),
    "parquet": Format(write_parquet, "a row a frame", takes=()),
}
# What is said where a format is given an option that it does not know.
_UNKNOWN = {
    "missing": "keeps every frame as the store has it; leave --missing away",
    "checkout": "needs nothing of VideoPose3D's; leave --checkout away",
    "annotation": "has no kinds of ground truth; leave --annotation away",
    "joints": "holds the joints that it holds; leave --joints away",
    "clip_frames": "has no clips; leave --clip-frames away",
    "clip_stride": "has no clips; leave --clip-stride away",
}


def export(
    store: FeatureStore,
    format: str,
    folder: str | Path,
    sequences: SequenceTable | None = None,
    overwrite: bool = False,
    missing: str | None = None,
    checkout: str | Path | None = None,
    annotation: str | None = None,
    joints: str | None = None,
    clip_frames: int | None = None,
    clip_stride: int | None = None,
) -> Exported:
    """Write some of a store's sequences (default: all) into a folder, in a format of FORMATS.

    missing    what to do with frames without ground truth: a key of MISSING; default `split`
    checkout   VideoPose3D's folder; default: the folder that `folder` is in, where that is one
    annotation, joints, clip_frames, clip_stride   as `Options` has them; None stands for the format's own
    Raises InvalidValueError for an unknown format or option and for a file that is there already, StoreWriteError where
    the folder cannot be written, and what `FeatureStore.read` raises.
    """
    if format not in FORMATS:
        raise InvalidValueError(f"no export format '{format}'; there are {', '.join(FORMATS)}")
    if missing is not None and missing not in MISSING:
        raise InvalidValueError(f"frames without ground truth: no choice '{missing}'; there are {', '.join(MISSING)}")
    if joints is not None and joints not in JOINTS:
        raise InvalidValueError(f"2D joints: no choice '{joints}'; there are {', '.join(JOINTS)}")
    choices: dict[str, Any] = {
        "missing": missing,
        "checkout": None if checkout is None else Path(checkout),
        "annotation": annotation,
        "joints": joints,
        "clip_frames": clip_frames,
        "clip_stride": clip_stride,
    }
    chosen = {name: value for name, value in choices.items() if value is not None}
    for name in chosen:
        if name not in FORMATS[format].takes:
            raise InvalidValueError(f"{format} {_UNKNOWN[name]}")
    table = store.sequences if sequences is None else sequences
    if not len(table):
        raise InvalidValueError(f"no sequence of {store.url} is chosen; there is nothing to write")
    name = re.sub(r"[^\w-]+", "-", str(store.attributes.get("dataset") or "video"))
    return FORMATS[format].write(store, table, Files(Path(folder), name, overwrite), Options(**chosen))
