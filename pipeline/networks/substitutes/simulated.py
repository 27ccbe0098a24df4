"""A simulated sensor in the networks' place: joints and depth follow from the geometry of a clip and stated errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .given import GIVEN, GIVEN_BOX
from .ground_truth import FromTruth

SIMULATED = "simulated"
# Where depth is measured, if not at the person's own joints: (n, 17, 3) x, y px and score.
MEASURED = "simulated/measured"


@dataclass(frozen=True)
class Simulated(FromTruth):
    """Stands where the networks would.

    constants   of its errors, as plain data for the fingerprint
    """

    name: str = SIMULATED
    constants: Mapping[str, Any] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "noise": dict(self.constants)}

    def people(self, known: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        joints = known[GIVEN]
        return joints[..., :2], joints[..., 2], known[GIVEN_BOX]
