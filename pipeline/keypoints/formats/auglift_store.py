"""Another auglift store: its joints, for another depth or another descriptor."""

from __future__ import annotations

import numpy as np

from ....stores.format.layout import GROUP
from ....stores.format.sequences import Sequence as Row
from ....stores.reading.by_shard import read_frames
from ....stores.reading.store import FeatureStore
from ..detections import Detections, Sequence

FIELDS = ("keypoints", "score", "bbox", "valid", "source_frame")


def is_store(place: str) -> bool:
    """Whether a path or URL is of a store. A URL can be of nothing else."""
    from pathlib import Path

    return "://" in place or (Path(place) / GROUP).is_file()


def read_store(place: str) -> Detections:
    """A sequence each, of its frames with somebody, by their numbers in the source. Raises as `FeatureStore.open`."""
    store = FeatureStore.open(place)
    table = store.sequences
    frames = read_frames(store, table, FIELDS)
    starts = (np.cumsum(table.lengths) - table.lengths).tolist()
    sequences = []
    for row, start in zip(table, starts, strict=True):
        mine = {name: values[start : start + row.length] for name, values in frames.items()}
        sequences.append(_sequence(row, mine))
    return Detections(tuple(sequences), skeleton="h36m-17")


def _sequence(row: Row, frames: dict[str, np.ndarray]) -> Sequence:
    """A source frame that a resampled store holds twice is there once."""
    covered, first = np.unique(frames["source_frame"].astype(np.int64), return_index=True)
    rows = first[frames["valid"][first] > 0]
    box = frames["bbox"][rows].astype(np.float64)
    return Sequence(
        (row.id,),
        frames["source_frame"][rows].astype(np.int64),
        frames["keypoints"][rows].astype(np.float64),
        frames["score"][rows].astype(np.float64),
        box[:, :4],
        box[:, 4],
        covered=covered,
        whole=False,
        size=(row.width, row.height),
    )
