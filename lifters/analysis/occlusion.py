"""Occlusion: which joints of a true pose other joints of the same person hide, each taken for the end of a pipe."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...stores.format.skeleton import H36M_17

# px, for a person PERSON px high: how far about itself a joint covers what lies behind it (method.md, section 8).
# H36M-17's joint 9, called nose here, is the paper's neck.
PERSON = 300.0
_RADIUS = {
    "pelvis": 28, "spine": 26, "thorax": 25, "head": 22, "nose": 20,
    "shoulder": 18, "elbow": 15, "wrist": 12, "hip": 22, "knee": 20, "ankle": 15,
}  # fmt: skip
RADII = np.array([float(_RADIUS[joint.rpartition("_")[2]]) for joint in H36M_17.joints])
NEARER = 0.010  # m: what hides a joint is nearer than it by so much at least
FRAMES = 4096  # at a time: 17 x 17 numbers a frame

TIERS: Mapping[str, float] = {"least hidden": 0.25, "second": 0.25, "third": 0.25, "most hidden": 0.25}


def hidden_joints(places: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Return (F, 17) bool: joint j is hidden when a joint i is nearer by 10 mm or more and covers it in the picture.

    places   (F, 17, 2) px, true 2D joints
    depth    (F, 17) m, along the camera's axis, from any origin
    The radii are for a person 300 px high and grow with the height of the joints in the picture. A joint that is not
    finite hides nothing and is not hidden. Only the person hides here: neither furniture nor other people, nor the
    edge of the picture. docs/analysis.md has how often the rule is right.
    """
    out = np.zeros(depth.shape, dtype=bool)
    for start in range(0, len(depth), FRAMES):
        here = slice(start, start + FRAMES)
        xy, z = places[here].astype(np.float64), depth[here].astype(np.float64)
        known = np.isfinite(xy).all(-1) & np.isfinite(z)
        y = xy[..., 1]
        height = np.where(known, y, -np.inf).max(1) - np.where(known, y, np.inf).min(1)
        radius = RADII * (np.maximum(height, 0.0) / PERSON)[:, None]  # (F, i)
        with np.errstate(invalid="ignore"):
            apart = np.linalg.norm(xy[:, :, None] - xy[:, None], axis=-1)  # (F, i, j)
            hides = (apart < radius[:, :, None]) & (z[:, :, None] <= z[:, None] - NEARER)
        out[here] = (hides & known[:, :, None] & known[:, None]).any(1)
    return out


def hidden_share(places: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Return (F,): the share of a frame's known joints that are hidden; NaN where fewer than two are known."""
    known = (np.isfinite(places).all(-1) & np.isfinite(depth)).sum(1)
    return np.where(known > 1, hidden_joints(places, depth).sum(1) / np.maximum(known, 1), np.nan)
