"""datasets/sanity.py: a standing person passes; wrong units, axes, sides, cameras and bones are named."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auglift.pipeline.datasets.sanity import check, require_sane
from auglift.pipeline.frames.sources import SourceInfo
from auglift.pipeline.plan import Clip, clip_of
from auglift.stores.errors import InvalidValueError
from auglift.stores.format.skeleton import H36M_17

# A person 1.7 m tall who faces +z, their left to +x; metres, y up; knees bent a little.
STANDING = {
    "pelvis": (0, 0.95, 0),
    "right_hip": (-0.13, 0.95, 0),
    "right_knee": (-0.13, 0.5, 0.06),
    "right_ankle": (-0.13, 0.08, 0),
    "left_hip": (0.13, 0.95, 0),
    "left_knee": (0.13, 0.5, 0.06),
    "left_ankle": (0.13, 0.08, 0),
    "spine": (0, 1.2, 0),
    "thorax": (0, 1.45, 0),
    "nose": (0, 1.58, 0.1),
    "head": (0, 1.7, 0),
    "left_shoulder": (0.18, 1.4, 0),
    "left_elbow": (0.25, 1.1, 0),
    "left_wrist": (0.25, 0.85, 0.05),
    "right_shoulder": (-0.18, 1.4, 0),
    "right_elbow": (-0.25, 1.1, 0),
    "right_wrist": (-0.25, 0.85, 0.05),
}
F, CENTRE, SIZE, FRAMES = 500.0, 250.0, 500, 30


@dataclass(frozen=True)
class Truth:
    pose: np.ndarray
    places: np.ndarray
    fields: tuple[str, ...] = ("target/pose3d", "target/keypoints")

    def describe(self) -> dict[str, Any]:
        return {}

    def read(self, source_frames: np.ndarray) -> dict[str, np.ndarray]:
        return {"target/pose3d": self.pose[source_frames], "target/keypoints": self.places[source_frames]}


def person(turn: float = math.pi) -> np.ndarray:
    """(FRAMES, 17, 3) m in the frame of a camera 1 m high and 4 m away: turned about the vertical, and walking."""
    world = np.array([STANDING[joint] for joint in H36M_17.joints])
    cos, sin = math.cos(turn), math.sin(turn)
    world = world @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    steps = np.linspace(-0.3, 0.3, FRAMES)[:, None, None] * [1.0, 0, 0]
    camera = (world + steps - [0, 1.0, 0]) * [1, -1, 1]  # y down makes the frame left-handed:
    camera[..., 0] *= -1  # and x the other way makes it right-handed again
    return camera + np.array([0, 0, 4.0])


def project(pose: np.ndarray) -> np.ndarray:
    return F * pose[..., :2] / pose[..., 2:] + CENTRE


def clip(pose: np.ndarray, places: np.ndarray | None = None, intrinsics=(F, F, CENTRE, CENTRE)) -> Clip:
    info = SourceInfo(Path("a.mp4"), "video", SIZE, SIZE, 25.0, FRAMES, "d", False, ())
    places = project(pose) if places is None else places
    return clip_of(info, "a", "a.mp4", None, None, truth=Truth(pose, places), intrinsics=intrinsics)


@pytest.mark.parametrize("turn", np.linspace(0, 2 * math.pi, 9)[:-1])
def test_a_person_seen_from_any_side_passes(turn):
    report = check([clip(person(turn))])
    assert report.problems == ()
    figures = report.clips["a"]
    assert figures.frames == FRAMES
    assert figures.reprojection < 1e-3
    assert figures.bone_spread < 1e-6
    assert 1.5 < figures.height < 1.8
    assert (figures.in_front, figures.in_frame, figures.upright, figures.left_is_left) == (1, 1, 1, 1)
    require_sane(report)


def mirrored(pose: np.ndarray) -> np.ndarray:
    return pose[:, H36M_17.flip]


def growing(pose: np.ndarray) -> np.ndarray:
    return (pose - pose[:, :1]) * np.linspace(0.6, 1.4, FRAMES)[:, None, None] + pose[:, :1]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (mirrored, "left_is_left is 0 and should be 0.5 to 1"),
        (lambda pose: pose * 1000, "height is"),
        (lambda pose: pose * [1, -1, 1] * [-1, 1, 1], "upright is 0"),
        (lambda pose: pose * [1, 1, -1] * [1, -1, 1], "in_front is 0"),
        (growing, "bone_spread is"),
        (lambda pose: pose + np.array([6.0, 0, 0]), "in_frame is 0"),
    ],
)
def test_what_is_wrong_is_named_and_refused_with_its_figures(wrong, named):
    report = check([clip(wrong(person()))])
    assert any(problem.startswith(named) for problem in report.problems), report.problems
    with pytest.raises(InvalidValueError, match="--accept-suspicious goes on"):
        require_sane(report)


def test_a_camera_that_is_not_this_videos_shows_in_px():
    report = check([clip(person(), intrinsics=(F * 1.2, F * 1.2, CENTRE, CENTRE))])
    assert [problem.split()[0] for problem in report.problems] == ["reprojection"]
    assert report.clips["a"].reprojection > 5


def test_one_bad_clip_among_good_ones_does_not_refuse_a_dataset_but_is_in_its_figures():
    clips = [clip(person()) for _ in range(3)]
    named = [Clip(**{**vars(c), "id": f"c{n}"}) for n, c in enumerate(clips)]
    bad = Clip(**{**vars(clip(mirrored(person()))), "id": "bad"})
    report = check([*named, bad])
    assert report.problems == ()
    assert report.clips["bad"].left_is_left == 0


def test_frames_without_a_pose_are_left_out_and_none_at_all_is_wrong():
    pose = person()
    pose[5:] = math.nan
    assert check([clip(pose)]).clips["a"].frames == 5
    pose[:] = math.nan
    assert check([clip(pose)]).problems == ("no frame of any clip has a 3D pose",)
