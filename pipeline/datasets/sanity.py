"""Check ground truth by figures that wrong axes, units, cameras or sides cannot pass.

Computed from a clip's ground truth alone, without video and networks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...stores.errors import InvalidValueError
from ...stores.format.skeleton import H36M_17
from ..plan import Clip

# Frames of a clip that are looked at: enough to see what is wrong, and a whole dataset is checked in seconds.
FRAMES = 200
_BONES = np.array(H36M_17.bones)
_AT = {joint: index for index, joint in enumerate(H36M_17.joints)}


@dataclass(frozen=True)
class Figures:
    """The figures of one clip.

    frames          with a pose
    reprojection    px, median distance of the projected 3D joints from the 2D joints, and the 99th percentile; NaN
                    without 2D joints or intrinsics
    bone_spread     the largest standard deviation of a bone's length over its mean
    height          m, median length of the bones from an ankle to the head
    in_front        share of joints before the camera
    in_frame        share of joints inside the picture
    upright         share of frames in which the head is higher in the picture than the hips, and these than the ankles
    left_is_left    share of frames in which the face and the knees point to where, by left and right, front should be
    """

    frames: int
    reprojection: float
    reprojection_99: float
    bone_spread: float
    height: float
    in_front: float
    in_frame: float
    upright: float
    left_is_left: float


# What cannot be right, of the median clip. People lie and stand on their hands, but not most of the time.
LIMITS: dict[str, tuple[float, float]] = {
    "reprojection": (0, 5),
    "bone_spread": (0, 0.15),
    "height": (0.9, 2.2),
    "in_front": (0.99, 1),
    "in_frame": (0.5, 1),
    "upright": (0.5, 1),
    "left_is_left": (0.5, 1),
}


@dataclass(frozen=True)
class Report:
    """Figures by clip, and what is wrong with them, a line each."""

    clips: dict[str, Figures]
    problems: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain data for a store: the median of each figure, its worst clip, and the problems."""
        return {
            "clips": len(self.clips),
            "median": {name: _plain(value) for name, value in self.medians().items()},
            "problems": list(self.problems),
        }

    def medians(self) -> dict[str, float]:
        rows = [asdict(figures) for figures in self.clips.values() if figures.frames]
        return {name: _median([row[name] for row in rows]) for name in rows[0] if name != "frames"} if rows else {}


def check(clips: Sequence[Clip], frames: int = FRAMES) -> Report:
    """Compute the figures of the clips that have ground truth."""
    figures = {clip.id: _figures(clip, frames) for clip in clips if clip.truth and "target/pose3d" in clip.truth.fields}
    report = Report(figures, ())
    medians = report.medians()
    problems = []
    if figures and not medians:
        problems.append("no frame of any clip has a 3D pose")
    for name, (least, most) in LIMITS.items():
        value = medians.get(name, math.nan)
        if not math.isnan(value) and not least <= value <= most:
            worst = sorted(figures, key=lambda id: getattr(figures[id], name))[-1 if value > most else 0]
            problems.append(
                f"{name} is {value:.3g} and should be {least:g} to {most:g} (worst: {worst}, "
                f"{getattr(figures[worst], name):.3g})"
            )
    return Report(figures, tuple(problems))


def require_sane(report: Report) -> None:
    """Raise InvalidValueError, with the figures, where something is wrong."""
    if report.problems:
        raise InvalidValueError(
            f"the ground truth looks wrong: {'; '.join(report.problems)}. --check shows all figures, "
            "--accept-suspicious goes on"
        )


def _figures(clip: Clip, most: int) -> Figures:
    wanted = np.unique(np.linspace(0, clip.count - 1, min(most, clip.count)).round().astype(np.int64))
    assert clip.truth is not None
    truth = clip.truth.read(clip.source_frames(0, clip.count)[wanted])
    pose = np.asarray(truth["target/pose3d"], np.float64)
    seen = np.isfinite(pose).all(axis=(1, 2))
    if not seen.any():
        return Figures(0, *[math.nan] * 8)
    pose = pose[seen]
    flat = truth.get("target/keypoints")
    flat = np.full((*pose.shape[:2], 2), math.nan) if flat is None else np.asarray(flat, np.float64)[seen]
    off = np.linalg.norm(_projected(pose, clip.intrinsics) - flat, axis=-1)
    lengths = np.linalg.norm(pose[:, _BONES[:, 0]] - pose[:, _BONES[:, 1]], axis=-1)
    inside = (flat >= 0).all(axis=-1) & (flat[..., 0] < clip.info.width) & (flat[..., 1] < clip.info.height)
    return Figures(
        frames=int(seen.sum()),
        reprojection=_median(off),
        reprojection_99=float(np.nanpercentile(off, 99)) if np.isfinite(off).any() else math.nan,
        bone_spread=float((lengths.std(axis=0) / lengths.mean(axis=0)).max()),
        height=_median(_height(pose)),
        in_front=float((pose[..., 2] > 0).mean()),
        in_frame=float(inside[np.isfinite(flat).all(axis=-1)].mean()) if np.isfinite(flat).any() else math.nan,
        upright=float(_upright(pose).mean()),
        left_is_left=float(_left_is_left(pose).mean()),
    )


def _projected(pose: np.ndarray, intrinsics: tuple[float, float, float, float]) -> np.ndarray:
    """Without distortion, which a store's intrinsics do not hold: a lens that bends much shows here."""
    fx, fy, cx, cy = intrinsics
    depth = np.where(pose[..., 2] > 0, pose[..., 2], math.nan)
    return np.stack([fx * pose[..., 0] / depth + cx, fy * pose[..., 1] / depth + cy], axis=-1)


def _height(pose: np.ndarray) -> np.ndarray:
    chain = [_AT[name] for name in ("left_ankle", "left_knee", "left_hip", "thorax", "head")]
    return np.linalg.norm(np.diff(pose[:, chain], axis=1), axis=-1).sum(axis=1)


def _upright(pose: np.ndarray) -> np.ndarray:
    head, hips = pose[:, _AT["head"], 1], pose[:, _AT["pelvis"], 1]
    ankles = pose[:, [_AT["left_ankle"], _AT["right_ankle"]], 1].max(axis=1)
    return (head < hips) & (hips < ankles)


def _left_is_left(pose: np.ndarray) -> np.ndarray:
    """Front is left x up in a right-handed frame; knees bend forwards, and the nose is in front of the neck."""
    at = {name: pose[:, index] for name, index in _AT.items()}
    left = at["left_hip"] - at["right_hip"] + at["left_shoulder"] - at["right_shoulder"]
    front = np.cross(left, at["thorax"] - at["pelvis"])
    knees = sum(at[f"{side}_knee"] - (at[f"{side}_hip"] + at[f"{side}_ankle"]) / 2 for side in ("left", "right"))
    face = at["nose"] - (at["thorax"] + at["head"]) / 2
    return ((knees + face) * front).sum(axis=-1) > 0


def _median(values: Any) -> float:
    values = np.asarray(values, np.float64)
    return float(np.nanmedian(values)) if np.isfinite(values).any() else math.nan


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 4)
