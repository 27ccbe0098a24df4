"""lifters/metrics.py, against SciPy's Procrustes, MMPose's functions and brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from auglift.lifters.metrics import (
    AUC_THRESHOLDS,
    JOINTS_3DHP_14,
    MEASURES,
    aligned_error,
    auc,
    errors,
    measure,
    ordinal_right,
    pck,
    position_error,
    scaled_error,
    velocity_error,
)
from auglift.stores.errors import InvalidValueError
from auglift.stores.format.skeleton import H36M_17

seeds = st.integers(0, 2**32 - 1)


def make(seed: int, frames: int, holes: float = 0.0, joints: int = 17) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions that resemble the truth; the share of masked joints, and as many whose truth is NaN."""
    rng = np.random.default_rng(seed)
    target = rng.normal(0, 0.4, (frames, joints, 3)) + rng.normal(0, 3, (frames, 1, 3))
    predicted = target + rng.normal(0, rng.choice([0.03, 0.3]), target.shape)
    mask = rng.random((frames, joints)) >= holes
    target[rng.random((frames, joints)) < holes] = np.nan
    return predicted, target, mask


def about_root(predicted: np.ndarray, target: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, ...]:
    predicted, target = predicted - predicted[:, :1], target - target[:, :1]
    return predicted, target, mask & np.isfinite(target).all(-1)


def procrustes_by_scipy(p: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Errors, mm, of (n, 3) after the best similarity: SciPy's proper rotation, scale and translation by hand."""
    p, g = p - p.mean(0), g - g.mean(0)
    if len(p) < 2:
        return np.zeros(len(p))
    rotation = Rotation.align_vectors(g, p)[0] if len(p) > 2 else Rotation.align_vectors(g[:1], p[:1])[0]
    turned = rotation.apply(p)
    return 1000 * np.linalg.norm((turned * g).sum() / (p * p).sum() * turned - g, axis=-1)


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 6), st.sampled_from([0.0, 0.3, 1.0]))
def test_mpjpe_and_n_mpjpe_are_their_definitions(seed: int, frames: int, holes: float):
    arrays = make(seed, frames, holes)
    position, scaled = position_error(*arrays).numpy(), scaled_error(*arrays).numpy()
    predicted, target, counts = about_root(*arrays)
    np.testing.assert_array_equal(np.isnan(position), ~counts)
    np.testing.assert_array_equal(np.isnan(scaled), ~counts)
    for t in range(frames):
        joints = np.flatnonzero(counts[t])
        p, g = predicted[t, joints], target[t, joints]
        np.testing.assert_allclose(position[t, joints], 1000 * np.sqrt(((p - g) ** 2).sum(-1)), rtol=1e-9)
        s = (g * p).sum() / (p * p).sum() if (p * p).sum() > 0 else 0
        np.testing.assert_allclose(scaled[t, joints], 1000 * np.sqrt(((s * p - g) ** 2).sum(-1)), rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 6), st.sampled_from([0.0, 0.3]))
def test_p_mpjpe_is_scipys_procrustes_frame_by_frame(seed: int, frames: int, holes: float):
    arrays = make(seed, frames, holes)
    error = aligned_error(*arrays).numpy()
    predicted, target, counts = about_root(*arrays)
    np.testing.assert_array_equal(np.isnan(error), ~counts)
    for t in range(frames):
        joints = np.flatnonzero(counts[t])
        if len(joints) < 4:  # fewer leave the rotation undetermined
            continue
        np.testing.assert_allclose(
            error[t, joints], procrustes_by_scipy(predicted[t, joints], target[t, joints]), rtol=1e-5, atol=1e-5
        )


