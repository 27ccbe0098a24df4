"""remote.py: a connection that drops is tried again, and is then an error, never half a shard."""

from __future__ import annotations

import numpy as np
import pytest

from auglift.stores.errors import (
    StoreReadError,
    StoreWriteError,
)
from auglift.stores.locations.choose import locate
from auglift.stores.reading.store import FeatureStore
from auglift.stores.reading.windows import WindowLoader
from auglift.stores.writing.lock import LOCK, StoreLock
from auglift.stores.writing.verify import verify

from ...fakes.servers import CuttingProxy
from ...fakes.stores import MadeStore

pytestmark = pytest.mark.usefixtures("environment")


def test_a_lock_whose_response_was_lost_is_ours_all_the_same(location, server, monkeypatch):
    """The put arrived, its response did not; the repeated put finds the lock there."""
    proxy = CuttingProxy(server, lambda number: (None, 10) if number == 1 else (None, None))
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    with StoreLock(locate(location.url)):
        assert location.listing() == [LOCK]
    assert location.listing() == []
    proxy.close()


@pytest.mark.parametrize("passed", [0, 100, 5_000, 100_000])
def test_a_response_that_breaks_off_once_is_requested_again(location, server, monkeypatch, passed):
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
