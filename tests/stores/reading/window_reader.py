"""Windows cut by a slow and simple reader, and loaders to compare with it."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from auglift.stores.reading.windows import WindowLoader

FIELDS = ("keypoints", "score", "uadd/paper", "source_frame", "target/pose3d")


def loader_in_blocks(*args, **options) -> WindowLoader:
    """A loader with a little less memory than all its frames need."""
    loader = WindowLoader(*args, **options)
    while not loader.plan.pool:
        # What a plan needs is exact: a byte less, and the next best one is made.
        loader = WindowLoader(*args, **options, memory=loader.plan.bytes - 1)
    return loader


MODES = pytest.mark.parametrize("make", [WindowLoader, loader_in_blocks])


def cut(values: np.ndarray, start: int, stop: int, centre: int, window: int, causal: bool) -> np.ndarray:
    """One window, as VideoPose3D cuts it: what there is of it in the sequence, padded with its edges."""
    first = centre - (window - 1 if causal else window // 2)
    last = first + window
    there = values[max(first, start) : min(last, stop)]
    widths = (max(start - first, 0), max(last - stop, 0))
    return np.pad(there, [widths, *[(0, 0)] * (values.ndim - 1)], mode="edge")


def copied(batches) -> list[dict[str, bytes]]:
    return [{name: values.tobytes() for name, values in batch.items()} for batch in batches]


def readers() -> int:
    return sum(thread.name.startswith(("read-ahead", "read-block")) for thread in threading.enumerate())
