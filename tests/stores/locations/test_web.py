"""remote.py: a finished store on a web server is read and verified, and never written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from auglift.stores.errors import (
    MissingFileError,
    StoreReadError,
    StoreWriteError,
)
from auglift.stores.locations.choose import locate
from auglift.stores.locations.remote import WebLocation
from auglift.stores.reading.store import FeatureStore
from auglift.stores.writing.verify import verify

from ...fakes.folders import digest_of_folder
from ...fakes.servers import web_server
from .made_store import MADE

pytestmark = pytest.mark.usefixtures("environment")


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
