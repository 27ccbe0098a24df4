"""A simulated sensor before a clip: what a pose and a depth network would say of its frames, without a picture.

Everything is a pure function of (clip, noise). The errors of joints and of depth are drawn apart, and for all frames of
a clip at once: other constants scale the same errors, and a frame is the same whatever it is computed with.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from ....stores.format.skeleton import coco_to_h36m
from ..clip import Clip
from ..motion.mocap import MocapArchive
from ..scene.camera import HALF_PIXEL
from ..seeding import Array, seeded
from ..stage import Stage, set_stage
from ..truth import Truth, truth
from .noise import BY_JOINT, DISTANCE, RELIEF_LIMIT, Noise
from .raster import distort, draw, soften

_LEAST, _MOST = 0.03, 1.0  # confidence
_NODES = 200  # a side, of the smooth error's grid at most
_PER_REACH = 3  # nodes in the distance that the smooth error reaches
_JOINTS = len(BY_JOINT)


@dataclass(frozen=True)
class Sensed:
    """A clip as the sensor sees it, of all its T frames; px have integers at the centres of pixels.

    known      what is true; its px are in the camera's own convention
    stature    (T,) px: the person's height in the picture, were it upright and across
    keypoints  (T, 17, 2) px and score (T, 17): as detected
    """

    clip: Clip
    noise: Noise
    stage: Stage
    known: Truth
    stature: Array
    keypoints: Array
    score: Array

    @property
    def true_keypoints(self) -> Array:
        """Return (T, 17, 2) float32 px."""
        return self.known.keypoints_h36m - np.float32(HALF_PIXEL)

    @property
    def boxes(self) -> Array:
        """Return (T, 4) float32 px, of the subject."""
        return self.known.boxes[:, 0] - np.float32(HALF_PIXEL)

    @property
    def lens(self) -> Array:
        """Return fx, fy, cx, cy."""
        camera = self.stage.camera
        return np.array([camera.fx, camera.fy, camera.cx - HALF_PIXEL, camera.cy - HALF_PIXEL])

    @property
    def root(self) -> Array:
        """Return (T,) m, the pelvis' depth."""
        return self.known.joints_h36m[:, 0, 2].astype(float)

    def depth(self, frame: int, reach: float) -> Array:
        """Return the depth map (map, map) float32, m, of a frame; NaN farther than `reach` px from every joint."""
        noise, (cones, boxes, room) = self.noise, self._surfaces
        cells, step = noise.map, (self.clip.size - 1) / (noise.map - 1)
        out = np.full((cells, cells), np.nan, np.float32)
        joints = self.keypoints[frame][np.isfinite(self.keypoints[frame]).all(-1)]
        if not len(joints):
            return out
        low = np.clip(np.floor((joints.min(0) - reach) / step) - 1, 0, cells - 2).astype(int)
        high = np.clip(np.ceil((joints.max(0) + reach) / step) + 2, low + 2, cells).astype(int)
        more = int(np.ceil(3 * noise.blur))  # what a blur takes from outside
        first, last = np.maximum(low - more, 0), np.minimum(high + more, cells)
        part = np.empty((last[1] - first[1], last[0] - first[0]), np.float32)
        camera = self.stage.camera
        draw(part, first * step, step, self.lens, camera.rotation[frame], self._eyes[frame], room, cones[frame], boxes)
        if noise.blur:
            soften(part, noise.blur, np.empty_like(part))
        part = part[low[1] - first[1] : high[1] - first[1], low[0] - first[0] : high[0] - first[0]]
        error = self._error
        if error is not None:
            scale, gain, steady, spacing = error
            field = steady if noise.steady == 1 else steady + self._passing(frame, len(steady))
            size, root = noise.relief * self.root[frame] / DISTANCE, self.root[frame]
            distort(part, low * step, step, root, gain[frame], RELIEF_LIMIT, field, spacing, size, scale[frame])
        out[low[1] : high[1], low[0] : high[0]] = part
        return out

    @cached_property
    def _surfaces(self) -> tuple[Array, Array, Array]:
        """Cones (T, N, 8) in the camera's frame, boxes (M, 8) and the room (2, 3) in the world, for `raster.draw`."""
        scene, camera = self.stage.scene, self.stage.camera
        crowd, _ = self.stage.crowd(np.arange(self.clip.frames))
        poles = np.array([pole.ends for pole in scene.poles]).reshape(-1, 2, 3)
        count = self.clip.frames
        ends = np.concatenate([crowd.ends, np.broadcast_to(poles, (count, *poles.shape))], axis=1)
        radius = np.concatenate([crowd.radius, np.array([pole.radius for pole in scene.poles]).reshape(-1, 2)])
        cones = np.concatenate(
            [camera.to_camera(ends).reshape(count, -1, 6), np.broadcast_to(radius, (count, *radius.shape))], axis=2
        )
        boxes = [(*box.centre, *box.half, np.cos(box.yaw), np.sin(box.yaw)) for box in scene.boxes]
        return np.ascontiguousarray(cones), np.array(boxes).reshape(-1, 8), np.array([scene.low, scene.high], float)

    @cached_property
    def _eyes(self) -> Array:
        return np.ascontiguousarray(self.stage.camera.centre)

    @cached_property
    def _error(self) -> tuple[Array, Array, Array, float] | None:
        """Scale and gain (T,), the lasting part of the smooth error at its nodes (K, K), and their distance, px."""
        noise, count = self.noise, self.clip.frames
        if not (noise.scale or noise.gain != 1 or noise.gain_spread or noise.relief):
            return None
        rng = self._seeded("depth")
        lasting, passing = np.sqrt(noise.steady), np.sqrt(1 - noise.steady)
        drawn = lasting * rng.standard_normal((2, 1)) + passing * rng.standard_normal((2, count))
        # A gain of nothing or less would turn a person inside out.
        gain = np.maximum(noise.gain + noise.gain_spread * drawn[1], 0.05)
        reach = noise.smooth * float(np.nanmedian(self.stature))
        spacing = max(reach / _PER_REACH, self.clip.size / _NODES)
        nodes = int(np.ceil(self.clip.size / spacing)) + 2
        steady = lasting * _smooth(rng, nodes, reach / spacing)
        return np.exp(noise.scale * drawn[0]), gain, steady, spacing

    def _passing(self, frame: int, nodes: int) -> Array:
        """(K, K) the part of the smooth error that is a frame's own."""
        reach = self.noise.smooth * float(np.nanmedian(self.stature)) / self._error[3]  # type: ignore[index]
        return np.sqrt(1 - self.noise.steady) * _smooth(self._seeded("depth", frame), nodes, reach)

    def _seeded(self, *what: str | int) -> np.random.Generator:
        return seeded("sensor", *what, self.clip.domain, self.clip.split, self.clip.seed)


