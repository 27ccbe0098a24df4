"""pipeline/networks/boxes.py: of a whole batch at once, exactly the boxes that MMDetection finds frame by frame."""

from __future__ import annotations

import math
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from auglift.pipeline.networks.boxes import best_boxes, rules_of
from auglift.pipeline.networks.detect import RTMDet, build_detector
from auglift.stores.errors import InvalidValueError

pytestmark = [  # mmdet's own, on its own paths
    pytest.mark.filterwarnings("ignore:`torch.cuda.amp.autocast:FutureWarning"),
    pytest.mark.filterwarnings("ignore:torch.meshgrid:UserWarning"),
]


@pytest.fixture(scope="module", params=["rtmdet-nano", "rtmdet-tiny", "tiny"])
def detector(request) -> RTMDet:
    if request.param == "tiny":
        return build_detector("tiny", score_threshold=0.02)
    return build_detector(request.param, "random:3")


def by_mmdetection(detector: RTMDet, frames: Tensor, most: int) -> list[Tensor]:
    """Its own `predict_by_feat`, which decodes one frame after the other, on the same maps.

    It sorts without saying which of equal scores comes first: here the one that was first does.
    """
    inputs, scale = detector.inputs(frames)
    sort = Tensor.sort
    with torch.inference_mode(), mock.patch.object(Tensor, "sort", lambda each, **how: sort(each, stable=True, **how)):
        head: Any = detector._model.bbox_head
        scores, distances = head(detector._model.extract_feat(inputs))
        person = slice(detector._person, detector._person + 1)
        rules: Any = detector._test_cfg.copy()
        rules.max_per_img = most
        meta = {"img_shape": inputs.shape[-2:], "scale_factor": scale}
        found = head.predict_by_feat(
            [level[:, person] for level in scores],
            list(distances),
            batch_img_metas=[meta] * len(frames),
            cfg=rules,
            rescale=True,
        )
    return [torch.cat([each.bboxes, each.scores[:, None]], dim=1) for each in found]


def same(found: Tensor, expected: list[Tensor], most: int) -> int:
    """Bit by bit, and NaN behind the last; how many were compared."""
    for row, reference in zip(found, expected, strict=True):
        assert torch.equal(row[: len(reference)], reference)
        assert row[len(reference) :].isnan().all()
        assert len(row) == most
    return sum(map(len, expected))


@pytest.mark.parametrize("most", [1, 8, 100])
def test_on_real_frames_the_boxes_are_mmdetections_to_the_bit(detector, frames, most):
    pictures = torch.from_numpy(frames)
    assert same(detector.boxes(pictures, most), by_mmdetection(detector, pictures, most), most) >= 3


@pytest.mark.parametrize("size", [(64, 640), (333, 257), (720, 1280)])
def test_on_noise_the_boxes_are_mmdetections_to_the_bit(detector, size):
    noise = np.random.default_rng(5).integers(0, 256, (4, *size, 3), dtype=np.uint8)
    pictures = torch.from_numpy(noise)
    same(detector.boxes(pictures, 30), by_mmdetection(detector, pictures, 30), 30)


def test_what_detect_lists_is_what_boxes_holds(detector, frames):
    pictures = torch.from_numpy(frames)
    listed = detector.detect(pictures)
    same(detector.boxes(pictures, 300)[:, : max(map(len, listed))], listed, max(map(len, listed)))


def greedy(boxes: np.ndarray, scores: np.ndarray, overlap: float) -> list[int]:
    """Suppression as its inventors have it, box by box."""
    order = [int(i) for i in np.argsort(-scores, kind="stable") if scores[i] >= 0]
    kept: list[int] = []
    for i in order:
        for j in kept:
            low, high = np.maximum(boxes[i, :2], boxes[j, :2]), np.minimum(boxes[i, 2:], boxes[j, 2:])
            shared = np.prod(np.clip(high - low, 0, None))
            areas = [np.prod(boxes[k, 2:] - boxes[k, :2]) for k in (i, j)]
            if shared / (sum(areas) - shared) > overlap:
                break
        else:
            kept.append(i)
    return kept


@settings(max_examples=150)
@given(
    corners=st.lists(st.tuples(*[st.integers(0, 9)] * 4, st.integers(-1, 5)), min_size=1, max_size=14),
    most=st.integers(1, 16),
    overlap=st.sampled_from([0.0, 0.3, 0.5, 0.65]),
)
def test_suppression_is_greedy_whatever_the_boxes_and_however_many_are_wanted(corners, most, overlap):
    """Whole numbers, so that nothing is rounded; many equal scores and boxes."""
    table = np.array(corners, float)
    boxes = np.stack([table[:, 0], table[:, 1], table[:, 0] + table[:, 2] + 1, table[:, 1] + table[:, 3] + 1], axis=1)
    scores = np.where(table[:, 4] < 0, -1, table[:, 4] / 8)
    kept = greedy(boxes, scores, overlap)[:most]
    batch = torch.tensor(np.stack([boxes, boxes[::-1]]), dtype=torch.float32)
    found = best_boxes(batch, torch.tensor(np.stack([scores, scores[::-1]]), dtype=torch.float32), overlap, most)
    assert found.shape == (2, most, 5)
    expected = np.concatenate([boxes[kept], scores[kept, None]], axis=1).reshape(-1, 5)
    np.testing.assert_array_equal(found[0, : len(kept)].numpy(), expected.astype(np.float32))
    assert found[0, len(kept) :].isnan().all()


def test_a_box_without_area_does_not_stand_in_the_way_of_others():
    """Its overlap with itself is 0 / 0: it must be taken once all the same."""
    boxes = torch.tensor([[[3.0, 3, 3, 3], [0, 0, 5, 5], [0, 0, 5, 6]]])
    found = best_boxes(boxes, torch.tensor([[0.9, 0.8, 0.7]]), 0.5, 4)[0]
    assert found[:2, 4].tolist() == pytest.approx([0.9, 0.8])
    assert found[2:].isnan().all()


def test_a_head_that_decodes_otherwise_is_refused(detector):
    class Coder:
        clip_border = True

    head: Any = type("Head", (), {"bbox_coder": Coder(), "use_sigmoid_cls": True})()
    with pytest.raises(InvalidValueError, match="not decoded as RTMDet's"):
        rules_of(head, detector._test_cfg)
    soft = detector._test_cfg.copy()
    soft.nms = {"type": "soft_nms", "iou_threshold": 0.5}
    with pytest.raises(InvalidValueError, match="soft_nms"):
        rules_of(detector._model.bbox_head, soft)
    assert math.isfinite(rules_of(detector._model.bbox_head, detector._test_cfg).score)
