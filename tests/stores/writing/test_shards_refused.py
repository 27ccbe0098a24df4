"""stores/writing/shards.py: folders, plans and ledger records that are not of this job are refused and left alone."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
import zarr

from auglift.stores.errors import (
    AugliftError,
    CorruptStoreError,
    InvalidValueError,
)
from auglift.stores.locations.local import LocalLocation
from auglift.stores.reading.store import FeatureStore
from auglift.stores.writing.shards import ShardWriter

from ...fakes.folders import digest_of_folder
from ...fakes.stores import MadeStore


def test_another_configuration_is_refused_with_the_keys_that_differ(tmp_path):
    MadeStore().run(tmp_path / "s", shards=1)
    before = digest_of_folder(tmp_path / "s")
    with pytest.raises(InvalidValueError, match=r'depth\.name: "other" here, "fake-depth" in the store'):
        MadeStore(configuration={"batch": 4, "depth": {"name": "other"}}).run(tmp_path / "s")
    assert digest_of_folder(tmp_path / "s") == before


def test_a_folder_that_holds_something_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("chapter 1")
    with pytest.raises(InvalidValueError, match=r"holds something else \(thesis.tex\).*new or empty"):
        MadeStore().run(tmp_path)
    assert digest_of_folder(tmp_path).keys() == {"thesis.tex"}


def test_a_checked_out_hub_repository_may_take_a_store(tmp_path):
    """A dataset's repository has a card and hidden files before it has data."""
    (tmp_path / ".git").mkdir()
    (tmp_path / ".gitattributes").write_text("*.parquet filter=lfs")
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---")
    MadeStore().run(tmp_path)
    assert FeatureStore.open(tmp_path).frames == 50


def test_a_zarr_group_of_other_software_is_refused(tmp_path):
    zarr.create_group(tmp_path / "s")
    with pytest.raises(InvalidValueError, match="did not begin"):
        MadeStore().run(tmp_path / "s")


@pytest.mark.parametrize("plan", [b"", b"{", b"[]", b"null", b'{"fingerprint": 1}', b"\xff\xfe"])
def test_a_plan_that_cannot_be_read_is_an_error(tmp_path, plan):
    MadeStore().run(tmp_path / "s", shards=1)
    (tmp_path / "s" / "plan.json").write_bytes(plan)
    with pytest.raises(CorruptStoreError, match=r"plan.json in .* cannot be read"):
        MadeStore().run(tmp_path / "s")


def records() -> dict[str, bytes]:
    good = {
        "shard": 0,
        "start": 0,
        "stop": 16,
        "fingerprint": "0" * 64,
        "arrays": {"keypoints": {"sha256": "0" * 64, "bytes": 5}},
    }
    bad = {
        "no arrays": {k: v for k, v in good.items() if k != "arrays"},
        "an unknown key": good | {"colour": "red"},
        "backwards": good | {"start": 16, "stop": 0},
        "arrays that are a list": good | {"arrays": ["keypoints"]},
        "a short hash": good | {"arrays": {"keypoints": {"sha256": "00", "bytes": 5}}},
        "no size": good | {"arrays": {"keypoints": {"sha256": "0" * 64}}},
        "counts that are words": good | {"counts": {"frames": "many"}},
        "a word for a number": good | {"start": "zero"},
    }
    plain = {"empty": b"", "binary": bytes(range(256)), "half": json.dumps(good).encode()[:40], "a list": b"[1, 2]"}
    return {**plain, **{name: json.dumps(record).encode() for name, record in bad.items()}}


@pytest.mark.parametrize("kind", records())
def test_garbage_in_the_ledger_is_an_error_that_names_the_file_for_writer_and_reader(tmp_path, kind):
    made = MadeStore()
    made.run(tmp_path / "s", shards=2)
    (tmp_path / "s" / "ledger" / "00000001.json").write_bytes(records()[kind])
    with pytest.raises(CorruptStoreError, match=r"ledger/00000001.json in .* is not a ledger record.*--repair"):
        made.run(tmp_path / "s")
    with pytest.raises(CorruptStoreError, match=r"ledger/00000001.json"):
        FeatureStore.open(tmp_path / "s", allow_incomplete=True).finished()


def test_a_record_under_another_shards_name_is_an_error(tmp_path):
    made = MadeStore()
    made.run(tmp_path / "s", shards=1)
    ledger = tmp_path / "s" / "ledger"
    (ledger / "00000002.json").write_bytes((ledger / "00000000.json").read_bytes())
    with pytest.raises(CorruptStoreError, match=r"00000002.json .*is the record of shard 0"):
        made.run(tmp_path / "s")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"fingerprint": "f" * 64}, r"is of another plan \(ffffffff, not"),
        ({"shard": 77, "start": 1232, "stop": 1248}, "says frames 1232 to 1248, where the store has 4 shards"),
        ({"stop": 15}, "says frames 0 to 15"),
        ({"arrays": {"keypoints": {"sha256": "0" * 64, "bytes": 5}}}, "has arrays keypoints, not the store's"),
    ],
)
def test_a_record_of_another_plan_is_refused_by_writer_and_reader(tmp_path, change, complaint):
    made = MadeStore()
    made.run(tmp_path / "s", shards=1)
    path = tmp_path / "s" / "ledger" / "00000000.json"
    record = json.loads(path.read_bytes()) | change
    path.unlink()
    path.with_name(f"{record['shard']:08d}.json").write_text(json.dumps(record))
    with pytest.raises(InvalidValueError, match=complaint):
        made.run(tmp_path / "s")
    with pytest.raises(CorruptStoreError, match=complaint):
        FeatureStore.open(tmp_path / "s", allow_incomplete=True).finished()


def test_an_unwritable_target_is_an_error_of_ours(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(AugliftError, match=r"cannot be written \(Read-only file system\); choose another --out"):
        ShardWriter.create(
            LocalLocation(tmp_path / "s"), MadeStore().layout, MadeStore().sequences, MadeStore().plan, {}
        )
