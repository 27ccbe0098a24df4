"""What a user can choose of an export, beside its format and its sequences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

# Whose 2D joints: those that were detected, or the true ones.
Joints = Literal["detected", "truth"]
JOINTS: tuple[Joints, ...] = ("detected", "truth")


@dataclass(frozen=True)
class Options:
    """A choice that is None is the format's own.

    missing      a key of `gaps.MISSING`
    checkout     VideoPose3D's folder; None: to be looked for beside the files written
    annotation   kind of ground truth of MPI-INF-3DHP, `annot3` or `univ_annot3`
    joints       one of JOINTS
    clip_frames, clip_stride   of MotionBERT's clips; the stride is that of training
    """

    missing: str = "split"
    checkout: Path | None = None
    annotation: str | None = None
    joints: Joints | None = None
    clip_frames: int = 243
    clip_stride: int | None = None
