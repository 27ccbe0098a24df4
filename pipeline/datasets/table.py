"""The archives in one table: who is in them, how they were filmed, under which terms, and where to request them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...stores.errors import InvalidValueError


@dataclass(frozen=True)
class Archive:
    """splits   split to its subjects; empty for 3DPW, whose folders are the splits."""

    name: str
    title: str
    splits: Mapping[str, tuple[str, ...]]
    cameras: str
    fps: str
    frame: str
    terms: str
    apply: str


ARCHIVES: Mapping[str, Archive] = {
    row.name: row
    for row in (
        Archive(
            "h36m",
            "Human3.6M",
            {"train": ("S1", "S5", "S6", "S7", "S8"), "test": ("S9", "S11")},
            "4",
            "50",
            "1000 x 1000 and 1000 x 1002",
            "academic use, no redistribution",
            "vision.imar.ro/human3.6m",
        ),
        Archive(
            "mpi-inf-3dhp",
            "MPI-INF-3DHP",
            {"train": tuple(f"S{n}" for n in range(1, 9)), "test": tuple(f"TS{n}" for n in range(1, 7))},
            "8",
            "25 and 50",
            "2048 x 2048; TS5 and TS6 1920 x 1080",
            "research use, no redistribution",
            "vcai.mpi-inf.mpg.de/3dhp-dataset",
        ),
        Archive(
            "3dpw",
            "3D Poses in the Wild",
            {"train": (), "validation": (), "test": ()},
            "1, moving",
            "30",
            "varies",
            "research use, no redistribution",
            "virtualhumans.mpi-inf.mpg.de/3DPW",
        ),
        Archive(
            "fit3d",
            "Fit3D",
            {"train": ("s03", "s04", "s05", "s07", "s08", "s09"), "test": ("s10", "s11")},
            "4",
            "50",
            "900 x 900",
            "academic use, no redistribution",
            "fit3d.imar.ro",
        ),
    )
}


def subjects_of(name: str, split: str, folder: Path) -> list[tuple[str, str]]:
    """List (subject, split) of the archive's subjects in this split.

    A folder of a subject that is not in the table is an error: it may be another archive's, or mistyped.
    """
    splits = ARCHIVES[name].splits
    if split not in (*splits, "all"):
        raise InvalidValueError(f"no split '{split}' in {name}; there are {', '.join(splits)}, all")
    known = {subject: part for part, subjects in splits.items() for subject in subjects}
    prefixes = {subject.rstrip("0123456789") for subject in known}
    for path in sorted(folder.iterdir()):
        looks = path.is_dir() and path.name.rstrip("0123456789") in prefixes and path.name[-1].isdigit()
        if looks and path.name not in known:
            raise InvalidValueError(f"{path}: {name} has no subject {path.name}; there are {', '.join(known)}")
    return [(subject, part) for subject, part in known.items() if split in (part, "all")]
