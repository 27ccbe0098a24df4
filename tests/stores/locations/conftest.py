"""A bucket server, and nothing in the environment but its address and keys."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest

from auglift.stores.locations import remote
from auglift.stores.locations.choose import locate
from auglift.stores.locations.remote import BucketLocation

from ...fakes.servers import BUCKET, s3_server


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    pytest.importorskip("moto")
    pytest.importorskip("obstore")
    with s3_server() as url:
        yield url


@pytest.fixture
def environment(server, monkeypatch, tmp_path):
    """Only what a test sets: no keys of the machine it runs on, no long waits between attempts."""
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
def location(url, environment) -> BucketLocation:
    found = locate(url)
    assert isinstance(found, BucketLocation)
    return found
