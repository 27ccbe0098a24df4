"""Captured motion on another body: the same bone directions, that body's proportions, feet on the floor."""

from __future__ import annotations

import numpy as np

from ..seeding import Array, between, seeded
from .choice import Motion
from .mocap import Recording
from .rig import INDEX, JOINTS, PARENTS, Pose, Rig

# Bones whose direction is copied; the trunk, the head and the feet copy the orientation instead.
_BONES = {
    f"{side}_{joint}": f"{side}_{end}"
    for side in ("left", "right")
    for joint, end in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
}

_FASTEST = 14.0  # metres a second: a thrown ball's hand, a sprinter's foot
_HIGHEST = 0.5  # metres: a good jump


def _shortest_rotation(start: Array, end: Array) -> Array:
    """(3, 3): turns the direction of `start` into that of `end` the shortest way. Not for opposite directions."""
    a, b = start / np.linalg.norm(start), end / np.linalg.norm(end)
    x, y, z = np.cross(a, b)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + cross + cross @ cross / (1 + a @ b)


def _rest_frame(recording: Recording) -> tuple[Array, Array]:
    """(K, 3) the capture's joints at rest, and (3, 3) the axes of the person standing there: left, up, ahead."""
    rest = np.zeros_like(recording.offset)
    for joint, parent in enumerate(recording.parent):
        if parent >= 0:
            rest[joint] = rest[parent] + recording.offset[joint]
    role = recording.role
    left = rest[role["left_hip"]] - rest[role["right_hip"]]
    up = rest[role["head"]] - (rest[role["left_hip"]] + rest[role["right_hip"]]) / 2
    left = left / np.linalg.norm(left)
    up = up - (up @ left) * left
    up /= np.linalg.norm(up)
    return rest, np.stack([left, up, np.cross(left, up)], axis=-1)


def retarget(recording: Recording, rig: Rig) -> Pose:
    """Move every captured frame to `rig`.

    A limb of ours turns as the captured one does, from a rest pose brought into line with the capture's own rest pose.
    The root's path is scaled by the length of the legs. A joint that the capture lacks keeps its parent's orientation.
    """
    rest, frame = _rest_frame(recording)
    position, world = recording.forward()
    role = recording.role
    count = len(recording.root)
    orientation = np.empty((count, len(JOINTS), 3, 3))
    for index, (name, parent) in enumerate(zip(JOINTS, PARENTS, strict=True)):
        if name not in role:
            orientation[:, index] = orientation[:, parent]
            continue
        align = np.eye(3)
        if name in _BONES:
            direction = frame.T @ (rest[role[_BONES[name]]] - rest[role[name]])
            align = _shortest_rotation(rig.offset[INDEX[_BONES[name]]], direction)
        orientation[:, index] = world[:, role[name]] @ frame @ align
    local = orientation.copy()
    for index, parent in enumerate(PARENTS):
        if parent >= 0:
            local[:, index] = orientation[:, parent].swapaxes(-1, -2) @ orientation[:, index]
    legs = np.mean(
        [
            np.linalg.norm(rest[role[f"{side}_{end}"]] - rest[role[f"{side}_{start}"]])
            for side in ("left", "right")
            for start, end in (("hip", "knee"), ("knee", "ankle"))
        ]
    )
    scale = (rig.thigh + rig.shin) / 2 / legs
    hips = (position[:, role["left_hip"]] + position[:, role["right_hip"]]) / 2
    pose = Pose(hips * scale, local)
    # The floor: as low as the lowest flesh is in a quarter of the frames. Its very lowest would be a toe that dips in a
    # swing, and would have everybody walk on air; frames below are raised.
    floor = np.quantile(rig.lowest(pose), 0.25)
    return rig.above_floor(pose.moved(np.array([0, -floor, 0])))


def resample(pose: Pose, fps: float, seconds: Array) -> Pose:
    """Return the pose at arbitrary instants, between frames by mixing the two rotations about them.

    Past its end the motion runs backwards and then forwards again, so that it has no seam.
    """
    last = len(pose) - 1
    if last < 1:
        index = np.zeros(len(seconds), dtype=int)
        return Pose(pose.root[index], pose.rotation[index])
    at = np.mod(seconds * fps, 2 * last)
    at = np.minimum(at, 2 * last - at)
    before = np.minimum(at.astype(int), last - 1)
    share = at - before
    root = pose.root[before] + share[:, None] * (pose.root[before + 1] - pose.root[before])
    mixed = pose.rotation[before] + share[:, None, None, None] * (pose.rotation[before + 1] - pose.rotation[before])
    # Mixed matrices are nearly orthonormal between two frames a few milliseconds apart: Gram-Schmidt makes them so.
    x = mixed[..., 0] / np.linalg.norm(mixed[..., 0], axis=-1, keepdims=True)
    y = mixed[..., 1] - (x * mixed[..., 1]).sum(-1, keepdims=True) * x
    y /= np.linalg.norm(y, axis=-1, keepdims=True)
    return Pose(root, np.stack([x, y, np.cross(x, y)], axis=-1))


def longest_sound_run(pose: Pose, rig: Rig, fps: float) -> slice:
    """Find the longest run of frames in which nothing moves faster than people do, and nobody hangs in the air.

    Every recording of the CMU archive begins with one frame of the calibration pose, and some have frames in which the
    whole body flips over: there a joint covers a metre between two frames, or the lowest flesh is far off the floor.
    """
    position, _ = rig.forward(pose)
    speed = np.linalg.norm(np.diff(position, axis=0), axis=-1).max(axis=1) * fps
    sound = rig.lowest(pose) < _HIGHEST
    breaks = np.concatenate([[True], (speed > _FASTEST) | ~sound[1:] | ~sound[:-1], [True]])
    edges = np.flatnonzero(breaks)  # frames edges[i] .. edges[i + 1] - 1 belong together
    longest = int(np.diff(edges).argmax())
    return slice(int(edges[longest]), int(edges[longest + 1]))


def captured_motion(recording: Recording, rig: Rig, *seed: str | int) -> Motion:
    """The sound part of a recording as a motion: turned at random, from an instant of its first half, at the origin."""
    pose = retarget(recording, rig)
    pose = pose[longest_sound_run(pose, rig, recording.fps)]
    rng = seeded("capture", recording.name, *seed)
    start = between(rng, (0, 0.5)) * (len(pose) - 1) / recording.fps
    yaw = between(rng, (-np.pi, np.pi))

    def sample(seconds: Array) -> Pose:
        picked = resample(pose, recording.fps, start + seconds)
        origin = resample(pose, recording.fps, np.array([start])).root[0] * [1, 0, 1]
        return picked.turned(yaw, origin, np.zeros(3))

    return Motion(recording.name, sample)
