"""Procedural motions by name: `make_motion("walk", rig, seed)` is a function of time and the furniture it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from ....stores.errors import InvalidValueError
from ..seeding import Array, Rng, seeded
from . import floorwork, gait, standing
from .rig import Pose, Rig

Sampler = Callable[[Rig, Rng, Array], Pose]


@dataclass(frozen=True)
class Prop:
    """A box that a motion needs, such as a chair: centre and half size (3,) in metres, in the motion's own frame."""

    centre: tuple[float, float, float]
    half: tuple[float, float, float]


@dataclass(frozen=True)
class Motion:
    """`sample`: (T,) seconds to a Pose on the floor about the origin; `props`: what it sits on."""

    name: str
    sample: Callable[[Array], Pose]
    props: tuple[Prop, ...] = ()


def _chair(rig: Rig) -> tuple[Prop, ...]:
    seat = standing.seat_height(rig)
    middle = -0.97 * rig.thigh + 0.10
    return (
        Prop((0, seat - 0.025, middle + 0.02), (0.21, 0.025, 0.21)),
        Prop((0, seat + 0.25, middle - 0.21), (0.20, 0.20, 0.015)),
        *(Prop((x, seat / 2, middle + z), (0.018, seat / 2, 0.018)) for x in (-0.19, 0.19) for z in (-0.17, 0.21)),
    )


def _nothing(rig: Rig) -> tuple[Prop, ...]:
    return ()


MOTIONS: Mapping[str, tuple[Sampler, Callable[[Rig], tuple[Prop, ...]]]] = {
    "walk": (gait.walk, _nothing),
    "stroll": (gait.stroll, _nothing),
    "run": (gait.run, _nothing),
    "jog": (gait.jog, _nothing),
    "turn": (gait.turn, _nothing),
    "reach": (standing.reach, _nothing),
    "wave": (standing.wave, _nothing),
    "gesture": (standing.gesture, _nothing),
    "crouch": (standing.crouch, _nothing),
    "sit_down": (standing.sit_down, _chair),
    "sit": (standing.sit, _chair),
    "lunge": (standing.lunge, _nothing),
    "jumping_jack": (standing.jumping_jack, _nothing),
    "kick": (standing.kick, _nothing),
    "lie": (floorwork.lie, _nothing),
    "sit_up": (floorwork.sit_up, _nothing),
    "push_up": (floorwork.push_up, _nothing),
}


def make_motion(name: str, rig: Rig, *seed: str | int) -> Motion:
    """Return the motion of that name for this rig, a pure function of (name, rig, seed).

    Raises InvalidValueError for a name that is not in `MOTIONS`, naming the nearest.
    """
    if name not in MOTIONS:
        near = get_close_matches(name, MOTIONS, n=1, cutoff=0)
        raise InvalidValueError(f"no motion named {name!r}; did you mean {near[0]!r}? There are: {', '.join(MOTIONS)}")
    sampler, props = MOTIONS[name]

    def sample(seconds: Array) -> Pose:
        return rig.legs_within_limits(sampler(rig, seeded("motion", name, *seed), seconds))

    return Motion(name, sample, props(rig))
