"""lifters/inputs.py: the representations, against method.md's formulas written out joint by joint."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auglift.lifters.inputs import (
    CHANNELS,
    REPRESENTATIONS,
    Inputs,
    box_size,
    flip_pose,
    swap_sides,
    targets,
)
from auglift.stores.errors import InvalidValueError, MissingFieldError
from auglift.stores.format.schema import FIELDS, UADD_STATISTICS

# Left and right of H36M-17, written down again here.
MIRROR = [0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13]


WIDTHS = {"pose": 5, "depth": 3}


def bound(inputs: Inputs) -> Inputs:
    """With learned features as wide as those of `make_batch`."""
    return replace(inputs, widths=tuple(WIDTHS[stream] for stream in inputs.streams))


def make_batch(seed: int, holes: float = 0.0, frames: int = 3, batch: int = 2) -> dict[str, np.ndarray]:
    """A batch as a WindowLoader gives it, with a share of NaN and infinite values, and frames that are not valid."""
    rng = np.random.default_rng(seed)
    shape = (batch, frames, 17)
    size = rng.integers(40, 2000, (batch, 2)).astype(np.float32)
    out = {
        "frame_size": size,
        "keypoints": (rng.uniform(-0.2, 1.2, (*shape, 2)) * size[:, None, None]).astype(np.float32),
        "score": rng.uniform(-0.1, 1.3, shape).astype(np.float32),
        "valid": (rng.random(shape[:2]) >= holes / 2).astype(np.uint8),
        "target/pose3d": rng.normal(0, 1, (*shape, 3)).astype(np.float32),
    }
    for preset, names in UADD_STATISTICS.items():
        u = rng.uniform(0.5, 8, (*shape, len(names))).astype(np.float32)
        if len(names) >= 3:
            u[..., 1], u[..., 2] = u[..., 0] - rng.exponential(0.6, shape), u[..., 0] + rng.exponential(0.6, shape)
        if len(names) == 7:
            u[..., 3:] = rng.uniform(-0.2, 1.2, (*shape, 4)) * np.tile(size, 2)[:, None, None]
        out[f"uadd/{preset}"] = u
    for stream, width in WIDTHS.items():
        out[f"feature/{stream}"] = rng.normal(0, 3, (*shape, width)).astype(np.float16)
    features = [f"feature/{stream}" for stream in WIDTHS]
    for name in ("keypoints", "score", "target/pose3d", *features, *(f"uadd/{p}" for p in UADD_STATISTICS)):
        bad = rng.random(out[name].shape) < holes
        out[name][bad] = rng.choice([np.nan, np.inf, -np.inf], bad.sum())
    return out


def mirrored(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same batch as a camera would have seen it through a mirror: pixels, not channels."""
    width = batch["frame_size"][:, 0, None, None]
    out = {name: values[:, :, MIRROR].copy() if values.ndim > 2 else values for name, values in batch.items()}
    out["keypoints"][..., 0] = width - out["keypoints"][..., 0]
    for column in (3, 5):
        out["uadd/spatial"][..., column] = width - out["uadd/spatial"][..., column]
    out["target/pose3d"][..., 0] *= -1
    return out


