"""pipeline/extract.py: rows of what the networks said, NaN where there is nobody or nothing could be read."""

from __future__ import annotations

import numpy as np
import torch

from auglift.pipeline.uadd.descriptor import PRESETS, compute
from auglift.stores.format.skeleton import coco_to_h36m

from ..fakes.networks import FakeDepth, FakePose, fake_extractor

RNG = np.random.default_rng(0)


def frames(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    return RNG.integers(16, 255, (count, height, width, 3), dtype=np.uint8)


def test_rows_are_what_the_networks_say_of_each_frame_alone():
    batch = frames(4)
    out = fake_extractor().extract(batch, np.ones(4, bool))
    for row in range(4):
        images = torch.from_numpy(batch[row : row + 1])
        box = torch.tensor([[6.4, 4.8, 57.6, 43.2]])
        keypoints, score = FakePose().estimate(images, box, torch.zeros(1, dtype=torch.long))
        h36m = coco_to_h36m(keypoints.numpy())
        confidence = coco_to_h36m(score.numpy()[..., None])[..., 0]
        np.testing.assert_allclose(out["keypoints"][row], h36m[0], rtol=1e-6)
        np.testing.assert_allclose(out["score"][row], confidence[0], rtol=1e-6)
        described = compute(
            FakeDepth().estimate(images),
            torch.from_numpy(h36m),
            torch.from_numpy(confidence).clamp(0, 1),
            (64, 48),
            [PRESETS["paper"]],
        )["paper"]
        np.testing.assert_allclose(out["uadd/paper"][row], described.stats[0].numpy(), rtol=1e-5, equal_nan=True)
        np.testing.assert_allclose(out["radius/paper"][row], described.radius[0].numpy(), rtol=1e-5)


def test_a_frame_that_shows_nobody_is_kept_invalid_and_nan():
    batch = frames(3)
    batch[1, 0, 0] = 0
    out = fake_extractor().extract(batch, np.ones(3, bool))
    assert out["valid"].tolist() == [1, 0, 1]
    for name in ("keypoints", "score", "bbox", "uadd/paper", "uadd/spatial", "radius/fixed"):
        assert np.isnan(out[name][1]).all(), name
        assert np.isfinite(out[name][0]).all(), name


def test_a_frame_that_could_not_be_read_is_never_given_to_the_networks():
    batch = frames(3)
    alone = fake_extractor().extract(batch[[0, 2]], np.ones(2, bool))
    out = fake_extractor().extract(batch, np.array([True, False, True]))
    assert out["valid"].tolist() == [1, 0, 1]
    for name, values in out.items():
        np.testing.assert_array_equal(values[[0, 2]], alone[name])


def test_nothing_readable_and_nobody_at_all_give_empty_rows():
    batch = frames(2)
    assert fake_extractor().extract(batch, np.zeros(2, bool))["valid"].sum() == 0
    batch[:, 0, 0] = 0
    out = fake_extractor().extract(batch, np.ones(2, bool))
    assert out["valid"].sum() == 0
    assert np.isnan(out["uadd/quantile"]).all()


def test_of_two_people_the_one_of_highest_mean_score_is_taken_or_the_one_the_true_box_names():
    # Wide frames have two boxes; the fake scores all people of a frame alike, so the first wins the tie.
    batch = frames(2, height=20, width=64)
    free = fake_extractor().extract(batch, np.ones(2, bool))
    assert free["bbox"][:, 4].tolist() == [np.float32(0.9)] * 2
    truth = np.array([[0, 0, 19, 6], [6, 2, 58, 18]], dtype=np.float32)
    found = fake_extractor().extract(batch, np.ones(2, bool), {"bbox": truth})
    assert found["bbox"][:, 4].tolist() == [np.float32(0.5), np.float32(0.9)]


def test_stored_score_is_raw_while_the_radius_uses_it_clipped():
    batch = np.full((1, 48, 64, 3), 255, dtype=np.uint8)
    out = fake_extractor().extract(batch, np.ones(1, bool))
    assert out["score"].max() > 1
    assert out["radius/paper"].min() == 3.0
