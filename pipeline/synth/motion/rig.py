"""The anatomical skeleton: joints with limits, forward kinematics, and legs and arms that reach a point.

World frame: x, y, z in metres, right-handed, y up, floor at y = 0. A person at rest stands upright with the arms
hanging, faces +z and has the left side at +x. Rotation matrices act on column vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..seeding import Array

_ARM = ("clavicle", "shoulder", "elbow", "wrist")
_LEG = ("hip", "knee", "ankle", "toe")
JOINTS: tuple[str, ...] = (
    "pelvis",
    "lumbar",
    "chest",
    "neck",
    "head",
    *(f"left_{part}" for part in _ARM),
    *(f"right_{part}" for part in _ARM),
    *(f"left_{part}" for part in _LEG),
    *(f"right_{part}" for part in _LEG),
)
INDEX: Mapping[str, int] = {name: index for index, name in enumerate(JOINTS)}
PARENTS: tuple[int, ...] = (-1, 0, 1, 2, 3, 2, 5, 6, 7, 2, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19)
SIDES = ("left", "right")
PELVIS, LUMBAR, CHEST, NECK, HEAD = range(5)

# Range of motion in degrees: flexion, abduction, inward twist (lower, upper). Spine: forward, to the left, to the left.
# Clavicle: nothing, elevation, protraction. Ankle and toe: flexion lifts the toes. Rounded textbook figures of active
# motion (AAOS); the hip's flexion is that with the knee bent, the ankle's that under the body's weight.
LIMITS: Mapping[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "lumbar": ((-20, 50), (-20, 20), (-15, 15)),
    "chest": ((-15, 35), (-20, 20), (-35, 35)),
    "neck": ((-30, 40), (-25, 25), (-45, 45)),
    "head": ((-25, 30), (-15, 15), (-40, 40)),
    "clavicle": ((0, 0), (-8, 35), (-20, 30)),
    "shoulder": ((-60, 180), (-40, 180), (-90, 90)),
    "elbow": ((0, 150), (0, 0), (-85, 85)),
    "wrist": ((-70, 75), (-25, 35), (0, 0)),
    "hip": ((-30, 125), (-30, 55), (-45, 45)),
    "knee": ((0, 155), (0, 0), (0, 0)),
    "ankle": ((-55, 42), (-35, 35), (-35, 35)),
    "toe": ((-20, 70), (0, 0), (0, 0)),
}


def _kind(joint: str) -> str:
    return joint.rsplit("_", 1)[-1]


def _signs(joint: str) -> tuple[float, float, float]:
    """Which way the anatomical angles turn about x, z, y: the right side mirrors the left."""
    side = -1.0 if joint.startswith("right") else 1.0
    if _kind(joint) in ("pelvis", "lumbar", "chest", "neck", "head"):
        return 1.0, -1.0, 1.0
    return (1.0 if _kind(joint) == "knee" else -1.0), side, -side


_SIGN = np.array([_signs(joint) for joint in JOINTS])
_FREE = ((-720.0, 720.0),) * 3
_LOW, _HIGH = np.moveaxis(np.array([LIMITS.get(_kind(joint), _FREE) for joint in JOINTS], dtype=float), -1, 0)


def rotation_about(axis: int, radians: Array) -> Array:
    """Turn (...) angles into (..., 3, 3) rotations about x (0), y (1) or z (2)."""
    radians = np.asarray(radians, dtype=float)
    cos, sin = np.cos(radians), np.sin(radians)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.zeros((*radians.shape, 3, 3))
    matrix[..., axis, axis] = 1
    matrix[..., i, i] = matrix[..., j, j] = cos
    matrix[..., i, j], matrix[..., j, i] = -sin, sin
    return matrix


def within_limits(angles: Array) -> Array:
    """Return (T, 21, 3) degrees, brought smoothly within `LIMITS`: a joint slows down towards its end.

    The pelvis, which is where the body is, has no limits.
    """
    soft = 3.0  # degrees over which the corner is rounded
    above = _LOW + soft * np.logaddexp(0, (angles - _LOW) / soft)
    return np.clip(_HIGH - soft * np.logaddexp(0, (_HIGH - above) / soft), _LOW, _HIGH)


def local_rotations(angles: Array) -> Array:
    """Turn anatomical angles (T, 21, 3) in degrees - flexion, abduction, twist - to local rotations (T, 21, 3, 3).

    R = Rx(flexion) Rz(abduction) Ry(twist): flexion outermost, so that a hip or shoulder may flex past 90 degrees.
    """
    x, z, y = np.moveaxis(np.radians(angles) * _SIGN, -1, 0)
    return rotation_about(0, x) @ rotation_about(2, z) @ rotation_about(1, y)


def anatomical_angles(local: Array) -> Array:
    """Invert `local_rotations` for abductions below 90 degrees: (T, 21, 3, 3) to degrees (T, 21, 3)."""
    abduction = np.arcsin(np.clip(-local[..., 0, 1], -1, 1))
    flexion = np.arctan2(local[..., 2, 1], local[..., 1, 1])
    twist = np.arctan2(local[..., 0, 2], local[..., 0, 0])
    return np.degrees(np.stack([flexion, abduction, twist], axis=-1)) * _SIGN


@dataclass(frozen=True)
class Pose:
    """Where a body is at T instants: root (T, 3) world metres, the pelvis; rotation (T, 21, 3, 3) local."""

    root: Array
    rotation: Array

    def __len__(self) -> int:
        return len(self.root)

    def __getitem__(self, frames: Array | slice) -> Pose:
        return Pose(self.root[frames], self.rotation[frames])

    def moved(self, shift: Array) -> Pose:
        """Return the same pose displaced by (T, 3) or (3,) metres."""
        return Pose(self.root + shift, self.rotation)

    def turned(self, yaw: float, about: Array, to: Array) -> Pose:
        """Return the same pose turned about the vertical by `yaw` radians; the point `about` comes to lie at `to`."""
        turn = rotation_about(1, np.array(yaw))
        rotation = self.rotation.copy()
        rotation[:, PELVIS] = turn @ rotation[:, PELVIS]
        return Pose((self.root - about) @ turn.T + to, rotation)


@dataclass(frozen=True)
class Rig:
    """One person's skeleton.

    offset     (21, 3) metres, a joint in its parent's frame, at rest
    tip        (5, 3) metres: crown, left and right finger tips, left and right toe tips in the frames of `TIP_JOINTS`
    clearance  (21,) and tip_clearance (5,) metres: flesh around each joint, which keeps it off the floor
    heel       (3,) in the ankle's frame, and its radius
    """

    offset: Array
    tip: Array
    clearance: Array
    tip_clearance: Array
    heel: Array
    heel_radius: float

    def legs_within_limits(self, pose: Pose) -> Pose:
        """Return the same pose with hips, knees and ankles clipped to `LIMITS`, raised where it sinks into the floor.

        Inverse kinematics knows no limits; the motions are made so that this seldom has anything to do.
        """
        legs = [INDEX[f"{side}_{part}"] for side in SIDES for part in ("hip", "knee", "ankle")]
        angles = anatomical_angles(pose.rotation)
        clipped = np.clip(angles, _LOW, _HIGH)
        rotation = pose.rotation.copy()
        off = np.any(np.abs(clipped - angles) > 1e-9, axis=-1) & np.isin(np.arange(len(JOINTS)), legs)
        rotation[off] = local_rotations(clipped)[off]
        return self.above_floor(Pose(pose.root, rotation))

    def above_floor(self, pose: Pose) -> Pose:
        """Return the same pose, raised where it would sink into the floor."""
        shift = np.zeros((len(pose), 3))
        shift[:, 1] = np.maximum(-self.lowest(pose), 0)
        return pose.moved(shift)

    @property
    def thigh(self) -> float:
        return float(np.linalg.norm(self.offset[INDEX["left_knee"]]))

    @property
    def shin(self) -> float:
        return float(np.linalg.norm(self.offset[INDEX["left_ankle"]]))

    @property
    def upper_arm(self) -> float:
        return float(np.linalg.norm(self.offset[INDEX["left_elbow"]]))

    @property
    def forearm(self) -> float:
        return float(np.linalg.norm(self.offset[INDEX["left_wrist"]]))

    @property
    def ankle_height(self) -> float:
        """Return the height of the ankle above the floor when the foot is flat."""
        return float(self.heel_radius - self.heel[1])

    @property
    def ball(self) -> Array:
        """Return (3,) the ball of the foot in the ankle's frame."""
        return self.offset[INDEX["left_toe"]]

    @property
    def ball_radius(self) -> float:
        return float(self.clearance[INDEX["left_toe"]])

    @property
    def standing(self) -> float:
        """Return the height of the pelvis when the legs are straight."""
        return self.thigh + self.shin + self.ankle_height

    def forward(self, pose: Pose) -> tuple[Array, Array]:
        """Compute forward kinematics: positions (T, 21, 3) and orientations (T, 21, 3, 3) in the world."""
        position = np.empty((len(pose), len(JOINTS), 3))
        orientation = np.empty((len(pose), len(JOINTS), 3, 3))
        for joint, parent in enumerate(PARENTS):
            if parent < 0:
                position[:, joint], orientation[:, joint] = pose.root, pose.rotation[:, joint]
                continue
            position[:, joint] = position[:, parent] + orientation[:, parent] @ self.offset[joint]
            orientation[:, joint] = orientation[:, parent] @ pose.rotation[:, joint]
        return position, orientation

    def lowest(self, pose: Pose) -> Array:
        """Return (T,) metres: how high the lowest flesh is above the floor (negative: under it)."""
        position, orientation = self.forward(pose)
        tips = position[:, TIP_JOINTS] + np.einsum("tjab,jb->tja", orientation[:, TIP_JOINTS], self.tip)
        ankles = [INDEX["left_ankle"], INDEX["right_ankle"]]
        heels = position[:, ankles, 1] + orientation[:, ankles, 1] @ self.heel
        heights = (position[..., 1] - self.clearance, tips[..., 1] - self.tip_clearance, heels - self.heel_radius)
        return np.concatenate(heights, axis=1).min(axis=1)


