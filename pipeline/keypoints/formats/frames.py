"""Folders of a JSON file a frame: which files are one video's, and their numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ....stores.errors import InvalidValueError
from ...frames.names import natural
from ..detections import Detections, Rows
from .json_files import load_json, one_count

# walk_000000000012_keypoints, cam01_000012, 12
_NUMBERED = re.compile(r"(.*?)[._ -]*(\d+)(?:[._ -]*keypoints)?", re.IGNORECASE)


@dataclass(frozen=True)
class Person:
    """One person of one frame: (J, 3) x, y px and confidence; box (4,) px, its score and a name where there are any."""

    values: np.ndarray
    box: np.ndarray | None = None
    box_score: float | None = None
    person: str = ""


# The people of a frame, from a file's content; None where it is of another format.
People = Callable[[Path, Any], list[Person] | None]


def read_frames(files: Sequence[Path], people: People) -> Detections:
    """The sequences of these files, by what stands before the number in their names.

    InvalidValueError for a name without a number, a number twice, and a file of another kind than the first.
    """
    groups: dict[tuple[Path, str], dict[int, Path]] = {}
    for path in sorted(files, key=lambda path: natural(path.name)):
        match = _NUMBERED.fullmatch(path.stem)
        if match is None:
            raise InvalidValueError(f"{path} has no number of a frame in its name; name it like walk_000012.json")
        numbered = groups.setdefault((path.parent, match[1]), {})
        number = int(match[2])
        if number in numbered:
            raise InvalidValueError(f"{path} and {numbered[number].name} are both of frame {number}")
        numbered[number] = path
    rows = {group: _rows(numbered, people) for group, numbered in groups.items()}
    joints = one_count(files[0].parent, [len(each) for made in rows.values() for each in made.values])
    return Detections(
        tuple(
            made.sequence(
                tuple(name for name in (prefix, folder.name) if name), joints, np.array(sorted(groups[folder, prefix]))
            )
            for (folder, prefix), made in rows.items()
        )
    )


def _rows(numbered: dict[int, Path], people: People) -> Rows:
    rows = Rows()
    for number, path in numbered.items():
        found = people(path, load_json(path))
        if found is None:
            raise InvalidValueError(f"{path} is of another kind than the files beside it; keep one kind in a folder")
        for one in found:
            rows.add(number, one.values, one.box, one.box_score, one.person)
    return rows
