"""BVH, the skeleton of rotations that animation programs read: centimetres, y up, a T pose at rest.

A BVH has bones of one length and joints that turn; a lifter gives places. So every bone gets the median of its lengths,
and every joint the rotation that brings its bones nearest to where they are: where one bone leaves it the least
rotation, where several do the one of least squares (Kabsch 1976). Head, hands and feet do not turn.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...stores.format.skeleton import H36M_17
from .poses import ROOT, Y_UP, PersonPoses, without_gaps

_CM = 100.0
_END = "OFFSET 0.00000 0.00000 0.00000"  # nothing is known beyond head, wrists and ankles
# Where bones point at rest: a person who looks along z, y up, the left arm along x.
_REST = {
    "right_hip": (-1, 0, 0), "right_knee": (0, -1, 0), "right_ankle": (0, -1, 0),
    "left_hip": (1, 0, 0), "left_knee": (0, -1, 0), "left_ankle": (0, -1, 0),
    "spine": (0, 1, 0), "thorax": (0, 1, 0), "nose": (0, 1, 0.4), "head": (0, 1, -0.2),
    "left_shoulder": (1, -0.15, 0), "left_elbow": (1, 0, 0), "left_wrist": (1, 0, 0),
    "right_shoulder": (-1, -0.15, 0), "right_elbow": (-1, 0, 0), "right_wrist": (-1, 0, 0),
}  # fmt: skip
_CHILDREN = [[child for parent, child in H36M_17.bones if parent == joint] for joint in range(len(H36M_17))]
_PARENT = {child: parent for parent, child in H36M_17.bones}


def bvh(person: PersonPoses) -> bytes:
    """Return the file. Frames in which the person was not found lie on a line between those found: BVH has no gaps."""
    pose = without_gaps(person.turned(Y_UP)) * _CM
    offsets = rest_offsets(pose)
    local = local_rotations(pose, offsets)
    lines = ["HIERARCHY", *_hierarchy(ROOT, offsets, 0), "MOTION", f"Frames: {len(pose)}"]
    lines.append(f"Frame Time: {1 / person.fps:.8f}")
    angles = np.concatenate([_zxy(local[:, joint]) for joint in _in_order(ROOT)], axis=1)
    table = np.concatenate([pose[:, ROOT], angles], axis=1)
    lines += [" ".join(f"{value:.5f}" for value in row) for row in table.tolist()]
    return ("\n".join(lines) + "\n").encode()


def rest_offsets(pose: np.ndarray) -> np.ndarray:
    """Return (17, 3): each joint from its parent at rest, as long as the median of the bone in `pose` (T, 17, 3)."""
    offsets = np.zeros((len(H36M_17), 3))
    for parent, child in H36M_17.bones:
        way = np.array(_REST[H36M_17.joints[child]], dtype=float)
        length = np.median(np.linalg.norm(pose[:, child] - pose[:, parent], axis=1))
        offsets[child] = length * way / np.linalg.norm(way)
    return offsets


def local_rotations(pose: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return (T, 17, 3, 3): how each joint turns what leaves it, in its parent's frame; of ends the identity."""
    turned = np.tile(np.eye(3), (len(pose), len(H36M_17), 1, 1))
    local = turned.copy()
    for joint in _in_order(ROOT):
        above = turned[:, _PARENT[joint]] if joint in _PARENT else np.tile(np.eye(3), (len(pose), 1, 1))
        children = _CHILDREN[joint]
        if children:
            # Seen from the parent's frame, so that the least rotation twists nothing that need not be.
            bones = np.einsum("tba,tcb->tca", above, pose[:, children] - pose[:, joint, None])
            rest = offsets[children]
            local[:, joint] = _between(rest[0], bones[:, 0]) if len(children) == 1 else _kabsch(rest, bones)
        turned[:, joint] = above @ local[:, joint]
    return local


