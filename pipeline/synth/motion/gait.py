"""Walking, running and turning: footfalls planned along a path, legs that reach them, arms that swing against them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..seeding import Array, Rng, Wobble, between
from .compose import Angles, Feet, bend_trunk, compose, ease, facing
from .rig import Pose, Rig

_TICK = 1 / 240  # seconds; paths are integrated on this fixed grid, so they do not depend on the frame rate


@dataclass(frozen=True)
class Style:
    """How someone moves on foot. Angles in degrees, lengths in metres, `period` of two steps in seconds."""

    speed: float
    period: float
    duty: float  # share of the cycle a foot is down: above 0.5 walks, below runs
    lift: float  # of the swinging foot
    width: float  # between the feet
    strike: float  # toes up at heel strike
    push: float  # heel up at push-off
    arm: float  # swing of the upper arm, each way
    elbow: float
    lean: float
    bounce: float
    crouch: float  # how far the pelvis is under its straight-legged height
    yaw: float  # of the pelvis with each step


@dataclass(frozen=True)
class Path:
    """Where the body goes: heading(t) = start + rate t + wander, at a constant speed, from the origin at t = 0."""

    speed: float
    start: float
    rate: float
    wander: float
    wobble: Wobble

    def heading(self, seconds: Array) -> Array:
        """Return the heading at (...) seconds, radians; 0 looks along +z."""
        flat = np.ravel(seconds)
        wander = self.wander * (self.wobble(flat)[:, 0] - self.wobble(np.zeros(1))[0, 0])
        return (self.start + self.rate * flat + wander).reshape(np.shape(seconds))

    def position(self, seconds: Array) -> Array:
        """Return the position at (...) seconds, metres (..., 2) on the floor, x and z."""
        first, last = min(float(np.min(seconds)), 0.0), max(float(np.max(seconds)), 0.0)
        steps = np.arange(int(first / _TICK) - 2, int(last / _TICK) + 3)
        heading = self.heading(steps * _TICK)
        velocity = self.speed * np.stack([np.sin(heading), np.cos(heading)], axis=-1)
        travelled = np.concatenate([np.zeros((1, 2)), np.cumsum((velocity[1:] + velocity[:-1]) / 2 * _TICK, axis=0)])
        travelled -= travelled[np.flatnonzero(steps == 0)[0]]
        return np.stack([np.interp(seconds, steps * _TICK, travelled[:, axis]) for axis in (0, 1)], axis=-1)


def _cyclic(phase: Array, keys: tuple[tuple[float, float], ...]) -> Array:
    """A smooth periodic curve through (phase, value) keys, flat at each key."""
    at = np.array([key for key, _ in keys])
    value = np.array([number for _, number in keys])
    index = np.searchsorted(at, phase, side="right") - 1  # the first key is at phase 0
    following = np.append(at[1:], 1.0)
    share = (phase - at[index]) / (following - at)[index]
    return value[index] + (np.roll(value, -1)[index] - value[index]) * ease(share)


def footfalls(rig: Rig, style: Style, path: Path, seconds: Array) -> Feet:
    """Plan both feet: each planted where the body is in the middle of its stance, and swung to the next place."""
    ball, yaw, pitch, flat = [], [], [], []
    for side, offset in ((1.0, 0.0), (-1.0, 0.5)):
        cycle = seconds / style.period + offset
        step = np.floor(cycle)
        phase = cycle - step

        def plant(number: Array, side: float = side, offset: float = offset) -> tuple[Array, Array]:
            when = (number + style.duty / 2 - offset) * style.period
            heading = path.heading(when)
            ahead = np.stack([np.sin(heading), np.cos(heading)], axis=-1)
            left = np.stack([ahead[..., 1], -ahead[..., 0]], axis=-1)
            return path.position(when) + 0.07 * ahead + side * style.width / 2 * left, heading + side * np.radians(6)

        (here, turned), (there, turning) = plant(step), plant(step + 1)
        swing = np.clip((phase - style.duty) / (1 - style.duty), 0, 1)
        share = ease(swing)
        spot = here + (there - here) * share[:, None]
        tilt = np.radians(
            _cyclic(
                phase,
                (
                    (0.0, style.strike),
                    (0.16 * style.duty, 0.0),
                    (0.48 * style.duty, 0.0),
                    (style.duty, -style.push),
                    (style.duty + 0.12 * (1 - style.duty), -style.push * 1.1),
                    (style.duty + 0.75 * (1 - style.duty), style.strike * 0.7),
                ),
            )
        )
        length = np.hypot(rig.ball[2] - rig.heel[2], rig.ball[1] - rig.heel[1])
        on_heel = np.maximum(np.sin(tilt), 0) * length  # toes up: the foot rolls on its heel
        height = rig.ball_radius + on_heel + style.lift * np.sin(np.pi * swing**0.8) ** 2
        ball.append(np.stack([spot[:, 0], height, spot[:, 1]], axis=-1))
        yaw.append(turned + (turning - turned) * share)
        pitch.append(tilt)
        flat.append(1 - ease(swing * 4))
    return Feet(np.stack(ball, 1), np.stack(yaw, 1), np.stack(pitch, 1), np.stack(flat, 1))


def locomotion(rig: Rig, rng: Rng, style: Style, path: Path, seconds: Array) -> Pose:
    """Move the whole body on foot."""
    phase = 2 * np.pi * seconds / style.period
    feet = footfalls(rig, style, path, seconds)
    spot, heading = path.position(seconds), path.heading(seconds)
    late = np.pi * style.duty  # the middle of the left foot's stance
    sway = 0.018 * np.cos(phase - late)
    left = np.stack([np.cos(heading), -np.sin(heading)], axis=-1)
    spot = spot + sway[:, None] * left
    # Walking vaults over the standing leg, so the pelvis is highest in mid-stance; running, in mid-flight.
    turn = 0.0 if style.duty > 0.5 else np.pi
    height = rig.standing - style.crouch + style.bounce * np.cos(2 * (phase - late) + turn)
    pelvis = np.stack([spot[:, 0], height, spot[:, 1]], axis=-1)
    swing = np.sin(phase - late)  # +1 when the left leg is behind
    twist = np.radians(style.yaw) * swing
    trunk = facing(heading + twist, np.radians(style.lean * 0.5), np.radians(2.0) * np.cos(phase - late))
    angles = Angles(len(seconds)).arms_at_ease(rng).fidget(rng, seconds, 0.5)
    bend_trunk(angles, style.lean * 0.5, 0, -1.7 * np.degrees(twist)).add("neck", -0.5 * style.lean)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        angles.add(f"{side}_shoulder", style.arm * (0.15 + sign * swing), 0, 12)
        angles.add(f"{side}_elbow", style.elbow + 0.35 * style.arm * sign * swing)
    return compose(rig, pelvis, trunk, angles, feet)


def _path(rng: Rng, speed: float, rate: float, wander: float) -> Path:
    return Path(speed, between(rng, (-np.pi, np.pi)), rate, wander, Wobble.draw(rng, 1, 0.05, 0.2))


def _walking(rig: Rig, rng: Rng, speed: float) -> Style:
    # People lengthen the step and quicken it about equally as they go faster (Grieve and Gear 1966).
    leg = rig.thigh + rig.shin
    period = 1.12 * np.sqrt(leg / 0.87) * (1.25 / max(speed, 0.4)) ** 0.5 * between(rng, (0.94, 1.06))
    return Style(
        speed=speed,
        period=period,
        duty=0.62,
        lift=between(rng, (0.03, 0.07)),
        width=between(rng, (0.12, 0.2)),
        strike=18 * min(speed, 1.2),
        push=between(rng, (26, 36)) * min(speed, 1.0),
        arm=between(rng, (12, 30)) * min(speed, 1.3),
        elbow=between(rng, (4, 18)),
        lean=between(rng, (0, 7)),
        bounce=0.012,
        crouch=0.03,
        yaw=between(rng, (3, 7)),
    )


def walk(rig: Rig, rng: Rng, seconds: Array) -> Pose:
    """Walking round in a room."""
    speed = between(rng, (0.7, 1.4))
    path = _path(rng, speed, float(rng.choice([-1, 1])) * speed / between(rng, (0.9, 1.4)), 0.15)
    return locomotion(rig, rng, _walking(rig, rng, speed), path, seconds)


def stroll(rig: Rig, rng: Rng, seconds: Array) -> Pose:
    """Walking somewhere: nearly straight on."""
    speed = between(rng, (0.9, 1.5))
    path = _path(rng, speed, between(rng, (-0.05, 0.05)), 0.12)
    return locomotion(rig, rng, _walking(rig, rng, speed), path, seconds)


def _running(rig: Rig, rng: Rng, speed: float) -> Style:
    return Style(
        speed=speed,
        period=between(rng, (0.66, 0.76)),
        duty=0.36,
        lift=between(rng, (0.16, 0.30)),
        width=between(rng, (0.06, 0.12)),
        strike=4,
        push=between(rng, (32, 44)),
        arm=between(rng, (28, 45)),
        elbow=between(rng, (60, 80)),
        lean=between(rng, (6, 14)),
        bounce=0.03,
        crouch=0.05,
        yaw=between(rng, (4, 9)),
    )


def run(rig: Rig, rng: Rng, seconds: Array) -> Pose:
    """Running round in a room."""
    speed = between(rng, (1.7, 2.6))
    path = _path(rng, speed, float(rng.choice([-1, 1])) * speed / between(rng, (1.2, 1.7)), 0.1)
    return locomotion(rig, rng, _running(rig, rng, speed), path, seconds)


def jog(rig: Rig, rng: Rng, seconds: Array) -> Pose:
    """Running somewhere: nearly straight on."""
    speed = between(rng, (1.8, 2.8))
    path = _path(rng, speed, between(rng, (-0.05, 0.05)), 0.1)
    return locomotion(rig, rng, _running(rig, rng, speed), path, seconds)


def turn(rig: Rig, rng: Rng, seconds: Array) -> Pose:
    """Turning on the spot in small steps, one way and back."""
    style = _walking(rig, rng, 0.5)
    path = _path(rng, 0.05, between(rng, (-0.5, 0.5)), between(rng, (0.6, 1.2)))
    return locomotion(rig, rng, style, path, seconds)
