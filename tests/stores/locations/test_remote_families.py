"""Families of fields behind URLs: written to and read from a bucket, read from a web server that cannot list."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator

import numpy as np
import pytest

from auglift.stores.errors import InvalidValueError, MissingFieldError, StoreLockedError, StoreReadError
from auglift.stores.families import family_location
from auglift.stores.format.schema import FIELDS
from auglift.stores.locations.base import Location
from auglift.stores.locations.choose import locate
from auglift.stores.reading.store import FeatureStore
from auglift.stores.reading.windows import WindowLoader
from auglift.stores.writing.families import remove_family
from auglift.stores.writing.lock import StoreLock
from auglift.stores.writing.verify import repair, verify

from ...fakes.families import MadeFamily
from ...fakes.folders import digest_of_folder
from ...fakes.servers import BUCKET, s3_server, web_server
from ...fakes.stores import MadeStore

pytest.importorskip("moto")
pytest.importorskip("obstore")

MADE = MadeStore(lengths=(7, 6), shard_frames=5, only=("keypoints", "valid"))
FAMILY = MadeFamily(fields=("radius/paper",))
NAME = "radius/paper@base"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture
def bucket(server, monkeypatch) -> Location:
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in {
        "ENDPOINT_URL": server,
        "ACCESS_KEY_ID": "test",
        "SECRET_ACCESS_KEY": "test",
        "REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    location = locate(f"s3://{BUCKET}/{uuid.uuid4().hex}/walk 1.zarr")
    MADE.run(location)
    return location


def digest_of(location: Location) -> dict[str, str]:
    return {key: hashlib.sha256(location.read(key)).hexdigest() for key in location.listing()}


def truth() -> np.ndarray:
    return FAMILY.values(FIELDS["radius/paper"], sum(MADE.lengths))


def test_a_family_in_a_bucket_has_the_bytes_of_one_in_a_folder_and_goes_without_a_trace(bucket, tmp_path):
    before = digest_of(bucket)
    MADE.run(tmp_path / "s.zarr")
    FAMILY.run(tmp_path / "s.zarr")
    assert FAMILY.run(bucket, shards=2) == [0, 1]
    assert FeatureStore.open(bucket.url).families == {}
    assert FAMILY.run(bucket.url) == [2]
    assert digest_of(bucket) == digest_of_folder(tmp_path / "s.zarr")
    np.testing.assert_array_equal(FeatureStore.open(bucket.url).read(NAME), truth())
    loader = WindowLoader(bucket.url, ["keypoints", NAME], window=3, batch_size=4, keep_invalid=True)
    for batch in loader:
        np.testing.assert_array_equal(batch[NAME][:, 1], truth()[batch["frame"]])
    assert verify(bucket.url, deep=True) == []
    remove_family(bucket, "base")
    assert digest_of(bucket) == before


def test_damage_to_a_family_in_a_bucket_is_found_and_done_again(bucket):
    FAMILY.run(bucket)
    undisturbed = digest_of(bucket)
    bucket.delete("families/base/radius/paper/c/1/0")
    found = verify(bucket)
    assert [(finding.key, finding.shard) for finding in found] == [("families/base/radius/paper/c/1/0", 1)]
    repair(bucket, found)
    assert FAMILY.run(bucket) == [1]
    assert digest_of(bucket) == undisturbed


def test_one_job_a_family_in_a_bucket_too(bucket):
    with StoreLock(family_location(bucket, "base")), pytest.raises(StoreLockedError, match="families/base"):
        FAMILY.run(bucket)


@pytest.fixture(scope="module")
def web(tmp_path_factory) -> Iterator[tuple[str, str]]:
    """URLs of an extended store, and of one that is half extended."""
    folder = tmp_path_factory.mktemp("web")
    for name, shards in (("whole 1.zarr", None), ("half.zarr", 1)):
        MADE.run(folder / name)
        FAMILY.run(folder / name, shards)
    with web_server(folder) as url:
        yield f"{url}/whole%201.zarr", f"{url}/half.zarr"


def test_a_complete_family_on_a_web_server_is_read_and_verified(web):
    store = FeatureStore.open(web[0])
    np.testing.assert_array_equal(store.read(NAME), truth())
    assert list(store.families) == ["base"]
    assert verify(web[0], deep=True) == []
    with pytest.raises(InvalidValueError, match="has no family 'other'; it has base"):
        remove_family(store.location, "other")


def test_an_incomplete_family_on_a_web_server_does_not_exist(web):
    with pytest.raises(MissingFieldError):
        FeatureStore.open(web[1]).read(NAME)
    assert verify(web[1], deep=True) == []


def test_a_server_that_does_not_say_whether_there_are_families_keeps_nobody_from_the_rest(web, monkeypatch):
    real = type(locate(web[0])).read

    def forbidden(self, key):
        if "families" in self.url:
            raise StoreReadError(f"{self.url}/{key} cannot be read: access is denied")
        return real(self, key)

    monkeypatch.setattr(type(locate(web[0])), "read", forbidden)
    store = FeatureStore.open(web[0])
    np.testing.assert_array_equal(store.read("keypoints"), MADE.values(FIELDS["keypoints"]))
    assert list(store.fields) == ["keypoints", "valid"]
    with pytest.raises(StoreReadError, match=r"families of .* are not known: .*access is denied"):
        store.read(NAME)
