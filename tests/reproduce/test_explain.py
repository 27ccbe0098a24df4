"""reproduce/explain.py: what depth could add is found where it is there, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from reproduce.explain import gains

FRAMES = 4000


@pytest.fixture
def made() -> dict[str, np.ndarray]:
    """True poses, a lifter that knows x and y and errs by 5 cm in depth, and descriptors of exact depth."""
    rng = np.random.default_rng(0)
    true = rng.normal(0, 0.3, (FRAMES, 17, 3))
    true[:, 0] = 0
    pose = true.copy()
    pose[:, 1:, 2] += rng.normal(0, 0.05, (FRAMES, 16))
    depth = 4 + true[..., 2]
    uadd = np.stack([depth, depth - 0.1, depth + 0.1], axis=-1)
    score = rng.uniform(0, 1, (FRAMES, 17))
    return {"pose": pose, "true": true, "uadd": uadd, "score": score, "sequence": np.arange(FRAMES) // 40}


def test_exact_depth_takes_all_of_the_error_away(made):
    ours, of_depth, before, offset, corrected, _ = gains(**made)
    assert ours == pytest.approx(1000 * 0.6745 * 0.05, rel=0.05)  # the median of a normal distribution's size
    assert of_depth == pytest.approx(0, abs=1e-6)
    assert offset == pytest.approx(before, rel=0.02)
    assert corrected < 1e-6


def test_depth_that_tells_nothing_takes_nothing_away(made):
    noise = np.random.default_rng(1).normal(4, 0.5, (FRAMES, 17))
    made["uadd"] = np.stack([noise, noise - 0.1, noise + 0.1], axis=-1)
    _, of_depth, before, _, corrected, _ = gains(**made)
    assert of_depth > 300
    assert corrected == pytest.approx(before, rel=0.02)


def test_an_offset_of_a_joint_is_no_merit_of_depth(made):
    made["pose"][:, 5, 2] += 0.2
    made["uadd"][:] = np.nan  # no depth anywhere
    _, _, before, offset, corrected, _ = gains(**made)
    assert offset < before - 5
    assert corrected == pytest.approx(offset, rel=1e-3)


def test_true_depth_leaves_the_errors_across_the_picture(made):
    assert gains(**made)[-1] < 1e-6
    made["pose"][:, :, 0] += 0.03
    made["pose"][:, :, 1] -= 0.04
    *_, before, _, _, across = gains(**made)
    assert across == pytest.approx(50)
    assert before > across
