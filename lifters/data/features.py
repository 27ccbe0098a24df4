"""What learned features a store has: of which networks; and their percentiles over a training set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...stores.errors import InvalidValueError
from ...stores.format.families import split_field
from ...stores.format.fingerprint import describe_difference
from ...stores.format.sequences import SequenceTable
from ...stores.reading.store import FeatureStore
from ..inputs import Inputs

# Where nothing is said, percentiles are of so many frames at most, in runs that lie evenly over the training set.
FRAMES, RUN = 8192, 32
LOW, HIGH = 1, 99


def feature_models(store: FeatureStore, inputs: Inputs) -> dict[str, Any] | None:
    """Return by stream what its features are: network, weights, width, sampling; None where inputs have no streams."""
    found = {}
    for stream, name in inputs.streams.items():
        described = (store.configuration_of(name).get("features") or {}).get(stream) or {}
        found[stream] = {**described, "channels": store.fields[name].shape[-1]}
    return found or None


def require_one_feature_model(stores: Sequence[FeatureStore], inputs: Inputs) -> None:
    """Raise InvalidValueError where some stores' features are of other networks than others'."""
    first = feature_models(stores[0], inputs)
    for store in stores[1:]:
        theirs = feature_models(store, inputs)
        if first is not None and theirs is not None and first != theirs:
            where = (f"in {stores[0].url}", f"in {store.url}")
            raise InvalidValueError(
                f"learned features of two kinds: {describe_difference(first, theirs, where=where)}; one lifter takes "
                "those of one network"
            )


def percentiles(
    stores: Sequence[FeatureStore], tables: Sequence[SequenceTable], field: str, most: int = FRAMES
) -> tuple[np.ndarray, np.ndarray]:
    """Return the 1st and 99th percentile of each channel of a field over the sequences, (width,) float32 each.

    tables   by store, the sequences that a training learns from
    most     frames; of a larger set runs of `RUN` frames that lie evenly over it: the same every time
    Joints without features, NaN, do not count. InvalidValueError where there are none with.
    """
    runs = [
        (store, int(start), int(start + length))
        for store, table in zip(stores, tables, strict=True)
        for start, length in zip(table.starts, table.lengths, strict=True)
    ]
    pieces = [(store, at, min(at + RUN, stop)) for store, start, stop in runs for at in range(start, stop, RUN)]
    pieces = [piece for piece in pieces if _is_written(*piece)]
    step = max(1, -(-len(pieces) // max(1, most // RUN)))
    values = [store.read(field, at, stop) for store, at, stop in pieces[::step]]
    width = values[0].shape[-1] if values else 0
    rows = np.concatenate([each.reshape(-1, width) for each in values]) if values else np.empty((0, 0))
    rows = rows[np.isfinite(rows).all(axis=-1)]
    if not len(rows):
        raise InvalidValueError(f"'{split_field(field)[0]}' holds no feature in any frame to train on")
    low, high = np.percentile(rows.astype(np.float32), [LOW, HIGH], axis=0, overwrite_input=True)
    return low.astype(np.float32), high.astype(np.float32)


def _is_written(store: FeatureStore, start: int, stop: int) -> bool:
    """Whether these frames can be read, of a store that may still be written."""
    size = store.layout.shard_frames
    return store.status == "complete" or bool(store.finished()[start // size : (stop - 1) // size + 1].all())
