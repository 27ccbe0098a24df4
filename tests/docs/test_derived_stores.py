"""docs/derived-stores.md: everything on the page runs, in a folder and in a bucket, and does what is said beside it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from auglift.stores.errors import AugliftError
from auglift.stores.reading.store import FeatureStore
from auglift.stores.writing.verify import verify

from ..fakes.documented import QUICK, Reader, blocks
from ..fakes.servers import BUCKET, s3_server

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "derived-stores.md").read_text()
STORE = re.compile(r"\b[\w-]+\.zarr")
MADE = ("studio", "street", "train", "test", "plain", "both")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    """The cache of the page's two stores, drawn once."""
    folder = tmp_path_factory.mktemp("drawn")
    for line in blocks(PAGE)[0][1].splitlines():
        line = line.replace(" cache ", f" {folder / 'cache'} ").replace("--out ", f"--out {folder}/")
        Reader(QUICK).command(line)
    return folder / "cache"


@pytest.fixture(params=["a folder", "a bucket"])
def places(request, tmp_path, monkeypatch):
    """A function from the name of a store to where it lies."""
    monkeypatch.chdir(tmp_path)
    if request.param == "a folder":
        yield lambda name: name
        return
    pytest.importorskip("obstore")
    pytest.importorskip("moto")
    with s3_server() as url:
        for name, value in {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        yield lambda name: f"s3://{BUCKET}/{name}"


def test_every_block_runs_and_every_store_that_it_makes_is_sound(places, drawn, tmp_path):
    shutil.copytree(drawn, tmp_path / "cache")
    reader = Reader(QUICK)
    printed = {code: reader.run(language, STORE.sub(lambda m: places(m[0]), code)) for language, code in blocks(PAGE)}
    for name in MADE:
        assert verify(places(f"{name}.zarr"), deep=True) == [], name
    stores = {name: FeatureStore.open(places(f"{name}.zarr")) for name in MADE}
    assert set(stores["studio"].families) == {"tiny"}
    assert set(stores["plain"].families) == set()
    assert stores["both"].frames == stores["studio"].frames + stores["street"].frames
    assert {row.split for row in stores["train"].sequences} == {"train"}
    assert {row.split for row in stores["test"].sequences} == {"test"}
    assert {"README.md", "croissant.json"} <= set(stores["both"].location.listing())
    same, differ, log, sound = printed[next(code for code in printed if "diff" in code)]
    assert same.startswith("the same")
    assert "only in" in differ
    assert log.count("auglift-prep") >= 2
    assert "auglift-store merge" in log
    assert "nothing wrong" in sound
    with pytest.raises(AssertionError, match="new fields 'tiny' are only in"):
        reader.command(f"auglift-store merge {places('studio.zarr')} {places('street.zarr')} --out {places('no.zarr')}")
    with pytest.raises(AugliftError, match="there is no store"):
        FeatureStore.open(places("no.zarr"))
    assert reader.names["poses"].attrs["ds_type"] == "poses"


def test_the_page_shows_every_command_for_stores_from_stores():
    shown = {
        tuple(line.split()[:2]) for language, code in blocks(PAGE) if language == "sh" for line in code.split("\n")
    }
    for name in ("remove-fields", "merge", "select", "diff", "log", "card", "sequences", "verify", "info"):
        assert ("auglift-store", name) in shown
    assert ("auglift-prep", "extend") in shown
