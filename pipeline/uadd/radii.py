"""How large the disk about a joint is, for each rule of `presets.py`: compiled, in float64 on the host, rounded once.

The same whatever the device of the depth and the batch. A few numbers a joint, but NumPy and torch take several
microseconds for each operation on them, which a frame alone would notice.
"""

from __future__ import annotations

import math
from enum import IntEnum

import numpy as np
from numba import float32, float64

from ...stores.format.skeleton import H36M_17
from .compiled import njit

_PELVIS, _THORAX = H36M_17.index("pelvis"), H36M_17.index("thorax")


class Kind(IntEnum):
    """A rule's formula, c a joint's confidence clipped to [0, 1], S its person's distance from pelvis to thorax, px.

    CONFIDENCE  r_min + (1 - c) (r_max - r_min): the paper's
    TORSO       clip(k S (1 + beta (1 - c))^gamma, r_min, r_max): the research code's
    FIXED       r_max
    """

    CONFIDENCE = 0
    TORSO = 1
    FIXED = 2


_CONFIDENCE, _TORSO = int(Kind.CONFIDENCE), int(Kind.TORSO)


def radii(rules: np.ndarray, keypoints: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The radius of each rule (S, B, J), float32 px, and the keypoints as float64.

    rules       (S, 6)     float64: kind, r_min, r_max, k, beta, gamma; a rule reads what its formula has
    keypoints   (B, J, 2)  px; of a TORSO rule H36M-17's
    confidence  (B, J)     clipped to [0, 1]; all three contiguous
    NaN where a keypoint or its confidence is not finite, and where the rule needs a joint that is NaN.
    """
    found = np.empty((len(rules), *confidence.shape), np.float32)
    centre = np.empty(keypoints.shape)
    _radii(rules, keypoints, confidence, found, centre)
    return found, centre


@njit()
def _radii(rules, keypoints, confidence, found, centre):
    sets, batch, joints = found.shape
    for frame in range(batch):
        for joint in range(joints):
            x, y = float64(keypoints[frame, joint, 0]), float64(keypoints[frame, joint, 1])
            c = float64(confidence[frame, joint])
            centre[frame, joint, 0], centre[frame, joint, 1] = x, y
            known = math.isfinite(x) and math.isfinite(y) and math.isfinite(c)
            c = min(max(c, 0.0), 1.0)
            for rule in range(sets):
                r = _radius(rules[rule], keypoints[frame], c) if known else math.nan
                # NaN has several bit patterns.
                found[rule, frame, joint] = float32(math.nan) if math.isnan(r) else float32(r)


@njit()
def _radius(rule, keypoints, c):
    kind, r_min, r_max = rule[0], rule[1], rule[2]
    if kind == _CONFIDENCE:
        return r_min + (1 - c) * (r_max - r_min)
    if kind == _TORSO:
        across = float64(keypoints[_THORAX, 0]) - float64(keypoints[_PELVIS, 0])
        along = float64(keypoints[_THORAX, 1]) - float64(keypoints[_PELVIS, 1])
        r = rule[3] * math.sqrt(across * across + along * along) * (1 + rule[4] * (1 - c)) ** rule[5]
        return r if math.isnan(r) else min(max(r, r_min), r_max)
    return r_max
