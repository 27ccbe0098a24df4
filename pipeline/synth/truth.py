"""What is true of a rendered frame besides its pixels: joints in 2D and 3D, which of them can be seen, people's boxes.

All of it follows from the geometry in double precision, not from the drawn pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .motion.rig import Pose
from .rendering import geometry
from .scene.body import COCO_LANDMARKS, H36M_LANDMARKS, Body
from .scene.camera import Camera
from .scene.scene import Crowd, Scene
from .seeding import Array

# Another surface hides a joint when it is in front of the joint's own body part by more than this, in metres: what is
# nearer than that lies on it.
TOLERANCE = 0.02
_ALL = H36M_LANDMARKS + COCO_LANDMARKS


@dataclass(frozen=True)
class Truth:
    """Ground truth of B frames; H36M-17 and COCO-17 in the order of `stores.skeleton`.

    joints     (B, 17, 3) float32, metres, camera frame
    keypoints  (B, 17, 2) float32, px, in the convention of `camera.py`; outside the image where the joint is
    visible    (B, 17) bool: in the image, and nothing but the joint's own body part in front of it
    boxes      (B, people, 4) float32, px: left, top, right, bottom of the subject and of each passer-by, as far as they
               lie in the image, hidden parts included; NaN for a person outside it
    """

    joints_h36m: Array
    joints_coco: Array
    keypoints_h36m: Array
    keypoints_coco: Array
    visible_h36m: Array
    visible_coco: Array
    boxes: Array


def truth(camera: Camera, scene: Scene, body: Body, pose: Pose, crowd: Crowd) -> Truth:
    """Compute all that is true of len(pose) frames. The first len(body.part) cones of the crowd are the subject's."""
    joints = camera.to_camera(body.landmarks(pose, _ALL))
    keypoints = camera.project(joints)
    visible = joint_visibility(camera, scene, body, joints, keypoints, crowd)
    count = len(H36M_LANDMARKS)
    return Truth(
        joints_h36m=joints[:, :count].astype(np.float32),
        joints_coco=joints[:, count:].astype(np.float32),
        keypoints_h36m=keypoints[:, :count].astype(np.float32),
        keypoints_coco=keypoints[:, count:].astype(np.float32),
        visible_h36m=visible[:, :count],
        visible_coco=visible[:, count:],
        boxes=person_boxes(camera, crowd).astype(np.float32),
    )


def joint_visibility(camera: Camera, scene: Scene, body: Body, joints: Array, keypoints: Array, crowd: Crowd) -> Array:
    """Return (T, J) bool: whether each of `_ALL` landmarks is seen: one exact ray for each, against every surface."""
    own = np.zeros((len(_ALL), crowd.ends.shape[1]), dtype=bool)
    own[:, : len(body.part)] = body.owned(_ALL)
    with np.errstate(invalid="ignore"):
        inside = (keypoints >= 0).all(-1) & (keypoints < [camera.width, camera.height]).all(-1)
    inside &= joints[..., 2] > geometry.NEAR
    depth = np.where(inside, joints[..., 2], 1.0)
    rays = joints / depth[..., None]

    poles = np.array([pole.ends for pole in scene.poles]).reshape(-1, 2, 3)
    count = len(joints)
    ends = np.concatenate([crowd.ends, np.broadcast_to(poles, (count, *poles.shape))], axis=1)
    radius = np.concatenate([crowd.radius, np.array([pole.radius for pole in scene.poles]).reshape(-1, 2)])
    own = np.pad(own, ((0, 0), (0, len(poles))))
    t = _cone_hits(camera.to_camera(ends), radius, rays)  # (T, J, N)
    nearest_own = np.where(own, t, np.inf).min(-1)
    nearest_other = np.where(own, np.inf, t).min(-1, initial=np.inf)
    if scene.boxes:
        nearest_other = np.minimum(nearest_other, _box_hits(camera, scene, rays).min(-1))
    first = np.minimum(nearest_own, nearest_other)
    in_front = first >= depth - 1e-3
    own_first = (nearest_own <= nearest_other + TOLERANCE) & (depth - nearest_own <= body.depth_within(_ALL))
    return inside & (in_front | own_first)


def person_boxes(camera: Camera, crowd: Crowd) -> Array:
    """Return (T, people, 4) px: rectangles about everybody's round cones, cut at the image's border; NaN outside it."""
    ends = torch.from_numpy(camera.to_camera(crowd.ends))
    radius = torch.from_numpy(crowd.radius).expand(ends.shape[:-1])
    low, high = (bound.numpy() for bound in geometry.angular_bounds(ends, radius))
    scale, shift = np.array([camera.fx, camera.fy]), np.array([camera.cx, camera.cy])
    size = np.array([camera.width, camera.height], dtype=float)
    nearest, farthest = (ends[..., 2] - radius).numpy(), (ends[..., 2] + radius).numpy()
    beside, behind = (nearest <= geometry.NEAR)[..., None], (farthest <= geometry.NEAR)[..., None]
    low = np.where(behind, np.inf, np.where(beside, 0.0, low * scale + shift))
    high = np.where(behind, -np.inf, np.where(beside, size, high * scale + shift))
    boxes = np.full((len(crowd.ends), crowd.people, 4), np.nan)
    for person in range(crowd.people):
        of = crowd.owner == person
        left_top = np.clip(low[:, of].min(axis=(1, 2)), 0, size)
        right_bottom = np.clip(high[:, of].max(axis=(1, 2)), 0, size)
        there = (right_bottom - left_top > 0).all(axis=-1)
        boxes[there, person] = np.concatenate([left_top, right_bottom], axis=-1)[there]
    return boxes


def _cone_hits(ends: Array, radius: Array, rays: Array) -> Array:
    """(T, J, N): depth at which each joint's ray enters each cone; inf where it does not."""
    count, cones = ends.shape[:2]
    joints = rays.shape[1]
    flat = torch.from_numpy(np.ascontiguousarray(ends)).reshape(-1, 2, 3)
    table = geometry.cone_table(flat, torch.from_numpy(radius).expand(count, cones, 2).reshape(-1, 2))
    table = table.view(10, count, 1, cones).expand(10, count, joints, cones)
    way = torch.from_numpy(np.ascontiguousarray(rays))[:, :, None]
    return geometry.cast_cones(table, (way[..., 0], way[..., 1], way[..., 2]))[0].numpy()


def _box_hits(camera: Camera, scene: Scene, rays: Array) -> Array:
    """(T, J, M): depth at which each joint's ray enters each box; inf where it does not."""
    columns = (
        np.array([box.centre for box in scene.boxes]),
        np.array([box.half for box in scene.boxes]),
        np.stack([box.axes for box in scene.boxes]),
    )
    table = geometry.box_table(*(torch.from_numpy(column) for column in columns))
    way = torch.from_numpy(np.einsum("tba,tjb->tja", camera.rotation, rays))[:, :, None]
    start = torch.from_numpy(camera.centre)[:, None, None]
    shape = (15, *rays.shape[:2], len(scene.boxes))
    t, _ = geometry.cast_boxes(
        table[:, None, None].expand(shape),
        (way[..., 0], way[..., 1], way[..., 2]),
        (start[..., 0], start[..., 1], start[..., 2]),
    )
    return t.numpy()
