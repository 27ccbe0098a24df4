"""datasets/calibrated.py, cameras.py, markers.py: points fall where OpenCV puts them, and on the real person."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auglift.pipeline.datasets.calibrated import calibrated, camera_of
from auglift.pipeline.datasets.formats.cameras import Camera, read_calibration, rotation_of
from auglift.pipeline.datasets.formats.markers import joints_of, read_mapping, read_trc
from auglift.pipeline.plan import Clip, GroundTruth
from auglift.stores.errors import InvalidValueError, MissingFileError
from auglift.stores.format.skeleton import H36M_17

from ...fakes.video import write_video

MARKERS = ("RHip", "LHip", "RKnee", "LKnee", "RAnkle", "LAnkle", "Neck", "Head", "Nose")
ARMS = ("RShoulder", "LShoulder", "RElbow", "LElbow", "RWrist", "LWrist")
ALL = MARKERS + ARMS


def rotated(vector: np.ndarray) -> Any:
    return rotation_of(vector)


def camera_table(name: str, size=(96, 128), angle=(0.1, 0.2, 0.3), away=(0.1, -0.2, 4.0), more: str = "") -> str:
    return (
        f'[{name}]\nname = "{name}"\nsize = [ {size[0]}.0, {size[1]}.0]\n'
        "matrix = [ [ 90.0, 0.0, 47.0], [ 0.0, 91.0, 63.0], [ 0.0, 0.0, 1.0]]\n"
        f"distortions = [ -0.01, 0.02, 0.001, -0.002]\nrotation = {list(angle)}\ntranslation = {list(away)}\n{more}\n"
    )


def write_trc(path: Path, positions: np.ndarray, names=ALL, unit: str = "m", rate: float = 25) -> Path:
    """positions (T, M, 3) in the unit; NaN as an empty cell."""
    head = ["PathFileType\t4\t(X/Y/Z)\tx.trc", "DataRate\tNumFrames\tUnits", f"{rate}\t{len(positions)}\t{unit}"]
    head += ["Frame#\tTime\t" + "\t\t\t".join(names) + "\t\t", "\t\t" + "\t".join("XYZ"[i % 3] for i in range(9))]
    rows = [
        "\t".join([str(t + 1), f"{t / rate}", *("" if math.isnan(v) else repr(float(v)) for v in row.ravel())])
        for t, row in enumerate(positions)
    ]
    path.write_text("\n".join(head + rows) + "\n")
    return path


def truth_of(clip: Clip) -> GroundTruth:
    assert clip.truth is not None
    return clip.truth


@pytest.fixture
def recording(tmp_path):
    """Two videos of 6 frames, their calibration, and markers about the origin."""
    frames = np.zeros((6, 128, 96, 3), np.uint8)
    videos = [write_video(tmp_path / f"cam_{n}.mp4", frames, fps=25) for n in (1, 2)]
    calibration = tmp_path / "calibration.toml"
    calibration.write_text(
        camera_table("cam_1") + camera_table("cam_2", angle=(0.0, 0.5, 0.0)) + "[metadata]\nerror = 0.0\n"
    )
    markers = write_trc(tmp_path / "m.trc", np.random.default_rng(0).uniform(-0.5, 0.5, (6, len(ALL), 3)))
    return videos, calibration, markers


numbers = st.floats(-0.3, 0.3)


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[numbers] * 5), st.tuples(*[st.floats(-3, 3)] * 3), st.integers(0, 2**31))
def test_points_fall_where_opencv_puts_them(distortion, vector, seed):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-0.5, 0.5, (17, 3))
    camera = Camera("a", (96, 128), (90.0, 91.0), (47.0, 63.0), rotated(np.array(vector)), (0.1, -0.2, 4.0), distortion)
    matrix = np.array([[90.0, 0, 47], [0, 91.0, 63], [0, 0, 1]])
    wanted, _ = cv2.projectPoints(points, np.array(vector), np.array([0.1, -0.2, 4.0]), matrix, np.array(distortion))
    np.testing.assert_allclose(camera.project(camera.to_camera(points)), wanted[:, 0], atol=1e-6)


def test_behind_the_camera_there_is_no_picture():
    camera = Camera("a", (96, 128), (90.0, 91.0), (47.0, 63.0), rotated(np.zeros(3)), (0.0, 0.0, 0.0))
    assert np.isnan(camera.project(np.array([[0.0, 0.0, -1.0], [0.0, 0.0, 0.0]]))).all()


def test_the_truth_is_the_markers_as_opencv_sees_them(recording):
    videos, calibration, markers = recording
    found = calibrated(videos, calibration, markers)
    assert [clip.camera for clip in found.clips] == ["cam_1", "cam_2"]
    assert found.notes == []
    trc = read_trc(markers)
    world = trc.positions[:, ALL.index("RKnee")][:, [2, 0, 1]]
    for clip, vector in zip(found.clips, ((0.1, 0.2, 0.3), (0.0, 0.5, 0.0)), strict=True):
        rotation, _ = cv2.Rodrigues(np.array(vector))
        camera = world @ rotation.T + [0.1, -0.2, 4.0]
        matrix = np.array([[90.0, 0, 47], [0, 91.0, 63], [0, 0, 1]])
        px, _ = cv2.projectPoints(camera, np.zeros(3), np.zeros(3), matrix, np.array([-0.01, 0.02, 0.001, -0.002]))
        truth = truth_of(clip).read(np.array([0, 3, 5]))
        joint = H36M_17.index("right_knee")
        np.testing.assert_allclose(truth["target/pose3d"][:, joint], camera[[0, 3, 5]], atol=1e-5)
        np.testing.assert_allclose(truth["target/keypoints"][:, joint], px[[0, 3, 5], 0], atol=1e-3)
        assert clip.intrinsics == (90.0, 91.0, 47.0, 63.0)
        inside = truth["target/keypoints"]
        box = truth["bbox"][:, None]
        assert (inside >= box[..., :2]).all()
        assert (inside <= box[..., 2:]).all()


def test_frames_without_markers_have_no_target_and_that_is_said(recording):
    videos, calibration, markers = recording
    found = calibrated(videos[:1], calibration, markers, first=2)
    truth = truth_of(found.clips[0]).read(np.arange(6))["target/pose3d"]
    assert np.isnan(truth[:2]).all()
    assert np.isfinite(truth[2:]).all()
    assert found.notes == ["cam_1.mp4: 6 frames, markers for 2 to 7; the rest has no target"]


def test_a_joint_is_the_mean_of_its_markers_and_a_table_of_ones_own_is_taken(recording, tmp_path):
    trc = read_trc(recording[2])
    at = {name: trc.positions[:, index] for index, name in enumerate(ALL)}
    joints = joints_of(trc)
    np.testing.assert_allclose(joints[:, 0], (at["RHip"] + at["LHip"]) / 2)
    np.testing.assert_allclose(joints[:, H36M_17.index("left_wrist")], at["LWrist"])
    table = tmp_path / "map.toml"
    table.write_text("thorax = ['RShoulder', 'LShoulder', 'Neck']\n")
    own = joints_of(trc, read_mapping(table))
    np.testing.assert_allclose(own[:, 8], (at["RShoulder"] + at["LShoulder"] + at["Neck"]) / 3)
    np.testing.assert_allclose(np.delete(own, 8, axis=1), np.delete(joints, 8, axis=1))


def test_millimetres_are_metres_and_a_marker_not_seen_is_nan(tmp_path):
    positions = np.full((2, len(ALL), 3), 1500.0)
    positions[1, 3] = math.nan
    trc = read_trc(write_trc(tmp_path / "m.trc", positions, unit="mm"))
    assert trc.rate == 25
    np.testing.assert_allclose(trc.positions[0], 1.5)
    assert np.isnan(trc.positions[1, 3]).all()
    assert np.isnan(trc.positions).sum() == 3


def test_a_few_px_are_padding_and_the_same_shape_is_scaled():
    camera = Camera("a", (1088, 1920), (1680.0, 1680.0), (532.0, 948.0), rotated(np.zeros(3)), (0.0, 0.0, 0.0))
    cropped, said = camera.fitted(1080, 1920)
    assert cropped == replace(camera, size=(1080, 1920))
    assert said is not None
    assert "1080 x 1920" in said
    half, said = camera.fitted(544, 960)
    assert said is not None
    assert "scaled by 0.5" in said
    # The corner between the four pixels in the middle stays where it is.
    assert (half.centre[0] + 0.5) * 2 == camera.centre[0] + 0.5
    assert camera.fitted(1088, 1920) == (camera, None)
    with pytest.raises(InvalidValueError, match="640 x 480, the calibration is of 1088 x 1920"):
        camera.fitted(640, 480)


def test_videos_find_their_cameras_by_name_then_by_number(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(camera_table("cam_01") + camera_table("cam_02"))
    cameras = read_calibration(path)
    assert camera_of(Path("Cam01.mp4"), cameras, {}).name == "cam_01"
    assert camera_of(Path("2_walk.avi"), cameras, {}).name == "cam_02"
    assert camera_of(Path("left.mp4"), cameras, {"left.mp4": "cam_02"}).name == "cam_02"
    with pytest.raises(InvalidValueError, match=r"--camera left.mp4=NAME"):
        camera_of(Path("left.mp4"), cameras, {})
    with pytest.raises(InvalidValueError, match="did you mean cam_01"):
        camera_of(Path("left.mp4"), cameras, {"left": "cam_1"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not toml [", "is not TOML"),
        ("[metadata]\nerror = 0.0\n", "holds no camera"),
        (camera_table("a", more="fisheye = true"), "fisheye"),
        (camera_table("a").replace("rotation = [0.1, 0.2, 0.3]", "rotation = [0.1]"), "camera a lacks or mistakes"),
        (camera_table("a").replace("distortions", "distortion"), "camera a lacks or mistakes 'distortions'"),
        (camera_table("a").replace("90.0", "nan"), "all finite"),
    ],
)
def test_a_calibration_that_is_none_says_why(tmp_path, text, said):
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(InvalidValueError, match=said):
        read_calibration(path)


def test_what_is_not_there_is_named(recording, tmp_path):
    videos, calibration, markers = recording
    with pytest.raises(MissingFileError, match="no calibration at"):
        calibrated(videos, tmp_path / "x.toml", markers)
    with pytest.raises(MissingFileError, match="no markers at"):
        calibrated(videos, calibration, tmp_path / "x.trc")
    with pytest.raises(InvalidValueError, match="no markers for left_wrist: wanted LWrist"):
        calibrated(videos, calibration, write_trc(tmp_path / "few.trc", np.zeros((6, 14, 3)), ALL[:-1]))
    with pytest.raises(InvalidValueError, match="25 frames a second, the markers 50"):
        calibrated(videos, calibration, write_trc(tmp_path / "fast.trc", np.zeros((6, 15, 3)), rate=50))
    with pytest.raises(InvalidValueError, match="x, y and z in some order"):
        calibrated(videos, calibration, markers, axes="xxy")


def test_the_real_recording_lands_on_what_moves(shared_data):
    """Where joints move fast the picture changes more than anywhere around the person: in all four cameras."""
    folder = shared_data / "pose2sim"
    found = calibrated(
        sorted((folder / "single").glob("*.mp4")), folder / "Calib_qualisys.toml", folder / "balancing_0-100.trc"
    )
    assert [clip.camera for clip in found.clips] == ["cam_01", "cam_02", "cam_03", "cam_04"]
    assert [note.split(":")[0] for note in found.notes] == ["cam_01", "cam_02"]  # 1080 px, not 1088
    from auglift.pipeline.frames.sources import read

    ratios = []
    for clip in found.clips:
        here, aside = [], []
        for t in (15, 35, 55, 75):
            frames = np.concatenate([b.frames for b in read(clip.info.path, [t - 3, t + 3], 2, 1)]).astype(np.int16)
            change = cv2.GaussianBlur(np.abs(frames[1] - frames[0]).sum(axis=-1).astype(np.float32), (0, 0), 4)
            truth = truth_of(clip).read(np.array([t - 3, t, t + 3]))
            speed = np.linalg.norm(truth["target/pose3d"][2] - truth["target/pose3d"][0], axis=-1)
            px = truth["target/keypoints"][1][np.argsort(-speed)[:6]].round().astype(int)
            assert ((px >= 0) & (px < [clip.info.width, clip.info.height])).all()
            here.append(change[px[:, 1], px[:, 0]].mean())
            # The same joints somewhere else in the picture: a third of the width to either side.
            thirds = [(px[:, 0] + by * clip.info.width // 3) % clip.info.width for by in (1, 2)]
            aside.append(np.mean([change[px[:, 1], x].mean() for x in thirds]))
        ratios.append(np.mean(here) / np.mean(aside))
    assert min(ratios) > 1.5, ratios
    assert np.mean(ratios) > 3, ratios
