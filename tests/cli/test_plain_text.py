"""cli/common.py: what is printed is the text itself, and what the system says of a path is one line."""

from __future__ import annotations

import ast
import errno
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from rich.table import Table

from auglift.cli.common import AugliftCommand, _Console, warn

ROOT = Path(__file__).resolve().parents[2]
ODD = "[red]a[/red] [bold]b [cam1] :car: \\[x"
LONG = "x" * 300


def test_names_in_brackets_are_printed_as_they_are(capsys):
    console = _Console()
    table = Table(ODD, title=ODD)
    table.add_row(ODD)
    console.print(ODD, style="red")
    console.print(table)
    with console.status(ODD):
        pass
    assert capsys.readouterr().out.count(ODD) == 4


def test_alike_lines_are_printed_as_they_are_and_of_many_the_first(capsys):
    warn([ODD] * 12, "left out: ")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"left out: {ODD}"] * 10 + ["left out: and 2 more"]


def test_no_command_marks_its_text_up():
    """The consoles print plain text: escaped text shows backslashes."""
    for path in sorted((ROOT / "cli").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.ImportFrom) and node.module == "rich.markup"), path.name


def failing(error: Exception) -> click.Command:
    @click.command(cls=AugliftCommand)
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "a/b"), "error: a/b: Permission denied"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "caf\udce9"), "error: caf\\xe9: File name too long"),
        (OSError(errno.ENOSPC, "No space left on device"), "error: No space left on device"),
        (UnicodeEncodeError("utf-8", "caf\udce9", 3, 4, "..."), r"error: 'caf\udce9' holds bytes that are no text"),
    ],
)
def test_what_the_system_says_of_a_path_is_one_line_and_exit_2(error, said):
    result = CliRunner().invoke(failing(error))
    assert result.exit_code == 2
    assert result.stderr.startswith(said)
    assert len(result.stderr.splitlines()) == 1


def test_other_failures_of_the_system_are_not_hidden():
    result = CliRunner().invoke(failing(OSError(errno.EBADF, "Bad file descriptor")))
    assert isinstance(result.exception, OSError)


# A path in every place that takes one.
CALLS: list[tuple[str, Sequence[str]]] = [
    ("prep.main", ("video", LONG, "--out", "x.zarr")),
    ("prep.main", ("h36m", "--root", LONG, "--out", "x.zarr")),
    ("prep.main", ("calibrated", LONG, "--calibration", LONG, "--markers", LONG, "--out", "x.zarr")),
    ("prep.main", ("synth", "--domain", "studio", "--clips", "1", "--frames", "2", "--mocap", LONG, "--out", "x.zarr")),
    ("prep.main", ("synth", "--domain", "studio", "--clips", "1", "--frames", "2", "--cache", LONG, "--out", "x.zarr")),
    *(("store", (name, LONG)) for name in ("info", "verify", "sequences", "report", "card")),
    ("store", ("export", LONG, "--format", "parquet", "--out", "x")),
    ("store", ("picture", LONG, "--out", "x.png")),
    ("train", (LONG, "--lifter", "simple_baseline", "--out", "run")),
    ("evaluate", (LONG, LONG)),
    ("sweep", (LONG,)),
]


@pytest.mark.parametrize(("module", "arguments"), CALLS)
def test_a_name_too_long_is_one_line_in_every_command(tmp_path, monkeypatch, module, arguments):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(import_module(f"auglift.cli.{module}").main, list(arguments))
    assert result.exit_code == 2, result.output
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert "x" * 60 in last
    assert "Traceback" not in result.output
    assert not list(tmp_path.iterdir())


def test_a_terminal_without_unicode_is_no_reason_to_fail(tmp_path):
    name = os.fsdecode(b"caf\xe9.mp4")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-c", "from auglift.cli.prep.main import main; main()", "video", name, "Übung.mp4"]
    done = subprocess.run(
        [*command, "--out", "x.zarr"], cwd=tmp_path, env=environment, capture_output=True, check=False
    )
    assert done.returncode == 2
    assert b"caf\\xe9.mp4" in done.stderr
    assert b"Traceback" not in done.stderr
