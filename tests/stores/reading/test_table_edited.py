"""A table of sequences that is not the one written: a store refuses to open with it, wherever it lives."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auglift.stores.errors import CorruptStoreError
from auglift.stores.format.sequences import ARROW_SCHEMA, SequenceTable
from auglift.stores.locations.local import LocalLocation
from auglift.stores.reading.store import FeatureStore
from auglift.stores.writing.verify import repair, verify

from ...fakes.folders import digest_of_folder
from ...fakes.servers import web_server
from ...fakes.stores import MadeStore

MADE = MadeStore(only=("valid", "keypoints"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "s.zarr"
    MADE.run(path)
    return path


@pytest.fixture
def copy(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "s.zarr"))


def written(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def edited(table: pa.Table, column: str, values: list) -> pa.Table:
    place = table.schema.get_field_index(column)
    return table.set_column(place, ARROW_SCHEMA.field(column), pa.array(values, ARROW_SCHEMA.field(column).type))


TABLE = MADE.sequences.table
EDITS = {
    "re-sorted": TABLE.sort_by([("subject", "descending")]),
    "another split": edited(TABLE, "split", ["train"] * 3),
    "a null subject": edited(TABLE, "subject", ["S1", None, "S2"]),
    "two of one id": edited(TABLE, "id", ["a", "b", "a"]),
    "lengths exchanged": edited(TABLE, "length", [9, 23, 18]),
    "an empty sequence": edited(edited(TABLE, "length", [32, 0, 18]), "start", [0, 32, 32]),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_table_is_refused_by_its_digest(copy, edit):
    (copy / "sequences.parquet").write_bytes(written(EDITS[edit]))
    with pytest.raises(CorruptStoreError, match=r"sequences.parquet of .* sha256 is not the one in SHA256SUMS"):
        FeatureStore.open(copy)


def test_the_same_rows_in_other_bytes_are_refused_too(copy):
    (copy / "sequences.parquet").write_bytes(written(TABLE))
    with pytest.raises(CorruptStoreError, match="SHA256SUMS"):
        FeatureStore.open(copy, allow_incomplete=True)


@pytest.mark.parametrize("edit", sorted(set(EDITS) - {"another split"}))
def test_a_table_that_makes_no_sense_is_refused_where_no_digest_says_so(copy, edit):
    (copy / "sequences.parquet").write_bytes(written(EDITS[edit]))
    (copy / "SHA256SUMS").unlink()
    with pytest.raises(CorruptStoreError, match=r"sequences.parquet of .* (begin|null|repeat|at least one frame)"):
        FeatureStore.open(copy)


def test_a_store_without_checksums_opens(copy):
    (copy / "SHA256SUMS").unlink()
    assert list(FeatureStore.open(copy).sequences) == list(MADE.sequences)


@pytest.mark.parametrize("text", ["", "no digests here\n", f"{'0' * 64}  plan.json\n"])
def test_checksums_that_do_not_name_the_table_stop_nothing(copy, text):
    """What is wrong with the file itself, verify says."""
    (copy / "SHA256SUMS").write_text(text)
    assert len(FeatureStore.open(copy).sequences) == 3
    assert any(finding.key == "SHA256SUMS" for finding in verify(copy))


def test_an_edit_with_a_new_digest_is_accepted(copy):
    """What `sha256sum` prints, also in its binary mode, is taken."""
    data = written(EDITS["another split"])
    (copy / "sequences.parquet").write_bytes(data)
    lines = [line for line in (copy / "SHA256SUMS").read_text().splitlines() if "sequences.parquet" not in line]
    lines.append(f"{hashlib.sha256(data).hexdigest()} *sequences.parquet")
    (copy / "SHA256SUMS").write_text("\n".join(lines) + "\n")
    assert FeatureStore.open(copy).sequences.values("split") == ["train"]
    assert verify(copy) == []


def test_a_half_built_store_has_no_checksums_and_is_held_to_the_order_of_its_frames(tmp_path):
    MADE.run(tmp_path / "s", shards=1)
    FeatureStore.open(tmp_path / "s", allow_incomplete=True)
    (tmp_path / "s" / "sequences.parquet").write_bytes(written(EDITS["re-sorted"]))
    with pytest.raises(CorruptStoreError, match="expected to begin"):
        FeatureStore.open(tmp_path / "s", allow_incomplete=True)


@pytest.mark.parametrize("edit", ["re-sorted", "another split", "a null subject"])
def test_verify_says_it_once_still_looks_at_the_shards_and_repair_brings_the_bytes_back(copy, whole, edit):
    (copy / "sequences.parquet").write_bytes(written(EDITS[edit]))
    (copy / "valid" / "c" / "2").unlink()
    findings = verify(copy)
    assert [finding.key for finding in findings] == ["sequences.parquet", "valid/c/2"]
    repair(copy, findings)
    assert MADE.run(copy) == [2]
    assert digest_of_folder(copy) == digest_of_folder(whole)


def test_an_edited_table_is_refused_behind_a_url_too(copy):
    with web_server(copy.parent) as url:
        assert len(FeatureStore.open(f"{url}/s.zarr").sequences) == 3
        (copy / "sequences.parquet").write_bytes(written(EDITS["re-sorted"]))
        with pytest.raises(CorruptStoreError, match=r"http://.*SHA256SUMS"):
            FeatureStore.open(f"{url}/s.zarr")
        (copy / "SHA256SUMS").unlink()
        with pytest.raises(CorruptStoreError, match="expected to begin"):
            FeatureStore.open(f"{url}/s.zarr")


class CountingReads(LocalLocation):
    def __init__(self, path: Path):
        super().__init__(path)
        self.reads: list[str] = []

    def read(self, key: str) -> bytes:
        self.reads.append(key)
        return super().read(key)


def test_the_table_that_was_checked_is_the_table_that_is_used(copy):
    """One read serves both: what is exchanged between two reads would slip through."""
    location = CountingReads(copy)
    FeatureStore.open(location)
    assert location.reads.count("sequences.parquet") == 1


def test_ids_are_compared_in_one_pass():
    """100,000 sequences of one id name it, and do not take the square of their number."""
    first = MADE.sequences[0]
    rows = [replace(first, start=n, length=1) for n in range(100_000)]
    with pytest.raises(ValueError, match="sequence ids repeat: S1/walk 0/cam1"):
        SequenceTable.from_sequences(rows)
