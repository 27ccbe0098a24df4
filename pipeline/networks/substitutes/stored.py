"""A finished store in the place of detector and pose: its boxes and joints, read instead of estimated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ....stores.errors import InvalidValueError
from ....stores.locations.choose import locate
from ....stores.reading.store import FeatureStore

STORED = "stored"

# Of a clip's frames, by the names under which they come with the frames.
FIELDS = ("keypoints", "score", "bbox")
KEYS = tuple(f"{STORED}/{name}" for name in FIELDS)


@dataclass(frozen=True)
class FromStore:
    """Stands where detector or pose network would. Nothing is loaded; `StoredRows` brings the values."""

    name: str = STORED

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "weights": "none"}

    def people(self, known: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Joints (n, 17, 2), scores (n, 17) and boxes (n, 5) of a batch; NaN where nobody was found."""
        keypoints, score, bbox = (known[key] for key in KEYS)
        return keypoints, score, bbox

    def boxes(self, known: Mapping[str, np.ndarray]) -> np.ndarray:
        """(n, 1, 5) float32, as a detector gives them; NaN where nobody was found."""
        boxes = known[f"{STORED}/bbox"].astype(np.float32)
        boxes[~np.isfinite(boxes).all(axis=1)] = np.nan
        return boxes[:, None]


@dataclass(frozen=True)
class StoredRows:
    """What a store holds of one sequence, in place of a clip's ground truth; it travels to the worker that reads it.

    start, count   the sequence's frames on the store's axis
    """

    url: str
    fingerprint: str
    start: int
    count: int
    fields: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        return {}  # the store's fingerprint stands in the plan

    def read(self, source_frames: np.ndarray) -> dict[str, np.ndarray]:
        """A row a frame under `KEYS`. A source frame that is stored twice has the same values twice."""
        store = _opened(self.url, self.fingerprint)
        stop = self.start + self.count
        numbers = _source_frames(self.url, self.fingerprint, self.start, stop)
        rows = np.searchsorted(numbers, source_frames)
        if len(rows) and (rows[-1] >= len(numbers) or (numbers[rows] != source_frames).any()):
            raise InvalidValueError(f"{store.url} was made of other frames than these; was its plan edited?")
        first, last = self.start + int(rows[0]), self.start + int(rows[-1]) + 1
        return {f"{STORED}/{name}": store.read(name, first, last)[rows - rows[0]] for name in FIELDS}


@lru_cache(4)
def _opened(url: str, fingerprint: str) -> FeatureStore:
    """The store, opened once a process. The fingerprint tells one from another that took its place."""
    store = FeatureStore.open(locate(url))
    if store.fingerprint != fingerprint:
        raise InvalidValueError(f"{url} is another store than the one that was to be extended; run the command again")
    return store


@lru_cache(8)
def _source_frames(url: str, fingerprint: str, start: int, stop: int) -> np.ndarray:
    return _opened(url, fingerprint).read("source_frame", start, stop)
