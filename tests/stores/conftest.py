"""What several of these tests read."""

from __future__ import annotations

import pytest

from auglift.stores.reading.store import FeatureStore
from tests.fakes.stores import make_store

LENGTHS = (700, 3, 411, 352, 900, 1, 633)


@pytest.fixture(scope="module")
def stores(tmp_path_factory) -> list[FeatureStore]:
    """Two stores, one of 12 shards and one of a single one."""
    folder = tmp_path_factory.mktemp("stores")
    return [
        make_store(folder / "a.zarr", lengths=LENGTHS, shard_frames=256),
        make_store(folder / "b.zarr", lengths=(400, 380), shard_frames=1024, seed=1),
    ]
