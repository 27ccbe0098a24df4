"""stores/format/sequences.py: the table keeps what it is given, selects as plain Python would, and refuses nonsense."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auglift.stores.errors import CorruptStoreError, InvalidValueError
from auglift.stores.format.sequences import KEYS, Sequence, SequenceTable

words = st.sampled_from(["", "Walking 1", "Größe", "走る", "a/b", "'"])
finite = st.sampled_from([0.0, -1.5, 1e300, 59.94, 1145.0494384765625])


@st.composite
def tables(draw) -> list[Sequence]:
    lengths = draw(st.lists(st.integers(1, 1000), min_size=1, max_size=5))
    starts = np.cumsum([0, *lengths[:-1]])
    return [
        Sequence(
            id=str(number),
            dataset="d",
            subject=draw(st.sampled_from(["S1", "S5", "S9"])),
            action=draw(words),
            camera=draw(st.sampled_from(["a", "b"])),
            split=draw(st.sampled_from(["train", "test", ""])),
            start=int(start),
            length=length,
            fps=draw(finite),
            width=draw(st.integers(1, 10_000)),
            height=draw(st.integers(1, 10_000)),
            source=draw(words),
            fx=draw(finite),
            fy=draw(finite),
            cx=draw(finite),
            cy=draw(finite),
        )
        for number, (start, length) in enumerate(zip(starts, lengths, strict=True))
    ]


@given(tables())
@settings(max_examples=30)
def test_a_table_written_and_read_is_the_same_and_has_the_same_bytes(rows):
    table = SequenceTable.from_sequences(rows)
    again = SequenceTable.from_parquet(table.to_parquet())
    assert list(again) == rows
    assert again.to_parquet() == table.to_parquet()
    assert [again[i] for i in range(-len(rows), len(rows))] == rows + rows
    assert again.frames == sum(row.length for row in rows)
    assert again.starts.tolist() == [row.start for row in rows]


@given(tables(), st.sampled_from(["S1", "S5", "S9"]), st.lists(st.sampled_from(["train", "test", ""])))
@settings(max_examples=60)
def test_selection_is_what_a_comprehension_finds(rows, subject, splits):
    table = SequenceTable.from_sequences(rows)
    expected = [row for row in rows if row.subject == subject and row.split in splits]
    if expected:
        assert list(table.select(subject=subject, split=splits)) == expected
    else:
        with pytest.raises(InvalidValueError, match="the store has"):
            table.select(subject=subject, split=splits)


def some_rows() -> list[Sequence]:
    row = Sequence("a", "h36m", "S1", "Eating", "cam1", "train", 0, 10, 50.0, 1000, 1002, "a.mp4")
    return [row, replace(row, id="b", subject="S9", split="test", start=10, length=30)]


def test_an_arrow_expression_selects_too():
    table = SequenceTable.from_sequences(some_rows())
    assert [row.id for row in table.select(pc.field("length") > 20)] == ["b"]
    assert [row.id for row in table.select(pc.field("length") > 5, subject="S1")] == ["a"]


def test_an_empty_selection_shows_what_there_is():
    with pytest.raises(InvalidValueError) as error:
        SequenceTable.from_sequences(some_rows()).select(subject="S2")
    for there in ("subject=S2", "'S1'", "'S9'", "'Eating'", "'train'"):
        assert there in str(error.value)


def test_a_column_that_cannot_be_selected_by_is_named_with_those_that_can():
    with pytest.raises(InvalidValueError, match="not by 'fps'") as error:
        SequenceTable.from_sequences(some_rows()).select(fps="50")
    assert all(key in str(error.value) for key in KEYS)


def test_an_expression_over_a_column_that_is_not_there_is_an_error_of_ours():
    with pytest.raises(InvalidValueError, match="no_such_column"):
        SequenceTable.from_sequences(some_rows()).select(pc.field("no_such_column") > 1)


@pytest.mark.parametrize("change", [{"start": 11}, {"start": 9}, {"length": 0}, {"id": "a"}])
def test_sequences_that_overlap_leave_gaps_repeat_or_are_empty_are_refused(change):
    first, second = some_rows()
    with pytest.raises(InvalidValueError, match=r"'b'|repeat: a"):
        SequenceTable.from_sequences([first, replace(second, **change)])


@given(st.data())
@settings(max_examples=60)
def test_a_flipped_bit_in_the_parquet_file_is_an_error_or_changes_nothing(data):
    table = SequenceTable.from_sequences(some_rows())
    damaged = bytearray(table.to_parquet())
    position = data.draw(st.integers(0, len(damaged) - 1))
    damaged[position] ^= 1 << data.draw(st.integers(0, 7))
    try:
        read = SequenceTable.from_parquet(bytes(damaged))
    except CorruptStoreError:
        return
    # The footer has no checksum: what says how to read is protected by SHA256SUMS alone, the values themselves here.
    assert all(getattr(read[i], key) == getattr(table[i], key) for i in range(len(read)) for key in KEYS)


def test_garbage_is_no_table():
    with pytest.raises(CorruptStoreError):
        SequenceTable.from_parquet(b"PAR1 garbage PAR1")
    with pytest.raises(CorruptStoreError):
        SequenceTable.from_parquet(b"")
