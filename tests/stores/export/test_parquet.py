"""stores/export/parquet.py: a row a frame, and every narrow field."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq

from auglift.stores.export import export
from auglift.stores.export import parquet as module
from auglift.stores.format.sequences import SequenceTable

from ...fakes.stores import MadeStore, make_store

MADE = MadeStore(presets=("paper", "spatial"))


def test_parquet_has_a_row_a_frame_and_every_narrow_field(tmp_path):
    store = make_store(tmp_path / "s", presets=("paper", "spatial"))
    frames, table = export(store, "parquet", tmp_path / "out").paths
    found = pq.read_table(frames)
    assert found.num_rows == 50
    assert found.column_names == ["sequence", "frame", *store.fields]
    for name, spec in store.fields.items():
        column = np.array(found[name].to_pylist(), dtype=spec.dtype)
        np.testing.assert_array_equal(column, MADE.values(spec))
    assert found["sequence"].to_pylist() == [row.id for row in store.sequences for _ in range(row.length)]
    assert found["frame"].to_pylist() == [n for row in store.sequences for n in range(row.length)]
    unit = found.schema.field("uadd/spatial").metadata
    assert unit[b"components"].startswith(b"d, d_min, d_max, x_min")
    assert [row["id"] for row in pq.read_table(table).to_pylist()] == [row.id for row in store.sequences]


def test_sequences_keep_the_order_that_they_are_given_in(tmp_path):
    store = make_store(tmp_path / "s", only=("valid", "score"))
    table = SequenceTable(store.sequences.table.take([2, 0]))
    found = pq.read_table(export(store, "parquet", tmp_path / "out", table).paths[0])
    rows = list(table)
    assert found["sequence"].to_pylist() == [row.id for row in rows for _ in range(row.length)]
    score = np.concatenate([store.read("score", row.start, row.stop) for row in rows])
    np.testing.assert_array_equal(np.array(found["score"].to_pylist(), np.float32), score)


def test_many_short_sequences_share_a_group_of_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "GROUP_FRAMES", 40)
    store = make_store(tmp_path / "s", lengths=(2,) * 50, only=("valid",))
    path = export(store, "parquet", tmp_path / "out").paths[0]
    groups = pq.ParquetFile(path).metadata
    assert [groups.row_group(n).num_rows for n in range(groups.num_row_groups)] == [48, 48, 4]
