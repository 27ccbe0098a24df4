"""BlazePose with its own weights: MediaPipe's landmarks, the markers' joints, the same bytes however work is cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from auglift.pipeline.datasets.calibrated import calibrated
from auglift.pipeline.frames.sources import read
from auglift.pipeline.networks.blazepose import regions
from auglift.pipeline.networks.blazepose.estimators import BlazePose, BlazePoseDetector
from auglift.pipeline.networks.blazepose.litert import Graph
from auglift.pipeline.networks.families import load_detector, load_pose
from auglift.stores.errors import InvalidValueError
from auglift.stores.format.skeleton import COCO_17, H36M_17

from .accuracy import COMPARED

FRAMES = (0, 8, 16, 24)


@pytest.fixture(scope="module")
def scenes(shared_data) -> dict[str, tuple[torch.Tensor, np.ndarray, np.ndarray]]:
    """Of each camera frames (4, H, W, 3), true joints (4, 17, 2) and boxes (4, 4)."""
    folder = shared_data / "pose2sim"
    clips = calibrated(
        sorted((folder / "single").glob("*.mp4")), folder / "Calib_qualisys.toml", folder / "balancing_0-100.trc"
    ).clips
    found = {}
    for clip in clips:
        assert clip.truth is not None
        truth = clip.truth.read(np.array(FRAMES))
        frames = np.concatenate([batch.frames for batch in read(clip.info.path, list(FRAMES), len(FRAMES), 1)])
        found[clip.camera] = torch.from_numpy(frames), truth["target/keypoints"], truth["bbox"]
    return found


@pytest.fixture(scope="module")
def detector(blazepose_weights) -> BlazePoseDetector:
    found = load_detector("blazepose", blazepose_weights, "cpu")
    assert isinstance(found, BlazePoseDetector)
    return found


@pytest.fixture(scope="module")
def pose(blazepose_weights) -> BlazePose:
    found = load_pose("blazepose", blazepose_weights, "cpu")
    assert isinstance(found, BlazePose)
    return found


# What mediapipe 0.10.21 itself says of frame 0, `Pose(static_image_mode=True, model_complexity=1)`, in px.
NUMBERS = (0, 11, 12, 15, 16, 23, 24, 27, 28)  # nose, left and right shoulder, wrist, hip, ankle
MEDIAPIPE = {
    "cam_01": [
        (509.3, 444.1), (515.8, 512.6), (370.4, 492.0), (545.7, 728.2), (265.8, 732.0), (458.8, 739.3), (376.7, 730.0),
        (417.3, 1084.8), (330.0, 1012.9),
    ],
    "cam_03": [
        (586.0, 536.4), (584.3, 631.9), (744.8, 627.9), (521.6, 939.5), (727.5, 838.5), (600.6, 909.1), (690.0, 907.1),
        (542.1, 1205.4), (704.4, 1273.2),
    ],
}  # fmt: skip


def errors(keypoints: torch.Tensor, truth: np.ndarray) -> np.ndarray:
    ours = keypoints.numpy()[:, [COCO_17.joints.index(joint) for joint in COMPARED]]
    return np.linalg.norm(ours - truth[:, [H36M_17.joints.index(joint) for joint in COMPARED]], axis=-1)


@pytest.mark.parametrize("camera", MEDIAPIPE)
def test_landmarks_are_those_of_mediapipe_itself(pose, scenes, camera):
    frame = scenes[camera][0][0].numpy()
    found = pose._find(frame, regions.whole(frame.shape[1], frame.shape[0]))
    region = regions.aligned(found.points[0])
    ours = region.to_frame(pose._landmarks(frame, region).at[list(NUMBERS)])
    distance = np.linalg.norm(ours - MEDIAPIPE[camera], axis=1)
    assert np.median(distance) < 2
    assert distance.max() < 10


def test_joints_are_where_the_markers_say_and_so_they_are_in_boxes_of_another_detector(detector, pose, scenes):
    """People 700 px tall. In the pictures of camera 3 the markers themselves lie some 15 px beside the body."""
    for kind in ("own", "true"):
        found = {}
        for name, (frames, truth, boxes) in scenes.items():
            own = torch.stack([found[0, :4] for found in detector.detect(frames)])
            given = own if kind == "own" else torch.from_numpy(boxes)
            keypoints, score = pose.estimate(frames, given, torch.arange(len(frames)))
            found[name] = errors(keypoints, truth)
            assert 0.8 < float(score.mean()) <= 1
        medians = {name: float(np.median(each)) for name, each in found.items()}
        assert max(medians.values()) < 35, medians
        assert np.median(list(found.values())) < 20, medians


def test_boxes_hold_the_person(detector, scenes):
    for name, (frames, truth, _) in scenes.items():
        for found, joints in zip(detector.detect(frames), truth, strict=True):
            x1, y1, x2, y2, score = found[0].tolist()
            inside = (joints > [x1, y1]).all(1) & (joints < [x2, y2]).all(1)
            assert inside.mean() > 0.9, name
            assert score > 0.5


def test_a_picture_turned_has_the_joints_turned(detector, pose, scenes):
    frames, _, _ = scenes["cam_04"]
    upright = frames[:1]
    lying = torch.rot90(upright, 1, (1, 2)).contiguous()
    found = []
    for picture in (upright, lying):
        box = detector.detect(picture)[0][:1, :4]
        found.append(pose.estimate(picture, box, torch.zeros(1, dtype=torch.long))[0][0].numpy())
    expected = np.stack([found[0][:, 1], upright.shape[2] - 1 - found[0][:, 0]], axis=1)
    assert np.median(np.linalg.norm(found[1] - expected, axis=1)) < 20


def test_bytes_do_not_depend_on_batch_and_threads(blazepose_weights, scenes):
    frames, _, boxes = scenes["cam_02"]
    given = torch.from_numpy(boxes)
    index = torch.arange(len(frames))
    results = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        detector, pose = (
            load_detector("blazepose", blazepose_weights, "cpu"),
            load_pose("blazepose", blazepose_weights, "cpu"),
        )
        results.append((detector.boxes(frames, 8).nan_to_num(-1), *pose.estimate(frames, given, index)))
    torch.set_num_threads(1)
    alone = [pose.estimate(frames[i : i + 1], given[i : i + 1], index[:1]) for i in range(len(frames))]
    boxes = torch.cat([detector.boxes(frame[None], 8) for frame in frames]).nan_to_num(-1)
    results.append((boxes, *(torch.cat(part) for part in zip(*alone, strict=True))))
    for other in results[1:]:
        for ours, theirs in zip(results[0], other, strict=True):
            assert torch.equal(ours, theirs)


def test_a_picture_of_nobody_has_nobody(detector):
    noise = torch.randint(0, 255, (1, 200, 300, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert len(detector.detect(noise)[0]) == 0


def test_the_store_is_told_which_files_it_were(pose, detector):
    assert detector.describe()["weights"].startswith("sha256:9ba9dd3d")
    assert pose.describe()["weights"].startswith("sha256:e9a5c5cb")
    assert pose.describe()["finder"] == detector.describe()["weights"]


def test_what_is_no_network_is_an_error_in_one_line(tmp_path, blazepose_weights):
    (tmp_path / "x.tflite").write_bytes(b"no network at all")
    with pytest.raises(InvalidValueError, match=r"x\.tflite is not a network that LiteRT can load"):
        Graph(tmp_path / "x.tflite")
