"""lifters/sweeps/grid.py and sweep.py: what a grid runs, what it does not run again, and what its table says."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from auglift.lifters.sweeps.comparison import compare
from auglift.lifters.sweeps.grid import Grid, Job, read_grid
from auglift.lifters.sweeps.sweep import Finished, finished, run_grid, run_job
from auglift.stores.errors import InvalidValueError, MissingFileError
from tests.fakes.people import people

GRID = """
out = "{folder}/runs"
[sources]
home = "{folder}/home.zarr"
[targets]
home = "{folder}/home.zarr"
away = "{folder}/away.zarr"
[grid]
lifter = ["simple_baseline", "video_pose3d"]
inputs = ["xy", "uadd"]
window = 3
seed = [0, 1]
[training]
epochs = 1
batch = 64
device = "cpu"
[lifters.simple_baseline]
set = {{width = 8, blocks = 1}}
[lifters.video_pose3d]
epochs = 2
set = {{width = 8, lr = 2e-3}}
"""


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    people(tmp_path / "home.zarr", lengths=(40,) * 4)
    people(tmp_path / "away.zarr", lengths=(30,), split="test", seed=4)
    path = tmp_path / "grid.toml"
    path.write_text(GRID.format(folder=tmp_path))
    return path


class Runner:
    """Runs jobs here, and remembers which; `until` ends it after so many."""

    def __init__(self, out: str, until: int | None = None):
        self.out, self.until, self.ran = out, until, []

    def __call__(self, jobs: Sequence[Job]) -> Iterator[Finished | None]:
        for job in jobs[: self.until]:
            self.ran.append(job.name)
            yield run_job(job, self.out)
        if self.until is not None:
            yield None


def all_of(grid: Grid, runner: Runner) -> dict[str, Finished]:
    return {one.job: one for one in run_grid(grid, runner)}


def test_a_grid_is_every_combination_each_with_its_lifters_settings(grid: Path):
    jobs = read_grid(grid).jobs
    assert len(jobs) == len({job.name for job in jobs}) == 8
    assert {(j.setup.lifter, j.setup.inputs.name, j.setup.seed) for j in jobs} == {
        (lifter, inputs, seed)
        for lifter in ("simple_baseline", "video_pose3d")
        for inputs in ("xy", "uadd")
        for seed in (0, 1)
    }
    for job in jobs:
        tcn = job.setup.lifter == "video_pose3d"
        assert job.setup.epochs == (2 if tcn else 1)
        assert job.setup.hyperparameters.optimiser.learning_rate == (2e-3 if tcn else 1e-3)
        assert (job.setup.batch, job.setup.window) == (64, 3)
    assert {job.setup.epochs for job in read_grid(grid, {"limit": 5}).jobs} == {1, 2}
    assert {job.setup.limit for job in read_grid(grid, {"limit": 5}).jobs} == {5}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[grid]", "[gird]", "did you mean 'grid'"),
        ('inputs = ["xy", "uadd"]', "", "has no inputs"),
        ('"video_pose3d"]', '"video_pose"]', "did you mean 'video_pose3d'"),
        ("epochs = 1\n", "epoch = 1\n", "did you mean 'epochs'"),
        ("seed = [0, 1]", "seed = [0, 0]", "twice"),
        ("lr = 2e-3", "rate = 2e-3", "no 'rate'"),
        ("[sources]", "[sources", "is no TOML"),
    ],
)
def test_a_grid_with_a_mistake_is_refused_before_anything_runs(grid: Path, old: str, new: str, words: str):
    grid.write_text(grid.read_text().replace(old, new))
    with pytest.raises(InvalidValueError, match=words):
        read_grid(grid)
    with pytest.raises(MissingFileError, match="cannot be read"):
        read_grid(grid.with_name("none.toml"))


def test_a_grid_like_another_says_only_what_differs(grid: Path):
    other = grid.with_name("other.toml")
    other.write_text('like = "grid.toml"\nout = "elsewhere"\n[grid]\ninputs = ["xyc"]\n[training]\nepochs = 7\n')
    found, base = read_grid(other), read_grid(grid)
    assert found.out == "elsewhere"
    assert {job.setup.inputs.name for job in found.jobs} == {"xyc"}
    assert {job.setup.lifter for job in found.jobs} == {job.setup.lifter for job in base.jobs}
    assert {job.setup.seed for job in found.jobs} == {job.setup.seed for job in base.jobs}
    assert {job.setup.epochs for job in found.jobs if job.setup.lifter == "simple_baseline"} == {7}
    assert found.jobs[0].targets == base.jobs[0].targets
    other.write_text('like = "none.toml"')
    with pytest.raises(MissingFileError, match=r"none\.toml"):
        read_grid(other)


def test_a_grid_that_was_stopped_runs_only_what_is_missing(grid: Path, tmp_path: Path):
    found = read_grid(grid)
    first = Runner(found.out, until=3)
    some = all_of(found, first)
    rest = Runner(found.out)
    everything = all_of(found, rest)
    assert first.ran + rest.ran == [job.name for job in found.jobs]
    assert {name: everything[name] for name in some} == some
    again = Runner(found.out)
    assert all_of(found, again) == everything
    assert again.ran == []
    rows = json.loads((tmp_path / "runs" / "results.json").read_text())
    assert len(rows) == 16
    assert rows == [row for job in found.jobs for row in everything[job.name].rows]
    assert {"lifter", "inputs", "source", "target", "seed", "mpjpe", "p_mpjpe", "seconds"} <= rows[0].keys()
    assert {(row["source"], row["target"]) for row in rows} == {("home", "home"), ("home", "away")}


def test_a_job_whose_test_store_changed_is_tested_again_and_not_trained_again(grid: Path, tmp_path: Path):
    found = read_grid(grid)
    job = found.jobs[0]
    before = run_job(job, found.out)
    best = tmp_path / "runs" / job.name / "best.pt"
    trained = best.stat().st_mtime_ns
    import shutil

    shutil.rmtree(tmp_path / "away.zarr")
    people(tmp_path / "away.zarr", lengths=(30,), split="test", seed=5)
    assert finished(job, found.out) is None
    after = run_job(job, found.out)
    assert best.stat().st_mtime_ns == trained
    assert before
    assert after
    assert before.rows[0]["mpjpe"] == after.rows[0]["mpjpe"]
    assert before.rows[1]["mpjpe"] != after.rows[1]["mpjpe"]


def test_a_training_that_fails_leaves_the_others_alone(grid: Path):
    grid.write_text(grid.read_text().replace("lr = 2e-3", "lr = 1e30").replace("seed = [0, 1]", "seed = [0]"))
    found = read_grid(grid)
    results = all_of(found, Runner(found.out))
    failed = {name for name, one in results.items() if one.error}
    assert failed == {job.name for job in found.jobs if job.setup.lifter == "video_pose3d"}
    assert all(" became " in (results[name].error or "") for name in failed)
    assert all(len(one.rows) == 2 for name, one in results.items() if name not in failed)


def row(inputs: str, seed: int, mpjpe: float | None, target: str = "home", lifter: str = "a") -> dict[str, Any]:
    same = {"lifter": lifter, "window": 1, "source": "home"}
    return {**same, "inputs": inputs, "seed": seed, "target": target, "mpjpe": mpjpe}


def test_the_table_has_means_spreads_and_changes_against_xy():
    home = {"xy": [100.0, 110.0, 90.0], "uadd": [90.0, 100.0, 80.0]}
    away = {"xy": [200.0, 210.0, 190.0], "uadd": [150.0, 160.0, 155.0]}
    rows = [
        row(inputs, seed, value, target)
        for target, figures in (("home", home), ("away", away))
        for inputs, values in figures.items()
        for seed, value in enumerate(values)
    ]
    rows += [row("xy", 0, 50.0, lifter="b"), row("uadd", 0, 60.0, lifter="b"), row("uadd", 1, None, lifter="b")]
    found = compare(rows)
    cell = found.rows["home", "home", "a", 1]["uadd"]
    assert (cell.mean, cell.spread, cell.seeds) == (90.0, statistics.stdev(home["uadd"]), 3)
    assert cell.change == pytest.approx(-10.0)
    assert found.rows["home", "away", "a", 1]["uadd"].change == pytest.approx(-22.5)
    alone = found.rows["home", "home", "b", 1]["uadd"]
    assert alone.change == pytest.approx(20.0)
    assert math.isnan(alone.spread)
    assert found.changes["uadd"] == pytest.approx(((-10.0 + 20.0) / 2, -22.5))


def test_only_seeds_that_both_have_are_compared():
    found = compare([row("xy", 0, 100.0), row("uadd", 0, 90.0), row("uadd", 1, 500.0)])
    assert found.rows["home", "home", "a", 1]["uadd"].change == pytest.approx(-10.0)
    assert math.isnan(compare([row("uadd", 0, 90.0)]).changes["uadd"][0])


def test_scaled_inputs_are_compared_with_scaled_xy_and_with_nothing_else():
    rows = [row("xy", 0, 100.0), row("xy@scaled", 0, 80.0), row("uadd@root@scaled", 0, 60.0)]
    found = compare(rows)
    assert found.changes["uadd@root@scaled"][0] == pytest.approx(-25.0)
    assert found.texts(found.rows["home", "home", "a", 1]) == ["100.0", "80.0", "60.0 (-25.0 %)"]
    assert math.isnan(compare([rows[0], rows[2]]).changes["uadd@root@scaled"][0])
