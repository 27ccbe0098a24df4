"""synth.py and ground_truth.py: what is drawn becomes a store whose truth is exact."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auglift.pipeline.build import NetworkOptions
from auglift.pipeline.datasets.synth import SynthOptions, store_clips, undrawn_clips
from auglift.pipeline.execution.serial import SerialExecutor, execute
from auglift.pipeline.extract import Extractor
from auglift.pipeline.frames.sources import probe
from auglift.pipeline.networks.substitutes.ground_truth import require_truth, true_people
from auglift.pipeline.plan import Clip, Plan, clip_of
from auglift.pipeline.synth.rendered import TRUTH, VIDEO, render_clips
from auglift.pipeline.synth.video import render_clip
from auglift.stores.errors import CorruptStoreError, InvalidValueError
from auglift.stores.locations.choose import locate
from auglift.stores.reading.store import FeatureStore

from ...fakes.networks import fake_extractor

OPTIONS = SynthOptions("studio", clips=2, split="train", frames=6, size=128, seed=5)
TRUE = NetworkOptions(pose="ground-truth", depth="ground-truth", device="cpu", batch=4, threads=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = OPTIONS.folder(tmp_path_factory.mktemp("cache"), captured=False)
    render_clips(OPTIONS.plan(), folder, depth=True)
    return folder


def make(out: Path, clips: list[Clip], extractor: Extractor, settings: Any) -> FeatureStore:
    plan = Plan(tuple(clips), settings, tuple(p.name for p in extractor.presets), shard_frames=8)
    outcome = execute(plan, locate(str(out)), SerialExecutor(lambda: extractor))
    assert not outcome.failures
    return FeatureStore.open(out)


@pytest.fixture(scope="module")
def store(folder, tmp_path_factory) -> FeatureStore:
    clips = store_clips(OPTIONS.plan(), folder, depth=True)
    extractor = TRUE.build()
    return make(tmp_path_factory.mktemp("store") / "x.zarr", clips, extractor, TRUE.settings(extractor))


def exact() -> list[Any]:
    """The frames again, from the renderer."""
    return [batch for clip in OPTIONS.plan() for batch in render_clip(clip, batch=6)]


def whole(store: FeatureStore, field: str) -> np.ndarray:
    return store.read(field, 0, 12)


def test_pose3d_projected_by_the_tables_intrinsics_is_the_2d_pose(store):
    pose, keypoints = whole(store, "target/pose3d"), whole(store, "target/keypoints")
    for row in store.sequences:
        part = slice(row.start, row.stop)
        x, y, z = np.moveaxis(pose[part].astype(float), -1, 0)
        projected = np.stack([row.fx * x / z + row.cx, row.fy * y / z + row.cy], axis=-1)
        assert np.abs(projected - keypoints[part]).max() < 0.1
        assert 2 < z.mean() < 6  # metres: a person some steps away


def test_ground_truth_pose_is_the_target_with_confidence_one(store):
    np.testing.assert_array_equal(whole(store, "keypoints"), whole(store, "target/keypoints"))
    assert (whole(store, "score") == 1).all()
    assert (whole(store, "radius/paper") == 3).all()  # r_min: nothing is uncertain
    assert whole(store, "valid").all()


def test_the_box_is_the_true_one_and_holds_the_person(store):
    person = np.concatenate([batch.person.numpy() for batch in exact()]) == 1
    for (x1, y1, x2, y2, score), mask in zip(whole(store, "bbox"), person, strict=True):
        v, u = np.nonzero(mask)
        assert score == 1
        # Pixel u reaches from u - 0.5 to u + 0.5; half a pixel more for what the rasteriser draws of its rim.
        assert x1 - 0.5 <= u.min() - 0.5
        assert u.max() + 0.5 <= x2 + 0.5
        assert y1 - 0.5 <= v.min() - 0.5
        assert v.max() + 0.5 <= y2 + 0.5


def test_uadd_of_ground_truth_is_the_disks_statistics_of_the_exact_depth(store):
    """Every pixel of every disk, by brute force, from the depth that the renderer gives again."""
    depth = np.concatenate([batch.depth.numpy() for batch in exact()]).astype(float)
    keypoints, found = whole(store, "keypoints").astype(float), whole(store, "uadd/paper")
    v, u = np.mgrid[:128, :128]
    inside = 0
    for frame in range(12):
        for joint, (x, y) in enumerate(keypoints[frame]):
            disk = depth[frame][(u - x) ** 2 + (v - y) ** 2 <= 9]
            if len(disk):
                inside += 1
                wanted = [np.median(disk), disk.min(), disk.max()]
                np.testing.assert_allclose(found[frame, joint], wanted, atol=0.6e-3)
            else:
                assert np.isnan(found[frame, joint]).all()
    assert inside > 150


def test_the_depth_at_a_visible_joints_pixel_is_the_flesh_in_front_of_it(store):
    """A joint lies inside its limb: the surface is nearer than the joint, by no more than a body is deep."""
    visible = np.concatenate([batch.visible_h36m.numpy() for batch in exact()])
    depth = np.concatenate([batch.depth.numpy() for batch in exact()])
    # The nearest pixel centre, which is what integers are in a store.
    x, y = np.rint(np.moveaxis(whole(store, "target/keypoints"), -1, 0)).astype(int).clip(0, 127)
    behind = (whole(store, "target/pose3d")[..., 2] - depth[np.arange(12)[:, None], y, x])[visible]
    assert len(behind) > 50
    assert 0 < np.median(behind) < 0.15
    assert np.mean((behind > -0.1) & (behind < 0.3)) > 0.95


def test_the_table_says_who_does_what_where(store):
    rows, drawn = list(store.sequences), OPTIONS.plan()
    assert [(row.subject, row.action, row.split, row.fps) for row in rows] == [
        (clip.subject, clip.motion, "train", 25.0) for clip in drawn
    ]
    assert {row.dataset for row in rows} == {"synth-studio"}
    motion = [about["truth"]["motion"] for about in store.configuration["sequences"].values()]
    assert motion == ["procedural"] * 2


def test_the_settings_say_that_it_is_ground_truth(store):
    assert store.configuration["pose"]["name"] == "ground-truth"
    assert store.configuration["detector"]["name"] == "ground-truth"
    assert store.configuration["depth"]["name"] == "ground-truth"


def test_networks_see_the_same_clips_and_the_store_has_the_same_targets(folder, store, tmp_path):
    extractor = fake_extractor()
    settings = {"batch": 4, "threads": 1, "detector": {"name": "fake"}, "depth": {"name": "fake"}}
    other = make(tmp_path / "x.zarr", store_clips(OPTIONS.plan(), folder, depth=False), extractor, settings)
    np.testing.assert_array_equal(whole(other, "target/pose3d"), whole(store, "target/pose3d"))
    assert not np.allclose(whole(other, "keypoints"), whole(store, "keypoints"), equal_nan=True)


def test_resampled_frames_have_the_truth_of_those_frames(folder, tmp_path):
    (clip, _) = store_clips(OPTIONS.plan(), folder, depth=True, fps=10)
    assert clip.step == Fraction(5, 2)
    assert clip.truth is not None
    frames = clip.source_frames(0, clip.count)
    assert frames.tolist() == [0, 3, 5]
    with np.load(folder / clip.id / TRUTH) as kept:
        np.testing.assert_array_equal(clip.truth.read(frames)["target/pose3d"], kept["pose3d"][[0, 3, 5]])


def test_undrawn_clips_make_the_plan_that_drawn_ones_make(folder):
    undrawn = undrawn_clips(OPTIONS.plan(), Path("nowhere"), depth=True)
    drawn = store_clips(OPTIONS.plan(), folder, depth=True)
    known = [(clip.id, clip.count, clip.fps, clip.info.width) for clip in undrawn]
    assert known == [(clip.id, clip.count, clip.fps, clip.info.width) for clip in drawn]
    assert Plan(tuple(undrawn), {}, ("paper",)).fields == Plan(tuple(drawn), {}, ("paper",)).fields


def test_splits_share_neither_people_nor_rooms_and_every_fourth_clip_tests():
    clips = replace(OPTIONS, split="all", clips=40).plan()
    assert [clip.split for clip in clips].count("test") == 10
    for of in (lambda clip: clip.subject, lambda clip: (clip.split, clip.room)):
        assert not {of(c) for c in clips if c.split == "train"} & {of(c) for c in clips if c.split == "test"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"domain": "gymn"}, "did you mean 'gym'"),
        ({"split": "valid"}, "there are: train, test, all"),
        ({"size": 129}, "even number of pixels; try 130"),
        ({"clips": 0}, "must be positive"),
    ],
)
def test_what_cannot_be_drawn_is_an_error_that_says_what_can(changes, message):
    with pytest.raises(InvalidValueError, match=message):
        replace(OPTIONS, **changes).plan()


def test_damaged_truth_is_an_error_that_says_what_to_delete(folder, tmp_path):
    (clip, _) = store_clips(OPTIONS.plan(), folder, depth=False)
    bad = tmp_path / clip.id
    bad.mkdir()
    (bad / TRUTH).write_bytes((folder / clip.id / TRUTH).read_bytes()[:500])
    assert clip.truth is not None
    truth = replace(clip.truth, folder=bad)  # type: ignore[type-var]
    with pytest.raises(CorruptStoreError, match=r"delete .* and run the command again"):
        truth.read(np.arange(2))


# Ground truth of any dataset ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OnlyPose:
    """A dataset with 3D joints and nothing else."""

    fields: tuple[str, ...] = ("target/pose3d",)

    def describe(self):
        return {}

    def read(self, source_frames):
        return {"target/pose3d": np.zeros((len(source_frames), 17, 3), np.float32)}


@pytest.mark.parametrize("kind", ["pose", "depth"])
def test_a_dataset_without_it_refuses_ground_truth_and_says_what_it_has(folder, kind):
    info = probe(folder / OPTIONS.plan()[0].id / VIDEO)
    names = {"pose": "rtmpose-l", "depth": "depth-anything-v2-large", kind: "ground-truth"}
    bare = clip_of(info, "walk", "walk.mp4", None, None)
    with pytest.raises(InvalidValueError, match=rf"--{kind} ground-truth: video 'walk' .*nothing is known"):
        require_truth([bare], names)
    known = clip_of(info, "walk", "walk.mp4", None, None, dataset="some", truth=OnlyPose())
    with pytest.raises(InvalidValueError, match=r"what is known of it: target/pose3d"):
        require_truth([known], names)
    require_truth([bare], {"pose": "rtmpose-l", "depth": "depth-anything-v2-large"})


def test_joints_that_are_not_known_have_no_confidence_and_do_not_stretch_the_box():
    keypoints = np.full((3, 17, 2), np.nan, np.float32)
    keypoints[0, :2] = [[10, 20], [30, 25]]
    keypoints[1, :] = 7
    boxes = np.array([[np.nan] * 4, [1, 2, 3, 4], [1, 2, 3, 4]], np.float32)
    _, score, bbox = true_people({"target/keypoints": keypoints, "bbox": boxes})
    np.testing.assert_array_equal(score[0], [1, 1] + [np.nan] * 15)
    np.testing.assert_array_equal(bbox[0], [10, 20, 30, 25, 1])
    np.testing.assert_array_equal(bbox[1], [1, 2, 3, 4, 1])
    assert np.isnan(bbox[2]).all()


def test_a_frame_whose_truth_is_unknown_or_that_cannot_be_read_is_not_valid():
    extractor = TRUE.build()
    keypoints = np.full((3, 17, 2), 8, np.float32)
    keypoints[1] = np.nan
    truth = {"target/keypoints": keypoints, "depth": np.full((3, 16, 16), 2.5, np.float32)}
    out = extractor.extract(np.zeros((3, 16, 16, 3), np.uint8), np.array([True, True, False]), truth)
    assert out["valid"].tolist() == [1, 0, 0]
    assert (out["uadd/paper"][0] == 2.5).all()
    assert np.isnan(out["keypoints"][1:]).all()
