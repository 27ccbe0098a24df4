"""Closed ray formulas against brute force: thousands of balls for a round cone, sampled points for a box."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auglift.pipeline.synth.rendering import geometry
from auglift.pipeline.synth.rendering.raster import candidates, image_bounds, keep_nearest

seeds = st.integers(0, 2**32 - 1)


def first_ball(ends: np.ndarray, radius: np.ndarray, ways: np.ndarray, balls: int = 3001) -> np.ndarray:
    """(N,) where rays from the zero point first meet any of very many balls strung between two."""
    share = np.linspace(0, 1, balls)[:, None]
    centre, size = ends[0] + share * (ends[1] - ends[0]), radius[0] + share[:, 0] * (radius[1] - radius[0])
    first = []
    for way in ways:
        a, b, c = way @ way, centre @ way, (centre**2).sum(-1) - size**2
        inner = b * b - a * c
        hit = inner >= 0
        t = (b[hit] - np.sqrt(inner[hit])) / a
        first.append(t.min() if hit.any() else np.inf)
    return np.array(first)


@settings(max_examples=15, deadline=None)
@given(seed=seeds)
def test_a_round_cone_is_met_where_the_first_of_its_balls_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ends = rng.uniform((-1, -1, 2), (1, 1, 5), (2, 3))
    radius = rng.uniform(0.02, 0.4, 2)
    if np.linalg.norm(ends[0] - ends[1]) < abs(radius[0] - radius[1]) + 0.02:
        ends[1, 0] += 1.0  # one ball inside the other is no cone
    aim = ends[0] + rng.uniform(-0.3, 1.3, (40, 1)) * (ends[1] - ends[0]) + rng.normal(0, 0.2, (40, 3))
    ways = aim / aim[:, 2:]
    expected = first_ball(ends, radius, ways)
    for dtype, tolerance in ((torch.float64, 2e-5), (torch.float32, 2e-3)):
        table = geometry.cone_table(torch.tensor(ends[None], dtype=dtype), torch.tensor(radius[None], dtype=dtype))
        x, y, z = torch.tensor(ways.T, dtype=dtype)
        found, _ = geometry.cast_cones(table.expand(10, 40), (x, y, z))
        # Rays that only graze the surface may go either way.
        grazing = np.isfinite(expected) != np.isfinite(found.numpy())
        nearest = first_ball(ends, radius * (1 + 1e-3), ways[grazing])
        farthest = first_ball(ends, radius * (1 - 1e-3), ways[grazing])
        assert (np.isfinite(nearest) & ~np.isfinite(farthest)).all()
        both = np.isfinite(expected) & ~grazing
        inside = np.isfinite(first_ball(ends, radius * 0.97, ways[both]))
        np.testing.assert_allclose(found.numpy()[both][inside], expected[both][inside], atol=tolerance)


def test_a_cone_seen_along_its_axis_shows_its_near_ball() -> None:
    table = geometry.cone_table(torch.tensor([[[0.0, 0, 3], [0, 0, 5]]]), torch.tensor([[0.2, 0.3]]))
    zero, one = torch.zeros(1), torch.ones(1)
    t, s = geometry.cast_cones(table, (zero, zero, one))
    assert abs(t.item() - 2.8) < 1e-6
    assert s.item() == 0


@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_a_box_is_entered_on_its_surface_and_not_before(seed: int) -> None:
    rng = np.random.default_rng(seed)
    centre, half, yaw = rng.uniform((-1, -1, 2), (1, 1, 5)), rng.uniform(0.05, 0.8, 3), rng.uniform(-3, 3)
    axes = np.array([(np.cos(yaw), 0, -np.sin(yaw)), (0, 1, 0), (np.sin(yaw), 0, np.cos(yaw))])
    ways = centre + rng.normal(0, 0.6, (30, 3))
    table = geometry.box_table(*(torch.tensor(part[None]) for part in (centre, half, axes)))
    x, y, z = torch.tensor(ways.T)
    t, face = (part.numpy() for part in geometry.cast_boxes(table.expand(15, 30), (x, y, z)))
    steps = np.linspace(0, 3, 3001)
    for way, found, axis in zip(ways, t, face, strict=True):
        inside = (np.abs((steps[:, None] * way - centre) @ axes.T) < half).all(-1)
        if not np.isfinite(found):
            assert not inside.any() or inside[0]
            continue
        place = np.abs((found * way - centre) @ axes.T) / half
        assert place.max() == place[axis] or np.isclose(place.max(), place[axis])
        np.testing.assert_allclose(place.max(), 1, atol=1e-9)
        assert not inside[steps < found - 1e-9].any()


@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_no_pixel_outside_the_bounds_meets_the_cone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ends = torch.tensor(rng.uniform((-2, -2, -0.5), (2, 2, 4), (1, 2, 3)))
    radius = torch.tensor(rng.uniform(0.05, 0.5, (1, 2)))
    width, height, intrinsics = 40, 30, (35.0, 33.0, 21.0, 14.0)
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    x = torch.tensor((columns.ravel() + 0.5 - intrinsics[2]) / intrinsics[0])
    y = torch.tensor((rows.ravel() + 0.5 - intrinsics[3]) / intrinsics[1])
    table = geometry.cone_table(ends, radius).expand(10, width * height)
    t, _ = geometry.cast_cones(table, (x, y, torch.ones_like(x)))
    left, top, right, bottom = image_bounds(ends, radius, width, height, intrinsics)[0].tolist()
    hit = torch.isfinite(t).reshape(height, width)
    hit[top:bottom, left:right] = False
    assert not hit.any()


def test_candidates_are_all_pixels_of_all_rectangles() -> None:
    bounds = torch.tensor([[1, 0, 3, 2], [2, 2, 2, 5], [0, 1, 4, 2], [3, 0, 2, 4]])  # the second and last are empty
    pairs = candidates(bounds, 2, 4, 5)
    expected = [
        (number, number // 2, (number // 2 * 5 + row) * 4 + column, column, row)
        for number, (left, top, right, bottom) in enumerate(bounds.tolist())
        for row in range(top, bottom)
        for column in range(left, right)
    ]
    found = torch.stack([pairs.item, pairs.frame, pairs.pixel, pairs.column, pairs.row], -1).tolist()
    assert sorted(map(tuple, found)) == sorted(expected)


@settings(max_examples=50, deadline=None)
@given(seed=seeds)
def test_one_nearest_hit_is_kept_at_each_pixel_and_ties_go_to_the_first(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixel, t = rng.integers(0, 9, 60), rng.choice([0.5, 1.0, 1.5, np.inf], 60).astype(np.float32)
    before = rng.choice([0.75, 1.25, 9.0], 9).astype(np.float32)
    depth = torch.tensor(before)
    kept = keep_nearest(depth, torch.tensor(pixel, dtype=torch.int32), torch.tensor(t)).tolist()
    expected = []
    for spot in range(9):
        hits = [index for index in range(60) if pixel[index] == spot and t[index] < before[spot]]
        expected += [min(hits, key=lambda index: (t[index], index))] if hits else []
    assert sorted(kept) == sorted(expected)
    np.testing.assert_array_equal(depth.numpy()[pixel[expected]], t[expected])
