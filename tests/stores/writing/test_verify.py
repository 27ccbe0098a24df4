"""verify.py: any damage is found where it is, repair marks just that, the next job brings back every byte."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auglift.stores.errors import InvalidValueError, MissingFileError, StoreLockedError
from auglift.stores.format.schema import FORMAT_VERSION
from auglift.stores.locations.local import LocalLocation
from auglift.stores.reading.store import FeatureStore
from auglift.stores.writing.lock import LOCK, StoreLock
from auglift.stores.writing.verify import REMEDIES, repair, verify

from ...fakes.folders import digest_of_folder
from ...fakes.stores import MadeStore

MADE = MadeStore(lengths=(7, 6), shard_frames=5, only=("keypoints", "valid", "uadd/paper"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "s.zarr"
    MADE.run(path)
    return path


@pytest.fixture(scope="module")
def half(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("half") / "s.zarr"
    MADE.run(path, shards=2)
    return path


@pytest.fixture
def copy(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "s.zarr"))


def damage(path: Path, kind: str, where: float, bit: int) -> None:
    data = bytearray(path.read_bytes())
    position = int(where * len(data))
    if kind == "lost":
        path.unlink()
        return
    if kind == "cut":
        del data[position:]
    elif kind == "flipped":
        data[position] ^= 1 << bit
    else:
        data = bytearray(os.urandom(len(data)))
    path.write_bytes(data)


def found_in(path: Path, deep: bool = False) -> list[str]:
    return [finding.key for finding in verify(path, deep=deep)]


def test_a_sound_store_has_no_findings(whole, half):
    for path in (whole, half):
        for deep in (False, True):
            assert verify(path, deep=deep) == []


@given(
    st.sampled_from(["lost", "cut", "flipped", "garbage"]),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 7),
    st.data(),
)
@settings(max_examples=40)
def test_whatever_is_damaged_is_found_repaired_and_brought_back_byte_for_byte(
    whole, tmp_path_factory, kind, where, bit, data
):
    original = digest_of_folder(whole)
    key = data.draw(st.sampled_from(sorted(original)))
    path = Path(shutil.copytree(whole, tmp_path_factory.mktemp("damaged") / "s.zarr"))
    damage(path / key, kind, where, bit)
    findings = verify(path, deep=True)
    if key == "zarr.json" and kind == "lost":
        pass  # then it is a store that a job has only just begun: the job goes on
    elif key == "SHA256SUMS" and kind != "lost":
        assert findings, "a damaged list disagrees with what it lists"
    else:
        assert key in [finding.key for finding in findings] or "zarr.json" in [finding.key for finding in findings]
    repair(path, findings)
    redone = MADE.run(path)
    assert verify(path, deep=True) == []
    assert digest_of_folder(path) == original
    is_a_shards = "/c/" in key or key.startswith("ledger/")
    assert len(redone) == (1 if is_a_shards else 0) or key == "SHA256SUMS", "just the bad shard is done again"


@pytest.mark.parametrize("kind", ["cut", "lost"])
def test_a_quick_look_finds_lost_and_cut_shards(copy, kind):
    damage(copy / "keypoints/c/1/0/0", kind, 0.5, 0)
    (finding,) = verify(copy)
    assert (finding.key, finding.shard, finding.remedy) == ("keypoints/c/1/0/0", 1, "redo")
    assert ("missing" if kind == "lost" else "bytes, the ledger says") in finding.problem


def test_a_flipped_bit_in_a_shard_takes_a_deep_look(copy):
    damage(copy / "uadd/paper/c/2/0/0", "flipped", 0.3, 4)
    assert found_in(copy) == []
    assert found_in(copy, deep=True) == ["uadd/paper/c/2/0/0"]


def test_bytes_that_are_in_the_ledger_but_cannot_be_decoded_are_found(copy):
    """As a writer with a bug, or a bad memory module, would leave them."""
    data = b"not a shard at all"
    (copy / "keypoints/c/0/0/0").write_bytes(data)
    path = copy / "ledger/00000000.json"
    record = json.loads(path.read_text())
    record["arrays"]["keypoints"] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    path.write_text(json.dumps(record))
    problems = {finding.key: finding.problem for finding in verify(copy, deep=True)}
    assert "cannot be decoded" in problems["keypoints/c/0/0/0"]


def test_counts_that_do_not_fit_the_frames_are_found(half, tmp_path):
    path = Path(shutil.copytree(half, tmp_path / "s"))
    record = json.loads((path / "ledger/00000001.json").read_text())
    record["counts"]["valid"] += 1
    (path / "ledger/00000001.json").write_text(json.dumps(record))
    (finding,) = verify(path, deep=True)
    assert finding.key == "valid/c/1"
    assert "valid frames, the ledger says" in finding.problem


def test_a_record_of_another_plan_is_found_in_a_half_built_store_too(half, tmp_path):
    path = Path(shutil.copytree(half, tmp_path / "s"))
    record = json.loads((path / "ledger/00000000.json").read_text())
    (path / "ledger/00000000.json").write_text(json.dumps(record | {"fingerprint": "a" * 64}))
    (finding,) = verify(path)
    assert (finding.key, finding.shard) == ("ledger/00000000.json", 0)
    assert "is of another plan (aaaaaaaa" in finding.problem
    repair(path, [finding])
    assert MADE.run(path) == [0, 2]


@pytest.mark.parametrize("garbage", [b"", b"{}", b"\x00" * 50])
def test_garbage_in_the_ledger_is_found_in_a_half_built_store_too(half, tmp_path, garbage):
    path = Path(shutil.copytree(half, tmp_path / "s"))
    (path / "ledger/00000001.json").write_bytes(garbage)
    assert found_in(path) == ["ledger/00000001.json"]


def test_a_plan_of_another_store_is_found(copy, tmp_path):
    MadeStore(seed=5).run(tmp_path / "other", shards=1)
    shutil.copy(tmp_path / "other" / "plan.json", copy / "plan.json")
    assert set(found_in(copy)) == {"plan.json"}


@pytest.mark.parametrize("key", ["plan.json", "zarr.json", "sequences.parquet", "valid/zarr.json", "uadd/zarr.json"])
@pytest.mark.parametrize("kind", ["cut", "garbage"])
def test_damage_beside_the_shards_is_found_in_a_half_built_store_too_and_mended(half, tmp_path, key, kind, whole):
    path = Path(shutil.copytree(half, tmp_path / "s"))
    damage(path / key, kind, 0.5, 0)
    findings = verify(path)
    assert findings
    repair(path, findings)
    assert MADE.run(path) == [2]
    assert digest_of_folder(path) == digest_of_folder(whole)


def test_plan_and_metadata_both_lost_are_written_again_by_the_same_plan_only(copy, whole):
    damage(copy / "plan.json", "lost", 0, 0)
    damage(copy / "zarr.json", "lost", 0, 0)
    with pytest.raises(InvalidValueError, match="holds something else"):
        MadeStore(seed=9).run(copy)
    assert MADE.run(copy) == []
    assert digest_of_folder(copy) == digest_of_folder(whole)


# --- what does not belong there


def test_foreign_files_among_ours_are_deleted_others_are_only_reported(copy, whole):
    ours = ("keypoints/c/99/0/0", "ledger/00000099.json", "ledger/notes.txt", "valid/c/0.old")
    for key in (*ours, "thesis/chapter.tex"):
        (copy / key).parent.mkdir(parents=True, exist_ok=True)
        (copy / key).write_text("?")
    findings = verify(copy)
    remedies = {finding.key: finding.remedy for finding in findings}
    assert remedies.pop("thesis/chapter.tex") == "none"
    assert remedies == dict.fromkeys(ours, "delete")
    repair(copy, findings)
    assert FeatureStore.open(copy).status == "complete"
    assert digest_of_folder(copy).keys() - digest_of_folder(whole).keys() == {"thesis/chapter.tex"}
    assert found_in(copy) == ["thesis/chapter.tex"]


def test_a_card_and_a_hubs_hidden_files_belong_to_the_store(copy):
    (copy / "README.md").write_text("# card")
    (copy / ".gitattributes").write_text("")
    (copy / ".cache").mkdir()
    (copy / ".cache" / "hub").write_text("")
    assert verify(copy) == []


def test_what_a_killed_job_left_unfinished_is_found_and_deleted(half, tmp_path):
    path = Path(shutil.copytree(half, tmp_path / "s"))
    (path / "keypoints/c/0/0/0.abc.partial").write_bytes(b"half")
    (path / LOCK).write_text('{"host": "gone"}')
    before = digest_of_folder(half)
    assert found_in(path) == ["keypoints/c/0/0/0.abc.partial", LOCK]
    repair(path, verify(path))
    assert digest_of_folder(path) == before


def test_a_store_whose_job_was_killed_before_it_had_metadata_is_looked_at_too(tmp_path):
    location = LocalLocation(tmp_path / "s")
    location.write("plan.json", b"{}")
    assert verify(location) == []
    location.write("zarr.json.1.partial", b"{")
    assert found_in(tmp_path / "s") == ["zarr.json.1.partial"]


# --- beside a job


def test_while_a_job_writes_its_unfinished_files_are_its_business_and_repair_is_refused(half, tmp_path):
    path = Path(shutil.copytree(half, tmp_path / "s"))
    damage(path / "keypoints/c/0/0/0", "cut", 0.5, 0)
    (path / "valid/c/1.abc.partial").write_bytes(b"half")
    with StoreLock(LocalLocation(path)):
        findings = verify(path)
        assert [finding.key for finding in findings] == ["keypoints/c/0/0/0"]
        with pytest.raises(StoreLockedError):
            repair(path, findings)
    assert (path / "ledger/00000000.json").exists()


def test_a_record_that_appears_while_we_look_is_no_finding(tmp_path):
    """A job may finish a shard after its arrays' folders were listed and before the ledger was."""

    class Busy(LocalLocation):
        def sizes(self, prefix: str = "") -> dict[str, int]:
            sizes = super().sizes(prefix)
            if not prefix:
                made = MADE.begin(LocalLocation(self.path))
                MADE.write_shard(made, 1)
                sizes |= super().sizes("ledger/")
            return sizes

    MADE.run(tmp_path / "s", shards=1)
    assert verify(Busy(tmp_path / "s"), deep=True) == []


def test_progress_counts_the_shards(whole):
    seen = []
    verify(whole, deep=True, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_every_remedy_is_explained(whole):
    assert all(REMEDIES.values())


# --- no store


def test_no_store_other_groups_and_later_versions_are_refused(tmp_path, copy):
    with pytest.raises(MissingFileError, match="there is no store"):
        verify(tmp_path / "nowhere")
    text = (copy / "zarr.json").read_text()
    (copy / "zarr.json").write_text(text.replace('"format_version": 1', f'"format_version": {FORMAT_VERSION + 1}'))
    with pytest.raises(InvalidValueError, match="upgrade auglift"):
        verify(copy)
