"""Which skeleton a file of joints has and how it becomes H36M-17: what the user says, else the file, else its count."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...stores.errors import InvalidValueError, MissingFileError
from ...stores.format.skeleton import H36M_17
from .detections import Detections
from .skeletons import BY_COUNT, SKELETONS, Rows, named, rows_by_name

# Sequences, and people of each, whose shape is looked at.
_LOOKED_AT = 100


@dataclass(frozen=True)
class Mapping:
    """From J joints of a file to H36M-17.

    skeleton   its name; of a table of one's own, the file's
    joints     J
    rows       for each joint of H36M-17, the joints that it is the mean of; of none: it is never known
    guessed    how it was recognised where neither the user nor the file says
    """

    skeleton: str
    joints: int
    rows: Rows
    guessed: str = ""

    def describe(self) -> dict[str, Any]:
        """Plain data for the fingerprint."""
        rows = {joint: list(row) for joint, row in zip(H36M_17.joints, self.rows, strict=True)}
        return {"skeleton": self.skeleton, "joints": self.joints, "mapping": rows}

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """(..., J, D) to (..., 17, D) by averages; NaN where one of them is."""
        nothing = np.full((*values.shape[:-2], values.shape[-1]), np.nan)
        joints = [values[..., list(row), :].mean(axis=-2) if row else nothing for row in self.rows]
        return np.stack(joints, axis=-2)


def mapping_of(found: Detections, choice: str | None) -> Mapping:
    """The mapping of a file's joints.

    choice   a name of SKELETONS, or the path of a TOML; None: as the file says, else by its number of joints
    InvalidValueError for a skeleton that nobody knows, MissingFileError for a TOML that is not there.
    """
    count = found.joint_count
    if choice is not None and (choice.endswith(".toml") or Path(choice).is_file()):
        return _own(Path(choice), found)
    if choice is not None:
        name = named(choice)
        if name is None:
            raise InvalidValueError(
                f"--keypoints-skeleton {choice}: no such skeleton; there are {', '.join(SKELETONS)}, or a TOML of your "
                "own (docs/keypoints.md)"
            )
        return _checked(name, SKELETONS[name], count, "--keypoints-skeleton says")
    if found.joints:
        return _checked("by name", found.joints, count, "its names are of")
    if found.skeleton:
        return _checked(found.skeleton, SKELETONS[found.skeleton], count, "it says that it has")
    if count not in BY_COUNT:
        known = ", ".join(f"{number} ({' or '.join(names)})" for number, names in BY_COUNT.items())
        raise InvalidValueError(
            f"a skeleton of {count} joints is none that is known: {known}; say which joints are which in a TOML: "
            "--keypoints-skeleton FILE.toml (docs/keypoints.md)"
        )
    made = [Mapping(name, count, rows_by_name(SKELETONS[name])) for name in BY_COUNT[count]]
    lengths = [_bone_lengths(mapping, found) for mapping in made]
    best = int(np.argmin(lengths))
    others = ", ".join(
        f"{mapping.skeleton} {length:.1f}"
        for number, (mapping, length) in enumerate(zip(made, lengths, strict=True))
        if number != best
    )
    shape = f" and where they lie (bones of {lengths[best]:.1f} of a person's size; as {others})" if others else ""
    return replace(made[best], guessed=f"by its {count} joints{shape}")


def _bone_lengths(mapping: Mapping, found: Detections) -> float:
    """The length of all bones over a person's size, the median over people: of the wrong skeleton they run criss-cross.

    0 where no person has all joints.
    """
    lengths = []
    for sequence in found.sequences[:: max(1, len(found.sequences) // _LOOKED_AT)]:
        some = sequence.keypoints[:: max(1, len(sequence.keypoints) // _LOOKED_AT)]
        joints = mapping(some)
        ends = np.array(H36M_17.bones)
        bones = np.linalg.norm(joints[:, ends[:, 0]] - joints[:, ends[:, 1]], axis=-1)
        size = np.linalg.norm(np.ptp(joints, axis=1), axis=-1)
        ratio = bones.sum(axis=1) / np.where(size > 0, size, np.nan)
        lengths += ratio[np.isfinite(ratio)].tolist()
    return float(np.median(lengths)) if lengths else 0.0


def _checked(name: str, joints: tuple[str, ...], count: int, who: str) -> Mapping:
    if len(joints) != count:
        raise InvalidValueError(f"the file has {count} joints a person, {who} {len(joints)} ({name})")
    return Mapping(name, count, rows_by_name(joints))


def _own(path: Path, found: Detections) -> Mapping:
    """`names`: the file's joints in order; `[mapping]`: a joint of H36M-17, and names or numbers that it is made of."""
    if not path.is_file():
        raise MissingFileError(f"no skeleton at {path}; give a TOML (docs/keypoints.md)")
    try:
        table = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidValueError(f"{path} is not TOML: {error}") from error
    strange = sorted(set(table) - {"names", "mapping"})
    names, given = table.get("names", list(found.joints)), table.get("mapping", {})
    if strange or not isinstance(given, dict) or not isinstance(names, list):
        raise InvalidValueError(
            f"{path} holds {', '.join(strange) or 'other things'}; a skeleton is `names` = [...], the joints in order, "
            "and a table [mapping] of what makes each joint of H36M-17"
        )
    if names and len(names) != found.joint_count:
        raise InvalidValueError(f"{path} names {len(names)} joints, the file has {found.joint_count} a person")
    names = [str(name) for name in names]
    rows = {joint: _row(path, joint, parts, names, found.joint_count) for joint, parts in given.items()}
    rest = [joint for joint in H36M_17.joints if joint not in rows]
    if rest:
        # What the table leaves out is made by the usual names: of the joints that it gives, then of the file's.
        made = [*rows.values(), *((number,) for number in range(len(names)))]
        try:
            by_name = dict(zip(H36M_17.joints, rows_by_name([*rows, *names]), strict=True))
        except InvalidValueError as error:
            raise InvalidValueError(f"{path} leaves out {', '.join(rest)}, and there is {error}") from error
        for joint in rest:
            parts = [made[number] for number in by_name[joint]]
            rows[joint] = tuple(part for row in parts for part in row) if all(parts) else ()
    return Mapping(path.name, found.joint_count, tuple(rows[joint] for joint in H36M_17.joints))


def _row(path: Path, joint: str, parts: Any, names: list[str], count: int) -> tuple[int, ...]:
    if joint not in H36M_17.joints:
        raise InvalidValueError(f"{path}: no joint '{joint}'; there are {', '.join(H36M_17.joints)}")
    if not isinstance(parts, list):
        raise InvalidValueError(f"{path}: {joint} must be a list of joints of the file; [] where it has none")
    row = []
    for part in parts:
        if isinstance(part, int) and not isinstance(part, bool) and 0 <= part < count:
            row.append(part)
        elif isinstance(part, str) and part in names:
            row.append(names.index(part))
        else:
            there = f"its names are {', '.join(names)}" if names else "it names none, so give numbers or `names`"
            raise InvalidValueError(f"{path}: {joint} is made of {part!r}; the file has {count} joints, {there}")
    return tuple(row)
