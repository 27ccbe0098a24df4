"""What other projects call Human3.6M's actions and cameras."""

from __future__ import annotations

import re
from collections.abc import Iterable

# In the order that the archive numbers them and VideoPose3D lists them.
CAMERAS = ("54138969", "55011271", "58860488", "60457274")
SIZES = dict(zip(CAMERAS, ((1000, 1002), (1000, 1000), (1000, 1000), (1000, 1002)), strict=True))

# Two actions have two names in the archive; VideoPose3D's own converter takes the shorter ones.
_SHORTER = {"TakingPhoto": "Photo", "WalkingDog": "WalkDog"}
_ACTS = """
    Directions Discussion Eating Greeting Phoning Posing Purchases Sitting SittingDown Smoking Photo Waiting Walking
    WalkDog WalkTogether
"""
# The archive's number of an action, by its shorter name.
_NUMBERS = {name: number for number, name in enumerate(_ACTS.split(), start=2)}


def shorter(action: str) -> str:
    """The action as VideoPose3D calls it: `TakingPhoto 1` is `Photo 1`."""
    for theirs, ours in _SHORTER.items():
        action = action.replace(theirs, ours)
    return action


def without_number(action: str) -> str:
    """`Photo 1` is an act of `Photo`."""
    return re.sub(r" \d+$", "", action)


def takes(actions: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Action of one subject to (act, subact), as H36M-Toolbox and LCN name them: s_09_act_05_subact_02.

    Of the two takes of an act, the one without a number in its name is the second: `Greeting 1` and `Greeting`. Where
    both have one, the smaller comes first. An action that is not of Human3.6M has act 0.
    """
    found: dict[str, tuple[int, int]] = {}
    for action in sorted(set(actions), key=lambda name: (without_number(name), len(name), name)):
        act = without_number(shorter(action))
        number = _NUMBERS.get(act, 0)
        take = 2 if act == shorter(action) else 1
        while (number, take) in found.values():
            take += 1
        found[action] = number, take
    return found
