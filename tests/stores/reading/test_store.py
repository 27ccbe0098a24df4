"""stores/reading/store.py: what was written is read, and what was not, or was lost, is an error and never NaN."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st

from auglift.stores.errors import (
    CorruptStoreError,
    InvalidValueError,
    MissingFieldError,
    MissingFileError,
    StoreIncompleteError,
)
from auglift.stores.format.schema import FIELDS, FORMAT_VERSION
from auglift.stores.reading.store import FeatureStore

from ...fakes.folders import digest_of_folder
from ...fakes.stores import MadeStore, make_store

ROOT = Path(__file__).resolve().parents[3]
MADE = MadeStore(presets=("paper", "spatial", "fixed"), optional=("target/pose3d", "feature/depth"))


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("store") / "s.zarr"
    MADE.run(path)
    return path


@pytest.fixture(scope="module")
def store(path) -> FeatureStore:
    return FeatureStore.open(path)


@pytest.fixture
def copy(path, tmp_path) -> Path:
    """A store to damage."""
    return Path(shutil.copytree(path, tmp_path / "copy.zarr"))


def edit_attributes(path: Path, **changes) -> None:
    group = json.loads((path / "zarr.json").read_text())
    group["attributes"] |= changes
    (path / "zarr.json").write_text(json.dumps(group))


# --- what was written is read


@given(st.sampled_from([spec.name for spec in MADE.layout.fields]), st.integers(0, 50), st.integers(0, 50))
def test_any_range_of_any_field_is_what_was_written(store, name, one, other):
    start, stop = sorted((one, other))
    expected = MADE.values(FIELDS[name])[start:stop]
    read = store.read(name, start, stop)
    assert read.dtype == expected.dtype
    np.testing.assert_array_equal(read, expected)


def test_a_range_defaults_to_everything(store):
    np.testing.assert_array_equal(store.read("score"), MADE.values(FIELDS["score"]))
    assert store.read("score", 40).shape == (10, 17)


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (0, 51), (6, 5), (60, 70)])
def test_frames_that_there_are_not_are_refused(store, start, stop):
    with pytest.raises(InvalidValueError, match="which has 50"):
        store.read("score", start, stop)


def test_a_store_says_what_it_holds(store):
    assert list(store.fields) == [spec.name for spec in MADE.layout.fields]
    assert store.fields["uadd/paper"] == FIELDS["uadd/paper"]
    assert store.frames == 50
    assert store.status == "complete"
    assert store.configuration == MADE.plan["configuration"]
    assert store.fingerprint == MADE.plan["fingerprint"]
    assert list(store.sequences) == list(MADE.sequences)
    assert store.layout == MADE.layout


@pytest.mark.parametrize("frames", [1, 7, 1009, 1500])
def test_one_shard_of_any_length_is_read_as_written(tmp_path, frames):
    made = MadeStore(lengths=(frames,), shard_frames=frames, only=("score", "valid"))
    made.run(tmp_path / "s")
    np.testing.assert_array_equal(FeatureStore.open(tmp_path / "s").read("score"), made.values(FIELDS["score"]))


def test_a_field_of_a_later_version_is_read_by_what_its_own_metadata_says(copy):
    array = zarr.open_group(copy).create_array(
        "novel", shape=(50, 2), dtype="float32", chunks=(50, 2), shards=(50, 2), dimension_names=("frame", "k")
    )
    array[:] = 3.5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(copy)
    edit_attributes(copy, fields=["keypoints", "novel"])
    store = FeatureStore.open(copy)
    assert store.fields["novel"].dimensions == ("k",)
    assert store.fields["novel"].shape == (2,)
    assert store.array("novel").shape == (50, 2)


# --- xarray


def test_xarray_opens_it_without_a_warning_and_sees_the_same(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with xr.open_zarr(path) as root:
            assert root["keypoints"].dims == ("frame", "joint", "xy")
            assert root["keypoints"].attrs["units"] == "px"
            assert root.attrs["skeleton"]["joints"][0] == "pelvis"
            for name in ("keypoints", "score", "bbox", "valid", "source_frame"):
                np.testing.assert_array_equal(root[name].values, MADE.values(FIELDS[name]))
                assert root[name].dtype == FIELDS[name].dtype
        for group in ("uadd", "radius", "target", "feature"):
            with xr.open_zarr(path, group=group) as inner:
                for name in inner.data_vars:
                    np.testing.assert_array_equal(inner[name].values, MADE.values(FIELDS[f"{group}/{name}"]))
        with xr.open_datatree(path, engine="zarr") as tree:
            assert tree["uadd/spatial"].attrs["components"][3] == "x_min"
            assert tree["uadd/spatial"].dims == ("frame", "joint", "stat_spatial")


# --- what is missing


def test_a_lost_shard_is_an_error_where_it_lay_and_nowhere_else(copy):
    (copy / "keypoints" / "c" / "1" / "0" / "0").unlink()
    store = FeatureStore.open(copy)
    for start, stop in ((0, 50), (16, 17), (31, 33), (10, 20)):
        with pytest.raises(CorruptStoreError, match=r"shard 1 of 'keypoints' is missing.*verify --repair"):
            store.read("keypoints", start, stop)
    for start, stop in ((0, 16), (32, 50)):
        np.testing.assert_array_equal(
            store.read("keypoints", start, stop), MADE.values(FIELDS["keypoints"])[start:stop]
        )
    store.read("score")


def test_a_lost_shard_is_no_nan_to_zarr_itself_either(copy):
    store = FeatureStore.open(copy)
    (copy / "score" / "c" / "2" / "0").unlink()
    assert np.isfinite(store.array("score")[:32]).any()
    with pytest.raises(MissingFileError, match="score/c/2/0"):
        store.array("score")[:]


def test_a_lost_array_is_an_error(copy):
    shutil.rmtree(copy / "radius" / "paper")
    store = FeatureStore.open(copy)
    with pytest.raises(CorruptStoreError, match="'radius/paper'"):
        store.read("radius/paper")


@given(st.data())
def test_a_flipped_bit_anywhere_in_a_shard_is_an_error_or_changes_nothing(path, tmp_path_factory, data):
    name = data.draw(st.sampled_from(["score", "valid", "feature/depth"]))
    below = Path(name, "c", *("0" for _ in (0, *FIELDS[name].shape)))
    original = (path / below).read_bytes()
    damaged = bytearray(original)
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        (path / below).write_bytes(damaged)
        try:
            read = FeatureStore.open(path).read(name, 0, 16)
        except CorruptStoreError:
            pass
        else:
            np.testing.assert_array_equal(read, MADE.values(FIELDS[name])[:16])
    finally:
        (path / below).write_bytes(original)


@given(st.floats(0, 1, exclude_max=True))
def test_a_truncated_shard_is_an_error(path, part):
    file = path / "score" / "c" / "0" / "0"
    original = file.read_bytes()
    try:
        file.write_bytes(original[: int(part * len(original))])
        with pytest.raises(CorruptStoreError):
            FeatureStore.open(path).read("score", 0, 16)
    finally:
        file.write_bytes(original)


def test_a_field_that_is_not_there_is_refused_with_those_that_are(store):
    with pytest.raises(MissingFieldError) as error:
        store.read("uadd/quantile")
    assert "has no uadd/quantile; it holds keypoints, score" in str(error.value)
    with pytest.raises(MissingFieldError, match=r"no uadd/quantile, target/keypoints;"):
        store.require(["keypoints", "uadd/quantile", "target/keypoints"])


# --- what is no store


def test_no_store_is_a_missing_file(tmp_path):
    for nothing in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(MissingFileError, match="there is no store at"):
            FeatureStore.open(nothing)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"{}", b'{"attributes": []}', b"\xff"])
def test_a_zarr_json_that_says_nothing_is_an_error(copy, content):
    (copy / "zarr.json").write_bytes(content)
    with pytest.raises(CorruptStoreError, match=r"zarr.json of .* cannot be read"):
        FeatureStore.open(copy)


def test_somebody_elses_group_is_refused(tmp_path):
    zarr.create_group(tmp_path / "s", attributes={"a": 1})
    with pytest.raises(InvalidValueError, match="not one that auglift-prep wrote"):
        FeatureStore.open(tmp_path / "s")


def test_a_store_of_a_newer_format_is_refused_with_both_versions(copy):
    edit_attributes(copy, format_version=FORMAT_VERSION + 1)
    with pytest.raises(
        InvalidValueError, match=rf"version {FORMAT_VERSION + 1}, this auglift reads up to {FORMAT_VERSION}"
    ):
        FeatureStore.open(copy, allow_incomplete=True)


@pytest.mark.parametrize(
    "changes", [{"format_version": "one"}, {"status": None}, {"fields": "all"}, {"shard_frames": "16"}]
)
def test_attributes_that_make_no_sense_are_an_error(copy, changes):
    edit_attributes(copy, **changes)
    with pytest.raises(CorruptStoreError):
        FeatureStore.open(copy)


def test_a_damaged_table_of_sequences_is_an_error(copy):
    (copy / "sequences.parquet").write_bytes(b"PAR1")
    with pytest.raises(CorruptStoreError, match=r"sequences.parquet"):
        FeatureStore.open(copy)
    (copy / "sequences.parquet").unlink()
    with pytest.raises(MissingFileError, match=r"sequences.parquet"):
        FeatureStore.open(copy)


def test_a_table_of_another_store_is_an_error(copy):
    (copy / "sequences.parquet").write_bytes(MadeStore(lengths=(7, 6)).sequences.to_parquet())
    (copy / "SHA256SUMS").unlink()
    with pytest.raises(CorruptStoreError, match=r"sequences.parquet of .* holds 13 frames, the arrays 50"):
        FeatureStore.open(copy)


def test_a_damaged_array_is_an_error(copy):
    (copy / "zarr.json").write_text((copy / "zarr.json").read_text().replace('"float32"', '"floor32"'))
    with pytest.raises(CorruptStoreError):
        FeatureStore.open(copy).read("keypoints")


# --- a store that is being written


def test_a_store_that_is_not_complete_is_refused_unless_asked_for(tmp_path):
    MadeStore().run(tmp_path / "s", shards=2)
    with pytest.raises(StoreIncompleteError, match=r"run the auglift-prep command that began it.*allow_incomplete"):
        FeatureStore.open(tmp_path / "s")
    store = FeatureStore.open(tmp_path / "s", allow_incomplete=True)
    assert store.finished().tolist() == [True, True, False, False]
    np.testing.assert_array_equal(store.read("score", 0, 32), MadeStore().values(FIELDS["score"])[:32])
    with pytest.raises(StoreIncompleteError, match=r"shard 2 of .* is not written yet"):
        store.read("score", 0, 33)


WRITE_SLOWLY = """
import sys, time
from auglift.stores.locations.choose import locate
from auglift.stores.writing.lock import StoreLock
from auglift.stores.writing.statistics import statistics
from auglift.stores.reading.store import FeatureStore
from tests.fakes.stores import MadeStore
made, location = MadeStore(shard_frames=10), locate(sys.argv[1])
with StoreLock(location):
    writer = made.begin(location)
    print("begun", flush=True)
    for shard in range(made.layout.shards):
        made.write_shard(writer, shard)
        time.sleep(0.05)
    writer.finalise(statistics(FeatureStore.open(location, allow_incomplete=True)))
