"""From the joints of a file to H36M-17: by their names, whatever a project calls them, and named skeletons."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ...stores.errors import InvalidValueError
from ...stores.format.skeleton import COCO_17, H36M_17
from .. import joint_rows
from ..joint_rows import MADE_OF

# For each joint of H36M-17, the joints of a file's skeleton that it is the mean of.
Rows = tuple[tuple[int, ...], ...]

_FEET = ("left_big_toe", "right_big_toe", "left_small_toe", "right_small_toe", "left_heel", "right_heel")
BODY_25 = (
    *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
    *("mid_hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("right_eye", "left_eye", "right_ear", "left_ear"),
    *("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel"),
)
# OpenPose's experimental one: COCO's joints first.
BODY_25B = (
    *COCO_17.joints,
    *("neck", "head"),
    *("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel"),
)
HALPE_26 = (*COCO_17.joints, "head", "neck", "hip", *_FEET)

# name -> joints in order. A whole-body skeleton begins with the body's joints; what follows is not used.
SKELETONS: Mapping[str, tuple[str, ...]] = {
    "coco-17": COCO_17.joints,
    "h36m-17": H36M_17.joints,
    "body-25": BODY_25,
    "body-25b": BODY_25B,
    "halpe-26": HALPE_26,
    "coco-wholebody-133": COCO_17.joints + tuple(f"other_{number}" for number in range(17, 133)),
    "halpe-136": HALPE_26 + tuple(f"other_{number}" for number in range(26, 136)),
}
# A file that tells nothing of its skeleton: what that number of joints may be, the usual one first.
BY_COUNT = {
    17: ("coco-17", "h36m-17"),
    25: ("body-25", "body-25b"),
    26: ("halpe-26",),
    133: ("coco-wholebody-133",),
    136: ("halpe-136",),
}

# Files may know less than networks: what is made of others where the usual joints are not there.
_WANTED: Mapping[str, tuple[tuple[str, ...], ...]] = {
    **MADE_OF,
    "spine": (*MADE_OF["spine"], ("pelvis", "thorax")),
    "head": (*MADE_OF["head"], ("left_ear", "right_ear")),
}
# What projects call the joints that have no side, letters alone.
_MIDDLE = {
    "pelvis": ("pelvis", "hip", "hips", "midhip", "hipcenter", "hipcentre", "root", "sacrum"),
    "spine": ("spine", "belly", "torso", "midspine"),
    "thorax": ("thorax", "upperneck", "chest"),
    "neck": ("neck",),
    "nose": ("nose", "necknose"),
    "head": ("head", "headtop", "tophead", "topofhead", "crown"),
}
_PARTS = {
    "hip": ("hip",),
    "knee": ("knee", "kne"),
    "ankle": ("ankle", "ank"),
    "shoulder": ("shoulder", "sho"),
    "elbow": ("elbow", "elb"),
    "wrist": ("wrist", "wri"),
    "eye": ("eye",),
    "ear": ("ear",),
}
_CANONICAL = {other: name for name, others in _MIDDLE.items() for other in others} | {
    spelling: f"{side}_{part}"
    for side in ("left", "right")
    for part, others in _PARTS.items()
    for other in others
    for letters in (side, side[0])
    for spelling in (letters + other, other + letters)
}


def canonical(name: str) -> str:
    """`LHip`, `left hip`, `hip_l` are all `left_hip`; an unknown name stays, letters and digits alone."""
    letters = re.sub(r"[^a-z0-9]", "", name.lower())
    return _CANONICAL.get(letters, letters)


def rows_by_name(names: Sequence[str]) -> Rows:
    """Which of these joints make each of H36M-17. InvalidValueError names the joints that cannot be made."""
    rows, missing = joint_rows.rows_by_name(names, canonical, _WANTED)
    if missing:
        raise InvalidValueError(
            f"no {', '.join(missing)} among the joints {', '.join(names[:40])}; say which joints make them in a TOML: "
            "--keypoints-skeleton FILE.toml (docs/keypoints.md)"
        )
    return rows


def named(name: str) -> str | None:
    """A key of SKELETONS, however it is written: `COCO_17`, `body25`."""
    wanted = re.sub(r"[^a-z0-9]", "", name.lower())
    return next((known for known in SKELETONS if known.replace("-", "") == wanted), None)
