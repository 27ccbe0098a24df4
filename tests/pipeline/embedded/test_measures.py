"""Average precision against COCO's own evaluation; the others against their definitions, one pair at a time."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auglift.pipeline.embedded import measures


def ap50_of_pycocotools(found, people, wanted) -> float:
    """AP50 by pycocotools. It ignores people whose area is out of its range."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def xywh(box):
        return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]

    truth, results = [], []
    for image, (boxes, true_boxes, required) in enumerate(zip(found, people, wanted, strict=True), start=1):
        for box, counts in zip(true_boxes, required, strict=True):
            if np.isfinite(box).all():
                base = {"image_id": image, "category_id": 1, "iscrowd": 0, "area": 100.0 if counts else 1e12}
                truth.append({**base, "bbox": xywh(box), "id": len(truth) + 1})
        results += [{"image_id": image, "category_id": 1, "bbox": xywh(box), "score": float(box[4])} for box in boxes]
    with contextlib.redirect_stdout(io.StringIO()):
        coco: Any = COCO()
        images = [{"id": image + 1} for image in range(len(found))]
        coco.dataset = {"images": images, "annotations": truth, "categories": [{"id": 1}]}
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.params.iouThrs = np.array([0.5])
        evaluation.evaluate()
        evaluation.accumulate()
    return float(evaluation.eval["precision"][0, :, 0, 0, -1].mean())


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_average_precision_is_cocos(seed):
    rng = np.random.default_rng(seed)
    found, people, wanted = [], [], []
    for _ in range(int(rng.integers(1, 5))):
        corner = rng.uniform(0, 60, (4, 2))
        true_boxes = np.concatenate([corner, corner + rng.uniform(15, 40, (4, 2))], axis=1)
        true_boxes[rng.random(4) < 0.3] = np.nan
        near = np.nan_to_num(true_boxes, nan=200.0)[rng.integers(0, 4, 6)] + rng.normal(0, 4, (6, 4))
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        found.append(np.concatenate([near, rng.permutation(60)[:6, None] / 60], axis=1))
        people.append(true_boxes)
        wanted.append(rng.random(4) < 0.8)
    if not any((np.isfinite(boxes).all(1) & required).any() for boxes, required in zip(people, wanted, strict=True)):
        return
    assert measures.average_precision(found, people, wanted) == pytest.approx(
        ap50_of_pycocotools(found, people, wanted)
    )


def test_no_boxes_no_precision():
    box = np.array([[0.0, 0, 10, 10]])
    assert measures.average_precision([np.zeros((0, 5))], [box], [np.array([True])]) == 0.0


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30))
def test_auc_is_the_share_of_pairs_in_order(pairs):
    score, positive = np.array([a for a, _ in pairs], dtype=float), np.array([b for _, b in pairs])
    value = measures.auc(score, positive)
    if positive.all() or not positive.any():
        assert np.isnan(value)
        return
    wins = [float(a > b) + 0.5 * float(a == b) for a in score[positive] for b in score[~positive]]
    assert value == pytest.approx(np.mean(wins))


def test_a_metre_at_the_roots_distance_is_measured_in_pixels():
    rng = np.random.default_rng(0)
    joints = rng.uniform([-1, -1, 3], [1, 1, 5], (4, 17, 3))
    focal = np.array([200.0, 250, 300, 350])
    xy = joints[..., :2] / joints[..., 2:] * focal[:, None, None] * [1, -1] + 128
    np.testing.assert_allclose(measures.pixels_a_metre(xy, joints), focal / joints[:, 0, 2])


def test_a_joint_counts_as_found_within_half_a_head():
    truth = np.zeros((1, 4, 2))
    xy = np.array([[[4.9, 0], [0, 5.1], [np.nan, 0], [90, 0]]])
    counted = np.array([[True, True, True, False]])
    assert measures.pck(xy, truth, counted, head=np.array([10.0])) == pytest.approx(1 / 3)


def test_depth_is_taken_from_the_pixel_a_point_lies_in():
    depth = np.arange(12.0).reshape(1, 3, 4)
    at = measures.sample(depth, np.array([[[1.99, 2.0], [-3, 0.5], [9, 9]]]))
    assert at.tolist() == [[9.0, 0.0, 11.0]]
