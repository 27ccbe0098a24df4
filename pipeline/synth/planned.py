"""A clip of the rendered world as a plan takes it, whatever sees it: a renderer or a simulated sensor."""

from __future__ import annotations

import math

from ..frames.sources import SourceInfo
from ..plan import Clip, GroundTruth, clip_of
from .clip import Clip as DrawnClip

Intrinsics = tuple[float, float, float, float]
UNKNOWN: Intrinsics = (math.nan, math.nan, math.nan, math.nan)


def planned(
    drawn: DrawnClip,
    info: SourceInfo,
    name: str,
    truth: GroundTruth,
    intrinsics: Intrinsics,
    fps: float | None,
    limit: int | None,
) -> Clip:
    """Return the clip under its id, with what is known of it. name: of its source, for the fingerprint."""
    return clip_of(
        info,
        drawn.id,
        name,
        fps,
        limit,
        dataset=f"synth-{drawn.domain}",
        subject=drawn.subject,
        action=drawn.motion,
        camera=f"room{drawn.room}-camera{drawn.camera}",
        split=drawn.split,
        intrinsics=intrinsics,
        truth=truth,
    )
