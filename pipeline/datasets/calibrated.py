"""`calibrated`: videos of one's own with a calibration and 3D markers, as Pose2Sim and OpenCap leave them."""

from __future__ import annotations

import difflib
import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...stores.errors import InvalidValueError
from ..frames.names import unique_ids
from ..frames.sources import SourceInfo, probe
from ..plan import Clip, clip_of
from .formats.cameras import Camera, read_calibration
from .formats.markers import MARKERS, joints_of, read_trc
from .letterbox import black_bars
from .listing import list_sources

# Which column of the markers is which axis of the calibration's world. A TRC has y up, Pose2Sim's world z.
AXES = "zxy"
# Metres about the joints that a person's box takes in: what is beyond them of hands, feet and head.
BOX_MARGIN = 0.1


@dataclass(frozen=True)
class MarkerTruth:
    """The markers' joints as one camera sees them.

    joints   (T, 17, 3) m in the world's frame; NaN where a marker was not seen
    first    the source frame that the first of them belongs to
    """

    joints: np.ndarray
    camera: Camera
    first: int = 0
    fields: tuple[str, ...] = ("target/pose3d", "target/keypoints")

    def describe(self) -> dict[str, Any]:
        digest = hashlib.sha256(np.ascontiguousarray(self.joints).tobytes()).hexdigest()
        camera = {"size": list(self.camera.size), "intrinsics": list(self.camera.intrinsics)}
        pose = {"rotation": [list(row) for row in self.camera.rotation], "translation": list(self.camera.translation)}
        return {"joints": digest, "first": self.first, **camera, **pose, "distortion": list(self.camera.distortion)}

    def read(self, source_frames: np.ndarray) -> dict[str, np.ndarray]:
        """Read frames; NaN before and behind the markers' recording."""
        rows = np.asarray(source_frames) - self.first
        there = (rows >= 0) & (rows < len(self.joints))
        world = np.full((len(rows), *self.joints.shape[1:]), math.nan)
        world[there] = self.joints[rows[there]]
        pose = self.camera.to_camera(world)
        places = self.camera.project(pose)
        around = [self.camera.project(pose + np.array(by) * BOX_MARGIN) for by in ((-1, -1, 0), (1, 1, 0))]
        box = np.concatenate([around[0].min(axis=1), around[1].max(axis=1)], axis=1)
        return {
            "target/pose3d": pose.astype(np.float32),
            "target/keypoints": places.astype(np.float32),
            "bbox": box.astype(np.float32),
        }


@dataclass(frozen=True)
class Calibrated:
    """What was found: clips, and what a user should know of them, a line each."""

    clips: list[Clip]
    notes: list[str]


def calibrated(
    videos: Iterable[str | Path],
    calibration: Path,
    markers: Path,
    mapping: Mapping[str, tuple[tuple[str, ...], ...]] = MARKERS,
    axes: str = AXES,
    first: int = 0,
    pairs: Mapping[str, str] | None = None,
    fps: float | None = None,
    limit: int | None = None,
) -> Calibrated:
    """Make a clip a video, all of one recording.

    mapping   which markers make which joint
    axes      which column of the markers is the world's x, y and z
    first     the frame of the videos that the first row of markers belongs to
    pairs     {video's file name: camera's name} where the names do not tell
    InvalidValueError for a video without a camera, a calibration that does not fit, rates that differ.
    """
    cameras = read_calibration(calibration)
    trc = read_trc(markers)
    if sorted(axes) != ["x", "y", "z"]:
        raise InvalidValueError(f"--axes {axes}: x, y and z in some order, such as {AXES}")
    world = joints_of(trc, mapping)[..., ["xyz".index(axis) for axis in axes]]
    found = list_sources(videos)
    for _, error in found.bad:
        raise error
    ids = unique_ids(found.sources, found.levels)
    clips, notes = [], list(found.skipped)
    for id, path in zip(ids, found.sources, strict=True):
        info = probe(path)
        camera = camera_of(path, cameras, pairs or {})
        camera, note = fit(camera, info)
        notes += [note] if note else []
        notes += _compare(info, len(world), trc.rate, first, path)
        clips.append(
            clip_of(
                info,
                id,
                path.name,
                fps,
                limit,
                dataset="calibrated",
                action=markers.stem,
                camera=camera.name,
                intrinsics=camera.intrinsics,
                truth=MarkerTruth(world, camera, first),
            )
        )
    return Calibrated(clips, notes)


def fit(camera: Camera, info: SourceInfo) -> tuple[Camera, str | None]:
    """Return the camera for a video of another size than its calibration, and what was found, in a line.

    Black bars say that the picture was scaled to lie between them; without any, as `Camera.fitted`.
    """
    bars = None if (info.width, info.height) == camera.size else black_bars(info)
    if bars:
        across = (info.width - bars.left - bars.right) / camera.size[0]
        down = (info.height - bars.top - bars.bottom) / camera.size[1]
        if abs(across / down - 1) < 0.01:
            scaled = replace(
                camera,
                size=(info.width, info.height),
                focal=(camera.focal[0] * across, camera.focal[1] * down),
                # The centre of the first pixel is at 0, its edge at -1/2.
                centre=(
                    (camera.centre[0] + 0.5) * across - 0.5 + bars.left,
                    (camera.centre[1] + 0.5) * down - 0.5 + bars.top,
                ),
            )
            return scaled, (
                f"{camera.name}: frames are {info.width} x {info.height}, the calibration is of {camera.size[0]} x "
                f"{camera.size[1]}; the picture lies scaled by {across:.4g} between black bars (left {bars.left}, "
                f"above {bars.top}, right {bars.right}, below {bars.bottom} px)"
            )
    return camera.fitted(info.width, info.height)


def camera_of(path: Path, cameras: Mapping[str, Camera], pairs: Mapping[str, str]) -> Camera:
    """Find the camera by the pairs given; else by the same name, or the same number where only one has it."""
    wanted = pairs.get(path.name, pairs.get(path.stem))
    if wanted is not None:
        if wanted not in cameras:
            near = difflib.get_close_matches(wanted, cameras, 1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise InvalidValueError(f"{path.name}: no camera '{wanted}'; there are {', '.join(cameras)}{meant}")
        return cameras[wanted]
    named = {_bare(name): camera for name, camera in cameras.items()}
    if _bare(path.stem) in named:
        return named[_bare(path.stem)]
    numbers = set(re.findall(r"\d+", path.stem)[:1])
    same = [
        c
        for name, c in cameras.items()
        if numbers and {int(n) for n in re.findall(r"\d+", name)} == {*map(int, numbers)}
    ]
    if len(same) == 1:
        return same[0]
    raise InvalidValueError(
        f"no camera of {', '.join(cameras)} goes with {path.name}; say which with --camera {path.name}=NAME"
    )


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _compare(info: SourceInfo, rows: int, rate: float, first: int, path: Path) -> Sequence[str]:
    if info.fps is not None and abs(info.fps / rate - 1) > 1e-3:
        raise InvalidValueError(
            f"{path.name} has {info.fps:.6g} frames a second, the markers {rate:g}; resample the markers to the video's"
        )
    if first + rows == info.frame_count:
        return []
    return [
        f"{path.name}: {info.frame_count} frames, markers for {first} to {first + rows - 1}; the rest has no target"
    ]
