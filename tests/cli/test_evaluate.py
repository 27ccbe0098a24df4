"""cli/evaluate.py: `auglift-eval` as a user calls it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from auglift.cli.evaluate import main
from auglift.lifters.inputs import Inputs
from auglift.lifters.training.setup import Setup, parse_changes
from auglift.lifters.training.train import train
from tests.fakes.people import people


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A run and a store to test it on."""
    folder = tmp_path_factory.mktemp("evaluate")
    store = people(folder / "people.zarr").url
    changes = parse_changes("simple_baseline", ["width=16"])
    setup = Setup((store,), "simple_baseline", Inputs("xy"), 1, 64, 1, changes, device="cpu")
    train(setup, folder / "run")
    return str(folder / "run"), people(folder / "test.zarr", split="test", lengths=(30, 30), bad=(3,)).url


def call(*arguments: str):
    return CliRunner().invoke(main, [*arguments, "--device", "cpu", "--threads", "1"])


def test_it_shows_tables_and_says_which_frames_were_left_out(made: tuple[str, str]):
    run, store = made
    done = call(run, store, "--by", "action", "--by", "joint")
    assert done.exit_code == 0, done.output
    assert "59 frames of 2 sequences, 1 left out" in done.stderr
    for word in ("p_mpjpe mm", "auc %", "swing", "right_wrist"):
        assert word in done.stdout


def test_json_and_csv_have_the_same_figures(made: tuple[str, str], tmp_path: Path):
    run, store = made
    done = call(run, store, "--json", "--csv", str(tmp_path / "figures.csv"))
    (result,) = json.loads(done.stdout)
    with (tmp_path / "figures.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    (overall,) = [line for line in lines if line["group"] == "all"]
    assert float(overall["mpjpe"]) == result["measures"]["mpjpe"]
    assert {line["name"] for line in lines if line["group"] == "sequence"} == {"test-0", "test-1"}
    assert float(overall["p_mpjpe"]) <= float(overall["mpjpe"])


def test_the_flip_test_can_be_left_out(made: tuple[str, str]):
    run, store = made
    figures = [json.loads(call(run, store, "--json", *more).stdout)[0]["measures"] for more in ([], ["--no-flip"])]
    assert figures[0]["mpjpe"] != figures[1]["mpjpe"]
    assert figures[0]["mpjpe"] == pytest.approx(figures[1]["mpjpe"], rel=0.3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--lifter", "poseformer"], "is a simple_baseline, not a poseformer"),
        (["--inputs", "uadd"], "trained on 'xy', not on 'uadd'"),
        (["--joints", "12"], "no set of joints"),
        (["--csv", "nowhere/at/all.csv"], "cannot be written"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(made: tuple[str, str], arguments: list[str], words: str):
    done = call(*made, *arguments)
    assert done.exit_code == 2
    assert words in done.stderr.splitlines()[-1]


def test_a_folder_without_a_run_and_a_store_without_ground_truth_are_refused(made: tuple[str, str], tmp_path: Path):
    run, store = made
    assert "is no run" in call(str(tmp_path), store).stderr
    blind = people(tmp_path / "blind.zarr", optional=()).url
    done = call(run, blind)
    assert done.exit_code == 2
    assert "no ground truth" in done.stderr
