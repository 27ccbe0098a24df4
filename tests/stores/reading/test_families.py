"""reading/store.py: the fields of complete families are read under their names; no other family exists to a reader."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import xarray
import zarr

from auglift.stores.errors import CorruptStoreError, InvalidValueError, MissingFieldError, MissingFileError
from auglift.stores.export import export
from auglift.stores.format.schema import FIELDS
from auglift.stores.reading.store import FeatureStore
from auglift.stores.reading.windows import WindowLoader
from auglift.stores.summaries.card import card
from auglift.stores.summaries.info import summary

from ...fakes.families import MadeFamily
from ...fakes.stores import MadeStore

MADE, FAMILY = MadeStore(), MadeFamily()
FRAMES = sum(MADE.lengths)
NAME = "uadd/paper@base"


def truth(name: str) -> np.ndarray:
    return FAMILY.values(FIELDS[name], FRAMES)


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    path = tmp_path_factory.mktemp("extended") / "s.zarr"
    MADE.run(path)
    FAMILY.run(path)
    return path


@pytest.fixture
def copy(extended, tmp_path):
    return shutil.copytree(extended, tmp_path / "copy.zarr")


def test_the_fields_of_a_family_are_read_beside_the_stores_own(extended):
    store = FeatureStore.open(extended)
    assert list(store.fields)[-2:] == [NAME, "radius/paper@base"]
    assert store.fields[NAME].shape == (17, 3)
    for plain in FAMILY.fields:
        np.testing.assert_array_equal(store.read(f"{plain}@base"), truth(plain))
        np.testing.assert_array_equal(store.read(f"{plain}@base", 5, 40), truth(plain)[5:40])
        np.testing.assert_array_equal(store.array(f"{plain}@base")[20:], truth(plain)[20:])
        np.testing.assert_array_equal(store.read(plain), MADE.values(FIELDS[plain]))


def test_windows_take_fields_of_a_family_from_memory_and_from_blocks(tmp_path):
    made = MadeStore(lengths=(700, 411, 352, 900), shard_frames=256)
    made.run(tmp_path / "s.zarr")
    FAMILY.run(tmp_path / "s.zarr")
    whole = {
        "keypoints": made.values(FIELDS["keypoints"]),
        NAME: FAMILY.values(FIELDS["uadd/paper"], sum(made.lengths)),
    }

    def loader(memory: int | str) -> WindowLoader:
        return WindowLoader(tmp_path / "s.zarr", list(whole), window=3, keep_invalid=True, batch_size=50, memory=memory)

    in_memory = in_blocks = loader("auto")
    while not in_blocks.plan.pool:
        in_blocks = loader(in_blocks.plan.bytes - 1)
    for each in (in_memory, in_blocks):
        seen = []
        for batch in each:
            seen += batch["frame"].tolist()
            for name, values in whole.items():
                np.testing.assert_array_equal(batch[name][:, 1], values[batch["frame"]])
        assert sorted(seen) == list(range(sum(made.lengths)))


def test_one_loader_refuses_families_of_one_name_with_other_presets(extended, tmp_path):
    MADE.run(tmp_path / "other.zarr")
    constants = {"uadd": {"paper": {"r_min": 1}}}
    MadeFamily(configuration=constants).run(tmp_path / "other.zarr")
    with pytest.raises(InvalidValueError, match="different presets 'paper'"):
        WindowLoader([extended, tmp_path / "other.zarr"], [NAME], window=3)
    WindowLoader([extended, tmp_path / "other.zarr"], ["uadd/paper"], window=3)


def test_a_family_that_is_not_complete_does_not_exist(copy):
    MadeFamily("half").run(copy, shards=2)
    for allow in (False, True):
        store = FeatureStore.open(copy, allow_incomplete=allow)
        assert list(store.families) == ["base"]
        with pytest.raises(MissingFieldError, match=r"has no uadd/paper@half; it holds .*uadd/paper@base"):
            store.read("uadd/paper@half")
    MadeFamily("half").run(copy)
    assert list(FeatureStore.open(copy).families) == ["base", "half"]


def test_a_family_without_its_line_in_the_index_does_not_exist(copy):
    (copy / "families" / "SHA256SUMS").unlink()
    assert FeatureStore.open(copy).families == {}


def test_a_damaged_family_costs_only_those_who_want_its_fields(copy):
    (copy / "families" / "base" / "zarr.json").write_text("{}")
    store = FeatureStore.open(copy)
    assert NAME not in store.fields
    np.testing.assert_array_equal(store.read("keypoints"), MADE.values(FIELDS["keypoints"]))
    with pytest.raises(CorruptStoreError, match=r"family 'base' .* cannot be read"):
        store.read(NAME)
    with pytest.raises(CorruptStoreError, match=r"family 'base' .* cannot be read"):
        WindowLoader(copy, [NAME], window=3)


def test_a_lost_shard_of_a_family_is_an_error_not_nan(copy):
    (copy / "families/base/uadd/paper/c/1/0/0").unlink()
    with pytest.raises(CorruptStoreError, match=r"shard 1 of 'uadd/paper' is missing from .*families/base"):
        FeatureStore.open(copy).read(NAME)
    with pytest.raises(CorruptStoreError, match="shard 1"):
        list(WindowLoader(copy, [NAME], window=3, keep_invalid=True))


def test_a_family_of_another_store_is_refused(copy, tmp_path):
    MadeStore(seed=3).run(tmp_path / "other.zarr")
    shutil.copytree(copy / "families", tmp_path / "other.zarr" / "families")
    with pytest.raises(CorruptStoreError, match="not the family 'base' of this store"):
        FeatureStore.open(tmp_path / "other.zarr").read(NAME)


def test_the_folder_of_a_family_is_no_store(extended):
    with pytest.raises(InvalidValueError, match="is the family 'base' of a store, not a store"):
        FeatureStore.open(extended / "families" / "base")
    with pytest.raises(MissingFileError):
        FeatureStore.open(extended / "families")


def test_a_reader_of_version_1_sees_the_store_it_knew(extended):
    root, family = (json.loads((extended / at / "zarr.json").read_text())["attributes"] for at in ("", "families/base"))
    assert (root["format_version"], family["format_version"]) == (1, 2)
    assert not any("@" in name or "families" in name for name in root["fields"])


def test_xarray_and_zarr_see_the_own_fields_at_the_root_and_a_family_where_the_format_says(extended):
    own = xarray.open_zarr(extended)
    assert {"keypoints", "valid"} <= set(own.data_vars)
    paper = xarray.open_zarr(extended / "families" / "base", group="uadd")["paper"]
    np.testing.assert_array_equal(paper.values, truth("uadd/paper"))
    members = dict(zarr.open_group(extended, mode="r").members(max_depth=None))
    assert "uadd/paper" in members
    assert not any("families" in name for name in members)


def test_info_and_card_and_parquet_know_families(extended, tmp_path):
    store = FeatureStore.open(extended)
    about = summary(store)
    assert about["fields"][NAME]["bytes"] > 0
    assert about["families"]["base"]["status"] == "complete"
    assert about["families"]["base"]["fields"] == [NAME, "radius/paper@base"]
    assert about["families"]["base"]["models"]["depth"]["name"] == "other-depth"
    text = card(about, {"licences": {}, "terms": {}})
    assert f"`{NAME}`" in text
    assert "other-depth" in text
    assert about["families"]["base"]["fingerprint"] in text
    done = export(store, "parquet", tmp_path / "out", store.sequences, False, None, None)
    import pyarrow.parquet as pq

    column = pq.read_table(done.paths[0])[NAME].combine_chunks()
    np.testing.assert_array_equal(np.array(column.to_pylist(), np.float32), truth("uadd/paper"))


def test_info_tells_how_far_a_family_is_that_is_being_written(copy):
    MadeFamily("half").run(copy, shards=2)
    about = summary(FeatureStore.open(copy))
    assert about["families"]["half"]["status"] == "building"
    assert about["families"]["half"]["shards"] == {"finished": 2, "all": 4}
    assert "uadd/paper@half" not in about["fields"]
