"""regions.py: squares that lean, against a picture whose pixels say where they are."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auglift.pipeline.networks.blazepose.regions import MARGIN, Region, about, aligned, whole

# Red is x and green y.
PLACES = np.zeros((200, 240, 3), dtype=np.uint8)
PLACES[..., 0], PLACES[..., 1] = np.meshgrid(np.arange(240), np.arange(200))


@given(
    x=st.floats(100, 140),
    y=st.floats(80, 120),
    side=st.floats(5, 110),
    angle=st.floats(-math.pi, math.pi),
)
def test_a_pixel_of_a_crop_shows_the_place_that_its_point_has_in_the_frame(x, y, side, angle):
    region = Region(x, y, side, angle)
    crop = region.crop(PLACES, 16, cv2.BORDER_CONSTANT)
    rows, columns = np.meshgrid(np.arange(16), np.arange(16), indexing="ij")
    points = np.stack([columns, rows], axis=-1).reshape(-1, 2) / 16
    expected = region.to_frame(points).reshape(16, 16, 2)
    assert np.abs(crop[..., :2] - expected).max() <= 0.6  # whole grey levels, and cv2 counts in 1/32 px


@given(
    hips=st.tuples(st.floats(-50, 300), st.floats(-50, 300)),
    length=st.floats(1, 200),
    lean=st.floats(-math.pi, math.pi),
)
def test_an_aligned_region_has_the_hips_in_its_middle_and_the_person_upright(hips, length, lean):
    rim = (hips[0] + length * math.sin(lean), hips[1] - length * math.cos(lean))
    region = aligned(np.array([hips, rim]))
    places = region.to_frame(np.array([[0.5, 0.5], [0.5, 0.5 - 0.5 / MARGIN]]))
    np.testing.assert_allclose(places, [hips, rim], atol=1e-6 * (1 + length))


def test_a_person_who_stands_has_no_angle_and_one_who_leans_to_the_right_a_positive_one():
    assert aligned(np.array([[50.0, 50], [50, 20]])).angle == 0
    assert aligned(np.array([[50.0, 50], [80, 20]])).angle == pytest.approx(math.pi / 4)


def test_the_region_of_a_frame_holds_it_and_that_of_a_box_is_its_longer_side_grown():
    assert whole(200, 100) == Region(100, 50, 200)
    assert about(np.array([10, 20, 30, 60]), 1.5) == Region(20, 40, 60)


def test_outside_the_frame_it_is_black_or_the_edge_again():
    frame = np.full((10, 10, 3), 200, dtype=np.uint8)
    region = Region(5, 5, 40)
    assert region.crop(frame, 8, cv2.BORDER_CONSTANT)[0, 0].tolist() == [0, 0, 0]
    assert region.crop(frame, 8, cv2.BORDER_REPLICATE)[0, 0].tolist() == [200, 200, 200]


def test_a_region_without_extent_is_no_failure():
    point = aligned(np.array([[5.0, 5], [5, 5]]))
    assert point.crop(PLACES, 4, cv2.BORDER_REPLICATE).shape == (4, 4, 3)