def oracle(batch: dict[str, np.ndarray], b: int, t: int, inputs: Inputs) -> tuple[np.ndarray, np.ndarray]:
    """(17, C) values and mask of one frame in float64, by loops, as method.md's section 5 words it."""
    w, h = (float(v) for v in batch["frame_size"][b])
    column = {n: i for i, n in enumerate(UADD_STATISTICS[inputs.preset])} if inputs.preset else {}

    def u(j: int, name: str) -> float:
        return float(batch[f"uadd/{inputs.preset}"][b, t, j, column[name]])

    def place(x: float, y: float) -> tuple[float, float]:
        return 2 * x / w - 1, 2 * y / w - h / w

    xy = [place(*map(float, batch["keypoints"][b, t, j])) for j in range(17)]
    present = [bool(batch["valid"][b, t]) and math.isfinite(x) and math.isfinite(y) for x, y in xy]
    centre, scale = (0.0, 0.0), 1.0
    if inputs.scale_to is not None and any(present):
        xs, ys = zip(*[p for p, here in zip(xy, present, strict=True) if here], strict=True)
        extent = ((max(xs) - min(xs)) + (max(ys) - min(ys))) / 2
        if extent > 0:
            centre, scale = (sum(xs) / len(xs), sum(ys) / len(ys)), inputs.scale_to / extent

    def rescale(p: tuple[float, float]) -> tuple[float, float]:
        return (p[0] - centre[0]) * scale + centre[0], (p[1] - centre[1]) * scale + centre[1]

    def about_pelvis(j: int, p: tuple[float, float]) -> tuple[float, float]:
        if not inputs.centred or j == 0:
            return p
        x, y = rescale(xy[0]) if present[0] else (math.nan, math.nan)
        return p[0] - x, p[1] - y

    def clip(v: float, low: float, high: float) -> float:
        return v if math.isnan(v) else min(max(v, low), high)

    def finite(v: float) -> float:
        return v if math.isfinite(v) else math.nan

    if inputs.distance is not None:
        root = finite(u(0, "d")) if present[0] else math.nan
        scale = 1.0 if math.isnan(root) else root / inputs.distance

    values = np.full((17, len(inputs.channels)), np.nan)
    for j in range(17):
        if not present[j]:
            continue
        named: dict[str, float] = {}
        named["x"], named["y"] = about_pelvis(j, rescale(xy[j]))
        z = [float(batch["target/pose3d"][b, t, i, 2]) for i in (j, 0)]
        behind = finite(z[0]) - finite(z[1])
        named["ordinal"] = behind if math.isnan(behind) else float((behind > 0.1) - (behind < -0.1))
        named["c"] = 2 * clip(finite(float(batch["score"][b, t, j])), 0, 1) - 1
        if inputs.preset:
            d = finite(u(j, "d"))
            if inputs.depth_origin == "root":
                root = finite(u(0, "d")) if present[0] else math.nan
                named["d"] = named["d_centred"] = clip(d - root, -inputs.depth_limit, inputs.depth_limit)
            else:
                known = [u(i, "d") for i in range(17) if present[i] and math.isfinite(u(i, "d"))]
                named["d"] = d - min(known) if known else math.nan
                named["d_centred"] = clip(named["d"], 0, 2) - 1
            if "d_min" in column:
                named["below"] = clip(finite(u(j, "d_min")) - d, -1, 1)
                named["above"] = clip(finite(u(j, "d_max")) - d, -1, 1)
            if "x_min" in column:
                for end in ("min", "max"):
                    p = rescale(place(finite(u(j, f"x_{end}")), finite(u(j, f"y_{end}"))))
                    named[f"x_{end}"], named[f"y_{end}"] = about_pelvis(j, p)
        values[j] = [named[name] for name in REPRESENTATIONS[inputs.name].channels]
    mask = np.isfinite(values)
    constants = [-1.0 if name == "c" else 0.0 for name in REPRESENTATIONS[inputs.name].channels]
    streams = [batch[field][b, t].astype(float) for field in inputs.streams.values()]
    learned = np.concatenate([np.empty((17, 0)), *streams], axis=1)
    learned[~np.isfinite(learned) | ~np.array(present)[:, None]] = np.nan
    values = np.concatenate([np.where(mask, values, constants), learned], axis=1)
    return values, np.concatenate([mask, np.isfinite(learned)], axis=1)


every_option = st.builds(
    lambda name, scale, **more: bound(Inputs(name, **more, **scale)),
    st.sampled_from(sorted(REPRESENTATIONS)),
    st.sampled_from([{}, {"scale_to": 0.8}, {"distance": 4.5}]),
    depth_origin=st.sampled_from(["nearest", "root"]),
    depth_limit=st.sampled_from([0.5, 1.0]),
    centred=st.booleans(),
)
seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=60, deadline=None)
@given(every_option, seeds, st.sampled_from([0.0, 0.1, 0.6, 1.0]))
def test_every_representation_is_the_formula_of_method_md(inputs: Inputs, seed: int, holes: float):
    batch = make_batch(seed, holes)
    values, mask = inputs(batch)
    assert values.dtype == torch.float32
    assert values.shape == mask.shape == (2, 3, 17, inputs.count)
    for b in range(2):
        for t in range(3):
            wanted, measured = oracle(batch, b, t, inputs)
            np.testing.assert_array_equal(mask[b, t].numpy(), measured)
            np.testing.assert_allclose(values[b, t].numpy(), wanted, atol=2e-5, rtol=2e-5)


