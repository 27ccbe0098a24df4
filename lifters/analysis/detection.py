"""Detection quality: how far a frame's detected joints lie from the true ones in the picture."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...stores.errors import MissingFieldError
from ...stores.reading.store import FeatureStore
from ..data.truth import TARGET

FAR = 100.0  # px: joints farther off are dropped (method.md, section 8)
PLACES = "target/keypoints"

TIERS: Mapping[str, float] = {"best detected": 0.25, "second": 0.25, "third": 0.25, "worst detected": 0.25}


def detection_error(detected: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return (F,) px: the mean distance of detected from true joints (F, 17, 2), without those off by over 100 px.

    NaN where no joint is left.
    """
    off = np.linalg.norm(detected.astype(np.float64) - places, axis=-1)
    with np.errstate(invalid="ignore"):
        counts = off <= FAR  # not where it is NaN
    total = np.where(counts, off, 0.0).sum(1)
    return np.where(counts.any(1), total / np.maximum(counts.sum(1), 1), np.nan)


def true_places(store: FeatureStore, frame: np.ndarray) -> np.ndarray:
    """Return (F, 17, 2) px: the true 2D joints of these frames, or the true 3D joints as the camera projects them.

    NaN in frames without truth or camera. MissingFieldError as `require_places`.
    """
    require_places(store)
    if PLACES in store.fields:
        return store.read(PLACES)[frame]
    pose = store.read(TARGET)[frame].astype(np.float64)
    starts = store.sequences.starts
    order = np.argsort(starts)
    lens = _lenses(store)[order[np.searchsorted(starts[order], frame, side="right") - 1]][:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        return pose[..., :2] / pose[..., 2:] * lens[..., :2] + lens[..., 2:]


def require_places(store: FeatureStore) -> None:
    """Raise MissingFieldError where neither true 2D joints nor a camera that projects the 3D ones are known."""
    if PLACES not in store.fields and not np.isfinite(_lenses(store)).all(1).any():
        raise MissingFieldError(
            f"{store.url} has neither true 2D joints ({PLACES}) nor cameras (fx, fy, cx, cy): occlusion and detection "
            "cannot be analysed on it; leave them out of --analysis"
        )


def _lenses(store: FeatureStore) -> np.ndarray:
    """(S, 4) fx, fy, cx, cy, px; NaN where a camera is not calibrated."""
    table = store.sequences.table
    return np.stack([table[name].to_numpy().astype(np.float64) for name in ("fx", "fy", "cx", "cy")], axis=-1)
