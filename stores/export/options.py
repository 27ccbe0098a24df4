"""What a user can choose of an export, beside its format and its sequences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """missing: a key of `gaps.MISSING`. checkout: VideoPose3D's folder, None to look beside the files written."""

    missing: str = "split"
    checkout: Path | None = None
