"""people.py: which person of a frame is taken, against the words of method.md, for a batch at once."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auglift.pipeline.networks.detect import overlap
from auglift.pipeline.networks.people import NOBODY, choose_people

BOXES = torch.tensor([[0.0, 0, 10, 10], [100, 0, 120, 40], [104, 0, 120, 40]])
MERIT = torch.tensor([0.4, 0.9, 0.6])


def choose(boxes, merit, truth=None) -> int:
    """Of one frame; the same among others that say something else."""
    alone = choose_people(boxes[None], merit[None], None if truth is None else truth[None])
    others = torch.stack([merit.flip(0), merit, torch.full_like(merit, NOBODY)])
    known = None if truth is None else torch.stack([torch.full((4,), torch.nan), truth, truth])
    together = choose_people(torch.stack([boxes.flip(0), boxes, boxes]), others, known)
    assert alone[0] == together[1]
    return int(alone[0])


def test_with_a_true_box_the_detection_that_overlaps_it_most_is_taken():
    assert choose(BOXES, MERIT, torch.tensor([104.0, 0, 121, 40])) == 2
    assert choose(BOXES, MERIT, torch.tensor([2.0, 2, 3, 3])) == 0


def test_where_no_detection_overlaps_the_true_box_the_best_one_is_taken():
    assert choose(BOXES, MERIT, torch.tensor([500.0, 500, 510, 510])) == 0


@pytest.mark.parametrize("truth", [None, torch.full((4,), torch.nan), torch.tensor([0.0, 0, torch.nan, 10])])
def test_without_one_the_highest_mean_keypoint_score_is_taken(truth):
    assert choose(BOXES, MERIT, truth) == 1


def test_of_equals_the_first_is_taken():
    assert choose(BOXES[[1, 1, 1]], MERIT[[0, 0, 0]], torch.tensor([100.0, 0, 120, 40])) == 0
    assert choose(BOXES[[1, 1, 1]], MERIT[[0, 0, 0]]) == 0


def test_an_empty_place_is_never_taken_however_its_box_lies():
    merit = torch.tensor([0.1, NOBODY, NOBODY])
    assert choose(BOXES, merit, torch.tensor([100.0, 0, 120, 40])) == 0
    boxes = BOXES.clone()
    boxes[1:] = torch.nan
    assert choose(boxes, merit, torch.tensor([100.0, 0, 120, 40])) == 0


@settings(max_examples=100)
@given(st.lists(st.integers(0, 12), min_size=8, max_size=8))
def test_overlap_is_the_share_of_pixels_in_both_among_those_in_either(corners):
    """Boxes of whole pixels, counted one by one; a box whose corners are swapped is empty."""
    boxes = torch.tensor(corners, dtype=torch.float32).view(2, 4)
    pixels = [
        {(x, y) for x in range(int(x1), int(x2)) for y in range(int(y1), int(y2))} for x1, y1, x2, y2 in boxes.tolist()
    ]
    union = len(pixels[0] | pixels[1])
    expected = len(pixels[0] & pixels[1]) / union if union else 0.0
    assert float(overlap(boxes[:1], boxes[1:])) == pytest.approx(expected)
