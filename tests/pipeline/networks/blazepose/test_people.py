"""people.py and landmarks.py: what comes out of the networks' outputs is what was put into them."""

from __future__ import annotations

import numpy as np
import pytest

from auglift.pipeline.networks.blazepose import landmarks, people
from auglift.stores.format.skeleton import COCO_17

ANCHORS = people.anchors()


def outputs(*found: tuple[int, float, np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """What the detector's network would say of people: (anchor, score, face x y w h, four points), 0 to 1."""
    values, logits = np.zeros((len(ANCHORS), 12), np.float32), np.full(len(ANCHORS), -200, np.float32)
    for anchor, score, face, points in found:
        values[anchor, :2] = (face[:2] - ANCHORS[anchor]) * people.SIDE
        values[anchor, 2:4] = face[2:] * people.SIDE
        values[anchor, 4:] = ((points - ANCHORS[anchor]) * people.SIDE).reshape(-1)
        logits[anchor] = np.log(score / (1 - score))
    return values, logits


def test_anchors_are_the_centres_of_all_cells_as_the_network_counts_them():
    expected = [
        ((x + 0.5) * stride / 224, (y + 0.5) * stride / 224)
        for strides in ((8, 8), (16, 16), (32,) * 6)
        for stride in strides[:1]
        for y in range(224 // stride)
        for x in range(224 // stride)
        for _ in strides
    ]
    assert len(ANCHORS) == 2254
    np.testing.assert_allclose(ANCHORS, expected, rtol=1e-6)


def test_people_are_decoded_best_first_and_those_below_the_threshold_are_nobody():
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 1, (3, 4, 2))
    faces = np.array([[0.2, 0.2, 0.1, 0.1], [0.8, 0.2, 0.1, 0.1], [0.5, 0.7, 0.1, 0.1]])
    said = outputs(*zip((3, 1800, 2200), (0.6, 0.9, 0.4), faces, points, strict=True))
    found = people.decode(*said, ANCHORS, 0.5)
    np.testing.assert_allclose(found.score, [0.9, 0.6], rtol=1e-5)
    np.testing.assert_allclose(found.points, points[[1, 0], :2], atol=1e-6)


def test_faces_that_overlap_are_one_person_whose_points_are_the_mean_by_score():
    rng = np.random.default_rng(1)
    face, points = np.array([0.5, 0.5, 0.2, 0.2]), rng.uniform(0, 1, (2, 4, 2))
    beside = np.array([0.61, 0.5, 0.2, 0.2])  # shares 0.09 of 0.31: under 0.3
    values, logits = outputs(
        (5, 0.8, face, points[0]), (900, 0.6, face + 0.01, points[1]), (2000, 0.7, beside, points[0])
    )
    found = people.decode(values, logits, ANCHORS, 0.5)
    np.testing.assert_allclose(found.score, [0.8, 0.7], rtol=1e-5)
    np.testing.assert_allclose(found.points[0], (0.8 * points[0, :2] + 0.6 * points[1, :2]) / 1.4, rtol=1e-5)


def test_nobody_is_no_boxes():
    found = people.decode(*outputs(), ANCHORS, 0.5)
    assert found.score.shape == (0,)
    assert found.boxes.shape == (0, 4)


def test_a_box_is_the_square_about_the_circle_of_the_person():
    found = people.People(np.ones(1), np.array([[[10.0, 20], [13, 24]]]))
    assert found.boxes.tolist() == [[5, 15, 15, 25]]


def blob(x: float, y: float, height: float = 8.0) -> np.ndarray:
    """A heat map's logits (64, 64): a hill about cell (x, y)."""
    rows, columns = np.meshgrid(np.arange(64), np.arange(64), indexing="ij")
    return (height - 2.0 * ((columns - x) ** 2 + (rows - y) ** 2)).astype(np.float32)


def decoded(at: np.ndarray, heatmaps: np.ndarray) -> landmarks.Landmarks:
    values = np.zeros((39, 5), np.float32)
    values[:, :2] = at * landmarks.SIDE
    return landmarks.decode(values.reshape(-1), np.array([0.9], np.float32), heatmaps)


@pytest.mark.parametrize(("x", "y"), [(30.0, 40.0), (30.3, 40.6), (29.0, 41.0)])
def test_a_landmark_moves_to_the_hill_of_its_heat_map_nearby(x, y):
    heatmaps = np.full((64, 64, 39), -20, np.float32)
    heatmaps[..., 7] = blob(x, y)
    at = np.full((39, 2), (30.2 / 64, 40.7 / 64))
    found = decoded(at, heatmaps).at
    np.testing.assert_allclose(found[7] * 64, [x, y], atol=0.05)
    np.testing.assert_allclose(np.delete(found, 7, axis=0), np.delete(at, 7, axis=0), atol=1e-6)


@pytest.mark.parametrize("where", [(40 / 64, 30 / 64), (-0.2, 0.5), (0.5, 1.3)], ids=["far", "left", "below"])
def test_a_landmark_off_the_hill_or_outside_the_crop_stays(where):
    heatmaps = np.repeat(blob(10, 10)[..., None], 39, axis=2)
    np.testing.assert_allclose(decoded(np.full((39, 2), where), heatmaps).at, np.full((39, 2), where), atol=1e-6)


def test_at_the_edge_the_heat_map_ends():
    heatmaps = np.repeat(blob(0, 63)[..., None], 39, axis=2)
    found = decoded(np.full((39, 2), (0.5 / 64, 63.5 / 64)), heatmaps).at[0] * 64
    weight = 1 / (1 + np.exp(-blob(0, 63)[60:, :4].astype(np.float64)))
    expected = (weight.sum(0) @ np.arange(4)) / weight.sum(), (weight.sum(1) @ np.arange(60, 64)) / weight.sum()
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_seventeen_are_left_and_right_as_mediapipe_numbers_them():
    """MediaPipe's left is odd and its right even from the ears on; the right one is the left one's next."""
    number = dict(zip(COCO_17.joints, landmarks.COCO_FROM_MEDIAPIPE, strict=True))
    for joint in ("ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        assert number[f"left_{joint}"] % 2 == 1
        assert number[f"right_{joint}"] == number[f"left_{joint}"] + 1
