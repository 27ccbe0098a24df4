"""Sports2D's results in px: a TRC file a person, joints by name, without confidence."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import numpy as np

from ....stores.errors import InvalidValueError
from ...datasets.formats.markers import read_trc
from ..detections import Detections, Sequence

_NAMED = re.compile(r"(?P<video>.*?)(?:_Sports2D)?(?:_px)?(?:_(?P<person>person\d+))?", re.IGNORECASE)


def is_trc(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(12) == b"PathFileType"


def read_sports2d(files: list[Path]) -> Detections:
    """A sequence a video, of the people who have a file: walk_Sports2D_px_person00.trc.

    InvalidValueError for files of other joints than the first, and for joints in space (its results in metres).
    """
    videos: dict[str, list[tuple[str, Path]]] = defaultdict(list)
    for path in files:
        match = _NAMED.fullmatch(path.stem)
        assert match is not None  # all of it is optional
        videos[match["video"]].append((match["person"] or path.stem, path))
    joints: tuple[str, ...] = ()
    sequences = []
    for name, people in videos.items():
        parts = []
        for person, path in people:
            found = read_trc(path)
            joints = joints or found.names
            if found.names != joints:
                raise InvalidValueError(f"{path.name} has other joints than {files[0].name}; give them one by one")
            if np.nan_to_num(found.positions[..., 2]).any():
                raise InvalidValueError(
                    f"{path.name} holds joints in space; Sports2D's results in px are in ..._px_..."
                )
            start = float(path.read_text().splitlines()[5].split("\t")[1] or 0)
            frame = round(start * found.rate) + np.arange(len(found.positions))
            parts.append((person, frame, found.positions[..., :2], found.rate))
        sequences.append(_sequence(name, parts))
    return Detections(tuple(sequences), joints=joints)


def _sequence(name: str, parts: list[tuple[str, np.ndarray, np.ndarray, float]]) -> Sequence:
    frame = np.concatenate([frame for _, frame, _, _ in parts])
    order = np.argsort(frame, kind="stable")
    person = np.concatenate([np.full(len(frame), person) for person, frame, _, _ in parts])
    return Sequence(
        (name,),
        frame[order],
        np.concatenate([joints for _, _, joints, _ in parts])[order],
        person=person[order] if len(parts) > 1 else None,
        covered=np.unique(frame),
        fps=parts[0][3],
    )
