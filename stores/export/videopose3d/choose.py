"""VideoPose3D: which of its two loaders a store is for."""

from __future__ import annotations

from ...errors import InvalidValueError
from ...format.sequences import SequenceTable
from ...reading.store import FeatureStore
from ..files import Exported, Files
from ..options import Options
from .custom import write_custom
from .h36m import write_h36m


def write_videopose3d(store: FeatureStore, sequences: SequenceTable, files: Files, options: Options) -> Exported:
    """Write files for `-d h36m` where the store is of Human3.6M, for `-d custom` else."""
    if store.attributes.get("dataset") == "h36m":
        return write_h36m(store, sequences, files, options)
    if options.checkout is not None:
        raise InvalidValueError("only Human3.6M needs the cameras in VideoPose3D's code; leave --checkout away")
    return write_custom(store, sequences, files, options)
