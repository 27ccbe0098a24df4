"""stores/summaries/card.py and info.py: a card that hubs can read, figures that are those of the store."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml

from auglift.stores.errors import CorruptStoreError, StoreIncompleteError
from auglift.stores.format.schema import FIELDS
from auglift.stores.reading.store import FeatureStore
from auglift.stores.summaries.card import write_card
from auglift.stores.summaries.info import duration, report, summary
from auglift.stores.writing.verify import verify

from ...fakes.stores import MadeStore, make_store

CONFIGURATION = {
    "detector": {"name": "rtmdet-m", "weights": "ab" * 32},
    "pose": {"name": "rtmpose-l", "weights": "random:0"},
    "depth": {"name": "depth-anything-v2-large", "weights": "cd" * 32},
}
WARNING = "RANDOM WEIGHTS in rtmpose-l: THE FEATURES ARE NOISE"


@pytest.fixture
def store(tmp_path) -> FeatureStore:
    return make_store(tmp_path / "s", configuration=CONFIGURATION, warnings=(WARNING,))


def test_the_card_begins_with_yaml_that_hubs_read(store):
    text = write_card(store)
    _, front, body = text.split("---\n", 2)
    matter = yaml.safe_load(front)
    assert matter["pretty_name"].endswith("fake")
    assert matter["size_categories"] == ["n<1K"]
    assert matter["configs"] == [{"config_name": "sequences", "data_files": "sequences.parquet"}]
    assert "keypoint-detection" in matter["task_categories"]
    assert body.lstrip().startswith("# ")


def test_the_card_says_what_the_store_holds_and_how_it_was_made(store):
    text = write_card(store)
    valid = int(MadeStore().values(FIELDS["valid"]).sum())
    for part in (
        WARNING,
        "50 frames (1.0 seconds) of 3 sequences",
        f"valid: {valid}; nobody found: {50 - valid}; unreadable: 0",
        "depth-anything-v2-large",
        "random:0",
        store.fingerprint,
        "test (18 frames), train (32 frames)",
        "| `uadd/paper` | 17 x 3 | float32 | m |",
    ):
        assert part in text


def test_a_card_is_a_function_of_the_store_and_no_stray(store, tmp_path):
    assert write_card(store) == write_card(store)
    assert (tmp_path / "s" / "README.md").read_text() == write_card(store)
    assert verify(store.location, deep=True) == []


@pytest.mark.parametrize("dataset", ["3dpw: test", 'a "quoted" name', "- dash", "#1", "Größe"])
def test_any_dataset_name_is_yaml_all_the_same(store, dataset):
    store.attributes["dataset"] = dataset
    front = write_card(store).split("---\n", 2)[1]
    assert yaml.safe_load(front)["pretty_name"] == f"Depth-aware 2D pose features: {dataset}"


def test_a_half_built_store_has_no_card(tmp_path):
    MadeStore().run(tmp_path / "s", shards=1)
    with pytest.raises(StoreIncompleteError):
        write_card(FeatureStore.open(tmp_path / "s", allow_incomplete=True))


def test_the_summary_is_plain_data_with_the_stores_own_figures(store, tmp_path):
    about = json.loads(json.dumps(summary(store), allow_nan=False))
    assert about["frames"] == 50
    assert about["seconds"] == 1.0
    assert about["shards"] == {"finished": 4, "all": 4, "frames": 16}
    assert about["sequences"]["subject"] == {"S1": 32, "S2": 18}
    assert about["warnings"] == [WARNING]
    assert about["models"]["pose"] == {"name": "rtmpose-l", "weights": "random:0"}
    for name, field in about["fields"].items():
        files = [path for path in (tmp_path / "s" / name / "c").rglob("*") if path.is_file()]
        assert field["bytes"] == sum(path.stat().st_size for path in files)
        assert field["raw_bytes"] == MadeStore().values(FIELDS[name]).nbytes
    score, depth = MadeStore().values(FIELDS["score"]), MadeStore().values(FIELDS["uadd/paper"])[..., 0]
    assert about["joints"]["pelvis"]["score"]["max"] == pytest.approx(np.nanmax(score[:, 0]), rel=1e-5)
    assert about["joints"]["left_wrist"]["depth"]["mean"] == pytest.approx(np.nanmean(depth[:, 13]), rel=1e-5)


def test_the_summary_of_a_store_that_is_being_written_counts_what_is_finished(tmp_path):
    MadeStore().run(tmp_path / "s", shards=2)
    about = summary(FeatureStore.open(tmp_path / "s", allow_incomplete=True))
    assert about["status"] == "building"
    assert about["shards"]["finished"] == 2
    assert about["counts"]["frames"] == 32
    assert about["joints"] is None


def test_statistics_that_were_lost_are_an_error(store, tmp_path):
    (tmp_path / "s" / "statistics.json").unlink()
    with pytest.raises(CorruptStoreError, match=r"statistics\.json"):
        summary(store)


def test_the_report_counts_each_sequence_by_its_own_frames(store):
    valid, score = MadeStore().values(FIELDS["valid"]) > 0, MadeStore().values(FIELDS["score"])
    rows = report(store)["sequences"]
    assert [row["valid_share"] for row in rows] == sorted(row["valid_share"] for row in rows)
    by_id = {row["id"]: row for row in rows}
    for sequence in store.sequences:
        span = slice(sequence.start, sequence.stop)
        row = by_id[sequence.id]
        assert (row["frames"], row["valid"]) == (sequence.length, valid[span].sum())
        assert row["mean_score"] == pytest.approx(np.nanmean(score[span]), rel=1e-6)


def test_the_report_of_a_half_built_store_counts_finished_frames_only(tmp_path):
    MadeStore().run(tmp_path / "s", shards=1)
    rows = {row["id"]: row for row in report(FeatureStore.open(tmp_path / "s", allow_incomplete=True))["sequences"]}
    assert [rows[i]["frames"] for i in ("S1/walk 0/cam1", "S1/walk 0/cam2", "S2/walk 1/cam1")] == [16, 0, 0]
    assert rows["S2/walk 1/cam1"]["valid_share"] is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (1.0, "1.0 seconds"), (600, "10.0 minutes"), (9000, "2.5 hours")]
)
def test_a_duration_has_a_unit_that_fits(seconds, text):
    assert duration(seconds) == text
