"""features/sampling.py: a joint gets the cells about it, by an oracle that looks at one joint after the other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from auglift.pipeline.features.sampling import SAMPLINGS, sample
from auglift.pipeline.features.streams import HALF_MAX, pack, unpack
from auglift.stores.errors import InvalidValueError

SIZES = [((288, 384), (9, 12)), ((1920, 1080), (66, 37)), ((96, 128), (12, 16)), ((50, 40), (1, 1)), ((7, 5), (3, 2))]


def by_hand(cells: np.ndarray, x: float, y: float, size: tuple[int, int], how: str) -> np.ndarray:
    """(C,) of a map (C, h, w), in float64."""
    _, h, w = cells.shape
    at_x, at_y = (x + 0.5) * w / size[0] - 0.5, (y + 0.5) * h / size[1] - 0.5
    if not (-0.5 <= x < size[0] - 0.5 and -0.5 <= y < size[1] - 0.5):
        return np.full(len(cells), np.nan)
    if how == "nearest_1":
        return cells[:, min(int(np.floor(at_y + 0.5)), h - 1), min(int(np.floor(at_x + 0.5)), w - 1)].astype(float)
    if how == "nearest_4":
        left, top = (min(max(int(np.floor(at)), 0), max(n - 2, 0)) for at, n in ((at_x, w), (at_y, h)))
        block = cells[:, top : top + 2, left : left + 2].astype(float)
        return block.mean(axis=(1, 2))
    at_x, at_y = min(max(at_x, 0), w - 1), min(max(at_y, 0), h - 1)
    total = np.zeros(len(cells))
    for row in range(h):
        for column in range(w):
            total += cells[:, row, column] * max(0, 1 - abs(at_x - column)) * max(0, 1 - abs(at_y - row))
    return total


@pytest.mark.parametrize("how", SAMPLINGS)
@given(data=st.data())
def test_joints_get_what_the_oracle_reads_one_after_the_other(how, data):
    size, (w, h) = data.draw(st.sampled_from(SIZES))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    maps = rng.normal(size=(2, 3, h, w)).astype(np.float32)
    places = rng.uniform(-0.1, 1.1, (2, 17, 2)) * size
    places[0, 0], places[0, 1], places[1, 2] = (-0.5, -0.5), np.array(size) - 0.51, np.nan
    found = sample(torch.from_numpy(maps), torch.from_numpy(places), size, how).numpy()
    for row in range(2):
        for joint, (x, y) in enumerate(places[row].astype(np.float32)):
            np.testing.assert_allclose(found[row, joint], by_hand(maps[row], x, y, size, how), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("size", "cells"), SIZES)
def test_a_feature_planted_in_one_cell_is_found_at_the_joint_that_lies_there_and_nowhere_else(size, cells):
    w, h = cells
    planted = torch.eye(w * h).view(w * h, 1, h, w)  # a map a cell
    across, down = ((torch.arange(n) + 0.5) * side / n - 0.5 for n, side in zip(cells, size, strict=True))
    middles = torch.stack(torch.meshgrid(across, down, indexing="xy"), -1).view(1, w * h, 2)
    found = sample(planted, middles.expand(w * h, -1, -1), size, "nearest_1")[..., 0]
    assert torch.equal(found, torch.eye(w * h))
    # The mean of four has it too, in the middle of its cell by a quarter.
    mean = sample(planted, middles.expand(w * h, -1, -1), size, "nearest_4")[..., 0].diagonal()
    assert torch.allclose(mean, torch.full_like(mean, 0.25 if min(cells) > 1 else 1.0))


def test_bilinear_is_what_grid_sample_does_with_borders_that_go_on():
    maps = torch.randn(2, 4, 5, 7)
    places = torch.rand(2, 17, 2) * torch.tensor([200.0, 90.0]) - 0.5
    grid = ((places + 0.5) / torch.tensor([200.0, 90.0]) * 2 - 1)[:, :, None]
    expected = functional.grid_sample(maps, grid, padding_mode="border", align_corners=False)[..., 0].mT
    assert torch.allclose(sample(maps, places, (200, 90), "bilinear"), expected, atol=1e-5)


def test_the_memory_format_of_a_map_and_its_precision_change_no_more_than_that():
    maps, places = torch.randn(3, 8, 12, 9), torch.rand(3, 17, 2) * 200
    plain = sample(maps, places, (288, 384))
    assert torch.equal(plain, sample(maps.contiguous(memory_format=torch.channels_last), places, (288, 384)))
    assert torch.allclose(plain, sample(maps.half(), places, (288, 384)), atol=2e-3)


def test_an_unknown_sampling_is_refused():
    with pytest.raises(InvalidValueError, match="nearest_4, nearest_1, bilinear"):
        sample(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2), (4, 4), "cubic")


def test_what_float16_cannot_hold_is_clipped_and_counted_and_nan_stays():
    values = torch.tensor([[[1.0, torch.inf, -1e6]], [[torch.nan, 65504.0, -torch.inf]]])
    half, beyond = unpack(pack(values).numpy(), joints=1)
    assert beyond.tolist() == [2, 1]
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, [[[1.0, HALF_MAX, -HALF_MAX]], [[np.nan, HALF_MAX, -HALF_MAX]]])


def test_as_many_numbers_as_a_joint_can_have_are_counted():
    _, beyond = unpack(pack(torch.full((2, 17, 1280), 1e9)).numpy(), joints=17)
    assert beyond.tolist() == [17 * 1280] * 2