@lru_cache(maxsize=3)
def sense(clip: Clip, noise: Noise, archive: MocapArchive | None = None) -> Sensed:
    """Set the stage of a clip, and detect its joints; errors as `set_stage`."""
    stage = set_stage(clip, archive)
    crowd, pose = stage.crowd(np.arange(clip.frames))
    person = stage.walkers[0].body
    known = truth(stage.camera, stage.scene, person, pose, crowd)
    depth = known.joints_h36m[:, 0, 2].astype(float)
    stature = stage.camera.fx * person.subject.height / np.where(depth > 0.1, depth, np.nan)
    rng = seeded("sensor", "joints", clip.domain, clip.split, clip.seed)
    places, visible = known.keypoints_h36m, known.visible_h36m
    if noise.coco:
        places = coco_to_h36m(known.keypoints_coco)
        # A mean of joints of which most are seen; of two, of both.
        visible = coco_to_h36m(known.visible_coco[..., None].astype(float))[..., 0] > 0.5
    error = joint_errors(noise, rng, visible, clip.fps)
    score = confidence(noise, rng, visible, np.linalg.norm(error, axis=-1))
    keypoints = places - HALF_PIXEL + error * stature[:, None, None]
    score = np.where(np.isfinite(keypoints).all(-1), score, np.nan)
    return Sensed(clip, noise, stage, known, stature, keypoints.astype(np.float32), score.astype(np.float32))


def joint_errors(noise: Noise, rng: np.random.Generator, visible: Array, fps: float) -> Array:
    """Draw 2D errors (T, 17, 2), shares of the stature, of joints that are `visible` (T, 17) or not."""
    count = len(visible)
    slow = _slow(rng, count, _JOINTS * 2, noise.memory * fps).reshape(count, _JOINTS, 2)
    drawn = np.sqrt(noise.lasting) * slow + np.sqrt(1 - noise.lasting) * rng.standard_normal(slow.shape)
    # Student's t: a Gaussian over the root of a chi square. Always drawn, so that what follows stays the same.
    uniform = rng.random((count, _JOINTS, 1))
    if noise.tails:
        from scipy.stats import chi2

        drawn /= np.sqrt(chi2.ppf(uniform, noise.tails) / noise.tails)
    error = drawn * np.array(BY_JOINT)[:, None] * noise.joint
    hidden = noise.hidden * error + noise.bias * rng.standard_normal((1, _JOINTS, 2))
    return np.where(visible[..., None], error, hidden)


def confidence(noise: Noise, rng: np.random.Generator, visible: Array, size: Array) -> Array:
    """Draw confidences (T, 17) of joints that err by `size` (T, 17) shares of the stature."""
    best = np.where(visible, noise.seen, noise.unseen)
    return np.clip(best * np.exp(-size / noise.decay) + noise.spread * rng.standard_normal(size.shape), _LEAST, _MOST)


def _slow(rng: np.random.Generator, count: int, channels: int, memory: float) -> Array:
    """(count, channels) Gaussian noise of unit variance that keeps 1/e of itself over `memory` frames."""
    keep = np.exp(-1 / memory) if memory > 0 else 0.0
    drawn = rng.standard_normal((count, channels))
    for frame in range(1, count):
        drawn[frame] = keep * drawn[frame - 1] + np.sqrt(1 - keep * keep) * drawn[frame]
    return drawn


def _smooth(rng: np.random.Generator, nodes: int, reach: float) -> Array:
    """(nodes, nodes) Gaussian field of unit variance whose correlation over d nodes is exp(-(d / reach)^2 / 2)."""
    weights = _weights(nodes, round(reach, 6))
    return weights @ rng.standard_normal((weights.shape[1],) * 2) @ weights.T


@lru_cache(maxsize=64)
def _weights(nodes: int, reach: float) -> Array:
    margin = int(np.ceil(2.2 * reach))
    away = np.arange(nodes)[:, None] - np.arange(-margin, nodes + margin)
    weights = np.exp(-((away / reach) ** 2))
    return weights / np.linalg.norm(weights, axis=1, keepdims=True)
