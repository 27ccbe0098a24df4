"""stores/format/where.py: `--where` means what Python means by it, and text that is no condition is never run."""

from __future__ import annotations

import operator
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auglift.stores.errors import InvalidValueError
from auglift.stores.format.sequences import Sequence, SequenceTable
from auglift.stores.format.where import parse_where

LENGTHS = (10, 25, 7, 100, 3)
TABLE = SequenceTable.from_sequences(
    Sequence(
        id=f"S{number}/walk {number % 2}",
        dataset="fake",
        subject=f"S{number}",
        action=("walk", "Walk dog")[number % 2],
        camera="cam1",
        split=("train", "test")[number == 4],
        start=sum(LENGTHS[:number]),
        length=length,
        fps=25.0 * (number + 1),
        width=1000,
        height=1002,
        source="v.mp4",
    )
    for number, length in enumerate(LENGTHS)
)


def chosen(text: str) -> list[str]:
    return TABLE.table.filter(parse_where(text))["subject"].to_pylist()


@pytest.mark.parametrize(
    "text",
    [
        'subject in ("S1", "S3")',
        'subject not in ["S1", "S3"]',
        "fps >= 50 and length < 30",
        'split == "test" or not action == "walk"',
        "10 <= length <= 25",
        "length / fps > 0.3",
        "(length + 1) * 2 - 1 == 15",
        '"dog" in action',
        'id.startswith("S1") or id.endswith("walk 0")',
        "fps != 25.0",
        "-length < -20",
        "start == 0",
        "length / width > 0.02",
        "fps in (25, 100.0)",
        "length in (10, 7)",
        'not (subject == "S0" and length == 10)',
    ],
)
def test_an_expression_chooses_the_rows_that_python_chooses(text):
    # The oracle may use eval: these are our own texts.
    expected = [row.subject for row in TABLE if eval(text, {}, asdict(row))]
    assert chosen(text) == expected
    assert 0 < len(expected) < len(LENGTHS)


_COMPARE = {"==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt}


@given(
    st.recursive(
        st.tuples(st.sampled_from(["length", "start"]), st.sampled_from(sorted(_COMPARE)), st.integers(-5, 150)).map(
            lambda part: "{} {} {}".format(*part)
        ),
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda p: f"({p[0]}) {p[1]} ({p[2]})"),
            inner.map(lambda p: f"not ({p})"),
        ),
        max_leaves=6,
    )
)
def test_nested_conditions_mean_what_python_means(text):
    assert chosen(text) == [row.subject for row in TABLE if eval(text, {}, asdict(row))]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('__import__("pathlib").Path("x").touch() == 1', "neither a column nor"),
        ('__import__("os").system("true")', "is no condition"),
        ('open("/etc/passwd") == subject', "neither a column nor"),
        ("(lambda: 1)() == length", "neither a column nor"),
        ('subject.__class__ == "x"', "neither a column nor"),
        ('[s for s in "ab"] == subject', "neither a column nor"),
        ('subject.upper("x")', "is no condition"),
        ("id.startswith(subject)", "is no condition"),
        ("f'{length}' == subject", "neither a column nor"),
        ('subject = "S1"', "invalid syntax.*as in: subject in"),
        ("", "write it as in"),
        ("subject", "is no condition"),
        ("S1 == subject", "no column 'S1'.*texts stand in quotes.*columns: id, dataset"),
        ("subject == 5", "write it as in"),
        ("length + subject > 1", "write it as in"),
        ("1 == 1", "compared with no column"),
        ("subject in ()", "at least one value"),
        ("subject in 5", "takes a list of values"),
        ('subject in ("S1", 5)', "write it as in"),
        ("subject is 5", "write == or !="),
        ("length > 10**9**9", "neither a column nor"),
        ("not " * 5000 + "length > 1", "characters|nested"),
        ("(" * 3000 + "length > 1" + ")" * 3000, "write it as in"),
        ("length > 1\x00", "write it as in"),
        ("length == 1e400 and x", "no condition"),
        ("length > " + "9" * 5000, "write it as in"),
    ],
)
def test_what_is_no_condition_is_refused_in_one_line(text, says):
    with pytest.raises(InvalidValueError, match=says) as caught:
        parse_where(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
