"""Simulated clips as a plan takes them: what is true of their frames, and what the sensor says of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ....stores.errors import InvalidValueError
from ...frames.sources import WITHOUT_PICTURES, SourceInfo
from ...networks.substitutes.given import GIVEN, GIVEN_BOX
from ...networks.substitutes.ground_truth import BBOX, DEPTH
from ...networks.substitutes.simulated import MEASURED
from ...plan import Clip
from ..clip import CAPTURE
from ..clip import Clip as DrawnClip
from ..motion.mocap import MocapArchive
from ..planned import UNKNOWN, planned
from ..scene.camera import HALF_PIXEL
from ..seeding import seeded
from ..stage import set_stage
from .noise import Noise
from .sensor import Sensed, sense

# Raised when the same options begin to give other numbers: shards of an older sensor are not mixed with new ones.
SENSOR = 1


@dataclass(frozen=True)
class SimulatedTruth:
    """The truth of a simulated clip, and what the sensor says in the networks' place.

    other  the clip whose depth a useless sensor gives
    reach  px about a joint within which depth is computed: the largest radius of a descriptor
    """

    clip: DrawnClip
    noise: Noise
    other: DrawnClip
    archive: MocapArchive | None
    reach: float
    fields: tuple[str, ...] = ("target/pose3d", "target/keypoints")

    def describe(self) -> dict[str, Any]:
        source = "recorded" if CAPTURE in self.clip.motion + self.clip.limbs else "procedural"
        return {"motion": f"rich {source}" if self.clip.rich else source, "sensor": SENSOR}

    def read(self, source_frames: np.ndarray) -> dict[str, np.ndarray]:
        """Read what is true of frames, the subject's box, and joints, confidence and depth as the sensor has them."""
        rows, here = np.asarray(source_frames), self._sensed()
        joints = np.concatenate([here.keypoints, here.score[..., None]], axis=-1)
        box = np.concatenate([here.boxes, np.nanmean(here.score, axis=1, keepdims=True)], axis=1)
        said = {
            "target/pose3d": here.known.joints_h36m[rows],
            "target/keypoints": here.true_keypoints[rows],
            BBOX: here.boxes[rows],
            GIVEN: joints[rows],
            GIVEN_BOX: box.astype(np.float32)[rows],
        }
        if not self.noise.useless:
            return said | {DEPTH: np.stack([here.depth(int(row), self.reach) for row in rows])}
        there = sense(self.other, self.noise, self.archive)
        order = seeded("useless", self.clip.seed).permutation(there.clip.frames)[rows % there.clip.frames]
        away = (here.root[rows] - there.root[order]).astype(np.float32)
        depth = np.stack([there.depth(int(row), self.reach) for row in order]) + away[:, None, None]
        measured = np.concatenate([there.keypoints, there.score[..., None]], axis=-1)
        return said | {DEPTH: depth, MEASURED: measured[order]}

    def intrinsics(self) -> tuple[float, float, float, float]:
        camera = set_stage(self.clip, self.archive).camera
        return camera.fx, camera.fy, camera.cx - HALF_PIXEL, camera.cy - HALF_PIXEL

    def _sensed(self) -> Sensed:
        return sense(self.clip, self.noise, self.archive)


def digest(clip: DrawnClip) -> str:
    """Return what a clip is drawn from, as a digest."""
    return hashlib.sha256(repr(sorted(asdict(clip).items())).encode()).hexdigest()


def simulated_clips(
    drawn: Sequence[DrawnClip],
    noise: Noise,
    archive: MocapArchive | None,
    reach: float,
    fps: float | None = None,
    limit: int | None = None,
    dry: bool = False,
) -> list[Clip]:
    """Return clips as a plan takes them, of the dataset that their pictures would be of.

    dry  enough to say what would be done: their cameras are not known
    InvalidValueError where the depth map is larger than the frames, and for a useless sensor with a single clip.
    """
    found = []
    for number, clip in enumerate(drawn):
        noise.require_fit(clip.size)
        other = drawn[(number + max(len(drawn) // 2, 1)) % len(drawn)]
        if noise.useless and other is clip:
            raise InvalidValueError("--noise useless: one clip has no other's depth; make two or more with --clips")
        truth = SimulatedTruth(clip, noise, other, archive, reach)
        info = SourceInfo(
            Path(clip.id), WITHOUT_PICTURES, clip.size, clip.size, clip.fps, clip.frames, digest(clip), False, ()
        )
        intrinsics = UNKNOWN if dry else truth.intrinsics()
        found.append(planned(clip, info, f"simulated/{clip.id}", truth, intrinsics, fps, limit))
    return found
