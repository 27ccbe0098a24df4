"""stores/reading/shardfile.py: the same frames that Zarr reads, or Zarr's own error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auglift.stores.errors import AugliftError, CorruptStoreError
from auglift.stores.format.layout import array_key
from auglift.stores.reading import shardfile
from auglift.stores.reading.shardfile import ShardReader, shard_format
from auglift.stores.reading.store import FeatureStore
from tests.fakes.stores import make_store

OPTIONAL = ("target/pose3d", "target/keypoints", "feature/depth")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> FeatureStore:
    """Three shards of several chunks, the last one short."""
    return make_store(
        tmp_path_factory.mktemp("store") / "s.zarr", lengths=(1300, 900, 640), shard_frames=1024, optional=OPTIONAL
    )


@pytest.fixture
def by_hand(store, monkeypatch) -> FeatureStore:
    """A store that Zarr may not read."""

    def refuse(*_):
        raise AssertionError("left to Zarr")

    monkeypatch.setattr(store, "read", refuse)
    return store


def read(store: FeatureStore, name: str, start: int, stop: int) -> np.ndarray:
    spec = store.fields[name]
    out = np.zeros((stop - start, *spec.shape), dtype=spec.dtype)
    ShardReader(store).read(name, start, stop, out)
    return out


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(data=st.data())
def test_any_range_of_any_field_is_what_zarr_reads(by_hand, data):
    name = data.draw(st.sampled_from(list(by_hand.fields)))
    start = data.draw(st.integers(0, by_hand.frames))
    stop = data.draw(st.integers(start, by_hand.frames))
    expected = np.asarray(by_hand.array(name)[start:stop])
    assert np.array_equal(read(by_hand, name, start, stop), expected, equal_nan=expected.dtype.kind == "f")


def test_frames_may_be_read_between_other_things(by_hand):
    between = np.zeros(700, dtype=[("before", "u1"), ("xy", "<f4", (17, 2)), ("after", "u1")])
    ShardReader(by_hand).read("keypoints", 500, 1200, between["xy"])
    assert np.array_equal(between["xy"], by_hand.array("keypoints")[500:1200], equal_nan=True)
    assert not between["before"].any()
    assert not between["after"].any()


@pytest.mark.parametrize("name", ["keypoints", "feature/depth"])
def test_a_flipped_bit_anywhere_in_what_is_read_is_an_error(tmp_path, name):
    store = make_store(tmp_path / "s.zarr", lengths=(64,), shard_frames=32, optional=("feature/depth",))
    path = tmp_path / "s.zarr" / array_key(store.fields[name], 1)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for position in [0, len(whole) - 1, len(whole) - 5, *rng.integers(0, len(whole), 20).tolist()]:
        flipped = bytearray(whole)
        flipped[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        with pytest.raises(CorruptStoreError, match="auglift-store verify"):
            read(store, name, 32, 64)
    path.write_bytes(whole)
    assert np.isfinite(read(store, name, 32, 64)).any()


@pytest.mark.parametrize("keep", [0, 3, 100, -1])
def test_a_truncated_shard_is_an_error(tmp_path, keep):
    store = make_store(tmp_path / "s.zarr")
    path = tmp_path / "s.zarr" / array_key(store.fields["keypoints"], 1)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CorruptStoreError):
        read(store, "keypoints", 0, store.frames)


def test_a_missing_shard_is_an_error_that_names_it(tmp_path):
    store = make_store(tmp_path / "s.zarr")
    (tmp_path / "s.zarr" / array_key(store.fields["score"], 2)).unlink()
    with pytest.raises(AugliftError, match="shard 2 of 'score' is missing"):
        read(store, "score", 0, store.frames)


def test_a_format_that_is_not_known_is_left_to_zarr(store, monkeypatch):
    monkeypatch.setattr(shardfile, "shard_format", lambda metadata: None)
    assert np.array_equal(read(store, "score", 1000, 2000), store.array("score")[1000:2000], equal_nan=True)


def changed(metadata: dict, *path) -> dict:
    """The metadata with another value at a path of keys."""
    *path, last, value = path
    inner = metadata
    for key in path:
        inner = inner[key]
    inner[last] = value
    return metadata


@pytest.mark.parametrize(
    "path",
    [
        ("codecs", 0, "name", "bytes"),
        ("codecs", 0, "configuration", "index_location", "start"),
        ("codecs", 0, "configuration", "codecs", 1, "name", "gzip"),
        ("codecs", 0, "configuration", "codecs", 0, "configuration", {"endian": "big"}),
        ("codecs", 0, "configuration", "index_codecs", []),
        ("codecs", 0, "configuration", "chunk_shape", [100, 17, 2]),
        ("chunk_grid", {"name": "rectangular"}),
        ("codecs", []),
    ],
)
def test_only_the_format_that_is_written_is_known(store, path):
    metadata = store.array("keypoints").metadata.to_dict()
    assert shard_format(metadata) is not None
    assert shard_format(changed(metadata, *path)) is None
