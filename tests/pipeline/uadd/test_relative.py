"""UADD of relative depth does not depend on the factor and the constant that a network leaves open."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from auglift.pipeline.extract import Extractor
from auglift.pipeline.networks.substitutes.ground_truth import FOCAL_LENGTH
from auglift.pipeline.uadd.descriptor import PRESETS
from auglift.pipeline.uadd.relative import scale_free
from auglift.stores.format.skeleton import H36M_17

from ...fakes.networks import FakeDepth, fake_extractor

NAMES = ("pelvis", "left_hip", "right_hip", "spine", "thorax", "left_shoulder", "right_shoulder")
TORSO = [H36M_17.index(name) for name in NAMES]


def people(seed: int = 0, frames: int = 5) -> torch.Tensor:
    """(frames, 17, 3): d, and what is nearer and farther in the disk."""
    generator = torch.Generator().manual_seed(seed)
    d = 3 + 0.5 * torch.randn(frames, 17, 1, generator=generator)
    return torch.cat([d, d - 0.2, d + torch.rand(frames, 17, 1, generator=generator)], dim=-1)


@given(st.floats(1e-3, 1e3), st.floats(-100, 100), st.integers(0, 5))
def test_it_is_the_same_for_every_positive_factor_and_every_constant(factor, constant, seed):
    stats = people(seed).double()
    torch.testing.assert_close(scale_free(factor * stats + constant, 3), scale_free(stats, 3), rtol=1e-6, atol=1e-6)


def test_0_is_the_torsos_median_and_1_its_spread():
    stats = people()
    found = scale_free(stats, 3).numpy()
    for before, after in zip(stats.numpy(), found, strict=True):
        torso = before[TORSO, 0]
        np.testing.assert_allclose(after, (before - np.median(torso)) / np.ptp(torso), rtol=1e-4, atol=1e-5)


def test_a_torso_that_faces_the_camera_is_no_scale():
    stats = people()
    stats[:, TORSO] = stats[:, :1] + 1e-6 * torch.randn(5, len(TORSO), 1)
    found = scale_free(stats, 3)
    assert (found[..., 0].amax(1) - found[..., 0].amin(1)).numpy() == pytest.approx(4, rel=1e-4)  # a quarter of all


def test_positions_stay_as_they_are():
    stats = torch.cat([people(), torch.rand(5, 17, 4) * 900], dim=-1)
    assert torch.equal(scale_free(stats, 3)[..., 3:], stats[..., 3:])


def test_a_joint_without_depth_is_alone_and_a_frame_without_a_torso_has_none():
    stats = people()
    stats[0, H36M_17.index("left_wrist")] = torch.nan
    stats[1, TORSO[1:]] = torch.nan
    stats[2] = 4.0
    found = scale_free(stats, 3)
    assert found[0].isnan().any(-1).sum() == 1
    assert found[1].isnan().all()
    assert found[2].isnan().all()
    assert found[3:].isfinite().all()


def test_a_frame_is_the_same_in_any_batch():
    stats = people(frames=8)
    assert torch.equal(torch.cat([scale_free(row[None], 3) for row in stats]), scale_free(stats, 3))


class Relative(FakeDepth):
    """The fake's depth as a network of inverse depth tells it: with a factor and a constant of its own."""

    def __init__(self, factor: float, constant: float):
        self.factor, self.constant = factor, constant

    def describe(self) -> dict[str, Any]:
        return {"name": "relative", "metric": False}

    def estimate(self, frames: torch.Tensor) -> torch.Tensor:
        return self.factor * super().estimate(frames) + self.constant


def extracted(depth: Any, told: dict[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
    made = fake_extractor()
    extractor = Extractor(made.detector, made.pose, depth, tuple(PRESETS.values()), made.device)
    frames = np.random.default_rng(1).integers(16, 255, (3, 48, 64, 3), dtype=np.uint8)
    return extractor.extract(frames, np.ones(3, bool), told)


def test_a_store_of_relative_depth_has_the_same_numbers_whatever_the_networks_scale():
    one, other = extracted(Relative(1, 0)), extracted(Relative(7, -30))
    for name in (f"uadd/{preset}" for preset in PRESETS):
        assert np.isfinite(one[name]).all(), name
        np.testing.assert_allclose(one[name], other[name], rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(one["uadd/spatial"][..., 3:], extracted(FakeDepth())["uadd/spatial"][..., 3:])


def test_metric_depth_stays_in_metres():
    same = extracted(FakeDepth())["uadd/paper"]
    assert same[..., 0].std() > 0
    assert not np.allclose(same, extracted(Relative(1, 0))["uadd/paper"])


class Focal(FakeDepth):
    uses_focal_length = True

    def estimate(self, frames: torch.Tensor, focal_length: torch.Tensor | None = None) -> torch.Tensor:
        assert focal_length is not None
        return super().estimate(frames) * 0 + focal_length[:, None, None]


def test_a_network_that_wants_the_focal_length_gets_that_of_its_own_frames():
    found = extracted(Focal(), {FOCAL_LENGTH: np.array([5, 6, 7], np.float32)})["uadd/paper"]
    assert found[:, 0, 0].tolist() == [5, 6, 7]
