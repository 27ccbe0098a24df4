"""Motions on the floor: lying on the back, the front or the side, sit-ups, push-ups."""

from __future__ import annotations

import numpy as np

from ..seeding import Array, Rng, Wobble, between
from .compose import Angles, Feet, bend_trunk, compose, facing, grounded
from .rig import INDEX, SIDES, Pose, Rig, limb_rotations, rotation_about

_SUPINE, _PRONE = -np.pi / 2, np.pi / 2  # leans that lay an upright body on its back and on its front


def lie(rig: Rig, rng: Rng, seconds: Array) -> Pose:
    """Lying on the back, the front or a side, moving arms and legs slowly."""
    how = float(rng.choice([_SUPINE, _SUPINE, _PRONE, 0.0]))
    curve = Wobble.draw(rng, 8, 0.08, 0.4)(seconds)
    angles = Angles(len(seconds)).arms_at_ease(rng).fidget(rng, seconds, 0.5)
    on_side = how == 0.0
    for index, side in enumerate(SIDES):
        flexion, abduction, elbow, leg = curve[:, 4 * index : 4 * index + 4].T
        bend = between(rng, (0, 65)) + 16 * leg
        if how == _PRONE:
            angles.add(f"{side}_shoulder", -4, between(rng, (10, 140)) + 12 * abduction)
            angles.add(f"{side}_knee", np.maximum(14 * leg, 0)).add(f"{side}_ankle", -45)
            angles.add(f"{side}_hip", -2, 6)
        else:
            angles.add(f"{side}_shoulder", between(rng, (0, 90)) + 14 * flexion, between(rng, (5, 60)) + 12 * abduction)
            angles.add(f"{side}_hip", np.maximum(bend, 0) * (0.7 if on_side else 1), 8 if not on_side else 0)
            angles.add(f"{side}_knee", np.maximum(1.7 * bend, 0)).add(f"{side}_ankle", -20)
        angles.add(f"{side}_elbow", (between(rng, (0, 80)) + 18 * elbow) * (how != _PRONE))
    if on_side:
        angles.add("neck", 0, 12 * float(rng.choice([-1, 1])))
        trunk = np.broadcast_to(
            rotation_about(1, np.array(np.pi / 2)) @ rotation_about(0, np.array(np.pi / 2)), (len(seconds), 3, 3)
        )
        trunk = trunk @ rotation_about(
            1, np.broadcast_to(float(rng.choice([-1, 1])) * np.pi / 2, len(seconds)) + 0.05 * curve[:, 0]
        )
    else:
        trunk = facing(np.zeros(len(seconds)), how, 0.04 * curve[:, 0])
    return grounded(rig, compose(rig, np.zeros((len(seconds), 3)), trunk, angles))


def sit_up(rig: Rig, rng: Rng, seconds: Array) -> Pose:
    """From lying on the back with bent knees to sitting, and down again."""
    period = between(rng, (2.2, 3.4))
    amount = (1 - np.cos(2 * np.pi * seconds / period)) / 2
    lean = _SUPINE + np.radians(between(rng, (40, 62))) * amount
    angles = Angles(len(seconds)).fidget(rng, seconds, 0.4)
    bend_trunk(angles, between(rng, (30, 55)) * amount).add("neck", 12 + 8 * amount)
    hands_behind_head = rng.random() < 0.5
    if hands_behind_head:
        angles.add("shoulder", 60, 85, -60).add("elbow", 125)
    else:
        angles.add("shoulder", 55 + 20 * amount, 5).add("elbow", 20)
    half = between(rng, (0.12, 0.2))
    away = between(rng, (0.42, 0.55)) * rig.standing / 0.93
    count = len(seconds)
    ball = np.array([(half, rig.ball_radius, away + 0.12), (-half, rig.ball_radius, away + 0.12)])
    feet = Feet(np.broadcast_to(ball, (count, 2, 3)), np.zeros((count, 2)), np.zeros((count, 2)), np.ones((count, 2)))
    pelvis = np.broadcast_to([0, rig.clearance[INDEX["pelvis"]], 0], (count, 3))
    pose = compose(
        rig, pelvis, facing(np.zeros(count), lean), angles, feet, knees=np.broadcast_to([0, 3.0, 0], (count, 3))
    )
    return rig.above_floor(pose)


def push_up(rig: Rig, rng: Rng, seconds: Array) -> Pose:
    """Hands and toes on the floor, the straight body going down and up; or held as a plank."""
    count = len(seconds)
    period = between(rng, (1.8, 3.0))
    hold = rng.random() < 0.3
    dip = np.zeros(count) if hold else (1 - np.cos(2 * np.pi * seconds / period)) / 2
    arm = rig.upper_arm + rig.forearm
    wrist = 0.05 * rig.standing / 0.93
    chest = wrist + arm * (0.88 - between(rng, (0.33, 0.52)) * dip)  # height of the shoulders
    shoulder = rig.offset[INDEX["lumbar"]] + rig.offset[INDEX["chest"]] + rig.offset[INDEX["left_clavicle"]]
    above = float(shoulder[1] + rig.offset[INDEX["left_shoulder"]][1])
    # A plank from ankles to shoulders that pivots about the ankles, which are a foot's length above the floor.
    legs = rig.thigh + rig.shin
    ankle = rig.ball_radius + 0.95 * float(rig.ball[2])
    slope = np.arcsin((chest - ankle) / (above + legs))
    lean = np.pi / 2 - slope
    pelvis = np.stack(
        [np.zeros(count), ankle + legs * np.sin(slope), legs * (np.cos(slope) - np.cos(slope[0]))], axis=-1
    )
    angles = Angles(count).fidget(rng, seconds, 0.25).add("neck", -20).add("hip", 0, 3).add("ankle", 5)
    angles.add("wrist", -60)
    pose = compose(rig, pelvis, facing(np.zeros(count), lean), angles)
    pose = grounded(rig, pose)
    position, orientation = rig.forward(pose)
    rotation = pose.rotation.copy()
    wide = between(rng, (1.1, 1.6))
    for side, sign in zip(SIDES, (1.0, -1.0), strict=True):
        start = position[:, INDEX[f"{side}_shoulder"]]
        spot = start[:1] * [wide, 0, 1] + [0, wrist, 0]
        pole = np.broadcast_to([sign * 1.0, 0.3, -0.8], (count, 3))
        upper, bend = limb_rotations(start, np.broadcast_to(spot, (count, 3)), rig.upper_arm, rig.forearm, pole, -1.0)
        parent = orientation[:, INDEX[f"{side}_clavicle"]]
        rotation[:, INDEX[f"{side}_shoulder"]] = parent.swapaxes(-1, -2) @ upper
        rotation[:, INDEX[f"{side}_elbow"]] = rotation_about(0, -bend)
    return Pose(pose.root, rotation)
