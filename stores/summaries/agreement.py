"""Do the detector and the ground truth mean the same person, and the same left and right? From a finished store."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..format.skeleton import H36M_17
from ..reading.store import FeatureStore

FIELDS = ("valid", "keypoints", "target/keypoints")
_SEQUENCES, _FRAMES = 100, 32  # looked at, evenly over the store, and of each from its middle
_LIMBS = {
    limb: [number for number, joint in enumerate(H36M_17.joints) if joint.endswith(ends)]
    for limb, ends in {"legs": ("hip", "knee", "ankle"), "arms": ("shoulder", "elbow", "wrist")}.items()
}


def agreement(store: FeatureStore) -> dict[str, float] | None:
    """Compare detected joints with true ones, over at most 3,200 frames; None where either is missing.

    frames      looked at that have both
    distance    px, median over joints
    legs, arms  share of frames in which they lie nearer to the truth than with left and right exchanged
    """
    if store.status != "complete" or any(name not in store.fields for name in FIELDS):
        return None
    if store.configuration.get("pose", {}).get("name") == "ground-truth":
        return None
    found, known = [], []
    for span in spans(store):
        valid, detected, true = (store.read(name, *span) for name in FIELDS)
        both = (valid > 0) & np.isfinite(detected).all((1, 2)) & np.isfinite(true).all((1, 2))
        found.append(detected[both])
        known.append(true[both])
    detected, true = np.concatenate(found).astype(np.float64), np.concatenate(known).astype(np.float64)
    if not len(detected):
        return None
    distance = np.linalg.norm(detected - true, axis=-1)
    exchanged = np.linalg.norm(detected - true[:, H36M_17.flip], axis=-1)
    shares = {
        limb: float((distance[:, joints].sum(1) < exchanged[:, joints].sum(1)).mean())
        for limb, joints in _LIMBS.items()
    }
    return {"frames": len(detected), "distance": float(np.median(distance)), **shares}


def spans(store: FeatureStore) -> Iterator[tuple[int, int]]:
    """Yield (first frame, one past the last) of stretches evenly over the store, at most 3,200 frames."""
    starts, lengths = store.sequences.starts, store.sequences.lengths
    for number in np.unique(np.linspace(0, len(starts) - 1, min(_SEQUENCES, len(starts))).astype(int)):
        first, length = int(starts[number]), int(lengths[number])
        start = first + max(0, (length - _FRAMES) // 2)
        yield start, min(first + length, start + _FRAMES)


def in_words(found: dict[str, float]) -> str:
    """Write the result of `agreement` in one line that names what looks exchanged."""
    shares = ", ".join(f"{limb} {found[limb]:.0%}" for limb in _LIMBS)
    wrong = [limb for limb in _LIMBS if found[limb] < 0.5]
    verdict = f"; LEFT AND RIGHT OF THE {' AND '.join(wrong).upper()} LOOK EXCHANGED" if wrong else ""
    return f"{found['distance']:.1f} px apart, the same left and right: {shares}; {found['frames']} frames{verdict}"
