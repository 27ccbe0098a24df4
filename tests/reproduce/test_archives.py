"""reproduce/: experiments on the licensed archives, on the tests' small copies; what is missing is said first."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from auglift.lifters.sweeps.grid import read_grid, read_tables
from reproduce import analysis, archives, document, experiment, run
from tests.fakes.datasets import write

ROOT = Path(__file__).resolve().parents[2]
SETS = {"h36m", "3dhp", "3dpw", "fit3d"}


@pytest.mark.parametrize(
    ("name", "trainings", "sources"),
    [("cross_dataset", 96, SETS), ("cross_dataset_smallest", 32, SETS), ("sequence_length", 30, {"h36m"})],
)
def test_an_experiment_on_archives_is_as_large_as_it_says(name: str, trainings: int, sources: set[str]):
    path = ROOT / "reproduce" / f"{name}.toml"
    jobs = read_grid(path).jobs
    assert len(jobs) == trainings
    assert {job.source for job in jobs} == sources
    assert all(set(job.targets) == SETS for job in jobs)
    stores = read_tables(path)["stores"]
    assert {url for job in jobs for url in (*job.setup.stores, *job.targets.values())} == set(stores)
    assert {options["archive"] for options in stores.values()} == set(archives.PLACES)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the experiments in it, where they run."""
    shutil.copytree(ROOT / "reproduce", tmp_path / "reproduce", ignore=shutil.ignore_patterns("__pycache__"))
    for module in (run, document, experiment, analysis):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_missing_is_said_in_one_line_before_any_work(elsewhere: Path):
    (elsewhere / "archives" / "3DPW" / "sequenceFiles" / "test").mkdir(parents=True)
    (elsewhere / "archives" / "3DPW" / "sequenceFiles" / "test" / "a.pkl").touch()
    done = CliRunner().invoke(run.main, ["cross_dataset", "--archives", str(elsewhere / "archives")])
    assert done.exit_code == 1
    (line,) = done.output.splitlines()
    for words in ("licensed data is missing", "Human3.6M", "MPI-INF-3DHP", "Fit3D", f"looked for in {elsewhere}"):
        assert words in line
    assert "3D Poses in the Wild" not in line
    assert not (elsewhere / "runs").exists()
    assert "ARCHIVES=DIR" in CliRunner().invoke(run.main, ["sequence_length"]).output


@pytest.mark.slow
def test_the_cross_dataset_target_and_its_analysis_run_to_their_end_on_small_copies(elsewhere: Path):
    folder = elsewhere / "archives"
    for name in archives.PLACES:
        (folder / name).mkdir(parents=True)
    write.write_h36m(folder / "h36m")
    write.write_3dhp_train(folder / "mpi-inf-3dhp")
    write.write_3dhp_test(folder / "mpi-inf-3dhp")
    write.write_3dpw(folder / "3dpw")
    write.write_3dpw(folder / "3dpw", "train", "indoor_00")
    write.write_fit3d(folder / "fit3d")
    figure = elsewhere / "comparison.png"
    for name, count in (("cross_dataset_smallest", 32 * 4), ("sequence_length_smallest", 10 * 4)):
        call = [name, "--archives", str(folder), "--workers", "1", "--show", str(figure)]
        done = CliRunner().invoke(run.main, call)
        assert done.exit_code == 0, done.output
        rows = json.loads((elsewhere / "runs" / "reproduce" / name / "results.json").read_text())
        assert len(rows) == count
        assert {(row["source"], row["target"]) for row in rows} >= {("h36m", each) for each in SETS}
    done = CliRunner().invoke(analysis.main, ["cross_dataset_smallest"])
    assert done.exit_code == 0, done.output
    made = elsewhere / "runs" / "reproduce" / "cross_dataset_smallest" / "analysis"
    assert len(list(made.glob("*/novelty.svg"))) == 16
