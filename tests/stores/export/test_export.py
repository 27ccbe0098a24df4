"""stores/export: what all formats share."""

from __future__ import annotations

from typing import Any

import pytest

from auglift.stores.errors import InvalidValueError, StoreIncompleteError, StoreWriteError
from auglift.stores.export import FORMATS, export
from auglift.stores.format.sequences import SequenceTable
from auglift.stores.reading.store import FeatureStore

from ...fakes.folders import digest_of_folder
from ...fakes.stores import MadeStore, make_store

# What a store of any dataset can be exported in, and with which options in these tests.
ANY: dict[str, dict[str, Any]] = {
    format: {"clip_frames": 5} if format == "motionbert" else {} for format in FORMATS if format != "mpi-inf-3dhp"
}


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> FeatureStore:
    return make_store(tmp_path_factory.mktemp("store") / "s.zarr", presets=("paper", "spatial"))


@pytest.mark.parametrize("format", ANY)
def test_a_selection_is_exported_alone(store, tmp_path, format):
    done = export(store, format, tmp_path, store.sequences.select(subject="S2"), **ANY[format])
    assert done.frames == 18


@pytest.mark.parametrize("format", ANY)
def test_twice_gives_the_same_bytes_and_nothing_is_replaced_without_force(store, tmp_path, format):
    export(store, format, tmp_path / "a", **ANY[format])
    first = digest_of_folder(tmp_path / "a")
    with pytest.raises(InvalidValueError, match=r"is there already.*--force"):
        export(store, format, tmp_path / "a", **ANY[format])
    export(store, format, tmp_path / "a", overwrite=True, **ANY[format])
    assert digest_of_folder(tmp_path / "a") == first


@pytest.mark.parametrize("format", ANY)
def test_a_folder_that_cannot_be_written_is_an_error_and_leaves_nothing(store, tmp_path, format):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreWriteError, match="choose another --out"):
        export(store, format, tmp_path / "file" / "deeper", **ANY[format])


def test_a_shard_lost_half_way_leaves_no_half_file(tmp_path):
    opened = make_store(tmp_path / "s")
    (tmp_path / "s" / "keypoints" / "c" / "3" / "0" / "0").unlink()
    with pytest.raises(ValueError, match="shard 3"):
        export(opened, "parquet", tmp_path / "out")
    assert digest_of_folder(tmp_path / "out") == {}


def test_a_format_that_does_not_exist_is_refused_with_those_that_do(store, tmp_path):
    with pytest.raises(InvalidValueError, match="there are videopose3d, videopose3d-custom, mmpose, motionbert, mpi"):
        export(store, "coco", tmp_path)


def test_a_half_built_store_is_not_exported(tmp_path):
    MadeStore().run(tmp_path / "s", shards=1)
    with pytest.raises(StoreIncompleteError):
        FeatureStore.open(tmp_path / "s")
    with pytest.raises(StoreIncompleteError, match="not written yet"):
        export(FeatureStore.open(tmp_path / "s", allow_incomplete=True), "parquet", tmp_path / "out")


@pytest.mark.parametrize("format", ANY)
def test_a_file_that_is_there_already_is_said_before_anything_is_read(store, tmp_path, format, monkeypatch):
    export(store, format, tmp_path, **ANY[format])
    monkeypatch.setattr("auglift.stores.reading.by_shard.read_blocks", None)
    with pytest.raises(InvalidValueError, match="is there already"):
        export(store, format, tmp_path, **ANY[format])


@pytest.mark.parametrize(
    ("format", "options", "problem"),
    [
        ("mmpose", {"missing": "drop"}, "there are split, longest, leave-out, keep"),
        ("parquet", {"missing": "split"}, "parquet keeps every frame"),
        ("mmpose", {"checkout": "."}, "leave --checkout away"),
        ("videopose3d", {"checkout": "."}, "only Human3.6M needs"),
        ("mmpose", {"annotation": "annot3"}, "leave --annotation away"),
        ("parquet", {"joints": "truth"}, "leave --joints away"),
        ("mpi-inf-3dhp", {"clip_frames": 9}, "leave --clip-frames away"),
        ("mpi-inf-3dhp", {}, "is no store of MPI-INF-3DHP"),
        ("motionbert", {"joints": "best"}, "there are detected, truth"),
        ("motionbert", {"clip_frames": 1}, "a clip has at least 2 frames"),
        ("motionbert", {"clip_stride": 0}, "a clip has at least 2 frames"),
    ],
)
def test_an_option_that_a_format_does_not_know_is_refused(store, tmp_path, format, options, problem):
    with pytest.raises(InvalidValueError, match=problem):
        export(store, format, tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_no_sequences_are_an_error_and_not_all_of_them(store, tmp_path):
    none = SequenceTable(store.sequences.table.slice(0, 0))
    with pytest.raises(InvalidValueError, match=r"no sequence of .* is chosen"):
        export(store, "parquet", tmp_path, none)
