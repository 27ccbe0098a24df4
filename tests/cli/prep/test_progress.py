"""cli/prep/progress.py and cli/prep/report.py: what a user sees, on a terminal, in a log and in a script."""

from __future__ import annotations

import io
import json
from typing import Any, ClassVar

import pytest
from rich.console import Console

from auglift.cli.prep import progress as progress_module
from auglift.cli.prep.progress import progress_for
from auglift.cli.prep.report import duration, show_outcome
from auglift.pipeline.execution.results import ShardFailure, ShardResult, WorkerView
from auglift.pipeline.execution.serial import Outcome


def result(shard: int, seconds: float = 2.0, **changes) -> ShardResult:
    times = {"decode": 0.5, "depth": seconds - 0.5, "total": seconds}
    return ShardResult(shard, 100, {"frames": 100}, [], times, **changes)


VIEWS = [WorkerView(0, "alpha", "depth", 3, 12.34, 9_600_000_000), WorkerView(1, "beta", "loading", None, 0.0, 0)]


def test_on_a_terminal_there_is_a_bar_and_a_line_a_worker():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system=None, width=100, height=30)
    with progress_for(False, console) as progress:
        progress.begin(1000, 200)
        progress.frames(3, 40)
        progress.workers(VIEWS)
        progress.message("worker 7 died")
    shown = out.getvalue()
    assert "240/1000" in shown
    assert "worker 7 died" in shown
    (line,) = {line.strip() for line in shown.splitlines() if "alpha" in line}
    assert line.split() == ["0", "alpha", "depth", "3", "12.3", "9.6", "GB"]


def test_a_thousand_workers_fit_on_a_screen():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system=None, width=100, height=30)
    with progress_for(False, console) as progress:
        progress.begin(1000, 0)
        progress.workers([WorkerView(n, "host", "depth", n, 1.0, 0) for n in range(1000)])
    assert "and 978 more" in out.getvalue()


def test_in_a_log_there_are_plain_lines(monkeypatch):
    monkeypatch.setattr(progress_module, "LOG_EVERY_SECONDS", 0)
    monkeypatch.setattr(progress_module, "WORKERS_EVERY_SECONDS", 0)
    out = io.StringIO()
    with progress_for(False, Console(file=out, width=200)) as progress:
        progress.begin(1000, 200)
        progress.workers(VIEWS)
        progress.frames(3, 40)
        progress.done(ShardFailure(5, "no luck", 3))
    lines = out.getvalue().splitlines()
    assert lines[0] == "200 of 1000 frames are there from an earlier run"
    assert lines[1].startswith("240 of 1000 frames")
    assert lines[2].strip() == "worker 0 on alpha: depth, shard 3, 12.3 frames/s, 9.6 GB of GPU memory"
    assert lines[-1] == "shard 5 failed 3 times: no luck"
    assert "\x1b" not in out.getvalue()


def test_for_scripts_there_is_one_json_line_a_shard_and_nothing_else(capsys):
    with progress_for(True, Console(file=io.StringIO())) as progress:
        progress.begin(10, 0)
        progress.workers(VIEWS)
        progress.frames(0, 10)
        progress.done(result(0, worker=4))
        progress.done(ShardFailure(1, "no luck", 3, ("worker 1 on beta",)))
        progress.message("worker 1 died")
    begin, shard, failed, note = map(json.loads, capsys.readouterr().out.splitlines())
    assert begin["event"] == "begin"
    assert (shard["event"], shard["shard"], shard["worker"], shard["seconds"]["depth"]) == ("shard", 0, 4, 1.5)
    assert (failed["event"], failed["workers"]) == ("failed", ["worker 1 on beta"])
    assert note == {"event": "note", "message": "worker 1 died"}


class SmallPlan:
    frames = 1000
    shards = range(10)
    presets = ("paper",)
    settings: ClassVar[dict[str, Any]] = {}


def test_the_end_shows_totals_stages_and_the_slowest_shards(capsys):
    outcome = Outcome([result(n, 2.0 + (n == 4) * 7, worker=n % 3) for n in range(8)], counts={"valid": 777}, wall=4.0)
    show_outcome(SmallPlan, outcome, "x.zarr", False, {})  # pyright: ignore[reportArgumentType]
    shown = capsys.readouterr().out
    assert "800 frames in 4.0 s, 200 frames/s" in shown
    assert "777" in shown
    depth = next(line for line in shown.splitlines() if "depth" in line)
    assert "19.00" in depth
    assert "83%" in depth
    first = shown.split("slowest shards")[1].splitlines()[4].split("│")
    assert [cell.strip() for cell in first[1:-1]] == ["4", "100", "9.00", "11.1", "1"]


def test_the_end_shows_a_table_of_what_failed_and_what_to_do(capsys):
    outcome = Outcome([result(0)], [ShardFailure(1, "no luck", 3, ("worker 1 on beta", "worker 2 on beta"))])
    show_outcome(SmallPlan, outcome, "x.zarr", False, {})  # pyright: ignore[reportArgumentType]
    shown = capsys.readouterr().out
    assert "worker 1 on beta, worker 2 on beta" in shown
    assert "no luck" in shown
    assert "run the same command again" in shown


def test_a_job_that_was_done_already_has_no_times_to_show(capsys):
    show_outcome(SmallPlan, Outcome([ShardResult(0, 5, {}, [], {})]), "x.zarr", False, {})  # pyright: ignore
    assert "stage" not in capsys.readouterr().out


def test_batches_that_did_not_fit_on_the_gpu_are_said(capsys):
    show_outcome(SmallPlan, Outcome([result(0, split=4)], wall=1.0), "x.zarr", False, {})  # pyright: ignore
    assert "4 frames went through at a time" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(4.21, "4.2 s"), (185, "3 min 5 s"), (4800, "1 h 20 min"), (183_600, "2 d 3 h"), (3600, "1 h")],
)
def test_durations_are_said_in_two_units(seconds, said):
    assert duration(seconds) == said
