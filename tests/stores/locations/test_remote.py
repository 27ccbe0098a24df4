"""remote.py: a bucket keeps the promises of a location, for a store, its lock and a depth pass."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from auglift.stores.errors import (
    CorruptStoreError,
    MissingFileError,
    StoreIncompleteError,
    StoreLockedError,
)
from auglift.stores.format.schema import FIELDS
from auglift.stores.locations import remote
from auglift.stores.locations.choose import locate
from auglift.stores.locations.remote import BucketLocation
from auglift.stores.reading.store import FeatureStore
from auglift.stores.reading.windows import WindowLoader
from auglift.stores.writing.lock import LOCK, StoreLock
from auglift.stores.writing.verify import repair, verify

from ...fakes.folders import digest_of_folder
from ...fakes.servers import BUCKET, gs_server
from ...fakes.stores import MadeStore
from .location_claims import LocationClaims
from .made_store import MADE, digest_of

pytestmark = pytest.mark.usefixtures("environment")

ROOT = Path(__file__).resolve().parents[3]


class TestBucket(LocationClaims):
    pass


class TestGoogleBucket(LocationClaims):
    @pytest.fixture
    def location(self, google) -> BucketLocation:
        return BucketLocation(f"gs://{BUCKET}/{uuid.uuid4().hex}/walk 1.zarr")


@pytest.fixture
def google(monkeypatch) -> Iterator[None]:
    with gs_server() as url:
        key = {"gcs_base_url": url, "disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
        monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", json.dumps(key))
        monkeypatch.setitem(remote.CLIENT, "allow_http", True)
        yield


def test_a_store_in_a_google_bucket_has_the_bytes_of_one_in_a_folder(google, tmp_path):
    location = locate(f"gs://{BUCKET}/s.zarr")
    MADE.run(location)
    MADE.run(tmp_path / "s.zarr")
    assert digest_of(location) == digest_of_folder(tmp_path / "s.zarr")
    assert verify(location, deep=True) == []


# --- the whole life of a store


def test_a_store_in_a_bucket_has_the_bytes_of_one_in_a_folder(location, tmp_path):
    MADE.run(location)
    MADE.run(tmp_path / "s.zarr")
    assert digest_of(location) == digest_of_folder(tmp_path / "s.zarr")


def test_a_store_in_a_bucket_is_created_resumed_verified_and_read(location, url):
    assert MADE.run(location, shards=2) == [0, 1]
    with pytest.raises(StoreIncompleteError):
        FeatureStore.open(url)
    half = FeatureStore.open(url, allow_incomplete=True)
    assert half.finished().tolist() == [True, True, False]
    np.testing.assert_array_equal(half.read("keypoints", 0, 10), MADE.values(FIELDS["keypoints"])[:10])
    assert MADE.run(url) == [2]
    store = FeatureStore.open(url)
    for spec in MADE.layout.fields:
        np.testing.assert_array_equal(store.read(spec.name), MADE.values(spec))
        np.testing.assert_array_equal(store.read(spec.name, 3, 8), MADE.values(spec)[3:8])
    assert verify(url) == []
    assert verify(url, deep=True) == []


def test_damage_in_a_bucket_is_found_and_mended(location):
    MADE.run(location)
    whole = digest_of(location)
    location.write("keypoints/c/1/0/0", location.read("keypoints/c/1/0/0")[:-1])
    location.delete("valid/c/2")
    assert {(finding.key, finding.shard) for finding in verify(location)} == {
        ("keypoints/c/1/0/0", 1),
        ("valid/c/2", 2),
    }
    with pytest.raises(CorruptStoreError, match="shard 2 of 'valid' is missing"):
        FeatureStore.open(location).read("valid")
    repair(location, verify(location))
    assert MADE.run(location) == [1, 2]
    assert digest_of(location) == whole


def test_a_lost_shard_is_no_nan_to_zarr_itself(location):
    MADE.run(location)
    store = FeatureStore.open(location)
    location.delete("keypoints/c/1/0/0")
    with pytest.raises(MissingFileError):
        store.array("keypoints")[:]


def test_a_store_travels_to_another_process(location, url):
    MADE.run(location)
    again = pickle.loads(pickle.dumps(location))
    assert again.read("plan.json") == location.read("plan.json")
    store = pickle.loads(pickle.dumps(location.zarr_store()))
    assert store.read_only


# --- the lock


def test_a_second_job_on_one_bucket_is_refused(location, url):
    with StoreLock(location):
        with pytest.raises(StoreLockedError, match=r"s3://.* is being written by process \d+"):
            StoreLock(locate(url)).acquire()
        assert location.listing() == [LOCK]
    assert location.listing() == []


def test_of_many_jobs_that_start_together_on_a_bucket_one_gets_it(url):
    locks, barrier = [], threading.Barrier(6)

    def attempt():
        lock = StoreLock(locate(url))
        barrier.wait()
        try:
            lock.acquire()
            locks.append(lock)
        except StoreLockedError:
            pass

    threads = [threading.Thread(target=attempt) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(locks) == 1
    locks[0].release()


# --- the depth pass


@pytest.mark.slow
def test_a_depth_pass_into_a_bucket_killed_and_run_again_gives_the_bytes_of_one_into_a_folder(location, tmp_path):
    job = pytest.importorskip("tests.fakes.job", reason="the depth pass is not installed")
    video = pytest.importorskip("tests.fakes.video")
    video.write_video(tmp_path / "a.mp4", video.number_frames(40, width=96, height=64), fps=30)
    job.run_fake(tmp_path / "folder", [tmp_path / "a.mp4"])
    command = [sys.executable, "-m", "tests.fakes.job", location.url, "0.1", str(tmp_path / "a.mp4")]
    process = subprocess.Popen(command, cwd=ROOT)
    while not location.listing("ledger/"):
        assert process.poll() is None, "the job ended before it was killed"
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert location.exists(LOCK)
    outcome = job.run_fake(location.url, [tmp_path / "a.mp4"])
    assert 0 < outcome.resumed < 5
    assert digest_of(location) == digest_of_folder(tmp_path / "folder")
    assert verify(location, deep=True) == []


# --- windows


def test_windows_from_a_bucket_are_those_from_a_folder(location, tmp_path):
    """In RAM and in blocks: the same batches in the same order, through Zarr from there and past it from here."""
    made = MadeStore(lengths=(9000, 7999, 12500), shard_frames=8192, only=("keypoints", "uadd/paper", "valid"))
    made.run(location)
    made.run(tmp_path / "s")
    for memory in ("auto", 16_000_000):
        options = {"window": 27, "stride": 50, "batch_size": 8, "memory": memory, "seed": 3, "keep_invalid": True}
        there, here = (
            WindowLoader(at, ["keypoints", "uadd/paper"], **options) for at in (location.url, tmp_path / "s")
        )
        assert bool(there.plan.pool) == (memory != "auto"), "one of the two is read in blocks"
        count = 0
        for far, near in zip(there, here, strict=True):
            for key in near:
                np.testing.assert_array_equal(far[key], near[key], err_msg=key)
            count += len(near["keypoints"])
        assert count == sum(-(-length // 50) for length in made.lengths)
