"""Motions with both feet on the floor: reach, wave, gesture, crouch, sit, lunge, jumping jacks."""

from __future__ import annotations

import numpy as np

from ..seeding import Array, Rng, Wobble, between
from .compose import Angles, Feet, bend_trunk, compose, count_of, ease, facing, planted, pulses
from .rig import INDEX, Pose, Rig

_EVENTS = 64  # random choices are drawn for so many repetitions, then come round again


def _table(rng: Rng, low: tuple[float, ...], high: tuple[float, ...]) -> Array:
    return rng.uniform(low, high, (_EVENTS, len(low)))


def _stand(rig: Rig, rng: Rng, seconds: Array, drop: Array | float = 0.0) -> tuple[Array, Array]:
    """Pelvis (T, 3) and its lean, tilt, yaw (3, T) in radians for someone standing about, `drop` metres lower."""
    drift = Wobble.draw(rng, 6)(seconds) * [0.02, 0.004, 0.015, 0.02, 0.015, 0.05]
    pelvis = drift[:, :3] + [0, rig.standing - 0.02, 0.02]
    pelvis[:, 1] -= drop
    return pelvis, drift[:, 3:].T


def reach(rig: Rig, rng: Rng, seconds: Array) -> Pose:
    """Reaching for things, high and low, with one arm or both, the back following."""
    period, rise = between(rng, (2.5, 3.4)), between(rng, (0.6, 0.9))
    hold = between(rng, (0.2, 0.5))
    #            flexion abduction elbow forward aside turn
    table = _table(rng, (35, -10, 0, -10, -12, -25), (165, 70, 40, 45, 12, 25))
    hands = rng.integers(0, 3, _EVENTS)  # left, right, both
    count, amount = count_of(seconds, period) % _EVENTS, pulses(seconds, period, rise, hold)
    flexion, abduction, elbow, forward, aside, yaw = table[count].T * amount
    forward = forward * np.clip(1.6 - table[count, 0] / 90, 0, 1)  # nobody bows to reach up
    pelvis, (lean, tilt, swing) = _stand(rig, rng, seconds, 0.004 * np.abs(forward))
    pelvis[:, 2] -= 0.0025 * forward
    angles = Angles(len(seconds)).arms_at_ease(rng).fidget(rng, seconds)
    bend_trunk(angles, forward, aside, yaw).add("neck", 0.3 * forward)
    for index, side in enumerate(("left", "right")):
        used = ((hands[count] == index) | (hands[count] == 2)).astype(float)
        angles.add(f"{side}_shoulder", used * flexion, used * abduction)
        angles.add(f"{side}_elbow", used * elbow - used * 8 * amount)
        angles.add(f"{side}_clavicle", 0, used * 12 * amount * (flexion > 0), used * 10 * amount)
    feet = planted(rig, seconds, between(rng, (0.2, 0.4)), between(rng, (-0.2, 0.2)), between(rng, (2, 14)))
    return compose(rig, pelvis, facing(swing, lean + np.radians(0.4 * forward), tilt), angles, feet)


def wave(rig: Rig, rng: Rng, seconds: Array) -> Pose:
    """Waving with a raised arm, again and again."""
    period = between(rng, (3.5, 5.0))
    amount = pulses(seconds, period, 0.7, period - 2.0, -0.6)
    beat = np.sin(2 * np.pi * seconds * between(rng, (1.2, 2.2)))
    side, other = ("left", "right") if rng.random() < 0.5 else ("right", "left")
    pelvis, (lean, tilt, swing) = _stand(rig, rng, seconds)
    angles = Angles(len(seconds)).arms_at_ease(rng).fidget(rng, seconds)
    raised, bent = between(rng, (80, 140)), between(rng, (50, 95))
    angles.add(f"{side}_shoulder", between(rng, (0, 25)) * amount, raised * amount, -60 * amount)
    angles.add(f"{side}_shoulder", 0, 8 * beat * amount, 16 * beat * amount)
    angles.add(f"{side}_elbow", bent * amount + 18 * beat * amount).add(f"{side}_wrist", 0, 20 * beat * amount)
    angles.add(f"{other}_elbow", between(rng, (0, 50)))
    feet = planted(rig, seconds, between(rng, (0.16, 0.3)), 0.03, between(rng, (2, 14)))
    return compose(rig, pelvis, facing(swing, lean, tilt), bend_trunk(angles, 0, -3 * amount), feet)