"""


def test_a_reader_beside_a_writing_process_sees_finished_shards_only_and_all_of_them_in_the_end(tmp_path):
    made = MadeStore(shard_frames=10)
    path = tmp_path / "s"
    job = subprocess.Popen([sys.executable, "-c", WRITE_SLOWLY, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert job.stdout is not None
        assert job.stdout.readline() == "begun\n"
        early = FeatureStore.open(path, allow_incomplete=True)
        history = [early.finished()]
        deadline = time.monotonic() + 60
        while job.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
            history.append(early.finished())
            for shard in np.flatnonzero(history[-1]).tolist():
                for spec in (FIELDS["keypoints"], FIELDS["uadd/paper"]):
                    start, stop = made.layout.bounds(shard)
                    np.testing.assert_array_equal(early.read(spec.name, start, stop), made.values(spec)[start:stop])
        assert job.wait() == 0
    finally:
        job.kill()
    counts = [int(finished.sum()) for finished in history]
    assert counts == sorted(counts)
    assert len(set(counts)) > 2, "the reader never saw the store grow"
    np.testing.assert_array_equal(early.read("score"), made.values(FIELDS["score"]))
    assert FeatureStore.open(path).status == "complete"


def test_a_made_store_is_what_its_maker_says(tmp_path):
    assert make_store(tmp_path / "s").frames == 50


def test_the_format_document_names_everything_that_is_written(path):
    document = (ROOT / "docs" / "store-format.md").read_text()
    attributes = json.loads((path / "zarr.json").read_text())["attributes"]
    record = json.loads((path / "ledger" / "00000000.json").read_text())
    columns = FeatureStore.open(path).sequences.table.column_names
    names = [*attributes, *record, *columns, *json.loads((path / "plan.json").read_text())]
    names += [name for name in FIELDS if name.split("/")[0] not in ("uadd", "radius")]
    assert [name for name in names if f"`{name}`" not in document] == []
    files = {key.split("/")[0] for key in digest_of_folder(path)} - {name.split("/")[0] for name in FIELDS}
    assert [name for name in files if name not in document] == []
