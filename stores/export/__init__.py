"""Other people's formats: VideoPose3D's npz, MMPose's annotations, plain Parquet.

What a format cannot say is said here: none knows a frame without a person, and VideoPose3D and MMPose know no frame
without ground truth in a sequence that has some. `gaps.py` is where that is decided.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import InvalidValueError
from ..format.sequences import SequenceTable
from ..reading.store import FeatureStore
from .files import Exported, Files
from .gaps import MISSING, interpolate
from .mmpose import write_mmpose
from .options import Options
from .parquet import write_parquet
from .videopose3d import write_videopose3d
from .videopose3d_custom import write_custom

__all__ = ["FORMATS", "MISSING", "Exported", "Format", "export", "interpolate"]


@dataclass(frozen=True)
class Format:
    """One project's format.

    gaps   whether it can leave frames without ground truth out
    """

    write: Callable[[FeatureStore, SequenceTable, Files, Options], Exported]
    meaning: str
    gaps: bool = True


FORMATS = {
    "videopose3d": Format(
        write_videopose3d,
        "VideoPose3D's npz: for its -d h36m where the store is of Human3.6M, else as for custom",
    ),
    "videopose3d-custom": Format(write_custom, "the same for its -d custom: each sequence a video to predict from"),
    "mmpose": Format(write_mmpose, "MMPose's Human3.6M annotations, detections and cameras"),
    "parquet": Format(write_parquet, "a row a frame", gaps=False),
}


def export(
    store: FeatureStore,
    format: str,
    folder: str | Path,
    sequences: SequenceTable | None = None,
    overwrite: bool = False,
    missing: str | None = None,
    checkout: str | Path | None = None,
) -> Exported:
    """Write some of a store's sequences (default: all) into a folder, in a format of FORMATS.

    missing    what to do with frames without ground truth: a key of MISSING; default `split`
    checkout   VideoPose3D's folder; default: the folder that `folder` is in, where that is one
    Raises InvalidValueError for an unknown format or option and for a file that is there already, StoreWriteError where
    the folder cannot be written, and what `FeatureStore.read` raises.
    """
    if format not in FORMATS:
        raise InvalidValueError(f"no export format '{format}'; there are {', '.join(FORMATS)}")
    if missing is not None and missing not in MISSING:
        raise InvalidValueError(f"frames without ground truth: no choice '{missing}'; there are {', '.join(MISSING)}")
    if missing is not None and not FORMATS[format].gaps:
        raise InvalidValueError(f"{format} keeps every frame as the store has it; leave --missing away")
    if checkout is not None and format != "videopose3d":
        raise InvalidValueError(f"{format} needs nothing of VideoPose3D's; leave --checkout away")
    table = store.sequences if sequences is None else sequences
    if not len(table):
        raise InvalidValueError(f"no sequence of {store.url} is chosen; there is nothing to write")
    name = re.sub(r"[^\w-]+", "-", str(store.attributes.get("dataset") or "video"))
    options = Options(missing or "split", None if checkout is None else Path(checkout))
    return FORMATS[format].write(store, table, Files(Path(folder), name, overwrite), options)
