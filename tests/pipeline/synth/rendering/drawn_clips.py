"""Rendered clips of each domain, drawn once, and rays marched through their scenes without the renderer."""

from __future__ import annotations

from functools import cache

import numpy as np

from auglift.pipeline.synth.clip import Clip, plan_clips
from auglift.pipeline.synth.scene.scene import Scene
from auglift.pipeline.synth.stage import Stage, set_stage
from auglift.pipeline.synth.video import Batch, render_clip

# One clip for each domain, such that furniture, posts, passers-by and a moving camera all occur.
CASES = {"studio": 3, "greenscreen": 0, "street": 1, "gym": 2}


FRAMES = (0, 7, 15, 23)


@cache
def clip_of(domain: str) -> Clip:
    clips = plan_clips(domain, 12, seed=4, frames=24, size=160)
    return [clip for clip in clips if domain != "studio" or set_stage(clip).scene.boxes][CASES[domain]]


@cache
def drawn(domain: str) -> tuple[Clip, Stage, Batch]:
    clip = clip_of(domain)
    return clip, set_stage(clip), next(render_clip(clip, batch=len(FRAMES), frames=FRAMES))


def distances(scene: Scene, ends: np.ndarray, radius: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(N, shapes) distance of world points to each cone, pole, box and, last, to the inside of the room."""
    poles = np.array([pole.ends for pole in scene.poles]).reshape(-1, 2, 3)
    ends = np.concatenate([ends, poles])
    radius = np.concatenate([radius, np.array([pole.radius for pole in scene.poles]).reshape(-1, 2)])
    share = np.linspace(0, 1, 31)
    balls = ends[:, None, 0] + share[None, :, None] * (ends[:, 1] - ends[:, 0])[:, None]
    sizes = radius[:, None, 0] + share * (radius[:, 1] - radius[:, 0])[:, None]
    cones = (np.linalg.norm(points[:, None, None] - balls, axis=-1) - sizes).min(-1)
    parts = [cones]
    for box in scene.boxes:
        cos, sin = np.cos(box.yaw), np.sin(box.yaw)
        local = (points - box.centre) @ np.array([(cos, 0, sin), (0, 1, 0), (-sin, 0, cos)])
        beyond = np.abs(local) - box.half
        outside = np.linalg.norm(np.maximum(beyond, 0), axis=-1)
        parts.append((outside + np.minimum(beyond.max(-1), 0))[:, None])
    walls = np.minimum(points - np.array(scene.low), np.array(scene.high) - points).min(-1)
    return np.concatenate([*parts, walls[:, None]], axis=1)


def march(
    scene: Scene, ends: np.ndarray, radius: np.ndarray, eye: np.ndarray, ways: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Along rays eye + t way: t where the first surface is, and which (as in `distances`)."""
    length = np.linalg.norm(ways, axis=-1)
    travelled = np.full(len(ways), 0.05)
    which = np.zeros(len(ways), dtype=int)
    for _ in range(90):
        found = distances(scene, ends, radius, eye + (travelled / length)[:, None] * ways)
        which = found.argmin(-1)
        travelled += np.maximum(found.min(-1), 0)
    return travelled / length, which