TIP_JOINTS = [INDEX[name] for name in ("head", "left_wrist", "right_wrist", "left_toe", "right_toe")]


def limb_rotations(root: Array, target: Array, upper: float, lower: float, pole: Array, bends: float) -> tuple:
    """Place two bones that reach from `root` to `target`, the middle joint towards `pole`.

    root, target, pole  (T, 3), world; upper, lower  bone lengths, metres
    bends               +1 a knee (the lower bone folds to -z), -1 an elbow (to +z)
    Returns the upper bone's world orientation (T, 3, 3), whose -y is the bone, and the middle joint's angle (T,) in
    radians, 0 straight. A target out of reach is approached as far as the limb goes.
    """
    reach = target - root
    distance = np.clip(np.linalg.norm(reach, axis=-1), abs(upper - lower) + 1e-4, (upper + lower) * 0.9995)
    along = reach / np.linalg.norm(reach, axis=-1, keepdims=True)
    aside = pole - (pole * along).sum(-1, keepdims=True) * along
    aside /= np.linalg.norm(aside, axis=-1, keepdims=True)
    cos = np.clip((upper**2 + distance**2 - lower**2) / (2 * upper * distance), -1, 1)
    bone = cos[:, None] * along + np.sqrt(1 - cos**2)[:, None] * aside
    inner = np.clip((upper**2 + lower**2 - distance**2) / (2 * upper * lower), -1, 1)
    y = -bone
    z = bends * (aside - (aside * y).sum(-1, keepdims=True) * y)
    z /= np.linalg.norm(z, axis=-1, keepdims=True)
    return np.stack([np.cross(y, z), y, z], axis=-1), np.pi - np.arccos(inner)
