"""Stores of a simulated sensor: its depth against the renderer's, its joints against the truth, and the same bytes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from auglift.pipeline.build import NetworkOptions, choose_presets, warnings
from auglift.pipeline.execution.serial import SerialExecutor, execute
from auglift.pipeline.networks.substitutes.simulated import Simulated
from auglift.pipeline.plan import Plan
from auglift.pipeline.synth.clip import plan_clips
from auglift.pipeline.synth.simulated.noise import NOISES, Noise
from auglift.pipeline.synth.simulated.sensor import sense
from auglift.pipeline.synth.simulated.truth import simulated_clips
from auglift.stores.errors import InvalidValueError
from auglift.stores.format.layout import ledger_key
from auglift.stores.locations.choose import locate
from auglift.stores.reading.store import FeatureStore
from auglift.stores.summaries.card import write_card

from ..rendering.drawn_clips import CASES, FRAMES, drawn

SIZE = 160
CLIPS = plan_clips("studio", 3, seed=2, frames=12, size=SIZE)
PRESETS = choose_presets("paper:r_min=1:r_max=5")
WARNING = "SIMULATED SENSOR: NO PICTURES, NO NETWORKS; JOINTS AND DEPTH ARE GEOMETRY WITH STATED ERRORS"


def make(out: Path, noise: Noise, batch: int = 8, shard_frames: int = 10) -> FeatureStore:
    """A store of CLIPS, through the pipeline that every store goes through."""
    joints, depth = (Simulated(about={"noise": each}) for each in (noise.of_joints(), noise.of_depth()))
    networks = NetworkOptions(given=joints, given_depth=depth, presets=PRESETS, device="cpu", batch=batch, threads=1)
    extractor = networks.build()
    settings = networks.settings(extractor)
    clips = simulated_clips(CLIPS, noise, None, reach=5.0)
    plan = Plan(tuple(clips), settings, ("paper",), shard_frames, warnings(settings, {"synth-studio"}))
    outcome = execute(plan, locate(str(out)), SerialExecutor(lambda: extractor))
    assert not outcome.failures
    return FeatureStore.open(out)


def small(name: str) -> Noise:
    return replace(NOISES[name], map=80)


@pytest.fixture(scope="module")
def standard(tmp_path_factory) -> FeatureStore:
    return make(tmp_path_factory.mktemp("standard") / "x.zarr", small("standard"))


def whole(store: FeatureStore, field: str) -> np.ndarray:
    return store.read(field, 0, store.frames)


@pytest.mark.parametrize("domain", CASES)
def test_its_depth_is_the_renderers_own_pixel_by_pixel(domain):
    """A map of as many cells as the frame has pixels; furniture, posts, passers-by and a moving camera occur."""
    clip, _, batch = drawn(domain)
    sensed = sense(clip, replace(NOISES["exact"], map=clip.size))
    for row, frame in enumerate(FRAMES):
        ours, theirs = sensed.depth(frame, reach=clip.size), batch.depth[row].numpy()
        assert np.isfinite(ours).all()
        # The renderer works in single precision: at outlines a ray may hit or miss.
        assert np.mean(np.abs(ours - theirs) > 1e-3) < 2e-3


def test_of_a_part_of_the_frame_it_gives_the_same_depth_with_all_its_errors():
    sensed = sense(CLIPS[0], small("standard"))
    whole, part = sensed.depth(5, reach=SIZE), sensed.depth(5, reach=6)
    there = np.isfinite(part)
    assert 0.02 < there.mean() < 0.9
    np.testing.assert_allclose(part[there], whole[there], rtol=1e-6)


def test_without_noise_its_joints_are_true_and_its_confidence_is_one(tmp_path):
    store = make(tmp_path / "x.zarr", small("none"))
    np.testing.assert_allclose(whole(store, "keypoints"), whole(store, "target/keypoints"), atol=1e-4)
    assert (whole(store, "score") == 1).all()
    assert (whole(store, "radius/paper") == 1).all()


def test_true_joints_are_where_the_tables_camera_sees_them(standard):
    pose = whole(standard, "target/pose3d").astype(float)
    for row in standard.sequences:
        x, y, z = np.moveaxis(pose[row.start : row.stop], -1, 0)
        projected = np.stack([row.fx * x / z + row.cx, row.fy * y / z + row.cy], axis=-1)
        np.testing.assert_allclose(projected, whole(standard, "target/keypoints")[row.start : row.stop], atol=1e-3)


def test_the_descriptor_is_the_disks_statistics_of_its_depth_map(standard):
    """By brute force: the map upsampled to the frame with aligned corners, every pixel of every disk."""
    at = np.arange(SIZE) * 79 / (SIZE - 1)
    low = np.minimum(at.astype(int), 78)
    share = at - low
    v, u = np.mgrid[:SIZE, :SIZE]
    compared = 0
    for number, clip in enumerate(CLIPS):
        depth = sense(clip, small("standard")).depth(4, reach=SIZE).astype(float)
        rows = depth[low] + (depth[low + 1] - depth[low]) * share[:, None]
        full = rows[:, low] + (rows[:, low + 1] - rows[:, low]) * share
        row = 12 * number + 4
        places, radii = whole(standard, "keypoints")[row].astype(float), whole(standard, "radius/paper")[row]
        for joint, ((x, y), radius) in enumerate(zip(places, radii.astype(float), strict=True)):
            disk = full[(u - x) ** 2 + (v - y) ** 2 <= radius**2]
            if len(disk):
                compared += 1
                wanted = [np.median(disk), disk.min(), disk.max()]
                np.testing.assert_allclose(whole(standard, "uadd/paper")[row, joint], wanted, rtol=1e-5)
    assert compared > 30


def test_useless_depth_is_another_persons_at_this_ones_distance_and_nothing_else_changes(standard, tmp_path):
    useless = make(tmp_path / "x.zarr", small("useless"))
    for field in ("keypoints", "score", "target/pose3d", "bbox"):
        np.testing.assert_array_equal(whole(useless, field), whole(standard, field))
    root = whole(standard, "target/pose3d")[:, 0, 2].reshape(3, 12)
    relief = [whole(standard, "uadd/paper")[12 * n : 12 * n + 12] - root[n][:, None, None] for n in range(3)]
    for number in range(3):
        mine = whole(useless, "uadd/paper")[12 * number : 12 * number + 12] - root[number][:, None, None]
        other = relief[(number + 1) % 3]
        # Each frame is one of the other clip's, and every one of them occurs.
        away = np.nanmax(np.abs(mine[:, None] - other[None]), axis=(2, 3))
        assert sorted(away.argmin(axis=1)) == list(range(12))
        assert away.min(axis=1).max() < 1e-5


def test_a_killed_shard_is_written_again_byte_for_byte_whatever_the_batch(standard, tmp_path):
    again = tmp_path / "again.zarr"
    make(again, small("standard"))
    files = {path.relative_to(again): path.read_bytes() for path in again.rglob("c/*") if path.is_file()}
    (again / ledger_key(1)).unlink()
    for path in again.rglob("c/1*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    make(again, small("standard"))
    assert files == {path.relative_to(again): path.read_bytes() for path in again.rglob("c/*") if path.is_file()}
    other = make(tmp_path / "other.zarr", small("standard"), batch=5, shard_frames=36)
    for field in ("keypoints", "score", "uadd/paper", "target/pose3d", "source_frame"):
        np.testing.assert_array_equal(whole(other, field), whole(standard, field))


def test_each_constant_and_the_clip_decide_the_fingerprint(standard):
    noise = standard.configuration["depth"]["noise"], standard.configuration["pose"]["noise"]
    assert noise == (small("standard").of_depth(), small("standard").of_joints())
    assert all(row["truth"]["sensor"] for row in standard.configuration["sequences"].values())


def test_the_store_says_in_capitals_that_its_sensor_is_simulated(standard):
    assert standard.attributes["warnings"] == [WARNING]
    assert WARNING in write_card(standard)


def test_a_useless_sensor_needs_another_clip():
    with pytest.raises(InvalidValueError, match="one clip has no other's depth"):
        simulated_clips(CLIPS[:1], small("useless"), None, 5.0)
