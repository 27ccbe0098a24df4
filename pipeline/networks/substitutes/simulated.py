"""A simulated sensor in the networks' place: joints and depth follow from the geometry of a clip and stated errors."""

from __future__ import annotations

from dataclasses import dataclass

from .given import FromFile

SIMULATED = "simulated"
# Where depth is measured, if not at the person's own joints: (n, 17, 3) x, y px and score.
MEASURED = "simulated/measured"


@dataclass(frozen=True)
class Simulated(FromFile):
    """Stands where the networks would.

    about   `noise`: the constants of its errors, as plain data for the fingerprint
    """

    name: str = SIMULATED
