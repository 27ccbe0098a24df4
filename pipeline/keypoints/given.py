"""`--keypoints`: joints of a file given to clips, read batch by batch by whoever computes depth there."""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ...stores.errors import InvalidValueError
from ..frames.names import readable
from ..networks.substitutes.given import GIVEN, GIVEN_BOX, FromFile, nobody
from ..plan import Clip
from .checks import first_number, oddities, require_fit
from .detections import Detections, Sequence
from .formats.table import FORMATS, digest, format_of, read_detections
from .mapping import Mapping, mapping_of
from .matching import match
from .person import RULES, choose, rule_of


@dataclass(frozen=True)
class KeypointOptions:
    """What a user says of a file of joints.

    place      path or URL
    skeleton   a name, or a TOML; None: as the file says, else by its number of joints
    person     which of several people, by the file's name; "": chosen frame by frame
    first      the number that the file gives to the first frame; None: follows from its numbers
    slack      so many frames more or fewer than the video has are taken
    """

    place: str
    skeleton: str | None = None
    person: str = ""
    first: int | None = None
    slack: int = 0


@dataclass(frozen=True)
class Given:
    """A sequence of a file, for one clip. Holds no joints: it travels to the worker that reads them.

    number   of the sequence in the file; name: its own
    first    the number that it gives to the first frame
    """

    place: str
    format: str
    sha256: str
    number: int
    name: str
    mapping: Mapping
    first: int = 0
    person: str = ""

    def describe(self) -> dict[str, Any]:
        named = {"person": self.person} if self.person else {}
        return {"sequence": self.name, "first": self.first, **named}

    def read(self, source_frames: np.ndarray, boxes: np.ndarray | None) -> dict[str, np.ndarray]:
        """Joints of one person a frame as H36M-17, with confidence 1 where the file has none; NaN where nobody is."""
        sequence = self.people()
        wanted = np.asarray(source_frames, np.int64)
        row = choose(sequence, wanted + self.first, boxes)
        found = nobody(len(wanted))
        there = np.flatnonzero(row >= 0)
        if not len(there):
            return found
        rows = row[there]
        joints = self.mapping(sequence.keypoints[rows])
        known = np.asarray(np.isfinite(joints).all(axis=-1))
        score = np.ones(known.shape)
        if sequence.score is not None:
            score = self.mapping(np.nan_to_num(sequence.score[rows], nan=0.0)[..., None])[..., 0]
        joints[~known], score = np.nan, np.where(known, score, np.nan)
        some = known.any(axis=1)
        there, rows, joints, score = there[some], rows[some], joints[some], score[some]
        found[GIVEN][there] = np.concatenate([joints, score[..., None]], axis=-1)
        found[GIVEN_BOX][there] = _boxes(sequence, rows, joints, score)
        return found

    def people(self) -> Sequence:
        """Its rows: people with at least one joint, and of those who are named, the one that is meant."""
        return _people(self.place, self.format, self.sha256, self.number, self.person)


def _boxes(sequence: Sequence, rows: np.ndarray, joints: np.ndarray, score: np.ndarray) -> np.ndarray:
    """(n, 5): the file's box and its score; where it has none, what the joints span, and their mean confidence."""
    span = np.concatenate([np.nanmin(joints, axis=1), np.nanmax(joints, axis=1)], axis=1)
    box = span if sequence.box is None else sequence.box[rows]
    box = np.where(np.isfinite(box).all(axis=1, keepdims=True), box, span)
    mean = np.nanmean(score, axis=1)
    certain = mean if sequence.box_score is None else sequence.box_score[rows]
    return np.concatenate([box, np.where(np.isfinite(certain), certain, mean)[:, None]], axis=1)


@lru_cache(maxsize=8)
def _people(place: str, format: str, sha256: str, number: int, person: str) -> Sequence:
    sequence = read_detections(place, format, sha256).sequences[number]
    keep = np.isfinite(sequence.keypoints).all(axis=-1).any(axis=-1)
    if person:
        keep &= (sequence.person == person) if sequence.person is not None else False
    if keep.all():
        return sequence
    names = ("frame", "keypoints", "score", "box", "box_score", "person")
    values = {name: getattr(sequence, name) for name in names}
    return replace(sequence, **{name: value[keep] for name, value in values.items() if value is not None})


