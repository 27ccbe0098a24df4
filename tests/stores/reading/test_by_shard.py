"""stores/reading/by_shard.py: what is read shard by shard is what is read sequence by sequence, each shard once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auglift.stores.errors import CorruptStoreError, StoreIncompleteError
from auglift.stores.format.sequences import SequenceTable
from auglift.stores.reading import by_shard
from auglift.stores.reading.by_shard import blocks, read_blocks, read_frames
from auglift.stores.reading.shardfile import ShardReader
from auglift.stores.reading.store import FeatureStore
from auglift.stores.summaries.info import report

from ...fakes.stores import MadeStore, make_store

FIELDS = ("keypoints", "valid", "score")
LENGTHS = (23, 1, 9, 40, 2, 2, 16, 7)
MADE = MadeStore(lengths=LENGTHS, only=FIELDS)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> FeatureStore:
    return make_store(tmp_path_factory.mktemp("s") / "s", lengths=LENGTHS, only=FIELDS)


@given(st.lists(st.integers(0, len(LENGTHS) - 1), min_size=1, unique=True), st.sampled_from([3, 8, 16, 100]))
@settings(max_examples=40)
def test_any_sequences_in_any_order_are_what_the_store_reads(store, chosen, block_frames):
    table = SequenceTable(store.sequences.table.take(chosen))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(by_shard, "BLOCK_FRAMES", block_frames)
        found = read_frames(store, table, FIELDS)
    for name in FIELDS:
        expected = np.concatenate([store.read(name, row.start, row.stop) for row in table])
        np.testing.assert_array_equal(found[name], expected)
        assert found[name].dtype == expected.dtype


def test_each_shard_is_read_once_however_many_sequences_are_in_it(store, monkeypatch):
    reads = Counter()
    read = ShardReader.read

    def counted(self, name, start, stop, out):
        reads[name, start // 16] += 1
        read(self, name, start, stop, out)

    monkeypatch.setattr(ShardReader, "read", counted)
    read_frames(store, store.sequences, FIELDS)
    assert reads == {(name, shard): 1 for name in FIELDS for shard in range(store.layout.shards)}


def test_of_a_shard_only_what_lies_between_the_sequences_is_read(store):
    (block,) = blocks(store, store.sequences.select(id="S1/walk 0/cam2"))
    assert (block.shard, block.start, block.stop) == (1, 23, 24)


@given(st.integers(0, 2 ** len(LENGTHS) - 1).filter(bool))
@settings(max_examples=30)
def test_the_sums_of_a_block_are_those_of_its_sequences(store, bits):
    chosen = [n for n in range(len(LENGTHS)) if bits >> n & 1]
    table = SequenceTable(store.sequences.table.take(chosen))
    totals = np.zeros(len(table))
    taken = []
    for block, arrays in read_blocks(store, blocks(store, table), ("valid",)):
        totals[block.sequence] += block.sums(arrays["valid"].astype(float))
        taken.append(arrays["valid"][block.rows])
    valid = [store.read("valid", row.start, row.stop) for row in table]
    np.testing.assert_array_equal(totals, [part.sum() for part in valid])
    np.testing.assert_array_equal(np.concatenate(taken), np.concatenate(valid))


def test_a_shard_that_is_lost_or_not_written_is_an_error(tmp_path):
    MADE.run(tmp_path / "half", shards=2)
    half = FeatureStore.open(tmp_path / "half", allow_incomplete=True)
    with pytest.raises(StoreIncompleteError, match=r"shard 2 of .* is not written yet"):
        read_frames(half, half.sequences, FIELDS)
    MADE.run(tmp_path / "lost")
    (tmp_path / "lost" / "score" / "c" / "3" / "0").unlink()
    lost = FeatureStore.open(tmp_path / "lost")
    with pytest.raises(CorruptStoreError, match="shard 3 of 'score' is missing"):
        read_frames(lost, lost.sequences, FIELDS)


@pytest.mark.parametrize("shards", [None, 3])
def test_the_report_is_what_a_count_sequence_by_sequence_says(tmp_path: Path, shards):
    MADE.run(tmp_path / "s", shards=shards)
    store = FeatureStore.open(tmp_path / "s", allow_incomplete=True)
    readable = store.frames if shards is None else 16 * shards
    valid, score = (MADE.values(store.fields[name]) for name in ("valid", "score"))
    rows = {row["id"]: row for row in report(store)["sequences"]}
    assert len(rows) == len(LENGTHS)
    for row in store.sequences:
        known = valid[row.start : max(row.start, min(row.stop, readable))] > 0
        said = rows[row.id]
        assert (said["frames"], said["valid"]) == (len(known), known.sum())
        assert said["valid_share"] == (known.mean() if len(known) else None)
        if known.any():
            mean = score[row.start : row.start + len(known)][known].mean(dtype=np.float64)
            assert said["mean_score"] == pytest.approx(mean, rel=1e-12)
        else:
            assert said["mean_score"] is None