def gesture(rig: Rig, rng: Rng, seconds: Array) -> Pose:
    """Talking with the hands: both forearms move, the trunk and the head follow."""
    pelvis, (lean, tilt, swing) = _stand(rig, rng, seconds)
    angles = Angles(len(seconds)).arms_at_ease(rng).fidget(rng, seconds, 1.5)
    talk(angles, rng, seconds)
    feet = planted(rig, seconds, between(rng, (0.16, 0.36)), between(rng, (-0.12, 0.12)), between(rng, (2, 14)))
    return compose(rig, pelvis, facing(swing * 3, lean, tilt), angles, feet)


def talk(angles: Angles, rng: Rng, seconds: Array) -> Angles:
    """Add the arms of someone who talks or holds a telephone."""
    curve = Wobble.draw(rng, 8, 0.15, 0.9)(seconds)
    for index, side in enumerate(("left", "right")):
        flexion, abduction, twist, elbow = curve[:, 4 * index : 4 * index + 4].T
        raised = between(rng, (0, 55))
        angles.add(f"{side}_shoulder", raised + 14 * flexion, 6 + 10 * abduction, 15 + 25 * twist)
        angles.add(f"{side}_elbow", between(rng, (35, 95)) + 22 * elbow, 0, 20 * twist)
    return angles


def crouch(rig: Rig, rng: Rng, seconds: Array) -> Pose:
    """Squatting down and coming up, arms forward or at work on the floor."""
    period, rise = between(rng, (2.7, 3.8)), between(rng, (0.7, 1.0))
    depth = _table(rng, (0.40,), (0.62,))[count_of(seconds, period) % _EVENTS, 0]
    amount = pulses(seconds, period, rise, between(rng, (0.1, 0.5))) * depth / 0.62
    legs = rig.thigh + rig.shin
    pelvis, (lean, tilt, swing) = _stand(rig, rng, seconds, 0.62 * legs * amount)
    # The hips go back so that trunk and thighs balance over the feet.
    pelvis[:, 2] -= 0.17 * legs * np.sin(np.pi / 2 * amount)
    angles = Angles(len(seconds)).arms_at_ease(rng).fidget(rng, seconds, 0.6)
    bend_trunk(angles, between(rng, (10, 35)) * amount).add("neck", -18 * amount)
    angles.add("shoulder", between(rng, (35, 85)) * amount, between(rng, (-5, 15)))
    angles.add("elbow", between(rng, (-10, 50)) * amount)
    feet = planted(rig, seconds, between(rng, (0.3, 0.5)), 0.0, between(rng, (12, 28)), 28 * ease(2.0 * amount - 0.6))
    return compose(rig, pelvis, facing(swing, lean + np.radians(28) * amount, tilt), angles, feet)


def seat_height(rig: Rig) -> float:
    """Metres: a chair that suits these legs."""
    return 0.98 * (rig.shin + rig.ankle_height) - rig.clearance[INDEX["left_hip"]]


def _seated(rig: Rig, rng: Rng, seconds: Array, amount: Array) -> Pose:
    """Standing (0) to sitting (1) on a chair behind, the trunk bowing on the way."""
    pelvis, (lean, tilt, swing) = _stand(rig, rng, seconds)
    seat = seat_height(rig) + rig.clearance[INDEX["left_hip"]] + 0.012
    back = -0.97 * rig.thigh + 0.10
    still = 1 - 0.8 * amount
    pelvis = pelvis * still[:, None]
    pelvis[:, 1] = rig.standing - 0.02 + (seat - rig.standing + 0.02) * amount
    pelvis[:, 2] += back * ease(amount * 1.15)
    bow = np.sin(np.pi * amount)
    angles = Angles(len(seconds)).arms_at_ease(rng).fidget(rng, seconds)
    slump = between(rng, (-8, 22))
    bend_trunk(angles, 28 * bow + slump * amount).add("neck", -12 * bow)
    angles.add("shoulder", 28 * bow + 18 * amount).add("elbow", between(rng, (15, 50)) * amount)
    feet = planted(rig, seconds, between(rng, (0.2, 0.36)), between(rng, (-0.1, 0.1)), between(rng, (2, 16)))
    trunk = facing(swing * still, lean * still + np.radians(24 * bow - 4 * amount), tilt * still)
    if rng.random() < 0.6:
        talk(angles, rng, seconds)
    return compose(rig, pelvis, trunk, angles, feet)


def sit_down(rig: Rig, rng: Rng, seconds: Array) -> Pose:
    """Sitting down on a chair, staying, getting up again."""
    rise, hold = between(rng, (1.1, 1.6)), between(rng, (1.2, 3.0))
    return _seated(rig, rng, seconds, pulses(seconds, 2 * rise + hold + 1.2, rise, hold, 0.4))


def sit(rig: Rig, rng: Rng, seconds: Array) -> Pose:
    """Sitting on a chair, moving arms, trunk and head."""
    return _seated(rig, rng, seconds, np.ones(len(seconds)))


