"""Stores of stick people seen from far away, whose limbs may point to the camera or from it: 2D cannot tell, depth can.

Every limb leaves the plane of the image by the same angle forwards or backwards, drawn anew for every swing. From the
distance of this camera both look alike, so a lifter of x and y alone can do no better than the plane between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from auglift.stores.format.schema import UADD_STATISTICS, Field
from auglift.stores.format.sequences import Sequence, SequenceTable
from auglift.stores.format.skeleton import H36M_17
from auglift.stores.reading.store import FeatureStore

from .stores import MadeStore

WIDTH, HEIGHT, FOCAL, DISTANCE = 1000, 1000, 8000.0, 30.0

# Joint -> (parent, bone in the plane of the image, m, y down); limbs swing, the trunk does not.
_BONES = {
    "right_hip": ("pelvis", (-0.13, 0.0)),
    "right_knee": ("right_hip", (0.0, 0.45)),
    "right_ankle": ("right_knee", (0.0, 0.45)),
    "left_hip": ("pelvis", (0.13, 0.0)),
    "left_knee": ("left_hip", (0.0, 0.45)),
    "left_ankle": ("left_knee", (0.0, 0.45)),
    "spine": ("pelvis", (0.0, -0.25)),
    "thorax": ("spine", (0.0, -0.25)),
    "nose": ("thorax", (0.0, -0.1)),
    "head": ("nose", (0.0, -0.12)),
    "left_shoulder": ("thorax", (0.15, 0.0)),
    "left_elbow": ("left_shoulder", (0.2, 0.2)),
    "left_wrist": ("left_elbow", (0.2, 0.1)),
    "right_shoulder": ("thorax", (-0.15, 0.0)),
    "right_elbow": ("right_shoulder", (-0.2, 0.2)),
    "right_wrist": ("right_elbow", (-0.2, 0.1)),
}
_SWINGING = ("knee", "ankle", "elbow", "wrist")


@dataclass(frozen=True)
class PeopleStore(MadeStore):
    """`lengths` sequences of `subjects` people in turn; noise of the depth in metres.

    bad  frames that are NaN in every field and not valid, from the frame axis
    """

    lengths: tuple[int, ...] = (60, 60, 60, 60)
    shard_frames: int = 128
    presets: tuple[str, ...] = ("paper", "fixed")
    optional: tuple[str, ...] = ("target/pose3d",)
    subjects: int = 4
    split: str = "train"
    depth_noise: float = 0.02
    dataset: str = "people"
    bad: tuple[int, ...] = ()

    @property
    def sequences(self) -> SequenceTable:
        starts = np.cumsum([0, *self.lengths[:-1]]).tolist()
        return SequenceTable.from_sequences(
            Sequence(
                id=f"{self.split}-{n}",
                dataset=self.dataset,
                subject=f"S{n % self.subjects + 1}",
                action=("swing", "sway")[n % 2],
                camera="far",
                split=self.split,
                start=start,
                length=length,
                fps=25.0,
                width=WIDTH,
                height=HEIGHT,
                source=f"{n}.mp4",
            )
            for n, (start, length) in enumerate(zip(starts, self.lengths, strict=True))
        )

    @cached_property
    def _pose(self) -> np.ndarray:
        """(F, 17, 3) m, camera frame."""
        rng = np.random.default_rng(self.seed)
        joints = np.zeros((sum(self.lengths), 17, 3))
        start = 0
        for length in self.lengths:
            time = np.arange(length)[:, None] / 25
            here = joints[start : start + length]
            here[:, 0] = [0, 0, DISTANCE]
            for name, (parent, bone) in _BONES.items():
                turn = np.zeros(length)
                away = np.zeros(length)
                if name.endswith(_SWINGING):
                    turn = 0.5 * np.sin(2 * np.pi * rng.uniform(0.3, 0.9) * time[:, 0] + rng.uniform(0, 6))
                    sign = np.repeat(rng.choice([-1, 1], length // 20 + 1), 20)[:length]
                    away = 0.8 * sign
                x, y = bone
                flat = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=-1)
                step = np.concatenate([flat * np.cos(away)[:, None], (np.hypot(x, y) * np.sin(away))[:, None]], axis=-1)
                here[:, H36M_17.index(name)] = here[:, H36M_17.index(parent)] + step
            start += length
        return joints

    def values(self, spec: Field) -> np.ndarray:
        frames, pose = sum(self.lengths), self._pose
        rng = np.random.default_rng([self.seed, *spec.name.encode()])
        values: Any
        if spec.name == "valid":
            values = np.ones(frames)
            values[list(self.bad)] = 0
        elif spec.name == "source_frame":
            values = np.concatenate([np.arange(n) for n in self.lengths])
        elif spec.name == "target/pose3d":
            values = pose
        elif spec.name == "keypoints":
            values = pose[..., :2] / pose[..., 2:] * FOCAL + [WIDTH / 2, HEIGHT / 2]
            values = values + rng.normal(0, 1, values.shape)
        elif spec.name == "score":
            values = rng.uniform(0.6, 1.0, (frames, 17))
        elif spec.name.startswith("uadd/"):
            depth = pose[..., 2] + rng.normal(0, self.depth_noise, (frames, 17))
            offset = {"d": 0.0, "d_min": -0.05, "d_max": 0.05}
            names = UADD_STATISTICS[spec.name.partition("/")[2]]
            values = np.stack([depth + offset[name] for name in names], axis=-1)
        else:
            values = rng.uniform(1, 9, (frames, *spec.shape))
        values = values.astype(spec.dtype)
        if self.bad and np.issubdtype(values.dtype, np.floating) and not spec.name.startswith("target/"):
            values[list(self.bad)] = np.nan
        return values


def people(path: Path, **changes: Any) -> FeatureStore:
    """A finished store of them."""
    PeopleStore(**changes).run(path)
    return FeatureStore.open(path)
