"""Read BVH files with the names and orders of rotation of any exporter; an error names what is not known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ....stores.errors import InvalidValueError, MissingFileError
from ..seeding import Array
from .mocap import Recording
from .rig import rotation_about

# What the usual exporters call each joint of our rig, in lower case and without separators or a prefix before a colon.
_ALIASES: Mapping[str, tuple[str, ...]] = {
    "pelvis": ("hips", "hip", "pelvis", "root"),
    "lumbar": ("lowerback", "spine", "abdomen", "torso", "chest"),
    "chest": ("spine2", "spine1", "chest2", "chest", "upperchest", "thorax", "spine"),
    "neck": ("neck", "neck1", "lowerneck"),
    "head": ("head",),
    "clavicle": ("collar", "clavicle", "shoulder"),
    "shoulder": ("arm", "uparm", "upperarm", "shoulder", "shldr"),
    "elbow": ("forearm", "lowarm", "lowerarm", "elbow"),
    "wrist": ("hand", "wrist"),
    "hip": ("upleg", "thigh", "upperleg", "hip"),
    "knee": ("leg", "shin", "lowerleg", "lowleg", "calf", "knee"),
    "ankle": ("foot", "ankle"),
    "toe": ("toebase", "toe", "toes"),
}
_OPTIONAL = ("lumbar", "clavicle", "toe", "neck")


def _wanted() -> Iterator[tuple[str, tuple[str, ...]]]:
    for part, aliases in _ALIASES.items():
        if part in ("pelvis", "lumbar", "chest", "neck", "head"):
            yield part, aliases
            continue
        for side in ("left", "right"):
            yield f"{side}_{part}", tuple(form for alias in aliases for form in (side + alias, side[0] + alias))


def _roles(names: Sequence[str], mapping: Mapping[str, str], where: str) -> dict[str, int]:
    """Which captured joint plays which joint of the rig; InvalidValueError lists the ones that are not found."""
    plain = [name.rsplit(":", 1)[-1].lower().replace("_", "").replace("-", "").replace(" ", "") for name in names]
    known = {role for role, _ in _wanted()}
    for role, name in mapping.items():
        if role not in known:
            raise InvalidValueError(f"{where}: the mapping names {role!r}, which is none of {', '.join(sorted(known))}")
        if name not in names:
            raise InvalidValueError(
                f"{where}: the mapping says {role} = {name!r}, but its joints are {', '.join(names)}"
            )
    roles = {role: names.index(name) for role, name in mapping.items()}
    for role, aliases in _wanted():
        found = next((plain.index(alias) for alias in aliases if alias in plain), None)
        if found is not None:
            roles.setdefault(role, found)
    for side in ("left", "right"):  # "LeftShoulder" is the collar bone beside "LeftArm", and the upper arm without it
        if roles.get(f"{side}_clavicle") == roles.get(f"{side}_shoulder"):
            roles.pop(f"{side}_clavicle", None)
    if roles.get("lumbar") == roles.get("chest"):
        roles.pop("lumbar", None)
    lost = [role for role, _ in _wanted() if role not in roles and role.rsplit("_", 1)[-1] not in _OPTIONAL]
    if lost:
        raise InvalidValueError(
            f"{where}: no joint is known to be {', '.join(lost)} among {', '.join(names)}; "
            f"say which with mapping={{{lost[0]!r}: NAME, ...}}"
        )
    return roles


def read_bvh(path: str | Path, mapping: Mapping[str, str] | None = None) -> Recording:
    """Read a BVH file.

    mapping  our joint -> the file's, for names that are not in the usual conventions, such as {"left_knee": "lKn"}
    Raises MissingFileError; InvalidValueError for a file that is no BVH, a truncated one, or joints that are not found.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"no BVH file at {path}")
    try:
        words = path.read_text(encoding="utf-8", errors="replace").split()
        names, parent, offset, channels, after = _bvh_hierarchy(words)
        frames, seconds = int(words[after + 2]), float(words[after + 5])
        values = np.array(words[after + 6 :], dtype=float)
    except (ValueError, IndexError) as error:
        raise InvalidValueError(f"{path} is not a complete BVH file: {error}") from None
    width = sum(len(entry) for entry in channels)
    if values.size != frames * width or seconds <= 0 or frames < 1:
        raise InvalidValueError(
            f"{path} promises {frames} frames of {width} numbers and holds {values.size} numbers: is it truncated?"
        )
    root, rotation = _bvh_rotations(values.reshape(frames, width), offset, channels)
    roles = _roles(names, mapping or {}, str(path))
    return Recording(path.stem, 1 / seconds, tuple(parent), offset, root, rotation, roles)


def _bvh_hierarchy(words: list[str]) -> tuple[list[str], list[int], Array, list[list[str]], int]:
    if not words or words[0].upper() != "HIERARCHY":
        raise ValueError("it does not begin with HIERARCHY")
    names: list[str] = []
    parent: list[int] = []
    offset: list[list[float]] = []
    channels: list[list[str]] = []
    stack: list[int] = []  # -1 stands for an end site
    at = 1
    while words[at].upper() != "MOTION":
        word = words[at].upper()
        if word in ("ROOT", "JOINT"):
            names.append(words[at + 1])
            parent.append(stack[-1] if stack else -1)
            offset.append([0.0, 0.0, 0.0])
            channels.append([])
            stack.append(len(names) - 1)
            at += 3
        elif word == "END":
            stack.append(-1)
            at += 3
        elif word == "OFFSET":
            if stack[-1] >= 0:
                offset[stack[-1]] = [float(number) for number in words[at + 1 : at + 4]]
            at += 4
        elif word == "CHANNELS":
            count = int(words[at + 1])
            channels[stack[-1]] = [channel.lower() for channel in words[at + 2 : at + 2 + count]]
            at += 2 + count
        elif word == "}":
            stack.pop()
            at += 1
        else:
            raise ValueError(f"unexpected {words[at]!r}")
    return names, parent, np.array(offset), channels, at


def _bvh_rotations(values: Array, offset: Array, channels: list[list[str]]) -> tuple[Array, Array]:
    """Root positions and local rotations; angles in degrees are applied in the order in which a joint lists them."""
    root = np.broadcast_to(offset[0], (len(values), 3)).copy()
    rotation = np.broadcast_to(np.eye(3), (len(values), len(channels), 3, 3)).copy()
    column = 0
    for joint, entries in enumerate(channels):
        for entry in entries:
            axis = "xyz".index(entry[0])
            if entry.endswith("position"):
                if joint == 0:  # other joints' positions, where an exporter writes them, repeat their offsets
                    root[:, axis] = values[:, column]
            elif entry.endswith("rotation"):
                rotation[:, joint] = rotation[:, joint] @ rotation_about(axis, np.radians(values[:, column]))
            else:
                raise InvalidValueError(f"unknown BVH channel {entry!r}")
            column += 1
    return root, rotation