def test_no_similarity_that_an_optimiser_finds_is_better_than_the_aligned_one():
    predicted, target, mask = make(3, 1)
    best = (aligned_error(predicted, target, mask) ** 2).sum().item()

    def squared(parameters: np.ndarray) -> float:
        moved = parameters[3] * Rotation.from_rotvec(parameters[:3]).apply(predicted[0]) + parameters[4:]
        return 1e6 * ((moved - target[0]) ** 2).sum()

    rng = np.random.default_rng(0)
    found = min(float(minimize(squared, rng.normal(0, 1, 7), method="BFGS").fun) for _ in range(8))
    assert best == pytest.approx(found, rel=1e-4)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_p_mpjpe_forgives_a_similarity_but_not_a_mirror(seed: int):
    rng = np.random.default_rng(seed)
    target = rng.normal(0, 0.4, (3, 17, 3))
    moved = 0.3 * Rotation.random(rng=rng).apply(target.reshape(-1, 3)).reshape(target.shape) + [1, -2, 5]
    assert aligned_error(moved, target).max() < 1e-6
    assert aligned_error(moved * [-1, 1, 1], target).mean() > 10


@pytest.mark.parametrize(("alignment", "name"), [("none", "mpjpe"), ("scale", "n_mpjpe"), ("procrustes", "p_mpjpe")])
def test_figures_agree_with_mmpose(alignment: str, name: str):
    openmmlab = pytest.importorskip("auglift.pipeline.networks.openmmlab")
    functional = openmmlab.load("mmpose.evaluation.functional")
    # MMPose scales and aligns over all joints whatever the mask, so the comparison has none.
    predicted, target, mask = make(5, 40)
    predicted, target, _ = about_root(predicted, target, mask)
    theirs = 1000 * functional.keypoint_mpjpe(predicted, target, mask, alignment)
    assert measure(predicted, target)[name] == pytest.approx(theirs, rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 9), st.sampled_from([0.0, 0.2]))
def test_mpjve_counts_steps_inside_a_sequence_alone(seed: int, frames: int, holes: float):
    arrays = make(seed, frames, holes)
    sequence = np.sort(np.random.default_rng(seed).integers(0, 3, frames))
    error = velocity_error(*arrays, sequence=sequence).numpy()
    predicted, target, counts = about_root(*arrays)
    assert error.shape == (frames, 17)
    for t, j in np.ndindex(frames, 17):
        if t == 0 or sequence[t] != sequence[t - 1] or not (counts[t, j] and counts[t - 1, j]):
            assert math.isnan(error[t, j])
            continue
        step = (predicted[t, j] - predicted[t - 1, j]) - (target[t, j] - target[t - 1, j])
        assert error[t, j] == pytest.approx(1000 * math.sqrt(sum(step**2)), rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 4), st.sampled_from([0.0, 0.3]))
def test_ordinal_accuracy_is_the_share_of_pairs_in_the_right_order(seed: int, frames: int, holes: float):
    arrays = make(seed, frames, holes)
    predicted, target, counts = about_root(*arrays)
    right = []
    for t in range(frames):
        for i, j in itertools.combinations(range(17), 2):
            if counts[t, i] and counts[t, j]:
                right.append((predicted[t, i, 2] < predicted[t, j, 2]) == (target[t, i, 2] < target[t, j, 2]))
    found = measure(*arrays)["ordinal"]
    assert ordinal_right(*arrays).shape == (frames, 136)
    if right:
        assert found == pytest.approx(100 * np.mean(right), rel=1e-9)
    else:
        assert math.isnan(found)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.floats(0, 400), st.sampled_from([0.0, 5.0, 145.0, 150.0, math.inf])), min_size=1))
def test_pck_and_auc_count_what_is_strictly_below(values: list[float]):
    error = torch.tensor([*values, math.nan], dtype=torch.float64)
    assert pck(error) == pytest.approx(100 * sum(v < 150 for v in values) / len(values))
    shares = [sum(v < threshold for v in values) / len(values) for threshold in np.linspace(0, 150, 31)]
    assert auc(error) == pytest.approx(100 * sum(shares) / 31)


def test_an_error_of_exactly_the_threshold_is_not_below_it():
    assert pck(torch.tensor([149.999, 150.0])) == 50
    assert len(AUC_THRESHOLDS) == 31
    # At 0 mm nothing is strictly below, so even a perfect lifter has an AUC of 30 thresholds in 31.
    assert auc(torch.zeros(4)) == pytest.approx(100 * 30 / 31)


def test_the_14_joints_of_3dhp_are_those_its_evaluation_groups():
    """First 14 in 3DHP's own order, seen through the mapping of datasets.md to H36M-17."""
    own_order = [14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4]
    assert [j for j in range(17) if own_order[j] < 14] == list(JOINTS_3DHP_14)
    assert {H36M_17.joints[j] for j in range(17)} - {H36M_17.joints[j] for j in JOINTS_3DHP_14} == {
        "pelvis",
        "spine",
        "nose",
    }


