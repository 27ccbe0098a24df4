"""Joints of a file in the place of detector and pose network: nothing of the picture is looked at for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .ground_truth import FromTruth

# What a clip's `keypoints` say of its frames: (n, 17, 3) x, y px and score, and (n, 5) box px and score.
GIVEN, GIVEN_BOX = "given/keypoints", "given/bbox"


@dataclass(frozen=True)
class FromFile(FromTruth):
    """Stands where the pose network would.

    about   what the file is, as plain data for the fingerprint
    """

    name: str = "keypoints-file"
    about: Mapping[str, Any] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), **self.about}

    def people(self, known: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        joints = known[GIVEN]
        return joints[..., :2], joints[..., 2], known[GIVEN_BOX]


def nobody(frames: int) -> dict[str, np.ndarray]:
    """What is said of so many frames that nobody is in."""
    return {
        GIVEN: np.full((frames, 17, 3), np.nan, np.float32),
        GIVEN_BOX: np.full((frames, 5), np.nan, np.float32),
    }
