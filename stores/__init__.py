"""Feature stores: the format, writing and reading.

The names below are the public ones. Everything else may move.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .surface import lazy

if TYPE_CHECKING:
    from .errors import AugliftError
    from .format.sequences import Sequence, SequenceTable
    from .format.skeleton import COCO_17, H36M_17, Skeleton, coco_to_h36m
    from .reading.store import FeatureStore
    from .reading.windows import WindowLoader

__all__ = [
    "COCO_17",
    "H36M_17",
    "AugliftError",
    "FeatureStore",
    "Sequence",
    "SequenceTable",
    "Skeleton",
    "WindowLoader",
    "coco_to_h36m",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "AugliftError": ".errors",
        "COCO_17": ".format.skeleton",
        "FeatureStore": ".reading.store",
        "H36M_17": ".format.skeleton",
        "Sequence": ".format.sequences",
        "SequenceTable": ".format.sequences",
        "Skeleton": ".format.skeleton",
        "WindowLoader": ".reading.windows",
        "coco_to_h36m": ".format.skeleton",
    },
)
