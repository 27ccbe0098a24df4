"""The benchmarks' frame: rows, timing, memory, and a document that forgets nothing."""

from __future__ import annotations

import ast
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import harness, run
from benchmarks.harness import Row, compare, peak_memory, question


@pytest.mark.parametrize(
    ("row", "met"),
    [
        (Row("a", 5, "ms"), None),
        (Row("a", 5, "ms", wanted="< 6"), True),
        (Row("a", 5, "ms", wanted="<= 4.9"), False),
        (Row("a", 5, "ms", "other", ratio=31, wanted=">= 30"), True),
        (Row("a", 5, "ms", "other", ratio=2e-3, wanted="> 2e-3"), False),
    ],
)
def test_a_bound_is_on_the_ratio_where_there_is_one_and_else_on_the_value(row, met):
    assert row.met is met


def test_a_bound_that_cannot_be_read_is_an_error_not_a_pass():
    with pytest.raises(ValueError, match="about 30"):
        _ = Row("a", 5, "ms", wanted="about 30").met


def test_the_ratio_is_how_many_times_longer_the_other_takes():
    timing = compare(lambda: time.sleep(0.002), lambda: time.sleep(0.02), seconds=0, least=5)
    assert timing.repeats == 5
    assert timing.ours < timing.theirs
    assert timing.ratio > 2


def allocate(mebibytes: int) -> Callable[[], None]:
    return lambda: np.ones(mebibytes * 2**20, np.uint8).sum()


def test_peak_memory_is_that_of_the_call():
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("needs Linux")
    assert 60 * 2**20 < peak_memory(allocate, 64) < 80 * 2**20


def test_a_benchmark_prints_its_rows_as_json_or_as_a_table_with_what_was_missed(monkeypatch):
    rows = [Row("fast", 1, "ms", "slow", 40, ">= 30"), Row("small", 9, "MiB", wanted="< 5")]
    given = []

    def call(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["bench", *arguments])
        with CliRunner().isolation() as streams, pytest.raises(SystemExit):
            harness.main(lambda quick: given.append(quick) or rows, "Is it fast?\n\nMore.")
        return streams[0].getvalue().decode()

    assert [Row(**row) for row in json.loads(call("--json", "--quick"))] == rows
    table = call()
    assert given == [True, False]
    assert "Is it fast?" in table
    assert "met" in table
    assert "MISSED" in table


def test_every_benchmark_begins_with_its_question_and_gives_rows():
    assert "uadd" in run.names()
    for name in run.names():
        tree = ast.parse(run.source(name).read_text())
        assert question(ast.get_docstring(tree)).endswith("?"), name
        functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert [argument.arg for argument in functions["rows"].args.args] == ["quick"], name


@pytest.fixture
def document(tmp_path, monkeypatch) -> Path:
    """A folder with two benchmarks, a module and a folder, and where their document goes."""
    folder = tmp_path / "benchmarks"
    (folder / "beta").mkdir(parents=True)
    for name, file in (("alpha", "alpha.py"), ("beta", "beta/__main__.py")):
        (folder / file).write_text(f'"""Is {name} | good?"""\n')
    path = tmp_path / "docs" / "performance.md"
    monkeypatch.setattr(run, "FOLDER", folder)
    monkeypatch.setattr(run, "DOCUMENT", path)
    monkeypatch.setattr(run, "machine", lambda: "here")
    return path


def fake(results: dict[str, list[Row] | None]) -> Callable[[str, bool], list[Row] | None]:
    return lambda name, quick: results[name]


def test_what_is_not_run_again_is_kept_and_so_are_other_machines(document, monkeypatch):
    monkeypatch.setattr(run, "run", fake({"alpha": [Row("one", 1, "s")], "beta": [Row("two", 2, "s")]}))
    assert CliRunner().invoke(run.main, []).exit_code == 0
    first = run.read(document.read_text())["here"]
    assert "one | 1 s" in first["alpha"]
    assert "`python -m benchmarks.alpha`" in first["alpha"]

    monkeypatch.setattr(run, "run", fake({"alpha": [Row("one", 7, "s")]}))
    assert CliRunner().invoke(run.main, ["--only", "alpha", "--quick"]).exit_code == 0
    second = run.read(document.read_text())["here"]
    assert "one | 7 s" in second["alpha"]
    assert "`python -m benchmarks.alpha --quick`" in second["alpha"]
    assert second["beta"] == first["beta"]

    monkeypatch.setattr(run, "machine", lambda: "there, with a GPU")
    assert CliRunner().invoke(run.main, ["--only", "alpha"]).exit_code == 0
    third = run.read(document.read_text())
    assert list(third) == ["here", "there, with a GPU"]
    assert third["here"] == second


def test_one_that_fails_stops_no_other_and_keeps_its_old_figures(document, monkeypatch):
    monkeypatch.setattr(run, "run", fake({"alpha": [Row("one", 1, "s")], "beta": [Row("two", 2, "s")]}))
    CliRunner().invoke(run.main, [])
    monkeypatch.setattr(run, "run", fake({"alpha": None, "beta": [Row("two", 3, "s")]}))
    result = CliRunner().invoke(run.main, [])
    assert result.exit_code == 1
    assert "failed, their old figures kept: alpha" in result.output
    kept = run.read(document.read_text())["here"]
    assert "one | 1 s" in kept["alpha"]
    assert "two | 3 s" in kept["beta"]


def test_a_benchmark_that_crashes_or_prints_no_rows_counts_as_failed(document):
    for text, wanted in (
        ("raise SystemExit(3)", None),
        ("print('hello')", None),
        ('print(\'[{"name": "n", "value": 2, "unit": "s"}]\')', [Row("n", 2, "s")]),
    ):
        (run.FOLDER / "alpha.py").write_text(text)
        assert run.run("alpha", quick=True) == wanted


def test_an_unknown_benchmark_is_refused_with_those_there_are(document):
    result = CliRunner().invoke(run.main, ["--only", "gamma"])
    assert result.exit_code == 2
    assert "no benchmark 'gamma'; there are alpha, beta" in result.output
