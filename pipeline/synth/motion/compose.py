"""What procedural motion is composed of: smooth timing, joint angles within limits, feet that stay where they are put.

A motion is a pure function `f(rig, rng, seconds) -> Pose` of continuous time: it draws the same numbers from a fresh
`rng` whatever the instants are, so any frame rate samples the same movement.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..seeding import Array, Rng, Wobble
from .rig import INDEX, JOINTS, PELVIS, SIDES, Pose, Rig, limb_rotations, local_rotations, rotation_about, within_limits


@dataclass(frozen=True)
class Feet:
    """Where both feet are, left then right: ball of the foot (T, 2, 3), yaw (T, 2) and pitch (T, 2) in radians, toes up
    positive; `flat_toes` (T, 2) in 0..1: how far the toes stay level while the heel is up."""

    ball: Array
    yaw: Array
    pitch: Array
    flat_toes: Array


def ease(x: Array) -> Array:
    """0 to 1 with velocity and acceleration zero at both ends; x is clipped to 0..1."""
    x = np.clip(x, 0, 1)
    return x**3 * (10 - 15 * x + 6 * x**2)


def pulses(seconds: Array, period: float, rise: float, hold: float, delay: float = 0.0) -> Array:
    """(T,) a periodic 0 -> 1 -> 0: `rise` seconds up, `hold` seconds there, `rise` seconds down, then rest."""
    phase = np.mod(seconds - delay, period)
    return ease(phase / rise) - ease((phase - rise - hold) / rise)


def count_of(seconds: Array, period: float, delay: float = 0.0) -> Array:
    """(T,) int: which repetition of `pulses` each instant belongs to."""
    return np.floor((seconds - delay) / period).astype(int)


class Angles:
    """Anatomical angles being put together: degrees, (T, 21, 3), named as in `rig.LIMITS`."""

    def __init__(self, instants: int) -> None:
        self.degrees = np.zeros((instants, len(JOINTS), 3))

    def add(
        self, joint: str, flexion: Array | float = 0, abduction: Array | float = 0, twist: Array | float = 0
    ) -> Angles:
        """Add to one joint, or to the left and right one when the name has no side."""
        names = [joint] if joint in INDEX else [f"{side}_{joint}" for side in SIDES]
        for name in names:
            self.degrees[:, INDEX[name]] += np.stack(np.broadcast_arrays(flexion, abduction, twist), axis=-1)
        return self

    def fidget(self, rng: Rng, seconds: Array, amount: float = 1.0) -> Angles:
        """Add what keeps anybody from standing still: slow, small, random movement of trunk, head and arms."""
        spread = {
            "lumbar": 1.5,
            "chest": 2.5,
            "neck": 3,
            "head": 6,
            "clavicle": 1.5,
            "shoulder": 3.5,
            "elbow": 5,
            "wrist": 6,
        }
        for name in JOINTS:
            part = name.rsplit("_", 1)[-1]
            if part in spread:
                self.degrees[:, INDEX[name]] += amount * spread[part] * Wobble.draw(rng, 3)(seconds)
        return self

    def arms_at_ease(self, rng: Rng) -> Angles:
        """Let arms hang as people let them hang: a little away from the body, elbows a little bent."""
        return self.add("shoulder", rng.uniform(-6, 8), rng.uniform(6, 14), rng.uniform(0, 25)).add(
            "elbow", rng.uniform(8, 30), 0, rng.uniform(-10, 40)
        )

    def rotations(self) -> Array:
        """Return (T, 21, 3, 3) local rotations, within the joint limits."""
        return local_rotations(within_limits(self.degrees))


def facing(yaw: Array, lean: Array | float = 0.0, tilt: Array | float = 0.0) -> Array:
    """Return pelvis orientations (T, 3, 3): yaw about the vertical, lean forward, tilt to the left; radians."""
    lean, tilt = np.broadcast_to(lean, yaw.shape), np.broadcast_to(tilt, yaw.shape)
    return rotation_about(1, yaw) @ rotation_about(0, lean) @ rotation_about(2, -tilt)


def compose(
    rig: Rig, pelvis: Array, trunk: Array, angles: Angles, feet: Feet | None = None, knees: Array | None = None
) -> Pose:
    """Put a pose together; with `feet`, the legs reach them and the pelvis comes down as far as that needs.

    pelvis  (T, 3) world metres; trunk (T, 3, 3) the pelvis' orientation; knees (T, 3) where knees point to, else ahead
    """
    rotation = angles.rotations()
    rotation[:, PELVIS] = trunk
    if feet is None:
        return Pose(pelvis, rotation)
    foot = rotation_about(1, feet.yaw) @ rotation_about(0, -feet.pitch)
    ankle = feet.ball - np.einsum("tfab,b->tfa", foot, rig.ball)
    hip = np.stack([np.einsum("tab,b->ta", trunk, rig.offset[INDEX[f"{side}_hip"]]) for side in SIDES], axis=1)
    pelvis = pelvis.copy()
    pelvis[:, 1] = _lowered(pelvis, hip, ankle, 0.992 * (rig.thigh + rig.shin))
    for index, side in enumerate(SIDES):
        ahead = trunk[:, :, 2] if knees is None else knees
        pole = ahead + 1.2 * np.stack(
            [np.sin(feet.yaw[:, index]), np.zeros(len(pelvis)), np.cos(feet.yaw[:, index])], -1
        )
        thigh, bend = limb_rotations(pelvis + hip[:, index], ankle[:, index], rig.thigh, rig.shin, pole, 1.0)
        knee = rotation_about(0, bend)
        shin = thigh @ knee
        rotation[:, INDEX[f"{side}_hip"]] = trunk.swapaxes(-1, -2) @ thigh
        rotation[:, INDEX[f"{side}_knee"]] = knee
        rotation[:, INDEX[f"{side}_ankle"]] = shin.swapaxes(-1, -2) @ foot[:, index]
        up = np.clip(-feet.pitch[:, index], 0, np.radians(60)) * feet.flat_toes[:, index]
        rotation[:, INDEX[f"{side}_toe"]] = rotation_about(0, -up)
    return Pose(pelvis, rotation)


def _lowered(pelvis: Array, hip: Array, ankle: Array, reach: float) -> Array:
    """(T,) pelvis height, smoothly kept under what both legs can reach."""
    aside = (pelvis[:, None] + hip - ankle)[..., [0, 2]]
    rise = np.sqrt(np.maximum(reach**2 - (aside**2).sum(-1), 0.01))
    limits = np.concatenate([pelvis[:, 1:2], ankle[..., 1] + rise - hip[..., 1]], axis=1)
    sharp = 60.0  # per metre: the corner is rounded over a centimetre or two
    least = limits.min(axis=1, keepdims=True)
    return (least - np.log(np.exp(-sharp * (limits - least)).sum(axis=1, keepdims=True)) / sharp)[:, 0]


def planted(rig: Rig, seconds: Array, stance: float, stagger: float, toe_out: float, lift: Array | float = 0.0) -> Feet:
    """Place both feet flat on the floor at the origin: `stance` metres apart, one `stagger` metres ahead.

    The toes are turned out by `toe_out` degrees; `lift` (T,) raises the heels by so many degrees.
    """
    count = len(seconds)
    half = stance / 2
    ball = np.array([(half, rig.ball_radius, stagger / 2 + 0.08), (-half, rig.ball_radius, -stagger / 2 + 0.08)])
    out = np.radians(toe_out) * np.array([1.0, -1.0])
    pitch = np.broadcast_to(-np.radians(np.asarray(lift, dtype=float))[..., None], (count, 2))
    return Feet(np.broadcast_to(ball, (count, 2, 3)), np.broadcast_to(out, (count, 2)), pitch, np.ones((count, 2)))


def grounded(rig: Rig, pose: Pose) -> Pose:
    """Return the same pose raised or lowered until its lowest flesh touches the floor."""
    shift = np.zeros((len(pose), 3))
    shift[:, 1] = -rig.lowest(pose)
    return pose.moved(shift)


def bend_trunk(angles: Angles, forward: Array | float = 0, left: Array | float = 0, turn: Array | float = 0) -> Angles:
    """Bend the back by so many degrees, shared between lumbar and chest."""
    angles.add("lumbar", np.multiply(forward, 0.5), np.multiply(left, 0.5), np.multiply(turn, 0.25))
    return angles.add("chest", np.multiply(forward, 0.5), np.multiply(left, 0.5), np.multiply(turn, 0.75))
