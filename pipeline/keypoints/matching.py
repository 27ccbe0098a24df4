"""Which sequence of a file is of which clip: by name, however projects write it, and by subject, action and camera."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence as Many
from pathlib import PurePosixPath

from ...stores.errors import InvalidValueError
from ...stores.export.h36m_names import CAMERAS, shorter
from ..plan import Clip
from .detections import Sequence

# What programs put about a video's name when they name their file or folder after it.
_ABOUT = re.compile(r"^results_|(?:[._](?:json|keypoints|pose|openpose|predictions|sports2d|kpts?2d))+$", re.IGNORECASE)
_SHOWN = 4


def match(clips: Many[Clip], sequences: Many[Sequence], by_name: bool = False) -> list[int | None]:
    """For each clip the number of its sequence; None where the file has none of that name.

    by_name   also where there is one of each, which else belong together whatever they are called
    InvalidValueError where no name fits, and where a name fits several sequences.
    """
    if len(clips) == len(sequences) == 1 and not by_name:
        return [0]
    places: dict[str, set[int]] = defaultdict(set)
    for number, sequence in enumerate(sequences):
        for name in sequence.names:
            for each in {name, _ABOUT.sub("", name)}:
                places[each].add(number)
    shared = _sources_by_stem(clips)
    found = [_find(clip, places, shared) for clip in clips]
    if all(number is None for number in found):
        theirs = _listed(sorted({sequence.name for sequence in sequences}))
        raise InvalidValueError(
            f"no sequence of the file is called like a clip: it has {theirs}; the clips are "
            f"{_listed([clip.id for clip in clips])} (docs/keypoints.md says how names are compared)"
        )
    return found


def _find(clip: Clip, places: dict[str, set[int]], shared: dict[str, set[str]]) -> int | None:
    for name in _names(clip, shared):
        numbers = places.get(name, set())
        if len(numbers) > 1:
            raise InvalidValueError(f"{len(numbers)} sequences of the file are called {name}; which is clip {clip.id}?")
        if numbers:
            return next(iter(numbers))
    return None


def _names(clip: Clip, shared: dict[str, set[str]]) -> list[str]:
    """What a file may call a clip, the surest first."""
    names = [clip.id, clip.id.replace("/", "_")]
    if clip.camera in CAMERAS:
        names.append(f"{clip.subject}/{shorter(clip.action)}/{CAMERAS.index(clip.camera)}")
    stem = _stem(clip)
    if len(shared[stem]) == 1:  # of clips of one video, as of 3DPW's actors, all may have it
        names += [stem, PurePosixPath(clip.name).name]
    return names


def _sources_by_stem(clips: Many[Clip]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        found[_stem(clip)].add(str(clip.info.path))
    return found


def _stem(clip: Clip) -> str:
    return PurePosixPath(clip.name).stem if clip.info.kind == "video" else PurePosixPath(clip.name).name


def _listed(names: Many[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
