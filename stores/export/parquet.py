"""Parquet: a row a frame, every narrow field as the store has it."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..format.sequences import SequenceTable
from ..format.skeleton import H36M_17
from ..reading.by_shard import Block, blocks, read_blocks
from ..reading.store import FeatureStore
from .files import Exported, Files
from .options import Options

FRAMES, SEQUENCES = "frames_{}.parquet", "sequences_{}.parquet"
GROUP_FRAMES = 8192  # of a row group, at least


def write_parquet(store: FeatureStore, sequences: SequenceTable, files: Files, options: Options) -> Exported:
    """Write frames_<dataset>.parquet, a row a frame, and sequences_<dataset>.parquet, the table of sequences.

    sequence, frame   the sequence's id, and the frame's index inside it
    a column a field  nested lists of fixed size, [joint][component]; the column's metadata has unit, meaning and the
                      names of the components. Learned features are left out: a store is the better place for them
    """
    done = Exported(frames=sequences.frames)
    files.require_new(FRAMES, SEQUENCES)
    schema = _schema(store)
    ids, starts = sequences.table["id"].combine_chunks(), sequences.starts
    # A dictionary of floats would hold nearly as many as there are, and take long to find that out.
    how: Any = {"compression": "zstd", "use_dictionary": ["sequence"]}
    names = schema.names[2:]
    with (
        files.new(FRAMES, done) as path,
        pq.ParquetWriter(path, schema, **how) as writer,
        closing(read_blocks(store, blocks(store, sequences), names)) as read,
    ):
        waiting: list[pa.Table] = []
        for block, arrays in read:
            waiting.append(_frames_table(schema, block, arrays, ids, starts))
            if sum(map(len, waiting)) >= GROUP_FRAMES:
                writer.write_table(pa.concat_tables(waiting))
                waiting = []
        if waiting:
            writer.write_table(pa.concat_tables(waiting))
    with files.new(SEQUENCES, done) as path:
        path.write_bytes(sequences.to_parquet())
    return done


def _schema(store: FeatureStore) -> pa.Schema:
    columns = [pa.field("sequence", pa.string()), pa.field("frame", pa.int64())]
    for spec in store.fields.values():
        if spec.wide:
            continue
        kind: pa.DataType = pa.from_numpy_dtype(np.dtype(spec.dtype))
        for length in reversed(spec.shape):
            kind = pa.list_(kind, length)
        about = {"unit": spec.unit, "meaning": spec.meaning, "components": ", ".join(spec.components)}
        columns.append(pa.field(spec.name, kind, metadata={k: v for k, v in about.items() if v}))
    return pa.schema(columns, metadata={"skeleton": H36M_17.name, "joints": ", ".join(H36M_17.joints)})


def _frames_table(
    schema: pa.Schema, block: Block, arrays: dict[str, np.ndarray], ids: pa.Array, starts: np.ndarray
) -> pa.Table:
    rows, lengths = block.rows, block.last - block.first
    sequence = np.repeat(block.sequence, lengths)
    columns: list[Any] = [ids.take(pa.array(sequence)), pa.array(rows + block.start - starts[sequence])]
    for column in list(schema)[2:]:
        values = arrays[column.name][rows]
        array: pa.Array = pa.array(values.ravel())
        for length in reversed(values.shape[1:]):
            array = pa.FixedSizeListArray.from_arrays(array, length)
        columns.append(array)
    return pa.Table.from_arrays(columns, schema=schema)
