"""What a store's values look like: ranges joint by joint, computed shard by shard when a store is finished."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..format.schema import Field
from ..reading.store import FeatureStore

# Wide fields are left out: their statistics are a training matter (percentiles of the training set).
_SKIPPED = {"valid", "source_frame"}


class RunningRange:
    """Count, mean, minimum and maximum of finite values, column by column, in float64 and in a fixed order."""

    def __init__(self, shape: tuple[int, ...]):
        self.count = np.zeros(shape, dtype=np.int64)
        self.total = np.zeros(shape)
        self.minimum = np.full(shape, np.inf)
        self.maximum = np.full(shape, -np.inf)

    def add(self, values: np.ndarray) -> None:
        """values (frames, *shape)"""
        finite = np.isfinite(values)
        self.count += finite.sum(axis=0)
        self.total += np.where(finite, values, 0).sum(axis=0, dtype=np.float64)
        self.minimum = np.minimum(self.minimum, np.where(finite, values, np.inf).min(axis=0))
        self.maximum = np.maximum(self.maximum, np.where(finite, values, -np.inf).max(axis=0))

    def to_json(self) -> dict[str, Any]:
        """Nested lists; None where nothing finite was seen."""
        some = self.count > 0
        mean = np.divide(self.total, self.count, out=np.zeros_like(self.total), where=some)
        return {
            "finite": self.count.tolist(),
            "mean": _rounded(mean, some),
            "min": _rounded(self.minimum, some),
            "max": _rounded(self.maximum, some),
        }


def statistics(store: FeatureStore) -> dict[str, Any]:
    """Field -> count of finite values, mean, minimum, maximum, each of one frame's shape. Reads the store once.

    Its own fields: a family has statistics of its own.
    """
    specs = [f for f in store.own_fields.values() if not f.wide and f.name not in _SKIPPED]
    return {spec.name: _field_statistics(store, spec) for spec in specs}


def _field_statistics(store: FeatureStore, spec: Field) -> dict[str, Any]:
    ranges = RunningRange(spec.shape)
    for shard in range(store.layout.shards):
        ranges.add(store.read(spec.name, *store.layout.bounds(shard)))
    return ranges.to_json()


def _rounded(values: np.ndarray, some: np.ndarray) -> Any:
    # Six digits say enough and keep zarr.json readable.
    nested = np.array([float(f"{v:.6g}") if s else None for v, s in zip(values.flat, some.flat, strict=True)], object)
    return nested.reshape(values.shape).tolist()
