"""stores/derived/merge.py: a merged store is its parts one after another, and says of each frame what they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auglift.stores.derived import shard as shard_module
from auglift.stores.derived.job import derive
from auglift.stores.derived.merge import merge_plan
from auglift.stores.errors import CorruptStoreError, InvalidValueError, StoreIncompleteError, StoreLockedError
from auglift.stores.format.layout import array_key
from auglift.stores.locations.choose import locate
from auglift.stores.reading.store import FeatureStore
from auglift.stores.writing.lock import StoreLock
from auglift.stores.writing.verify import verify

from ...fakes.derived import SETTINGS, Part
from ...fakes.folders import digest_of_folder

FIXED = ("paper", "fixed")
SMALL = ("keypoints", "valid", "source_frame", "uadd/paper")
# Two shards of 16 frames, so that the second store begins where a shard does.
FIRST = Part(lengths=(20, 12), prefix="a", only=SMALL, unreadable=(3, 30), warnings=("ALL OF IT IS FAKE",))
SECOND = Part(lengths=(23, 9, 18), prefix="b", only=SMALL, seed=1, unreadable=(4, 40), warnings=("ALL OF IT IS FAKE",))


def merged(out: Path, *parts: Part, **options) -> FeatureStore:
    folder = out.with_name(f"{out.name} parts")
    paths = [folder / str(number) for number in range(len(parts))]
    for part, path in zip(parts, paths, strict=True):
        if not path.exists():
            part.run(path)
    derive(merge_plan(paths, **options), out)
    return FeatureStore.open(out)


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> FeatureStore:
    return merged(tmp_path_factory.mktemp("both") / "c", FIRST, SECOND)


def test_a_merged_store_holds_the_values_of_its_parts_one_after_another(both):
    for name, spec in both.fields.items():
        expected = np.concatenate([FIRST.values(spec), SECOND.values(spec)])
        np.testing.assert_array_equal(both.read(name), expected)


def test_its_table_holds_every_column_of_every_sequence_and_starts_that_follow(both):
    rows = [*FIRST.sequences, *SECOND.sequences]
    assert [vars(row) | {"start": 0} for row in both.sequences] == [vars(row) | {"start": 0} for row in rows]
    assert both.sequences.fault() is None
    assert [row.split for row in both.sequences] == ["train", "train", "train", "train", "test"]


def test_shards_are_the_files_of_the_parts_where_the_boundaries_allow_and_only_there(tmp_path, monkeypatch):
    encoded: list[tuple[str, int]] = []
    original = shard_module.ShardWriter.encode
    monkeypatch.setattr(
        shard_module.ShardWriter,
        "encode",
        lambda self, spec, shard, values: encoded.append((spec.name, shard)) or original(self, spec, shard, values),
    )
    paths = [tmp_path / "a", tmp_path / "b"]
    FIRST.run(paths[0])
    SECOND.run(paths[1])
    encoded.clear()
    done = derive(merge_plan(paths), tmp_path / "c")
    assert (done.copied, done.written, encoded) == (6 * 4, 0, [])
    store = FeatureStore.open(tmp_path / "c")
    for spec in store.fields.values():
        for shard in range(6):
            source, own = (paths[0], shard) if shard < 2 else (paths[1], shard - 2)
            assert (tmp_path / "c" / array_key(spec, shard)).read_bytes() == (
                source / array_key(spec, own)
            ).read_bytes()
    # The other way round the first store ends inside a shard, and everything after that moves.
    done = derive(merge_plan(paths[::-1]), tmp_path / "d")
    assert (done.copied, done.written) == (3 * 4, 3 * 4)
    assert sorted({shard for _, shard in encoded}) == [3, 4, 5]


@settings(max_examples=5)
@given(
    lengths=st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=3), min_size=2, max_size=3),
    shards=st.lists(st.sampled_from([16, 32]), min_size=3, max_size=3),
)
def test_whatever_the_boundaries_the_arrays_are_those_of_a_store_that_was_written_at_once(
    tmp_path_factory, lengths, shards
):
    folder = tmp_path_factory.mktemp("any")
    parts = [
        Part(lengths=tuple(each), shard_frames=shard, prefix=str(number), seed=number, only=("keypoints", "valid"))
        for number, (each, shard) in enumerate(zip(lengths, shards, strict=False))
    ]
    store = merged(folder / "c", *parts)

    class AtOnce(Part):
        def values(self, spec):
            return np.concatenate([part.values(spec) for part in parts])

    every = tuple(length for each in lengths for length in each)
    AtOnce(lengths=every, shard_frames=store.layout.shard_frames, only=("keypoints", "valid")).run(folder / "once")
    ours, theirs = digest_of_folder(folder / "c"), digest_of_folder(folder / "once")
    arrays = [key for key in theirs if "/c/" in key or key in ("keypoints/zarr.json", "statistics.json")]
    assert {key: ours[key] for key in arrays} == {key: theirs[key] for key in arrays}
    assert verify(folder / "c", deep=True) == []


def test_counts_problems_and_versions_are_those_of_the_parts_also_of_shards_that_are_cut_anew(tmp_path):
    store = merged(tmp_path / "c", SECOND, FIRST)
    valid = int(store.read("valid").sum())
    frames = store.frames
    expected = {"frames": frames, "valid": valid, "nobody": frames - valid - 4, "unreadable": 4}
    assert store.attributes["counts"] == expected
    problems = [problem for record in store.ledger().values() for problem in record.problems]
    assert [problem["reason"] for problem in problems] == ["cut at 4", "cut at 40", "cut at 3", "cut at 30"]
    assert problems[1]["sequence"] == "b/S2/walk 1/cam1"
    assert {record.versions["torch"] for record in store.ledger().values()} == {"2.1", "2.0, 2.1", "2.0"}


def test_an_id_that_is_taken_gets_a_number_in_the_table_the_warnings_and_the_problems(tmp_path):
    first = FIRST.but(warnings=("RANDOM WEIGHTS", "a/S1/walk 0/cam1: its frame rate varies"))
    second = SECOND.but(prefix="a", warnings=("a/S1/walk 0/cam1: is dark", "RANDOM WEIGHTS"))
    paths = [tmp_path / "a", tmp_path / "b"]
    for part, path in zip((first, second), paths, strict=True):
        part.run(path)
    done = derive(merge_plan(paths), tmp_path / "c")
    store = FeatureStore.open(tmp_path / "c")
    new = "a/S1/walk 0/cam1 (2)"
    assert (str(paths[1]), "a/S1/walk 0/cam1", new) in done.renamed
    assert len(done.renamed) == 2
    assert new in store.sequences.values("id")
    assert store.attributes["warnings"] == [
        "RANDOM WEIGHTS",
        "a/S1/walk 0/cam1: its frame rate varies",
        f"{new}: is dark",
    ]
    assert new in [problem["sequence"] for record in store.ledger().values() for problem in record.problems]
    assert store.configuration["sequences"][new]["from"] == {"store": 1, "id": "a/S1/walk 0/cam1"}


def test_a_number_is_never_one_that_another_sequence_has(tmp_path):
    class Named(Part):
        @property
        def sequences(self):
            rows = [
                vars(row) | {"id": id} for row, id in zip(super().sequences, self.configuration["ids"], strict=True)
            ]
            table = super().sequences
            return type(table).from_sequences([type(table[0])(**row) for row in rows])

    parts = [
        Named(lengths=(5, 6), only=("valid",), seed=seed, configuration={"ids": ids})
        for seed, ids in enumerate([("walk", "walk (2)"), ("walk", "walk (3)")])
    ]
    assert merged(tmp_path / "c", *parts).sequences.table["id"].to_pylist() == [
        "walk",
        "walk (2)",
        "walk (4)",
        "walk (3)",
    ]


def test_ground_truth_that_only_some_have_is_nan_elsewhere(tmp_path):
    with_truth = Part(lengths=(20,), only=("valid", "target/pose3d"), prefix="a")
    without = Part(lengths=(17,), only=("valid",), prefix="b", seed=1)
    store = merged(tmp_path / "c", without, with_truth)
    spec = store.fields["target/pose3d"]
    assert np.isnan(store.read("target/pose3d", 0, 17)).all()
    np.testing.assert_array_equal(store.read("target/pose3d", 17), with_truth.values(spec))


def test_the_plan_says_of_what_the_store_is_made_and_nothing_of_where_that_lay(tmp_path):
    stores = [merged(tmp_path / name / "c", FIRST, SECOND) for name in ("here", "there")]
    assert digest_of_folder(tmp_path / "here" / "c") == digest_of_folder(tmp_path / "there" / "c")
    plan = json.loads(stores[0].location.read("plan.json"))
    parts = [FeatureStore.open(tmp_path / "here" / "c parts" / name) for name in "01"]
    derived = plan["configuration"]["derived"]
    assert [each["fingerprint"] for each in derived["stores"]] == [part.fingerprint for part in parts]
    sums = [digest_of_folder(tmp_path / "here" / "c parts" / name)["SHA256SUMS"] for name in "01"]
    assert [each["sha256sums"] for each in derived["stores"]] == sums
    assert str(tmp_path) not in json.dumps(plan)
    assert plan["fingerprint"] == stores[0].fingerprint
    assert plan["fingerprint"] not in {part.fingerprint for part in parts}


def test_a_merged_store_is_merged_again_and_its_lineage_names_every_command_once(tmp_path):
    merged(tmp_path / "c", FIRST, SECOND)
    third = Part(lengths=(7,), only=SMALL, prefix="c", seed=2)
    third.run(tmp_path / "third")
    derive(merge_plan([tmp_path / "c", tmp_path / "third"]), tmp_path / "d")
    store = FeatureStore.open(tmp_path / "d")
    made = store.attributes["lineage"]
    assert [entry["command"].split()[-1] for entry in made] == [
        "auglift-prep",
        "auglift-prep",
        "merge",
        "auglift-prep",
        "merge",
    ]
    assert made[-1]["of"] == [made[2]["made"], made[3]["made"]]
    assert made[-1]["made"] == store.fingerprint


def test_what_decides_the_last_bits_only_may_differ_and_is_said_of_each_store(tmp_path):
    store = merged(tmp_path / "c", FIRST, SECOND.but(changes=(("batch", 8), ("device", "cuda"))))
    assert "batch" not in store.configuration
    assert [each.get("batch") for each in store.configuration["derived"]["stores"]] == [4, 8]


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (
            {"changes": (("depth", {**SETTINGS["depth"], "name": "other"}),)},
            r'depth.name: "fake-depth" in .*"other" in',
        ),
        ({"changes": (("uadd", {"paper": {"r_max": 9}}),)}, r"uadd.paper.r_max: 8 in .*9 in"),
        (
            {"changes": (("uadd", {"paper": {"r_max": 8}, "fixed": {}}),), "presets": ("paper", "fixed"), "only": ()},
            "fixed",
        ),
        ({"only": ("keypoints", "valid", "source_frame")}, "uadd/paper|r_max"),
    ],
)
def test_other_networks_and_presets_are_refused_with_the_keys_that_differ(tmp_path, other, says):
    FIRST.run(tmp_path / "a")
    SECOND.but(**other).run(tmp_path / "b")
    with pytest.raises(InvalidValueError, match=says) as caught:
        merge_plan([tmp_path / "a", tmp_path / "b"])
    assert "\n" not in str(caught.value)


def test_another_skeleton_is_refused(tmp_path):
    FIRST.run(tmp_path / "a")
    SECOND.run(tmp_path / "b")
    group = tmp_path / "b" / "zarr.json"
    group.write_text(group.read_text().replace("h36m-17", "coco-17"))
    with pytest.raises(InvalidValueError, match=r'cannot be merged: skeleton.name: "h36m-17" in .*"coco-17" in'):
        merge_plan([tmp_path / "a", tmp_path / "b"])


def test_a_store_that_is_being_written_is_refused(tmp_path):
    FIRST.run(tmp_path / "a")
    SECOND.run(tmp_path / "b", shards=1)
    with pytest.raises(StoreIncompleteError, match=r"b is not complete"):
        merge_plan([tmp_path / "a", tmp_path / "b"])


def test_the_same_store_twice_one_store_and_a_store_into_itself_are_refused(tmp_path):
    FIRST.run(tmp_path / "a")
    SECOND.run(tmp_path / "b")
    with pytest.raises(InvalidValueError, match="are the same store"):
        merge_plan([tmp_path / "a", tmp_path / "a"])
    with pytest.raises(InvalidValueError, match="at least two"):
        merge_plan([tmp_path / "a"])
    before = digest_of_folder(tmp_path)
    with pytest.raises(InvalidValueError, match="choose another --out"):
        derive(merge_plan([tmp_path / "a", tmp_path / "b"]), tmp_path / "x" / ".." / "a")
    assert digest_of_folder(tmp_path) == before


def test_the_same_source_in_two_stores_is_said_since_a_split_would_leak(tmp_path):
    FIRST.run(tmp_path / "a")
    FIRST.but(shard_frames=32).run(tmp_path / "b")
    done = derive(merge_plan([tmp_path / "a", tmp_path / "b"]), tmp_path / "c")
    note = "a/S1/walk 0/cam1 (2): the same source as a/S1/walk 0/cam1, so its frames are in the store twice"
    assert done.notes[0] == note
    assert note in FeatureStore.open(tmp_path / "c").attributes["warnings"]


def test_a_source_whose_bytes_changed_is_never_copied(tmp_path):
    FIRST.run(tmp_path / "a")
    SECOND.run(tmp_path / "b")
    file = tmp_path / "b" / "keypoints" / "c" / "1" / "0" / "0"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(CorruptStoreError, match=r"keypoints/c/1/0/0 in .*b is not what was written"):
        derive(merge_plan([tmp_path / "a", tmp_path / "b"]), tmp_path / "c")


def test_a_merge_that_another_job_is_doing_is_refused(tmp_path):
    FIRST.run(tmp_path / "a")
    SECOND.run(tmp_path / "b")
    plan = merge_plan([tmp_path / "a", tmp_path / "b"])
    with StoreLock(locate(tmp_path / "c")), pytest.raises(StoreLockedError, match="is being written"):
        derive(plan, tmp_path / "c")
