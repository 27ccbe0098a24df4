"""remote.py: a bucket keeps the promises of a location, and a bad connection is an error, never bad data."""

from __future__ import annotations

import builtins
import hashlib
import json
import os
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
    InvalidValueError,
    MissingExtraError,
    MissingFileError,
    StoreIncompleteError,
    StoreLockedError,
    StoreReadError,
    StoreWriteError,
)
from auglift.stores.format.schema import FIELDS
from auglift.stores.locations import remote
from auglift.stores.locations.base import Location
from auglift.stores.locations.choose import locate
from auglift.stores.locations.remote import BucketLocation, WebLocation
from auglift.stores.reading.store import FeatureStore
from auglift.stores.reading.windows import WindowLoader
from auglift.stores.writing.lock import LOCK, StoreLock
from auglift.stores.writing.verify import repair, verify

from ...fakes.folders import digest_of_folder
from ...fakes.servers import BUCKET, CuttingProxy, gs_server, s3_server, web_server
from ...fakes.stores import MadeStore
from .location_claims import LocationClaims

pytest.importorskip("moto")
pytest.importorskip("obstore")

ROOT = Path(__file__).resolve().parents[3]
MADE = MadeStore(lengths=(7, 6), shard_frames=5, only=("keypoints", "valid", "uadd/paper"))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture(autouse=True)
def environment(server, monkeypatch, tmp_path):
    """Only what a test sets: no keys of the machine it runs on, no long patience."""
    for name in os.environ:
        if name.startswith(("AWS_", "GOOGLE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    quick = {"init_backoff": remote.timedelta(milliseconds=10), "max_backoff": remote.timedelta(milliseconds=50)}
    monkeypatch.setitem(remote.RETRY, "backoff", {**quick, "base": 2})
    monkeypatch.setitem(remote.RETRY, "max_retries", 3)


@pytest.fixture
def url() -> str:
    return f"s3://{BUCKET}/{uuid.uuid4().hex}/walk 1.zarr"


@pytest.fixture
def location(url) -> BucketLocation:
    found = locate(url)
    assert isinstance(found, BucketLocation)
    return found


def digest_of(location: Location) -> dict[str, str]:
    return {key: hashlib.sha256(location.read(key)).hexdigest() for key in location.listing()}


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


def test_two_jobs_on_one_bucket_are_told_apart(location, url):
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


def test_a_lock_whose_answer_was_lost_is_ours_all_the_same(location, server, monkeypatch):
    """The put arrived, its answer did not; the repeated put finds the lock there."""
    proxy = CuttingProxy(server, lambda number: (None, 10) if number == 1 else (None, None))
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    with StoreLock(locate(location.url)):
        assert location.listing() == [LOCK]
    assert location.listing() == []
    proxy.close()


# --- connections that drop


@pytest.mark.parametrize("passed", [0, 100, 5_000, 100_000])
def test_an_answer_that_breaks_off_once_is_asked_for_again(location, server, monkeypatch, passed):
    data = np.random.default_rng(0).bytes(300_000)
    location.write("shard", data)
    proxy = CuttingProxy(server, lambda number: (None, passed) if number == 1 else (None, None))
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    assert locate(location.url).read("shard") == data
    assert proxy.connections > 1
    proxy.close()


@pytest.mark.parametrize("passed", [0, 100, 5_000, 100_000])
def test_a_put_that_breaks_off_once_is_sent_again(location, server, monkeypatch, passed):
    data = np.random.default_rng(0).bytes(300_000)
    proxy = CuttingProxy(server, lambda number: (passed, None) if number == 1 else (None, None))
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    locate(location.url).write("shard", data)
    assert location.read("shard") == data
    assert proxy.connections > 1
    proxy.close()


def test_a_connection_that_keeps_dropping_inside_a_shard_is_a_clear_error_and_nothing_is_half_read(
    location, server, monkeypatch
):
    MadeStore(lengths=(600,), shard_frames=600, only=("keypoints", "valid")).run(location)
    proxy = CuttingProxy(server, lambda number: (None, 20_000))
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    store = FeatureStore.open(location.url)  # metadata is small and passes
    proxy.allowed = lambda number: (None, 1_000)
    with pytest.raises(StoreReadError, match=r"keypoints/c/0/0/0 cannot be read: .*check the connection"):
        store.read("keypoints")
    proxy.close()


def test_a_connection_that_keeps_dropping_inside_a_put_leaves_nothing_half_written(location, server, monkeypatch):
    made = MadeStore(lengths=(600,), shard_frames=600, only=("keypoints", "valid"))
    proxy = CuttingProxy(server, lambda number: (30_000, None))
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    with pytest.raises(StoreWriteError, match=r"keypoints/c/0/0/0 cannot be written: .*what is finished is kept"):
        made.run(location.url)
    proxy.close()
    assert not [key for key in location.listing() if "/c/" in key or key.startswith("ledger/")]
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    made.run(location.url)
    assert verify(location.url, deep=True) == []


def test_a_server_that_is_not_there_is_named_as_such(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StoreReadError, match="Connection refused, tried 4 times; check the connection") as error:
        FeatureStore.open("s3://bucket/s.zarr")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 250


# --- who may not


def test_no_store_in_a_bucket_is_a_missing_file(url):
    with pytest.raises(MissingFileError, match="there is no store at s3://"):
        FeatureStore.open(url)


def test_a_bucket_that_is_not_there_is_named(monkeypatch):
    for action in (FeatureStore.open, verify, MADE.run):
        with pytest.raises((StoreReadError, StoreWriteError), match=r"there is no bucket 'nowhere'; check its name"):
            action("s3://nowhere/s.zarr")


def test_no_credentials_is_said_with_what_to_set(monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    # The machine's role would be asked next: nobody answers there.
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9/169.254.169.254")
    with pytest.raises(StoreReadError, match=r"no credentials were found; set AWS_ACCESS_KEY_ID .*AWS_SKIP_SIGNATURE"):
        FeatureStore.open("s3://bucket/s.zarr")


def test_credentials_that_may_not_are_told_from_a_lost_connection(location, monkeypatch):
    location.write("zarr.json", b"{}")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    with pytest.raises(StoreReadError, match=r"access is denied.*check the credentials"):
        FeatureStore.open(location.url)


@pytest.mark.parametrize("profile", ["default", "lab"])
def test_keys_in_the_files_of_awss_own_tools_are_used(location, monkeypatch, tmp_path, profile):
    location.write("key", b"1")
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(
        f"[{profile}]\naws_access_key_id = test\naws_secret_access_key = test\n[other]\naws_access_key_id = x\n"
    )
    section = profile if profile == "default" else f"profile {profile}"
    (tmp_path / ".aws" / "config").write_text(f"[{section}]\nregion = eu-central-1\noutput = json\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.delenv(name)
    if profile != "default":
        monkeypatch.setenv("AWS_PROFILE", profile)
    assert locate(location.url).read("key") == b"1"


def test_a_broken_credentials_file_is_an_error_of_ours(monkeypatch, tmp_path):
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text("no section\n")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(InvalidValueError, match="AWS configuration"):
        locate("s3://bucket/s.zarr")


def test_an_unencrypted_server_elsewhere_needs_a_word(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio.example:9000")
    with pytest.raises(InvalidValueError, match="set AWS_ALLOW_HTTP=true"):
        locate("s3://bucket/s.zarr")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    assert isinstance(locate("s3://bucket/s.zarr"), BucketLocation)


@pytest.mark.parametrize("text", ["s3://", "s3:///folder", "gs://"])
def test_a_url_without_a_bucket_is_refused(text):
    with pytest.raises(InvalidValueError, match="names no bucket"):
        locate(text)


def test_without_the_extra_the_error_says_which(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("obstore"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'auglift\[remote\]'"):
        locate("s3://bucket/s.zarr")


# --- https, to read


@pytest.fixture(scope="module")
def web(tmp_path_factory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("web")
    MADE.run(folder / "data" / "walk 1.zarr")
    with web_server(folder) as url:
        yield f"{url}/data/walk%201.zarr", folder / "data" / "walk 1.zarr"


def test_a_finished_store_on_a_web_server_is_read_and_verified(web):
    url, _ = web
    store = FeatureStore.open(url)
    assert isinstance(store.location, WebLocation)
    for spec in MADE.layout.fields:
        np.testing.assert_array_equal(store.read(spec.name), MADE.values(spec))
    assert verify(url, deep=True) == []


def test_damage_on_a_web_server_is_found(web):
    url, folder = web
    path = folder / "keypoints" / "c" / "0" / "0" / "0"
    data = path.read_bytes()
    try:
        path.write_bytes(data[:-1])
        assert [finding.key for finding in verify(url)] == ["keypoints/c/0/0/0"]
        path.unlink()
        assert [finding.key for finding in verify(url)] == ["keypoints/c/0/0/0"]
    finally:
        path.write_bytes(data)


def test_a_web_server_is_not_written_to(web):
    url, folder = web
    before = digest_of_folder(folder)
    with pytest.raises(StoreWriteError, match="can only be read"):
        MADE.run(url)
    with pytest.raises(StoreWriteError, match="can only be read"):
        locate(url).delete("plan.json")
    assert digest_of_folder(folder) == before


def test_nothing_on_a_web_server_is_a_missing_file(web):
    with pytest.raises(MissingFileError, match="there is no store at http://"):
        FeatureStore.open(web[0].replace("walk", "run"))


def test_a_half_built_store_on_a_web_server_cannot_be_listed(web, tmp_path):
    MADE.run(web[1].parent / "half.zarr", shards=1)
    with pytest.raises(StoreReadError, match="only finished stores"):
        verify(web[0].replace("walk%201", "half"))


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


def test_a_connection_that_drops_under_a_loader_is_an_error_not_a_batch(location, server, monkeypatch):
    made = MadeStore(lengths=(600,), shard_frames=600, only=("keypoints", "valid"))
    made.run(location)
    proxy = CuttingProxy(server, lambda number: (None, 20_000))
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    loader = WindowLoader(FeatureStore.open(location.url), ["keypoints"], window=9, batch_size=64)
    proxy.allowed = lambda number: (None, 1_000)
    with pytest.raises(StoreReadError, match="check the connection"):
        next(iter(loader))
    proxy.close()
