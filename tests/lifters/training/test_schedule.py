"""lifters/training/schedule.py against the papers' formulas."""

from __future__ import annotations

import numpy as np
import pytest

from auglift.lifters.models import hyperparameters
from auglift.lifters.training.schedule import batch_norm_momentum, learning_rate


def test_the_schedules_are_the_papers():
    pavllo = hyperparameters("video_pose3d")
    assert [learning_rate(pavllo, e, 999) for e in range(3)] == pytest.approx([1e-3, 0.95e-3, 0.95**2 * 1e-3])
    # VideoPose3D's own formula: initial * exp(-epoch / epochs * ln(initial / final)).
    ours = [batch_norm_momentum(pavllo, e, 80) for e in range(80)]
    assert ours == pytest.approx([0.1 * np.exp(-e / 80 * np.log(0.1 / 0.001)) for e in range(80)])
    martinez = hyperparameters("simple_baseline")
    assert learning_rate(martinez, 50, 99_999) == 1e-3
    assert learning_rate(martinez, 50, 100_000) == pytest.approx(0.96e-3)
    assert batch_norm_momentum(martinez, 3, 10) is None
