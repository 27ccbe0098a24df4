"""stores/derived/select.py: a selected store is that part of the store, and stays true about it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auglift.stores.derived.job import Derived, derive
from auglift.stores.derived.merge import merge_plan
from auglift.stores.derived.select import Selection, select_plan
from auglift.stores.errors import InvalidValueError, MissingFieldError, StoreIncompleteError
from auglift.stores.format.layout import ledger_key
from auglift.stores.locations.choose import locate
from auglift.stores.reading.store import FeatureStore
from auglift.stores.reading.windows import WindowLoader
from auglift.stores.writing.shards import with_attributes
from auglift.stores.writing.verify import verify

from ...fakes.derived import Part
from ...fakes.folders import digest_of_folder

# Five sequences: S1/walk 0/cam1, S1/walk 0/cam2 (train), S2/walk 1/cam1, S2/walk 1/cam2, S3/walk 2/cam1 (test).
MADE = Part(
    lengths=(20, 12, 16, 33, 18),
    unreadable=(3, 21, 60, 61, 90),
    warnings=("RANDOM WEIGHTS", "a/S1/walk 0/cam2: is dark", "a/S2/walk 1/cam1: is bright: very"),
    changes=(("uadd", {"paper": {"r_max": 8}, "fixed": {}}),),
    presets=("paper", "fixed"),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("made") / "s"
    MADE.run(path)
    return path


def select(made: Path, out: Path, shard_frames: int | None = None, **selection) -> tuple[FeatureStore, Derived]:
    done = derive(select_plan(made, Selection(**selection), shard_frames), out)
    return FeatureStore.open(out), done


def test_all_of_a_store_is_a_copy_of_its_arrays_byte_for_byte(made, tmp_path):
    _, done = select(made, tmp_path / "c")
    ours, theirs = digest_of_folder(tmp_path / "c"), digest_of_folder(made)
    assert done.written == 0
    for key in theirs:
        if "/c/" in key or key.endswith("/zarr.json") or key in ("statistics.json", "sequences.parquet"):
            assert ours[key] == theirs[key], key
    assert ours["plan.json"] != theirs["plan.json"]


@settings(max_examples=6)
@given(
    rows=st.sets(st.integers(0, 4), min_size=1),
    fields=st.sets(st.sampled_from(["keypoints", "uadd/paper", "target/pose3d"]), min_size=1),
    shard_frames=st.sampled_from([None, 32]),
)
def test_any_sequences_and_fields_hold_the_values_and_counts_of_that_part(
    made, tmp_path_factory, rows, fields, shard_frames
):
    source = FeatureStore.open(made)
    ids = [source.sequences[row].id for row in sorted(rows, reverse=True)]  # their order does not matter
    out = tmp_path_factory.mktemp("some") / "c"
    store, _ = select(made, out, shard_frames, ids=tuple(ids), fields=tuple(fields))
    assert set(store.fields) == fields | {"valid", "source_frame"}
    frames = np.concatenate([np.arange(s.start, s.stop) for s in source.sequences if s.id in ids])
    for name in store.fields:
        np.testing.assert_array_equal(store.read(name), source.read(name)[frames])
    assert [row.id for row in store.sequences] == [row.id for row in source.sequences if row.id in ids]
    counts = store.attributes["counts"]
    assert counts["unreadable"] == sum(frame in frames for frame in MADE.unreadable)
    assert counts["frames"] == len(frames) == counts["valid"] + counts["nobody"] + counts["unreadable"]
    named = [problem["reason"] for record in store.ledger().values() for problem in record.problems]
    assert named == [f"cut at {frame}" for frame in MADE.unreadable if frame in frames]
    assert verify(out, deep=True) == []


def test_where_split_and_keys_must_all_hold(made, tmp_path):
    store, _ = select(
        made, tmp_path / "c", where="length > 16", keys={"split": ("test",), "camera": ("cam1",), "subject": ()}
    )
    assert [row.id for row in store.sequences] == ["a/S3/walk 2/cam1"]


def test_shards_before_the_first_gap_are_copied_and_those_after_it_written_anew(made, tmp_path):
    _, done = select(made, tmp_path / "c", where='subject != "S2"')
    files = len(FeatureStore.open(made).fields)
    assert (done.copied, done.written) == (2 * files, 2 * files)


def test_warnings_are_those_of_the_whole_store_and_of_the_sequences_taken(made, tmp_path):
    store, _ = select(made, tmp_path / "c", keys={"subject": ("S2",)})
    assert store.attributes["warnings"] == ["RANDOM WEIGHTS", "a/S2/walk 1/cam1: is bright: very"]


def test_a_descriptor_that_is_left_out_is_out_of_the_configuration_too_so_that_the_rest_can_be_merged(made, tmp_path):
    store, _ = select(made, tmp_path / "c", fields=("keypoints", "score", "bbox", "uadd/paper", "radius/paper"))
    assert store.configuration["uadd"] == {"paper": {"r_max": 8}}
    Part(prefix="b", seed=1, optional=()).run(tmp_path / "b")
    merged = derive(merge_plan([tmp_path / "c", tmp_path / "b"]), tmp_path / "d")
    assert merged.sequences == 8


def test_what_was_found_about_the_ground_truth_is_kept_as_that_of_the_whole_store(made, tmp_path):
    truth = {"clips": 5, "median": {"height": 1.62, "reprojection": None}, "problems": ["upright is 0.3"]}
    location = locate(made)
    before = location.read("zarr.json")
    location.write("zarr.json", with_attributes(location, {"ground_truth": truth}))
    try:
        kept = select(made, tmp_path / "all")[0].attributes["ground_truth"]
        part = select(made, tmp_path / "part", keys={"split": ("test",)})[0].attributes["ground_truth"]
        without = select(made, tmp_path / "none", fields=("keypoints",))[0].attributes
    finally:
        location.write("zarr.json", before)
    assert kept == truth
    assert part["problems"] == ["upright is 0.3"]
    assert part["notes"][0].endswith("as a whole: height 1.62")
    assert "ground_truth" not in without


def test_windows_of_a_selected_store_are_those_of_the_store(made, tmp_path):
    store, _ = select(made, tmp_path / "c", keys={"split": ("test",)})
    source = FeatureStore.open(made)
    ours, theirs = (_windows(each, only) for each, only in ((store, None), (source, {"split": ("test", "train")})))
    assert ours.keys() < theirs.keys()
    for key, window in ours.items():
        np.testing.assert_array_equal(window, theirs[key])


def _windows(store: FeatureStore, select) -> dict[tuple[str, int], np.ndarray]:
    """By sequence and source frame of the centre."""
    found = {}
    for batch in WindowLoader(store, fields=["keypoints", "source_frame"], window=9, batch_size=8, select=select):
        for row, sequence in enumerate(batch["sequence"]):
            key = store.sequences[int(sequence)].id, int(batch["source_frame"][row, 4])
            found[key] = np.array(batch["keypoints"][row])
    return found


@pytest.mark.parametrize(
    ("selection", "error", "says"),
    [
        (
            {"where": 'subject == "S9"'},
            InvalidValueError,
            r"no sequence of .* fits subject == .*'S2', 'S3'",
        ),
        ({"keys": {"split": ("val",)}}, InvalidValueError, r"no sequence has split=val.*split: 'test', 'train'"),
        ({"where": "length > 30", "keys": {"subject": ("S1",)}}, InvalidValueError, r"no sequence has subject=S1"),
        ({"ids": ("a/S1/walk 0/cam1", "nobody")}, InvalidValueError, r"has no sequence 'nobody'"),
        ({"fields": ("uadd/quantile",)}, MissingFieldError, r"has no uadd/quantile; it holds keypoints"),
        ({"fields": ()}, InvalidValueError, r"names no field"),
    ],
)
def test_a_selection_of_nothing_is_refused_and_says_what_there_is(made, tmp_path, selection, error, says):
    with pytest.raises(error, match=says) as caught:
        select(made, tmp_path / "c", **selection)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "c").exists()


def test_a_store_that_is_being_written_is_refused(tmp_path):
    MADE.run(tmp_path / "s", shards=2)
    with pytest.raises(StoreIncompleteError, match="is not complete"):
        select_plan(tmp_path / "s", Selection())


def test_unreadable_frames_that_the_record_only_counts_are_still_counted_after_a_cut(tmp_path):
    class Cut(Part):
        """Names one of its unreadable frames, as the depth pass names a hundred."""

        def write_shard(self, writer, index):
            super().write_shard(writer, index)
            record = writer.done()[index]
            writer.location.write(ledger_key(index), replace(record, problems=record.problems[:1]).to_json())

    Cut(lengths=(20, 12), shard_frames=32, unreadable=tuple(range(10, 20))).run(tmp_path / "s")
    counts = []
    for row, name in enumerate(("first", "second")):
        id = FeatureStore.open(tmp_path / "s").sequences[row].id
        store, _ = select(tmp_path / "s", tmp_path / name, ids=(id,))
        counts.append(store.attributes["counts"])
    assert counts[0]["unreadable"] == 10
    whole = FeatureStore.open(tmp_path / "s").attributes["counts"]
    assert {key: counts[0][key] + counts[1][key] for key in whole} == whole
