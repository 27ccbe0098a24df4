"""cli/sweep.py: `auglift-sweep` as a user calls it, serial and on Ray."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from auglift.cli import sweep
from auglift.lifters.sweeps.grid import Job, read_grid
from auglift.lifters.training.setup import Setup
from tests.fakes.people import people

GRID = """
[sources]
home = "{folder}/home.zarr"
[targets]
home = "{folder}/home.zarr"
[grid]
lifter = "simple_baseline"
inputs = ["xy", "uadd"]
seed = [0, 1]
[training]
epochs = 1
batch = 64
device = "cpu"
[lifters.simple_baseline]
window = 1
set = {{width = 8, blocks = 1}}
"""


@pytest.fixture
def grid(tmp_path: Path) -> str:
    people(tmp_path / "home.zarr", lengths=(40,) * 4)
    (tmp_path / "grid.toml").write_text(GRID.format(folder=tmp_path))
    return str(tmp_path / "grid.toml")


def call(*arguments: str):
    return CliRunner().invoke(sweep.main, [*arguments])


def test_it_ends_with_one_table_and_does_nothing_twice(grid: str, tmp_path: Path):
    arguments = [grid, "--out", str(tmp_path / "runs"), "--workers", "1", "--threads", "1"]
    assert "finished" not in call(*arguments, "--dry-run").stdout
    done = call(*arguments)
    assert done.exit_code == 0, done.output
    assert "4 of 4" in done.stderr
    assert "uadd against xy:" in done.stdout
    assert call(*arguments, "--dry-run").stdout.count("finished") == 4
    again = call(*arguments)
    assert again.stdout == done.stdout
    assert "epoch" not in again.stderr


def test_what_is_under_way_is_said_now_and_then(grid: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd):
    jobs, out = read_grid(grid).jobs, str(tmp_path / "runs")
    epochs = sweep.Epochs(jobs, out)
    call(grid, "--out", out, "--workers", "1", "--threads", "1")
    capfd.readouterr()
    epochs.show(jobs[:1])
    assert not capfd.readouterr().err  # too soon
    monkeypatch.setattr(sweep, "SAID_EVERY_SECONDS", 0)
    epochs.show(jobs[:1])
    said = capfd.readouterr().err
    assert said.startswith("epoch 4 of 4, 0.0 s left")
    assert f"{jobs[0].name} 1/1" in said


def test_time_left_is_counted_lifter_by_lifter_and_only_what_has_begun_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd
):
    """Two trainings of 10 quick epochs, and one of slow ones."""

    def logged(job: Job, epochs: int, seconds: float) -> None:
        (tmp_path / job.name).mkdir(exist_ok=True)
        lines = [json.dumps({"epoch": n, "seconds": seconds, "held_out_mpjpe": 70.0}) for n in range(epochs)]
        (tmp_path / job.name / "log.jsonl").write_text("\n".join([*lines, ""]))

    def said(clock: float) -> str:
        monkeypatch.setattr(sweep, "time", SimpleNamespace(monotonic=lambda: clock))
        epochs.show(jobs)
        return capfd.readouterr().err

    setup = Setup(stores=("a",), lifter="simple_baseline", epochs=10)
    setups = [setup, replace(setup, seed=1), replace(setup, lifter="dstformer")]
    jobs = [Job(f"run-{n}", "a", each, {}) for n, each in enumerate(setups)]
    monkeypatch.setattr(sweep, "time", SimpleNamespace(monotonic=lambda: 0.0))
    epochs = sweep.Epochs(jobs, str(tmp_path))
    assert said(35.0) == "epoch 0 of 30\n"
    logged(jobs[0], 8, seconds=10.0)
    # 12 epochs of 10 s are left of its kind, and it is not known how many seconds of the other's.
    assert said(80.0) == "epoch 8 of 30, at least 2 min left: run-0 8/10 70.0 mm\n"
    logged(jobs[2], 1, seconds=40.0)
    # And nine of 40 s; 120 s of training in 120 s.
    monkeypatch.setattr(sweep, "NAMED", 1)
    assert said(120.0) == "epoch 9 of 30, 8 min left: run-0 8/10 70.0 mm, 1 more\n"


def test_a_training_that_fails_is_listed_and_the_exit_code_is_1(grid: str, tmp_path: Path):
    path = Path(grid)
    path.write_text(path.read_text().replace('"uadd"]', '"spatial"]'))
    done = call(grid, "--out", str(tmp_path / "runs"), "--workers", "1", "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert len(found["failed"]) == 2
    assert {row["inputs"] for row in found["rows"]} == {"xy"}
    assert "has no uadd/spatial" in done.stderr


def test_workers_without_ray_are_an_error_that_says_so(grid: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sweep, "find_spec", lambda name: None)
    done = call(grid, "--workers", "3")
    assert done.exit_code == 2
    assert "needs Ray" in done.stderr


@pytest.mark.slow
def test_on_ray_the_figures_are_those_of_one_process(grid: str, tmp_path: Path):
    pytest.importorskip("ray")

    def figures(out: str, workers: str) -> list[dict]:
        done = call(grid, "--out", str(tmp_path / out), "--workers", workers, "--threads", "1", "--json")
        assert done.exit_code == 0, done.output
        rows = json.loads(done.stdout)["rows"]
        return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]

    assert figures("ray", "2") == figures("serial", "1")
