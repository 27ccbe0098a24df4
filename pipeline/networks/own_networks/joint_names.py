"""From any network's joints to H36M-17, by their names: which of them make each joint of Human3.6M."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ....stores.errors import InvalidValueError
from ...joint_rows import rows_by_name

# What the data sets of OpenMMLab and transformers call them, where that is not the name here; small letters alone.
_CALLED = {
    "root": "pelvis",
    "hip": "pelvis",
    "midhip": "pelvis",
    "upperneck": "neck",
    "neckbase": "nose",  # MMPose's name for the ninth joint of Human3.6M
    "headtop": "head",
    "tophead": "head",
    "leftfoot": "left_ankle",
    "rightfoot": "right_ankle",
}
_PARTS = ("hip", "knee", "ankle", "shoulder", "elbow", "wrist", "eye", "ear")
_SIDED = {f"{side}{part}": f"{side}_{part}" for side in ("left", "right") for part in _PARTS} | {
    f"{side[0]}{part}": f"{side}_{part}" for side in ("left", "right") for part in _PARTS if part != "ear"
}


@dataclass(frozen=True)
class JointRows:
    """How K joints become H36M-17.

    used  those of the K that something is made of, in order; the others say nothing about the body's pose here
    rows  for each joint of H36M-17, which of `used` it is the mean of, as places in `used`
    """

    used: tuple[int, ...]
    rows: tuple[tuple[int, ...], ...]


def joint_rows(names: Sequence[str], whose: str) -> JointRows:
    """By the names of the joints, however they are written: `left_hip`, `L_Hip` and `LeftHip` are one.

    whose  the network, for the message
    InvalidValueError, naming what is lacking, where they do not make all of H36M-17.
    """
    made, lacking = rows_by_name(names, _known_as)
    if lacking:
        raise InvalidValueError(
            f"{whose} finds no {', '.join(lacking)}, which Human3.6M's 17 joints need; it finds "
            f"{', '.join(names[:30])}{' ...' if len(names) > 30 else ''}. Take a network with COCO's joints"
        )
    used = tuple(sorted({number for row in made for number in row}))
    return JointRows(used, tuple(tuple(used.index(number) for number in row) for row in made))


def _known_as(name: str) -> str:
    letters = re.sub(r"[^a-z0-9]", "", name.lower())
    return _CALLED.get(letters, _SIDED.get(letters, letters))
