"""estimators.py with networks made here: which region a person's joints are looked for in, and what is said of whom."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from auglift.pipeline.networks.blazepose import people
from auglift.pipeline.networks.blazepose.estimators import BlazePose, BlazePoseDetector
from auglift.pipeline.networks.blazepose.litert import Graph

from .test_people import ANCHORS, outputs

CPU = torch.device("cpu")


class FakeFinder(Graph):
    """Sees a person wherever the crop is bright: hips in the middle of what is bright, the rim above."""

    def __init__(self, blind: bool = False):
        self.blind = blind

    def __call__(self, picture):
        rows, columns = np.nonzero(picture[..., 0] > 0)
        if self.blind or not len(rows):
            return list(reshaped(*outputs()))
        x, y = (columns.mean() + 0.5) / people.SIDE, (rows.mean() + 0.5) / people.SIDE
        half = (np.ptp(rows) + 1) / 2 / people.SIDE
        anchor = int(np.abs(ANCHORS - [x, y]).sum(axis=1).argmin())
        points = np.array([[x, y], [x, y - half], [0, 0], [0, 0]])
        return list(reshaped(*outputs((anchor, 0.9, np.array([x, y, 0.1, 0.1]), points))))


def reshaped(values, logits):
    return values, logits[:, None]


class FakeLandmarks(Graph):
    """Every landmark in the middle of the crop, the alignment points upright; remembers what it was shown."""

    def __init__(self, presence: float = 1.0):
        self.presence = presence
        self.seen: list[np.ndarray] = []
        self.lock = threading.Lock()

    def __call__(self, picture):
        with self.lock:
            self.seen.append(picture)
        values = np.full((39, 5), 3.0, np.float32)
        values[:, :2] = 128
        values[34, :2] = 128, 28
        heatmaps = np.full((64, 64, 39), -20, np.float32)
        return [values.reshape(-1), np.array([self.presence], np.float32), picture, heatmaps, np.zeros(117)]


def frame_with(*boxes: tuple[int, int, int, int]) -> torch.Tensor:
    frame = torch.zeros(400, 600, 3, dtype=torch.uint8)
    for x1, y1, x2, y2 in boxes:
        frame[y1:y2, x1:x2] = 255
    return frame


def pose(graph: Graph, finder: Graph, threads: int = 1) -> BlazePose:
    return BlazePose(graph, finder, {"name": "fake", "weights": "none"}, CPU, threads)


def test_the_person_is_looked_for_in_the_box_and_the_joints_in_the_persons_own_region():
    frames = frame_with((100, 100, 140, 300), (400, 50, 440, 150))[None]
    boxes = torch.tensor([[90.0, 90, 150, 310], [390, 40, 450, 160]])
    keypoints, score = pose(FakeLandmarks(), FakeFinder()).estimate(frames, boxes, torch.zeros(2, dtype=torch.long))
    np.testing.assert_allclose(keypoints[:, 0], [[120, 200], [420, 100]], atol=3)
    assert score.numpy() == pytest.approx(1 / (1 + np.exp(-3.0)))


def test_where_nobody_is_found_in_the_box_an_upright_square_and_then_what_its_landmarks_say_serve():
    graph = FakeLandmarks()
    keypoints, _ = pose(graph, FakeFinder(blind=True)).estimate(
        frame_with()[None], torch.tensor([[100.0, 100, 200, 300]]), torch.zeros(1, dtype=torch.long)
    )
    assert len(graph.seen) == 2
    np.testing.assert_allclose(keypoints[0], np.full((17, 2), (150, 200)), atol=1e-3)


def test_where_the_network_sees_nobody_all_scores_are_zero_and_the_joints_are_numbers():
    keypoints, score = pose(FakeLandmarks(presence=0.49), FakeFinder()).estimate(
        frame_with()[None], torch.tensor([[100.0, 100, 200, 300]]), torch.zeros(1, dtype=torch.long)
    )
    assert not score.any()
    assert torch.isfinite(keypoints).all()


def test_no_boxes_no_joints_and_no_frames_no_lists():
    keypoints, score = pose(FakeLandmarks(), FakeFinder()).estimate(
        frame_with()[None], torch.zeros(0, 4), torch.zeros(0, dtype=torch.long)
    )
    assert keypoints.shape == (0, 17, 2)
    assert score.shape == (0, 17)
    detector = BlazePoseDetector(FakeFinder(), {"name": "fake"}, CPU, 1)
    assert detector.detect(torch.zeros(0, 40, 60, 3, dtype=torch.uint8)) == []
    assert detector.detect(torch.zeros(1, 40, 60, 3, dtype=torch.uint8))[0].shape == (0, 5)


@pytest.mark.parametrize("box", [(50.0, 50, 50, 50), (-900.0, -900, -800, -700)], ids=["empty", "outside"])
def test_a_box_that_holds_nothing_is_no_failure(box):
    keypoints, _ = pose(FakeLandmarks(), FakeFinder()).estimate(
        frame_with((100, 100, 140, 300))[None], torch.tensor([box]), torch.zeros(1, dtype=torch.long)
    )
    assert torch.isfinite(keypoints).all()


def test_a_box_in_the_frame_goes_about_the_person_whatever_the_frames_shape():
    for turned in (False, True):
        frame = frame_with((100, 100, 140, 300))
        frame = frame.transpose(0, 1).flip(0).contiguous() if turned else frame
        box = BlazePoseDetector(FakeFinder(), {"name": "fake"}, CPU, 1).detect(frame[None])[0][0]
        rows, columns = np.nonzero(frame[..., 0].numpy())
        centre = (box[:2] + box[2:4]) / 2
        np.testing.assert_allclose(centre, [columns.mean(), rows.mean()], atol=3)
        assert box[4].item() == pytest.approx(0.9, rel=1e-5)