def _between(rest: np.ndarray, bones: np.ndarray) -> np.ndarray:
    """(T, 3, 3): the least rotations from a direction (3,) to others (T, 3)."""
    a = rest / max(float(np.linalg.norm(rest)), 1e-9)
    b = bones / np.maximum(np.linalg.norm(bones, axis=1, keepdims=True), 1e-9)
    cosine = b @ a
    axis = np.cross(np.broadcast_to(a, b.shape), b)
    cross = np.zeros((len(b), 3, 3))
    cross[:, [2, 0, 1], [1, 2, 0]] = axis
    cross[:, [1, 2, 0], [2, 0, 1]] = -axis
    rotation = np.eye(3) + cross + cross @ cross / np.maximum(1 + cosine, 1e-9)[:, None, None]
    # Straight back: half a turn about anything across.
    across = np.cross(a, np.eye(3)[np.argmin(np.abs(a))])
    across /= np.linalg.norm(across)
    rotation[cosine < -1 + 1e-9] = 2 * np.outer(across, across) - np.eye(3)
    return rotation


def _kabsch(rest: np.ndarray, bones: np.ndarray) -> np.ndarray:
    """(T, 3, 3): the rotations of least squares from offsets (K, 3) to others (T, K, 3), about their joint."""
    u, _, vt = np.linalg.svd(np.einsum("tka,kb->tab", bones, rest))
    sign = np.ones((len(bones), 3))
    sign[:, 2] = np.sign(np.linalg.det(u @ vt))
    return (u * sign[:, None]) @ vt


def _zxy(rotation: np.ndarray) -> np.ndarray:
    """(T, 3) degrees z, x, y of rotations (T, 3, 3) = Rz Rx Ry, the order of most BVH files, without jumps by 360."""
    x = np.arcsin(np.clip(rotation[:, 2, 1], -1, 1))
    z = np.arctan2(-rotation[:, 0, 1], rotation[:, 1, 1])
    y = np.arctan2(-rotation[:, 2, 0], rotation[:, 2, 2])
    return np.degrees(np.unwrap(np.stack([z, x, y], axis=1), axis=0))


def _in_order(joint: int) -> Iterator[int]:
    yield joint
    for child in _CHILDREN[joint]:
        yield from _in_order(child)


def _hierarchy(joint: int, offsets: np.ndarray, depth: int) -> Iterator[str]:
    space = "  " * depth
    place = "OFFSET " + " ".join(f"{value:.5f}" for value in offsets[joint].tolist())
    kind, where = ("ROOT", "Xposition Yposition Zposition ") if joint == ROOT else ("JOINT", "")
    yield from (f"{space}{kind} {_NAMES[joint]}", f"{space}{{", f"{space}  {place}")
    yield f"{space}  CHANNELS {6 if joint == ROOT else 3} {where}Zrotation Xrotation Yrotation"
    for child in _CHILDREN[joint]:
        yield from _hierarchy(child, offsets, depth + 1)
    if not _CHILDREN[joint]:
        yield from (f"{space}  End Site", f"{space}  {{", f"{space}    {_END}", f"{space}  }}")
    yield f"{space}}}"


# As exporters call them, so that programs map them by themselves.
_BVH_NAMES = {
    "pelvis": "Hips", "spine": "Spine", "thorax": "Spine1", "nose": "Neck",
    "right_hip": "RightUpLeg", "right_knee": "RightLeg", "left_hip": "LeftUpLeg", "left_knee": "LeftLeg",
    "right_ankle": "RightFoot", "left_ankle": "LeftFoot", "head": "Head",
    "left_shoulder": "LeftArm", "left_elbow": "LeftForeArm", "left_wrist": "LeftHand",
    "right_shoulder": "RightArm", "right_elbow": "RightForeArm", "right_wrist": "RightHand",
}  # fmt: skip
_NAMES = [_BVH_NAMES[name] for name in H36M_17.joints]
