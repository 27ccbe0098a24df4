"""lifters/losses.py, against loops in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auglift.lifters.losses import JOINT_WEIGHTS, LOSSES, combined, mpjpe, velocity
from auglift.stores.errors import InvalidValueError


def make(seed: int, shape: tuple[int, ...], holes: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    predicted, target = rng.normal(size=(2, *shape, 3))
    mask = rng.random(shape) >= holes
    target[rng.random(shape) < holes, rng.integers(3)] = np.nan
    return predicted, target, mask


def looped(name: str, predicted: np.ndarray, target: np.ndarray, mask: np.ndarray) -> float:
    """One joint after the other, over (B, T, J, 3)."""
    counts = mask & np.isfinite(target).all(-1)
    values: list[float] = []
    for b, t in np.ndindex(counts.shape[:2]):
        joints = np.flatnonzero(counts[b, t])
        scale = 1.0
        if name == "n_mpjpe" and len(joints):
            up = sum(float(predicted[b, t, j] @ target[b, t, j]) for j in joints)
            scale = max(0.0, up / sum(float(predicted[b, t, j] @ predicted[b, t, j]) for j in joints))
        for j in joints:
            error = scale * predicted[b, t, j] - target[b, t, j]
            if name == "velocity":
                if t == 0 or not counts[b, t - 1, j]:
                    continue
                error = (predicted[b, t, j] - predicted[b, t - 1, j]) - (target[b, t, j] - target[b, t - 1, j])
            weight = JOINT_WEIGHTS[j] if name == "weighted_mpjpe" else 1.0
            values.append(sum(error**2) / 3 if name == "mse" else weight * math.sqrt(sum(error**2)))
    return sum(values) / len(values) if values else 0.0


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 4), st.sampled_from([0.0, 0.4, 1.0]))
def test_every_loss_is_its_definition_over_the_joints_that_count(name: str, seed: int, b: int, t: int, holes: float):
    arrays = make(seed, (b, t, 17), holes)
    predicted, target, mask = map(torch.from_numpy, arrays)
    predicted.requires_grad_()
    loss = LOSSES[name](predicted, target, mask)
    assert loss.item() == pytest.approx(looped(name, *arrays), rel=1e-9, abs=1e-12)

    loss.backward()
    assert predicted.grad is not None
    assert predicted.grad.isfinite().all()
    uncounted = ~(mask & target.isfinite().all(-1))
    assert (predicted.grad[uncounted] == 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_a_perfect_prediction_has_no_loss_and_a_finite_gradient(name: str):
    target = torch.randn(2, 3, 17, 3)
    predicted = target.clone().requires_grad_()
    loss = LOSSES[name](predicted, target, None)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert predicted.grad is not None
    assert predicted.grad.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_a_prediction_that_is_not_finite_shows_unless_its_joint_does_not_count(name: str):
    predicted, target = torch.randn(2, 2, 3, 17, 3)
    predicted[0, 1, 4] = torch.nan
    assert LOSSES[name](predicted, target, None).isnan()
    mask = torch.ones(2, 3, 17, dtype=torch.bool)
    mask[0, 1, 4] = False
    assert LOSSES[name](predicted, target, mask).isfinite()


def test_a_scaled_prediction_has_no_n_mpjpe():
    target = torch.randn(4, 17, 3)
    assert LOSSES["n_mpjpe"](0.3 * target, target, None).item() == pytest.approx(0, abs=1e-6)
    assert mpjpe(0.3 * target, target).item() > 0.1


def test_a_pose_turned_inside_out_gets_nothing_from_n_mpjpe():
    """-0.01 g scaled by -100 would be g, and DSTformer once learnt just that."""
    target = torch.randn(4, 17, 3)
    predicted = (-0.01 * (target + 0.1 * torch.randn(4, 17, 3))).requires_grad_()
    loss = LOSSES["n_mpjpe"](predicted, target, None)
    loss.backward()
    assert loss.item() == pytest.approx(target.norm(dim=-1).mean().item())
    assert predicted.grad is not None
    assert (predicted.grad == 0).all()


def test_the_velocity_of_a_constant_offset_and_of_a_single_frame_is_zero():
    target = torch.randn(2, 9, 17, 3)
    assert velocity(target + 0.5, target).item() == pytest.approx(0, abs=1e-6)
    assert velocity(target[:, :1] + torch.randn(2, 1, 17, 3), target[:, :1]).item() == 0


def test_a_combination_is_the_weighted_sum():
    predicted, target = torch.randn(2, 2, 5, 17, 3, dtype=torch.float64)
    loss = combined({"mpjpe": 1, "n_mpjpe": 0.5, "velocity": 20})(predicted, target, None)
    parts = [LOSSES[name](predicted, target, None) for name in ("mpjpe", "n_mpjpe", "velocity")]
    assert loss.item() == pytest.approx(parts[0].item() + 0.5 * parts[1].item() + 20 * parts[2].item(), rel=1e-12)


@pytest.mark.parametrize(("weights", "words"), [({"mpjp": 1.0}, "did you mean 'mpjpe'"), ({}, "no loss named")])
def test_a_loss_that_is_not_there_is_refused(weights: dict, words: str):
    with pytest.raises(InvalidValueError, match=words):
        combined(weights)


@pytest.mark.parametrize("shape", [(2, 17, 3), (2, 1, 16, 3), (2, 1, 17, 2)])
def test_shapes_that_would_broadcast_are_refused(shape: tuple[int, ...]):
    with pytest.raises(InvalidValueError, match="both must be the same"):
        mpjpe(torch.zeros(2, 1, 17, 3), torch.zeros(shape))
    with pytest.raises(InvalidValueError, match="mask"):
        mpjpe(torch.zeros(2, 1, 17, 3), torch.zeros(2, 1, 17, 3), torch.ones(2, 17))
