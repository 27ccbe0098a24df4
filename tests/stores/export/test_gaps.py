"""stores/export/gaps.py: what becomes of frames without ground truth, and of frames without a person."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auglift.stores.export import MISSING
from auglift.stores.export.files import Exported
from auglift.stores.export.gaps import interpolate, parts_with_truth, say_what_is_missing

sequences = st.lists(st.lists(st.booleans(), min_size=1, max_size=9), min_size=1, max_size=5)


def stretches(known: list[bool]) -> list[tuple[int, int]]:
    """The longest runs of True, frame by frame."""
    found, begun = [], None
    for frame, flag in enumerate([*known, False]):
        if flag and begun is None:
            begun = frame
        elif not flag and begun is not None:
            found.append((begun, frame))
            begun = None
    return found


def wanted(known: list[bool], missing: str) -> list[tuple[int, int]]:
    runs = stretches(known)
    if missing == "keep":
        return [(0, len(known))]
    if missing == "leave-out":
        return [(0, len(known))] if all(known) else []
    if missing == "longest":
        return sorted(runs, key=lambda run: (run[0] - run[1], run[0]))[:1]
    return runs


@given(sequences, st.sampled_from(sorted(MISSING)))
def test_parts_are_what_a_walk_over_the_frames_finds(many, missing):
    lengths = np.array([len(known) for known in many])
    begins = (np.cumsum(lengths) - lengths).tolist()
    parts = parts_with_truth(lengths, np.array([flag for known in many for flag in known]), missing)
    expected = []
    for number, known in enumerate(many):
        mine = wanted(known, missing)
        for turn, (first, last) in enumerate(mine, 1):
            expected.append((number, begins[number] + first, begins[number] + last, turn if len(mine) > 1 else 0))
    assert list(zip(*(column.tolist() for column in parts.columns), strict=True)) == expected
    assert parts.rows.tolist() == [frame for _, first, last, _ in expected for frame in range(first, last)]


@given(sequences)
def test_what_is_left_is_known_and_what_is_known_is_left_when_split(many):
    known = np.array([flag for each in many for flag in each])
    parts = parts_with_truth(np.array([len(each) for each in many]), known, "split")
    np.testing.assert_array_equal(parts.rows, np.flatnonzero(known))


@pytest.mark.parametrize(
    ("missing", "note", "left_out"),
    [
        ("split", "they are left out, and 1 sequence is split there into 2", ["c1", "c2"]),
        ("longest", "only the longest part without them is kept of 1 sequences", ["c1", "c2"]),
        ("leave-out", "2 sequences are left out", ["a", "c1", "c2"]),
        ("keep", "they stay", []),
    ],
)
def test_what_is_missing_is_said_and_what_is_left_out_is_named(missing, note, left_out):
    lengths, known = np.array([3, 2, 1]), np.array([True, False, True, True, True, False])
    done = Exported()
    parts = parts_with_truth(lengths, known, missing)
    say_what_is_missing(done, [("a",), ("b",), ("c1", "c2")], lengths, parts, known, missing)
    assert done.notes == [f"2 of 6 frames have no ground truth: {note} (--missing {missing})"]
    assert [id for id, _ in done.left_out] == left_out


def test_where_nothing_is_missing_nothing_is_said():
    done, lengths, known = Exported(), np.array([2, 2]), np.ones(4, bool)
    say_what_is_missing(done, [("a",), ("b",)], lengths, parts_with_truth(lengths, known, "split"), known, "split")
    assert (done.notes, done.left_out) == ([], [])


@given(st.lists(st.booleans(), min_size=1, max_size=12).filter(any))
def test_gaps_are_filled_on_the_line_between_their_ends(known):
    frames = np.arange(len(known), dtype=np.float32)
    line = np.stack([3 * frames + 1, -frames], axis=-1)[:, None]
    with_gaps = np.where(np.array(known)[:, None, None], line, np.nan)
    filled = interpolate(with_gaps, np.array(known))
    inside = np.flatnonzero(known)
    first, last = inside[0], inside[-1]
    np.testing.assert_allclose(filled[first : last + 1], line[first : last + 1], atol=1e-5)
    np.testing.assert_array_equal(filled[:first], np.broadcast_to(line[first], (first, 1, 2)))
    np.testing.assert_array_equal(filled[last:], np.broadcast_to(line[last], (len(known) - last, 1, 2)))


@given(sequences)
def test_gaps_are_filled_inside_their_own_sequence_as_numpy_does(many):
    lengths = [len(known) for known in many]
    known = np.array([flag for each in many for flag in each])
    values = np.random.default_rng(0).uniform(1, 900, (len(known), 2)).astype(np.float32)
    values[~known] = np.nan
    filled = interpolate(values, known, np.array(lengths))
    for start, each in zip(np.cumsum(lengths) - lengths, many, strict=True):
        mine, flags = values[start : start + len(each)], np.array(each)
        if flags.any():
            columns = [np.interp(np.arange(len(each)), np.flatnonzero(flags), column[flags]) for column in mine.T]
            mine = np.stack(columns, axis=1)
        np.testing.assert_allclose(filled[start : start + len(each)], mine, rtol=1e-6)