@settings(max_examples=40, deadline=None)
@given(every_option, seeds, st.sampled_from([0.0, 0.2]))
def test_flipping_twice_is_the_identity(inputs: Inputs, seed: int, holes: float):
    values, mask = inputs(make_batch(seed, holes))
    torch.testing.assert_close(inputs.flip(inputs.flip(values)), values, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(swap_sides(swap_sides(mask, -2), -2), mask)
    assert not torch.equal(inputs.flip(values), values)


@settings(max_examples=60, deadline=None)
@given(every_option, seeds, st.sampled_from([0.0, 0.2]))
def test_a_flip_commutes_with_normalising(inputs: Inputs, seed: int, holes: float):
    batch = make_batch(seed, holes)
    values, mask = inputs(batch)
    seen_in_mirror, mask_in_mirror = inputs(mirrored(batch))
    torch.testing.assert_close(inputs.flip(values), seen_in_mirror, rtol=1e-4, atol=1e-4, equal_nan=True)
    assert torch.equal(swap_sides(mask, -2), mask_in_mirror)


def test_every_x_like_channel_and_no_other_is_mirrored():
    assert {name for name, channel in CHANNELS.items() if channel.mirrored} == {"x", "x_min", "x_max"}


@settings(max_examples=20, deadline=None)
@given(seeds, st.sampled_from([0.0, 0.1]))
def test_targets_are_root_relative_and_flip_as_the_world_does(seed: int, holes: float):
    batch = make_batch(seed, holes)
    pose, mask = targets(batch)
    truth = batch["target/pose3d"].astype(np.float64)
    finite = np.asarray(np.isfinite(truth).all(axis=-1))
    finite = finite & finite[:, :, :1]
    np.testing.assert_array_equal(mask.numpy(), finite)
    with np.errstate(invalid="ignore"):
        relative = np.where(finite[..., None], truth - truth[:, :, :1], 0)
    np.testing.assert_allclose(pose.numpy(), relative, atol=1e-6)
    assert (pose[:, :, 0] == 0).all()

    flipped, flipped_mask = targets(mirrored(batch))
    torch.testing.assert_close(flip_pose(pose), flipped, rtol=0, atol=1e-6)
    assert torch.equal(swap_sides(mask, -1), flipped_mask)
    assert torch.equal(flip_pose(flip_pose(pose)), pose)


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_an_invalid_frame_is_constants_whatever_it_holds(name: str):
    batch = make_batch(0)
    batch["valid"][0, 1] = 0
    inputs = bound(Inputs(name))
    values, mask = inputs(batch)
    assert not mask[0, 1].any()
    assert mask[0, 0].all()
    expected = torch.tensor([-1.0 if channel.name == "c" else 0.0 for channel in inputs.channels])
    assert (values[0, 1, :, : len(expected)] == expected).all()
    assert values[0, 1, :, len(expected) :].isnan().all()


def test_without_the_root_there_is_no_depth_about_it_but_the_nearest_joint_still_serves():
    batch = make_batch(1)
    batch["uadd/paper"][0, 0, 0] = np.nan
    depth = [i for i, c in enumerate(Inputs("uadd").channels) if c.name == "d"]
    _, about_root = Inputs("uadd", depth_origin="root")(batch)
    _, about_nearest = Inputs("uadd")(batch)
    assert not about_root[0, 0, :, depth].any()
    assert about_nearest[0, 0, 1:, depth].all()


def test_the_narrow_representations_begin_the_wide_ones():
    """So a lifter trained on `xy` can be widened to the others: see widen.py."""
    batch = make_batch(2)
    wide, _ = Inputs("spatial")(batch)
    for name, width in (("xy", 2), ("xyc", 3)):
        torch.testing.assert_close(wide[..., :width], Inputs(name)(batch)[0], rtol=0, atol=0)


def test_scale_normalisation_makes_every_person_equally_large():
    batch = make_batch(3)
    values, _ = Inputs("xy", scale_to=0.7)(batch)
    extent = (values.amax(2) - values.amin(2)).mean(-1)
    torch.testing.assert_close(extent, torch.full_like(extent, 0.7), rtol=1e-5, atol=0)
    before, _ = Inputs("xy")(batch)
    torch.testing.assert_close(values.mean(2), before.mean(2), rtol=1e-4, atol=1e-5)


def test_box_size_is_in_units_of_x_and_y_and_ignores_who_is_absent():
    batch = make_batch(4, frames=2, batch=1)
    batch["frame_size"][:] = (200, 100)
    batch["keypoints"][0, 0] = np.linspace((20, 10), (70, 40), 17)
    batch["keypoints"][0, 0, 3] = np.nan
    batch["valid"][0, 1] = 0
    size = box_size(batch)
    assert size[0, 0] == pytest.approx((50 + 30) / 2 * 2 / 200)
    assert math.isnan(size[0, 1])


def test_arrays_and_tensors_give_the_same():
    batch = make_batch(5, 0.1)
    tensors = {name: torch.from_numpy(values) for name, values in batch.items()}
    for a, b in zip(Inputs("spatial")(batch), Inputs("spatial")(tensors), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_a_representation_asks_for_fields_that_a_store_can_hold_and_for_no_others(name: str):
    inputs = bound(Inputs(name))
    assert set(inputs.fields) <= set(FIELDS)
    batch = make_batch(6)
    needed = {field: batch[field] for field in ("frame_size", *inputs.fields)}
    inputs(needed)
    for field in needed:
        with pytest.raises(MissingFieldError, match=field):
            inputs({k: v for k, v in needed.items() if k != field})


def test_the_depth_may_come_from_another_preset_that_has_it():
    batch = make_batch(7)
    values, _ = Inputs("uadd", preset="quantile")(batch)
    u = batch["uadd/quantile"]
    np.testing.assert_allclose(values[..., 4].numpy(), np.clip(u[..., 1] - u[..., 0], -1, 1), atol=1e-6)
    assert Inputs("uadd", preset="quantile").fields[-1] == "uadd/quantile"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "uad"}, "did you mean 'uadd'"),
        ({"name": "v3"}, "there are xy"),
        ({"distance": -1.0}, "above 0"),
        ({"distance": 4.5, "scale_to": 1.0}, "leave one out"),
        ({"name": "xy", "features": "v2"}, "has no learned features"),
        ({"depth_origin": "neck"}, "there are nearest, root"),
        ({"preset": "papre"}, "did you mean 'paper'"),
        ({"preset": "fixed"}, "needs d_max, d_min"),
        ({"name": "xy", "preset": "paper"}, "uses no depth"),
        ({"scale_to": 0.0}, "above 0"),
        ({"depth_limit": -1.0}, "above 0"),
    ],
)
def test_an_option_that_cannot_be_is_refused(arguments: dict, words: str):
    with pytest.raises(InvalidValueError, match=words):
        Inputs(**arguments)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("keypoints", np.zeros((2, 3, 16, 2))),
        ("score", np.zeros((2, 3, 17, 1))),
        ("uadd/paper", np.zeros((2, 3, 17, 7))),
        ("frame_size", np.zeros(2)),
        ("frame_size", np.zeros((2, 2))),
        ("valid", np.ones(2)),
    ],
)
def test_shapes_and_sizes_that_cannot_be_are_refused(field: str, values: np.ndarray):
    with pytest.raises(InvalidValueError, match=r"frame_size|of the batch is"):
        Inputs("uadd")({**make_batch(0), field: values})


def test_the_width_of_learned_features_comes_from_the_store_and_another_is_refused():
    with pytest.raises(InvalidValueError, match="whose width a store says"):
        _ = Inputs("v2").count
    there = {name: replace(FIELDS[name], shape=(17, WIDTHS[name[8:]])) for name in ("feature/pose", "feature/depth")}
    inputs = Inputs("v2").bound(there)
    assert inputs.count == 6 + 5 + 3
    with pytest.raises(InvalidValueError, match=r"'feature/depth' of the batch is \(2, 3, 17, 4\)"):
        inputs({**make_batch(0), "feature/depth": np.zeros((2, 3, 17, 4))})


def test_flipping_inputs_of_another_representation_is_refused():
    values, _ = Inputs("xy")(make_batch(0))
    with pytest.raises(InvalidValueError, match="this representation has"):
        Inputs("uadd").flip(values)
