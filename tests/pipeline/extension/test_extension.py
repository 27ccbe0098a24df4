"""extension/plan.py: new fields are those a pass would have computed; kills and Ray change no byte of them."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from auglift.pipeline.extension.plan import clips_of, presets_of, require_free, require_same_depth
from auglift.pipeline.uadd.descriptor import PRESETS
from auglift.stores.errors import InvalidValueError, MissingFieldError, StoreIncompleteError
from auglift.stores.reading.store import FeatureStore
from auglift.stores.writing.families import remove_family
from auglift.stores.writing.verify import verify

from ...fakes.extend_job import FakeExtension, extend_fake, extend_ray
from ...fakes.folders import digest_of_folder
from ...fakes.job import run_fake
from ...fakes.video import number_frames, write_video
from ..execution.test_faults import LedgerWatch

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """Two videos, 30 and 21 frames, of different sizes, the first of them dark in a third of its frames: nobody."""
    folder = tmp_path_factory.mktemp("sources")
    frames = number_frames(30, width=96, height=64)
    frames[::3] = 0
    write_video(folder / "a.mp4", frames, fps=30)
    write_video(folder / "b.mp4", number_frames(21, width=64, height=96), fps=30)
    return folder


@pytest.fixture(scope="module")
def made(sources, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("made") / "s.zarr"
    assert run_fake(out, [sources / "a.mp4", sources / "b.mp4"]).counts["nobody"] == 10
    return out


@pytest.fixture(scope="module")
def undisturbed(made, sources, tmp_path_factory) -> dict[str, str]:
    out = shutil.copytree(made, tmp_path_factory.mktemp("undisturbed") / "s.zarr")
    extend_fake(out, sources, FakeExtension())
    return digest_of_folder(out)


@pytest.fixture
def store(made, tmp_path) -> Path:
    return shutil.copytree(made, tmp_path / "s.zarr")


def test_the_same_depth_network_at_the_stored_joints_gives_the_bytes_that_are_stored(store, sources):
    outcome = extend_fake(store, sources, FakeExtension(other=False, presets=("paper", "quantile", "spatial", "fixed")))
    assert outcome.counts == {"frames": 51, "valid": 41, "nobody": 10, "unreadable": 0}
    base = FeatureStore.open(store)
    assert {name.split("@")[0] for name in base.fields if "@" in name} == {
        name for name in base.own_fields if name.startswith(("uadd/", "radius/"))
    }
    for shard in sorted((store / "families" / "base").rglob("c/*")):
        if shard.is_file():
            same = store / shard.relative_to(store / "families" / "base")
            assert shard.read_bytes() == same.read_bytes()


def test_a_pose_network_in_the_stored_boxes_gives_the_joints_that_a_pass_gives(store, sources):
    extend_fake(store, sources, FakeExtension(other=False, pose=True))
    base = FeatureStore.open(store)
    for name in ("keypoints", "score", "uadd/paper", "radius/fixed"):
        np.testing.assert_array_equal(base.read(f"{name}@base"), base.read(name))


def test_another_depth_network_changes_the_depths_alone(store, sources, made):
    extend_fake(store, sources, FakeExtension())
    base = FeatureStore.open(store)
    np.testing.assert_array_equal(base.read("uadd/paper@base"), 2 * base.read("uadd/paper"))
    np.testing.assert_array_equal(base.read("radius/paper@base"), base.read("radius/paper"))
    assert set(base.families["base"].own_fields) == {"uadd/paper", "uadd/fixed", "radius/paper", "radius/fixed"}
    assert {k: d for k, d in digest_of_folder(store).items() if not k.startswith("families")} == digest_of_folder(made)
    assert verify(store, deep=True) == []


def test_of_a_resampled_store_every_stored_frame_is_found_again(sources, tmp_path):
    from auglift.pipeline.datasets.video import clips
    from auglift.pipeline.execution.serial import SerialExecutor, execute
    from auglift.pipeline.extract import describe
    from auglift.pipeline.plan import Plan
    from auglift.stores.locations.choose import locate

    from ...fakes.networks import fake_extractor

    fake = fake_extractor()
    settings = {**describe(fake), "batch": 4, "threads": 1}
    presets = tuple(preset.name for preset in fake.presets)
    for fps in (30.2, 12.0):  # a little more than there are: one frame stands twice; and fewer
        found, _ = clips([sources / "a.mp4"], fps)
        out = tmp_path / f"{fps}.zarr"
        execute(Plan(tuple(found), settings, presets, 8), locate(out), SerialExecutor(lambda: fake))
        extend_fake(out, sources, FakeExtension(other=False))
        base = FeatureStore.open(out)
        np.testing.assert_array_equal(base.read("uadd/paper@base"), base.read("uadd/paper"))


def test_an_extension_and_its_removal_leave_the_store_as_it_was(store, sources, made):
    extend_fake(store, sources, FakeExtension())
    remove_family(FeatureStore.open(store).location, "base")
    assert digest_of_folder(store) == digest_of_folder(made)


def test_ray_workers_write_the_bytes_of_one_process(cluster, store, sources, undisturbed):
    assert extend_ray(cluster, store, sources, FakeExtension()).failures == []
    assert digest_of_folder(store) == undisturbed


def killed(store: Path, sources: Path, records: int, seconds: float = 0.0) -> None:
    """Start an extension and kill it when it has that many records, and some seconds later."""
    job = subprocess.Popen([sys.executable, "-m", "tests.fakes.extend_job", store, sources, "0.02"], cwd=ROOT)
    family = store / "families" / "base"
    while len(list((family / "ledger").glob("*.json"))) < records or not (family / "plan.json").exists():
        assert job.poll() is None, "the job ended before it was killed"
        time.sleep(0.002)
    time.sleep(seconds)
    job.send_signal(signal.SIGKILL)
    job.wait()


def test_a_killed_extension_is_not_there_until_it_is_run_again_and_then_has_the_same_bytes(store, sources, undisturbed):
    with LedgerWatch(store / "families" / "base") as ledger:
        killed(store, sources, 2)
        with pytest.raises(MissingFieldError):
            FeatureStore.open(store).read("uadd/paper@base")
        assert extend_fake(store, sources, FakeExtension()).resumed >= 2
    assert ledger.done_again == set()
    assert digest_of_folder(store) == undisturbed


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_extension_killed_at_ten_random_moments_has_the_bytes_of_an_undisturbed_one(store, sources, undisturbed):
    chance = random.Random(0)
    for _ in range(10):
        job = subprocess.Popen([sys.executable, "-m", "tests.fakes.extend_job", store, sources, "0.1"], cwd=ROOT)
        family = store / "families" / "base"
        while not (family / "lock.json").exists() and job.poll() is None:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.7))
        job.send_signal(signal.SIGKILL)
        job.wait()
        assert FeatureStore.open(store).families.keys() <= {"base"}
    extend_fake(store, sources, FakeExtension())
    assert digest_of_folder(store) == undisturbed
    assert verify(store, deep=True) == []


def test_two_extensions_at_the_same_time_are_both_there(store, sources):
    jobs = [
        threading.Thread(target=extend_fake, args=(store, sources, FakeExtension(other=other), name))
        for name, other in (("one", True), ("two", False))
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    base = FeatureStore.open(store)
    np.testing.assert_array_equal(base.read("uadd/paper@one"), 2 * base.read("uadd/paper@two"))


def test_a_store_that_is_not_complete_is_not_extended(sources, made, tmp_path):
    out = shutil.copytree(made, tmp_path / "s.zarr")
    text = (out / "zarr.json").read_text().replace('"status": "complete"', '"status": "building"')
    (out / "zarr.json").write_text(text)
    with pytest.raises(StoreIncompleteError, match="is not complete"):
        extend_fake(out, sources, FakeExtension())
    assert not (out / "families").exists()


def test_a_name_that_is_taken_by_other_networks_is_refused_before_they_are_loaded(store, sources):
    extend_fake(store, sources, FakeExtension())
    opened = FeatureStore.open(store)
    require_free(opened, "base", {"depth": "other", "pose": "stored"})
    require_free(opened, "free", {"depth": "third"})
    with pytest.raises(InvalidValueError, match=r"has new fields 'base' already.*depth other.*choose another --name"):
        require_free(opened, "base", {"depth": "third", "pose": "stored"})
    with pytest.raises(InvalidValueError, match=r"pose: 'other'|choose another --name"):
        extend_fake(store, sources, FakeExtension(other=False))


def test_other_weights_under_the_stores_own_depth_network_are_refused(made):
    store = FeatureStore.open(made)
    require_same_depth(store, {"depth": store.configuration["depth"]})
    with pytest.raises(InvalidValueError, match="name the depth network with --depth"):
        require_same_depth(store, {"depth": {**store.configuration["depth"], "weights": "sha256:other"}})


def test_the_descriptors_of_a_store_come_back_with_their_constants():
    changed = (PRESETS["paper"].replace(r_min=1, r_max=8), PRESETS["quantile"].replace(low=5), PRESETS["fixed"])
    described = {"uadd": {preset.name: preset.describe() for preset in changed}}
    assert presets_of(described) == changed
    assert presets_of({}) == tuple(PRESETS.values())


def test_clips_of_a_store_are_its_sequences_with_their_sources(made, sources):
    found = clips_of(FeatureStore.open(made), sources)
    assert [(clip.id, clip.count, clip.info.path) for clip in found] == [
        ("a", 30, sources / "a.mp4"),
        ("b", 21, sources / "b.mp4"),
    ]
