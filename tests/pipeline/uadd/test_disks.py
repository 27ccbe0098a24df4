"""UADD of single disks: which pixels one holds, and which of them is reported."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from auglift.pipeline.uadd.descriptor import PRESETS, Preset, compute

from .uadd_oracle import JOINTS


def test_of_equally_near_pixels_the_first_in_row_major_order_is_reported():
    depth = torch.zeros(1, 9, 9)
    depth[0, 2:, :] = 1.0
    depth[0, 5, 3] = depth[0, 6, 1] = 3.0  # beyond the 90th percentile
    u = compute(depth, torch.tensor([[[4.0, 4.0]] * JOINTS]), torch.ones(1, JOINTS), (9, 9), ["spatial"])["spatial"]
    disk = [(u, v) for v in range(9) for u in range(9) if (u - 4) ** 2 + (v - 4) ** 2 <= 9]
    values = [float(depth[0, v, u]) for u, v in disk]
    low, high = np.percentile(values, [10, 90])
    first = [disk[int(np.argmin(np.abs(np.array(values) - target)))] for target in (low, high)]
    assert u.stats[0, 0].tolist() == [1.0, low, high, *first[0], *first[1]]


def test_half_way_between_two_depths_the_first_in_row_major_order_of_either_is_reported():
    # Six pixels: the 10th percentile is half-way between the first and the second smallest, the 90th likewise.
    depth = torch.tensor([[[5.0, 2.0, 6.0, 3.0, 1.0, 4.0]]])
    preset = Preset("six", PRESETS["fixed"].replace(r=10).radius, d=50, low=10, high=90, positions=True)
    found = compute(depth, torch.tensor([[[2.0, 0.0]]]), torch.ones(1, 1), (6, 1), [preset])["six"].stats[0, 0]
    assert found.tolist() == [3.5, 1.5, 5.5, 1.0, 0.0, 0.0, 0.0]


def test_a_whole_pixel_rim_belongs_to_the_disk():
    depth = torch.arange(81, dtype=torch.float32).view(1, 9, 9)
    preset = Preset("rim", PRESETS["fixed"].replace(r=2).radius, d=50, low=0, high=100)
    found = compute(depth, torch.tensor([[[4.0, 4.0]]]), torch.ones(1, 1), (9, 9), [preset])["rim"].stats[0, 0]
    assert found.tolist() == [40.0, 22.0, 58.0]


@pytest.mark.parametrize(("across", "along"), [(3, 2), (4, 1), (5, 2), (5, 5), (6, 3)])
def test_at_a_rim_the_radius_is_squared_in_float64(across, along):
    """Squared in float32 each of these radii, the nearest to the root of a whole number, would go the other way."""
    r = np.float32(math.hypot(across, along))
    inside = float(r) ** 2 >= across**2 + along**2
    assert inside != (r * r >= across**2 + along**2)
    depth = torch.ones(1, 21, 21)
    depth[0, 10 + along, 10 + across] = 9.0
    preset = Preset("rim", PRESETS["fixed"].replace(r=float(r)).radius, d=50, low=0, high=100)
    found = compute(depth, torch.tensor([[[10.0, 10.0]]]), torch.ones(1, 1), (21, 21), [preset])["rim"].stats[0, 0]
    assert found[2] == (9.0 if inside else 1.0)


def test_a_disk_too_small_for_any_pixel_and_a_disk_beside_the_frame_are_nan():
    depth = torch.ones(1, 4, 4)
    tiny = Preset("tiny", PRESETS["fixed"].replace(r=0.3).radius, d="pixel", low=0, high=100)
    for place in ([1.5, 1.5], [-0.4, 2.0], [4.0, 1.0], [1e20, 0.0]):
        found = compute(depth, torch.tensor([[place]]), torch.ones(1, 1), (4, 4), [tiny])["tiny"]
        assert found.stats.isnan().all()
        assert found.radius.tolist() == [[pytest.approx(0.3)]]


def test_a_joint_on_a_hole_has_no_own_depth_but_its_neighbours_percentiles():
    depth = torch.full((1, 20, 20), 2.0)
    depth[0, 10, 10] = math.nan
    keypoints = torch.full((1, JOINTS, 2), 10.4)
    found = compute(depth, keypoints, torch.ones(1, JOINTS), (20, 20), ["quantile"])["quantile"].stats[0, 0]
    assert math.isnan(found[0])
    assert found[1:].tolist() == [2.0, 2.0]


def test_a_hole_does_not_spread_to_pixels_that_take_nothing_from_it():
    depth = torch.ones(1, 5, 5)
    depth[0, 2, 2] = math.inf
    own = Preset("own", PRESETS["fixed"].replace(r=0.25).radius)
    v, u = np.mgrid[:5, :5]
    keypoints = torch.tensor(np.stack([u.ravel(), v.ravel()], -1)[None].astype(np.float32))
    found = compute(depth, keypoints, torch.ones(1, 25), (5, 5), [own])["own"].stats
    assert found.isnan().nonzero().tolist() == [[0, 12, 0]]


def test_a_preset_of_the_own_pixel_alone_works_too():
    preset = Preset("own", PRESETS["fixed"].radius, d="pixel")
    depth = torch.arange(16.0).view(1, 4, 4)
    found = compute(depth, torch.tensor([[[2.9, 1.2], [-1.0, 9.0]]]), torch.ones(1, 2), (4, 4), [preset])["own"]
    assert found.stats[0, :, 0].isnan().tolist() == [False, True]  # the second disk misses the frame
    assert found.stats[0, 0, 0] == 6
