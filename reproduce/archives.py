"""The licensed archives that an experiment reads: found, or named as missing, before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auglift.pipeline.datasets.table import ARCHIVES

from .experiment import Failed


@dataclass(frozen=True)
class Place:
    """Names an archive's folder may have in the folder of archives, and what lies in it."""

    folders: tuple[str, ...]
    holds: str


PLACES: Mapping[str, Place] = {
    "h36m": Place(("h36m", "human36m", "Human3.6M"), "S*/MyPoseFeatures"),
    "mpi-inf-3dhp": Place(("mpi-inf-3dhp", "mpi_inf_3dhp", "3dhp"), "*S[0-9]"),
    "3dpw": Place(("3dpw", "3DPW"), "sequenceFiles/*/*.pkl"),
    "fit3d": Place(("fit3d", "Fit3D"), "**/train/s[0-9][0-9]"),
}


def roots(names: Sequence[str], folder: Path | None) -> dict[str, Path]:
    """Return where each archive is. Failed, in one line, with all that are missing."""
    found = {}
    missing = []
    for name in dict.fromkeys(names):
        place = PLACES[name]
        where = [folder / each for each in place.folders] if folder else []
        there = next((path for path in where if any(path.glob(place.holds))), None)
        if there is None:
            missing.append(f"{ARCHIVES[name].title} (a folder {' or '.join(place.folders)} with {place.holds})")
        else:
            found[name] = there.resolve()
    if missing:
        looked = f"looked for in {folder}" if folder else "name their folder: ARCHIVES=DIR, or --archives DIR"
        raise Failed(
            f"licensed data is missing: {', '.join(missing)}; {looked}; `auglift-prep datasets` says where to apply"
        )
    return found


def root_of(options: Mapping[str, Any], there: Mapping[str, Path]) -> dict[str, Any]:
    """Return a store's options, with --root where it is made of an archive."""
    return {**options, "root": str(there[options["archive"]])} if "archive" in options else dict(options)