def test_joints_that_are_left_out_change_no_figure_but_the_root_stays_the_origin():
    predicted, target, mask = make(7, 20)
    figures = measure(predicted, target, mask, joints=JOINTS_3DHP_14)
    disturbed = predicted.copy()
    disturbed[:, [7, 9]] += 1
    assert measure(disturbed, target, mask, joints=JOINTS_3DHP_14) == pytest.approx(figures)
    p, g, _ = about_root(predicted, target, mask)
    chosen = list(JOINTS_3DHP_14)
    assert figures["mpjpe"] == pytest.approx(1000 * np.linalg.norm(p[:, chosen] - g[:, chosen], axis=-1).mean())


def test_a_prediction_that_is_not_finite_is_infinitely_wrong_and_stops_nothing():
    predicted, target, mask = make(8, 4)
    predicted[2, 5] = np.nan
    for name, error in errors(predicted, target, mask).items():
        if name != "ordinal":
            assert torch.isinf(error[2, 5]), name
        assert not error[0 if name != "velocity" else 1].isinf().any(), name
    figures = measure(predicted, target, mask)
    assert figures["mpjpe"] == figures["p_mpjpe"] == math.inf
    assert figures["pck"] <= 100 * (4 * 17 - 1) / (4 * 17)
    mask[2, 5] = False
    assert all(math.isfinite(value) for value in measure(predicted, target, mask).values())


def test_nothing_to_measure_is_nan_and_not_zero():
    predicted, target, mask = make(9, 3)
    assert all(math.isnan(value) for value in measure(predicted, target, np.zeros_like(mask)).values())
    target[:, 0] = np.nan
    assert all(math.isnan(value) for value in measure(predicted, target, mask).values())


def test_a_perfect_prediction_is_perfect_by_every_measure():
    _, target, mask = make(10, 6)
    perfect = {"pck": 100, "auc": 100 * 30 / 31, "ordinal": 100}
    for name, value in measure(target + 5.0, target, mask).items():
        assert value == pytest.approx(perfect.get(name, 0), abs=1e-6), name
    assert set(perfect) == {name for name, m in MEASURES.items() if m.more_is_better}


def test_collapsed_poses_have_an_error_and_no_crash():
    _, target, mask = make(11, 3)
    figures = measure(np.zeros_like(target), target, mask)
    centred = target - target.mean(1, keepdims=True)
    assert figures["p_mpjpe"] == pytest.approx(1000 * np.linalg.norm(centred, axis=-1).mean())
    assert math.isfinite(figures["n_mpjpe"])


def test_float32_tensors_and_float64_arrays_give_the_same_figures():
    predicted, target, mask = (a.astype(np.float32) for a in make(12, 5))
    arrays = measure(predicted, target, mask)
    tensors = measure(torch.from_numpy(predicted), torch.from_numpy(target), torch.from_numpy(mask))
    assert tensors == pytest.approx(arrays, rel=1e-12)
    assert measure(predicted.astype(np.float64), target.astype(np.float64), mask) == pytest.approx(arrays, rel=1e-12)


def test_batches_of_windows_have_the_errors_of_their_frames():
    predicted, target, mask = make(13, 12)
    p, g, m = (a.reshape(3, 4, *a.shape[1:]) for a in (predicted, target, mask))
    for error in (position_error, scaled_error, aligned_error):
        torch.testing.assert_close(error(p, g, m).flatten(0, 1), error(predicted, target, mask))


@pytest.mark.parametrize(
    "shapes", [((3, 17, 3), (17, 3), (3, 17)), ((3, 17, 2), (3, 17, 2), (3, 17)), ((3, 17, 3), (3, 17, 3), (3, 1))]
)
def test_shapes_that_would_broadcast_are_refused(shapes: tuple[tuple[int, ...], ...]):
    with pytest.raises(InvalidValueError, match="must be"):
        position_error(np.ones(shapes[0]), np.ones(shapes[1]), np.ones(shapes[2]))