def lunge(rig: Rig, rng: Rng, seconds: Array) -> Pose:
    """Split stance: the hips sink between one foot ahead and the other behind on its toes."""
    period = between(rng, (2.0, 3.0))
    amount = (1 - np.cos(2 * np.pi * seconds / period)) / 2
    stride, sign = between(rng, (0.75, 0.95)) * rig.standing / 0.93, float(rng.choice([-1, 1]))
    pelvis, (lean, tilt, swing) = _stand(rig, rng, seconds)
    pelvis[:, 1] = rig.standing - 0.10 - between(rng, (0.2, 0.3)) * amount
    angles = Angles(len(seconds)).arms_at_ease(rng).fidget(rng, seconds, 0.6)
    bend_trunk(angles, 8 * amount)
    angles.add("shoulder", between(rng, (0, 90)) * amount, between(rng, (0, 60)) * amount).add(
        "elbow", between(rng, (0, 60))
    )
    flat = planted(rig, seconds, 0.24, sign * stride, 5)
    behind = np.array([1.0, 0.0]) if sign < 0 else np.array([0.0, 1.0])
    pitch = -np.radians(54) * np.broadcast_to(behind, (len(seconds), 2))
    feet = Feet(flat.ball, flat.yaw * (1 - behind), pitch, flat.flat_toes)
    return compose(rig, pelvis, facing(swing, lean + 0.06, tilt), angles, feet)


def jumping_jack(rig: Rig, rng: Rng, seconds: Array) -> Pose:
    """Jumping with arms and legs apart and together."""
    period = between(rng, (0.95, 1.3))
    phase = 2 * np.pi * seconds / period
    apart = (1 - np.cos(phase)) / 2
    airborne = np.sin(phase) ** 2
    pelvis, (lean, tilt, swing) = _stand(rig, rng, seconds)
    pelvis[:, 1] += -0.07 + 0.07 * airborne
    angles = Angles(len(seconds)).arms_at_ease(rng).fidget(rng, seconds, 0.4)
    high = between(rng, (120, 160))
    angles.add("shoulder", 5, high * apart, 0).add("elbow", -8 + 15 * airborne).add("clavicle", 0, 22 * apart)
    narrow = planted(rig, seconds, 0.16, 0, 6)
    spread = between(rng, (0.55, 0.8))
    ball = narrow.ball.copy()
    ball[:, :, 0] *= (1 + (spread / 0.16 - 1) * apart)[:, None]
    ball[:, :, 1] += (0.05 * airborne)[:, None]
    pitch = -np.radians(22) * airborne[:, None] * np.ones(2)
    return compose(
        rig, pelvis, facing(swing * 0.3, lean, tilt * 0.3), angles, Feet(ball, narrow.yaw, pitch, narrow.flat_toes)
    )


def kick(rig: Rig, rng: Rng, seconds: Array) -> Pose:
    """Standing on one leg and swinging the other, arms out for balance."""
    period = between(rng, (1.8, 2.8))
    amount = pulses(seconds, period, 0.55, 0.1, 0.2)
    side = "left" if rng.random() < 0.5 else "right"
    sign = 1.0 if side == "left" else -1.0
    pelvis, (lean, tilt, swing) = _stand(rig, rng, seconds)
    pelvis[:, 0] = -sign * 0.10
    high, out = between(rng, (40, 105)), between(rng, (0, 40))
    angles = Angles(len(seconds)).arms_at_ease(rng).fidget(rng, seconds)
    angles.add("shoulder", between(rng, (-20, 30)) * amount, between(rng, (40, 85)) * (0.3 + 0.7 * amount))
    feet = planted(rig, seconds, 0.2, 0.0, 8)
    pose = compose(rig, pelvis, facing(swing, lean - 0.12 * amount, tilt), bend_trunk(angles, 10 * amount), feet)
    # The free leg goes from where it stood to the kick by its angles.
    free = Angles(len(seconds)).add(f"{side}_hip", 20 + (high - 20) * amount, out * amount)
    free.add(f"{side}_knee", 42 + (between(rng, (5, 60)) - 42) * amount).add(f"{side}_ankle", -25 * amount)
    rotation = pose.rotation.copy()
    away = free.rotations()
    for part in ("hip", "knee", "ankle"):
        index = INDEX[f"{side}_{part}"]
        rotation[:, index] = _blend(rotation[:, index], away[:, index], ease(amount * 4))
    return Pose(pose.root, rotation)


def _blend(first: Array, second: Array, share: Array) -> Array:
    """Rotations between two (T, 3, 3): mixed, then made orthonormal again."""
    u, _, v = np.linalg.svd(first + share[:, None, None] * (second - first))
    return u @ v