def give(clips: Many[Clip], options: KeypointOptions) -> tuple[list[Clip], FromFile, list[str], list[str]]:
    """Clips with the joints of a file; what stands in the networks' place; notes on the file; clips without joints.

    Raises InvalidValueError where the file is of no known format or skeleton, and where a sequence is not of its
    video, with the figures; MissingFileError where it is not there.
    """
    format = format_of(options.place)
    place = options.place if "://" in options.place else str(Path(options.place).absolute())
    found = FORMATS[format].read(place) if format == "auglift" else None
    sha256 = digest(place, format, found)
    found = read_detections(place, format, sha256)
    if not found.sequences:
        raise InvalidValueError(f"{readable(options.place)} holds no sequence")
    name = readable(Path(options.place).name if "://" not in options.place else options.place)
    try:
        mapping = mapping_of(found, options.skeleton)
        by_name = format == "videopose3d" and clips[0].dataset == "h36m"
        numbers = match(clips, found.sequences, by_name)
    except InvalidValueError as error:
        raise InvalidValueError(f"{name}: {error}") from error
    made: list[Clip] = []
    absent, refused = [], []
    for clip, number in zip(clips, numbers, strict=True):
        if number is None:
            absent.append(f"{clip.id}: {name} has no joints for it")
            continue
        sequence = found.sequences[number]
        first = first_number(sequence, clip.info.frame_count, options.first)
        given = Given(place, format, sha256, number, sequence.name, mapping, first, options.person)
        try:
            made.append(_fitted(clip, given, sequence, options))
        except InvalidValueError as error:
            refused.append(f"{name} is not of {clip.id}: {error}")
    if refused:
        more = f" (and {len(refused) - 1} more of {len(clips)} clips)" if len(refused) > 1 else ""
        raise InvalidValueError(f"{refused[0]}{more}")
    return made, FromFile(about=_about(format, sha256, mapping, found)), _notes(name, format, mapping, found), absent


def _fitted(clip: Clip, given: Given, sequence: Sequence, options: KeypointOptions) -> Clip:
    wanted = clip.source_frames(0, clip.count)
    if options.person and (sequence.person is None or options.person not in sequence.person):
        there = "names nobody" if sequence.person is None else f"has {', '.join(sorted(set(sequence.person.tolist())))}"
        raise InvalidValueError(f"--keypoints-person {options.person}: it {there}")
    require_fit(sequence, clip.info, given.first, wanted, options.slack)
    mine = given.people()
    number = wanted + given.first
    people = np.searchsorted(mine.frame, number, "right") - np.searchsorted(mine.frame, number, "left")
    lines = oddities(mine, clip.info, people)
    if (people > 1).any():
        rule = RULES[rule_of(mine, clip.truth is not None)]
        lines.append(f"up to {people.max()} people in {int((people > 1).sum())} frames: {rule}")
    if given.first:
        lines.append(f"frames are counted from {given.first}")
    notes = [f"joints of the file: {'; '.join(lines)}"] if lines else []
    return replace(clip, keypoints=given, warnings=(*clip.warnings, *notes))


def _with_confidence(found: Detections) -> int:
    return sum(sequence.score is not None for sequence in found.sequences)


def _about(format: str, sha256: str, mapping: Mapping, found: Detections) -> dict[str, Any]:
    confidence = "file" if _with_confidence(found) else "1"
    return {"format": format, "sha256": sha256, **mapping.describe(), "confidence": confidence}


def _notes(name: str, format: str, mapping: Mapping, found: Detections) -> list[str]:
    """What whoever uses the store must know."""
    taken = f", taken for {mapping.skeleton} {mapping.guessed}" if mapping.guessed else ""
    notes = [f"2D joints are those of {name} ({format}{taken}); no detector and no pose network ran"]
    some = _with_confidence(found)
    if some < len(found.sequences):
        which = "" if not some else f" in {len(found.sequences) - some} of its {len(found.sequences)} sequences"
        notes.append(f"{name} comes without confidences{which}: c = 1")
    return [*notes, *found.notes]
