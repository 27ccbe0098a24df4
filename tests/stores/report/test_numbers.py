"""stores/report: every number of the page against SciPy or brute force."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from auglift.stores.reading.store import FeatureStore
from auglift.stores.report.jumps import find_jumps
from auglift.stores.report.page import make_page
from auglift.stores.report.sample import JOINTS, take_sample

from ...fakes.given import GivenStore, people

LENGTHS = (300, 7, 420, 273)
FRAMES = sum(LENGTHS)


def rho(a: np.ndarray, b: np.ndarray) -> float:
    return float(spearmanr(a, b)[0])  # type: ignore[arg-type]


def made(path, **given: np.ndarray) -> FeatureStore:
    GivenStore(lengths=LENGTHS, shard_frames=128, given={**people(FRAMES), **given}).run(path)
    return FeatureStore.open(path)


def test_rank_correlations_are_spearmans_by_joint_and_by_sequence(tmp_path):
    store = made(tmp_path / "s")
    of = make_page(store).numbers["depth_against_true_depth"]["descriptors"]["uadd/paper"]
    true, said = store.read("target/pose3d")[..., 2], store.read("uadd/paper")[..., 0]
    relief_true, relief_said = (np.delete(z - z[:, :1], 0, axis=1) for z in (true, said))
    assert of["relief_rank"] == pytest.approx(rho(relief_true.ravel(), relief_said.ravel()), abs=1e-4)
    assert of["distance_rank"] == pytest.approx(rho(true.ravel(), said.ravel()), abs=1e-4)
    for n, joint in enumerate(JOINTS[1:]):
        expected = rho(relief_true[:, n], relief_said[:, n])
        assert of["joints"][joint]["relief_rank"] == pytest.approx(expected, abs=1e-4)
    for row in store.sequences:
        part = slice(row.start, row.stop)
        expected = rho(relief_true[part].ravel(), relief_said[part].ravel())
        assert of["sequences"][row.id]["relief_rank"] == pytest.approx(expected, abs=1e-4)


def test_bias_and_scale_are_those_that_were_put_in(tmp_path):
    true = people(FRAMES)["target/pose3d"][..., 2]
    said = np.repeat((1.25 * true)[..., None], 3, axis=-1)
    of = make_page(made(tmp_path / "s", **{"uadd/paper": said})).numbers["depth_against_true_depth"]
    assert of["descriptors"]["uadd/paper"]["scale"] == pytest.approx(1.25, abs=1e-4)
    assert of["descriptors"]["uadd/paper"]["bias"] == pytest.approx(np.median(0.25 * true), abs=1e-3)


@pytest.mark.parametrize(
    ("noise", "level", "words"),
    [(0.02, "bad", "THE TRUTH LEAKS"), (0.3, "good", "it helps"), (np.inf, "warn", "says nothing of the pose")],
)
def test_depth_that_is_the_truth_is_called_a_leak_and_a_networks_is_not(tmp_path, noise: float, level: str, words: str):
    rng = np.random.default_rng(1)
    true = people(FRAMES)["target/pose3d"][..., 2]
    said = rng.normal(4, 0.3, true.shape) if noise == np.inf else true + rng.normal(0, noise, true.shape)
    page = make_page(made(tmp_path / "s", **{"uadd/paper": np.repeat(said[..., None], 3, axis=-1)}))
    (finding,) = [text for at, text in page.numbers["findings"] if text.startswith("uadd/paper") and at == level]
    assert words in finding
    assert words in page.html


def test_a_linear_fit_gains_what_depth_knows_and_nothing_where_it_knows_nothing(tmp_path):
    """The joints of these people say nothing of depth: without it the error is that of the mean, 0.3 m of spread."""
    of = make_page(made(tmp_path / "s")).numbers["depth_against_true_depth"]["descriptors"]["uadd/paper"]["linear_fit"]
    # Mean absolute deviation of the difference of two normals of 0.3 m.
    assert of["without"] == pytest.approx(0.3 * np.sqrt(2) * np.sqrt(2 / np.pi), rel=0.1)
    assert of["gain"] > 0.15


def test_the_detectors_error_is_the_distance_to_the_truth_by_joint(tmp_path):
    store = made(tmp_path / "s")
    of = make_page(store).numbers["detector_error_by_joint"]
    distance = np.linalg.norm(store.read("keypoints") - store.read("target/keypoints"), axis=-1)
    for n, joint in enumerate(JOINTS):
        assert of["joints"][joint]["median"] == pytest.approx(np.median(distance[:, n]), rel=1e-4)
        assert of["joints"][joint]["p90"] == pytest.approx(np.percentile(distance[:, n], 90), rel=1e-4)
    assert of["all"]["knows"] == pytest.approx(rho(store.read("score").ravel(), distance.ravel()), abs=1e-4)


def test_jumps_are_counted_one_by_one_across_shards_and_never_across_sequences(tmp_path):
    rng = np.random.default_rng(3)
    corner = np.repeat(rng.integers(0, 3, FRAMES // 4 + 1), 4)[:FRAMES] * 300.0
    box = np.stack([corner, corner, corner + 200, corner + 250, np.full(FRAMES, 0.9)], axis=1)
    valid = rng.random(FRAMES) > 0.3
    store = made(tmp_path / "s", bbox=box, valid=valid)
    expected: list[dict[str, Any]] = []
    pairs = 0
    for row in store.sequences:
        frames = [f for f in range(row.start, row.stop) if valid[f]]
        for a, b in pairwise(frames):
            if b - a <= 3:
                pairs += 1
                if corner[a] != corner[b]:
                    expected.append({"sequence": row.id, "from": a - row.start, "to": b - row.start})
    assert len(expected) > 50
    assert find_jumps(store) == (pairs, expected)
    of = make_page(store).numbers["jumps_between_people"]
    assert (of["pairs"], of["jumps"], of["where"]) == (pairs, len(expected), expected)


def test_the_sample_is_whole_where_it_can_be_and_else_even_and_the_same_again(tmp_path):
    store = made(tmp_path / "s")
    assert take_sample(store, ["score"]).looked_at == FRAMES
    few = take_sample(store, ["score"], most=384, seed=5)
    assert few.looked_at <= 384
    assert np.array_equal(few["score"], store.read("score")[few.frame])
    assert np.array_equal(few.frame, take_sample(store, [], most=384, seed=5).frame)
    assert any(not np.array_equal(few.frame, take_sample(store, [], most=384, seed=s).frame) for s in range(3))
    for row, frame in zip(few.row, few.frame, strict=True):
        assert store.sequences[int(row)].start <= frame < store.sequences[int(row)].stop
    thirds = np.bincount(few.frame * 3 // FRAMES, minlength=3)
    assert thirds.min() > 60


def test_the_contact_sheet_shows_the_least_and_the_most_sure_frames(tmp_path):
    score = np.full((FRAMES, 17), 0.6) + np.linspace(0, 0.05, FRAMES)[:, None]
    score[[5, 350, 900]] = 0.1
    score[[100, 500, 800]] = 0.95
    shown = make_page(made(tmp_path / "s", score=score)).numbers["contact_sheet"]["frames"]
    assert {5, 350, 900} <= {one["frame"] for one in shown["worst"]}
    assert {100, 500, 800} <= {one["frame"] for one in shown["best"]}
    means = {kind: [one["score"] for one in of] for kind, of in shown.items()}
    assert max(means["worst"]) < min(means["median"]) < max(means["median"]) < min(means["best"])
    for of in shown.values():
        frames = sorted(one["frame"] for one in of)
        assert min(np.diff(frames)) > 1


def test_coverage_is_counted_over_every_frame_and_by_camera(tmp_path):
    valid = np.ones(FRAMES)
    valid[:150] = 0  # half of the first sequence, of camera 1
    store = made(tmp_path / "s", valid=valid)
    of = make_page(store, most=128).numbers
    assert of["sample"]["frames"] == 128
    groups = of["coverage_by_sequence"]["groups"]["camera"]
    assert groups["cam1"]["valid_share"] == pytest.approx(1 - 150 / (300 + 420), abs=1e-6)
    assert groups["cam2"]["valid_share"] == 1
    assert of["coverage_by_sequence"]["below_90_percent"] == 1
