"""lifters/analysis: tiers, novelty, occlusion and detection against SciPy, brute force and exact visibility."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster.vq import kmeans2

from auglift.lifters.analysis.analyse import names_of
from auglift.lifters.analysis.detection import detection_error
from auglift.lifters.analysis.novelty import k_means, nearest, novelty
from auglift.lifters.analysis.occlusion import RADII, hidden_joints
from auglift.lifters.analysis.sequence_length import by_window, require_windows
from auglift.lifters.analysis.tiers import tier_of
from auglift.stores.errors import InvalidValueError
from auglift.stores.format.skeleton import H36M_17
from reproduce.occlusion import domain_counts, rates


def test_tiers_have_their_shares_and_frames_of_one_value_stay_together():
    values = np.random.default_rng(0).permutation(100).astype(float)
    tiers = tier_of(values, [0.2, 0.6, 0.2])
    assert np.bincount(tiers).tolist() == [20, 60, 20]
    assert values[tiers == 0].max() < values[tiers == 1].min()
    tied = tier_of(np.array([0.0] * 60 + [1.0] * 40 + [np.nan]), [0.25] * 4)
    assert tied.tolist() == [1] * 60 + [3] * 40 + [-1]


def test_k_means_ends_where_scipys_does_from_the_same_beginning():
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(at, 0.3, (80, 51)) for at in range(5)])
    centres = k_means(values, 5)
    again, _ = kmeans2(values, centres, minit="matrix", iter=20)
    np.testing.assert_allclose(centres, again, atol=1e-9)
    which, square = nearest(values, centres)
    apart = np.linalg.norm(values[:, None] - centres, axis=-1)
    assert (which == apart.argmin(1)).all()
    np.testing.assert_allclose(square, apart.min(1) ** 2)
    assert (k_means(values, 5) == centres).all()


def test_novelty_is_the_distance_to_the_nearest_centre_wherever_the_pelvis_is():
    pose = np.random.default_rng(2).normal(0, 0.3, (3, 17, 3))
    flat = (pose - pose[:, :1]).reshape(3, 51)
    assert novelty(pose + 5, flat[:1])[0] == pytest.approx(0, abs=1e-6)
    assert novelty(pose, flat[:2])[2] == pytest.approx(1000 * np.linalg.norm(flat[2] - flat[:2], axis=1).min())


def test_a_joint_is_hidden_by_one_that_is_nearer_and_covers_it_and_by_no_other():
    rng = np.random.default_rng(3)
    xy, z = rng.uniform(0, 300, (40, 17, 2)), rng.uniform(4, 4.2, (40, 17))
    xy[0, 3] = np.nan
    found = hidden_joints(xy, z)
    for frame in range(40):
        scale = (np.nanmax(xy[frame, :, 1]) - np.nanmin(xy[frame, :, 1])) / 300
        for j in range(17):
            by_hand = any(
                np.hypot(*(xy[frame, i] - xy[frame, j])) < RADII[i] * scale and z[frame, i] + 0.01 <= z[frame, j]
                for i in range(17)
            )
            assert found[frame, j] == by_hand
    assert RADII[H36M_17.index("left_wrist")] == 12
    assert RADII[H36M_17.index("nose")] == 20


def test_the_rule_finds_what_exact_rays_find_far_oftener_than_chance():
    counts = domain_counts("studio", 4)
    precision, recall = rates(counts[0].tolist())
    chance = counts[0, 2] / (4 * 20 * 17)
    assert precision > 2 * chance
    assert recall > 0.4


def test_detection_leaves_joints_out_that_are_off_by_more_than_a_hundred_pixels():
    true = np.zeros((3, 17, 2))
    seen = true + np.array([3.0, 4.0])
    seen[0, 2] = 500
    seen[1, 5] = np.nan
    seen[2] = 500
    np.testing.assert_allclose(detection_error(seen, true), [5, 5, np.nan])


def test_longer_windows_are_compared_on_both_sides_and_one_window_is_refused():
    same = {"lifter": "video_pose3d", "inputs": "xy", "source": "a", "p_mpjpe": 1.0, "seed": 0}
    rows = [
        {**same, "window": w, "target": t, "mpjpe": m}
        for w, t, m in ((1, "a", 60.0), (27, "a", 50.0), (1, "b", 90.0), (1, "c", 110.0))
    ]
    found = by_window(rows)
    assert found.windows == (1, 27)
    assert found.lines["video_pose3d", "xy", "in distribution"][27].mpjpe == 50
    assert found.lines["video_pose3d", "xy", "out of distribution"][1].mpjpe == 100
    with pytest.raises(InvalidValueError, match="name runs of other windows"):
        require_windows({"a": 27, "b": 27})


def test_an_unknown_analysis_names_the_nearest():
    with pytest.raises(InvalidValueError, match="did you mean 'occlusion'"):
        names_of("novelty,oclusion")
