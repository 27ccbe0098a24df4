"""`auglift-eval --analysis` as a user calls it."""

from __future__ import annotations

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
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Runs `xy` and `uadd`, and a store to analyse."""
    folder = tmp_path_factory.mktemp("analysis")
    store = people(folder / "people.zarr").url
    for inputs in ("xy", "uadd"):
        changes = parse_changes("simple_baseline", ["width=16"])
        train(Setup((store,), "simple_baseline", Inputs(inputs), 1, 64, 1, changes, device="cpu"), folder / inputs)
    test = people(
        folder / "test.zarr", split="test", lengths=(30, 30), bad=(3,), optional=("target/pose3d", "target/keypoints")
    )
    return folder, test.url


def call(*arguments: str):
    return CliRunner().invoke(main, [*arguments, "--device", "cpu", "--threads", "1"])


def test_tiers_of_all_frames_are_written_as_table_json_and_pictures(made: tuple[Path, str], tmp_path: Path):
    folder, store = made
    analyses = "novelty,occlusion,detection"
    compare = ("--compare", str(folder / "xy"), "--analysis", analyses, "--out", str(tmp_path / "out"))
    done = call(str(folder / "uadd"), store, *compare)
    assert done.exit_code == 0, done.output
    assert "uadd against xy" in done.stdout
    for name in analyses.split(","):
        (found,) = json.loads((tmp_path / "out" / f"{name}.json").read_text())
        assert sum(tier["frames"] for tier in found["tiers"]) + found["left_out"] == 59
        assert found["runs"] == ["uadd", "xy"]
        for ending in ("md", "png", "svg"):
            assert (tmp_path / "out" / f"{name}.{ending}").stat().st_size > 100


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--analysis", "novely", "--out", "x"], "did you mean 'novelty'"),
        (["--analysis", "novelty"], "--out DIR"),
        (["--out", "x"], "goes with --analysis"),
        (["--analysis", "sequence-length", "--out", "x"], "runs of several windows"),
        (["--analysis", "novelty", "--out", "x", "--training-store", "nowhere.zarr"], "--training-store"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(made: tuple[Path, str], arguments: list[str], words: str):
    done = call(str(made[0] / "uadd"), made[1], *arguments)
    assert done.exit_code == 2
    assert words in done.stderr.splitlines()[-1]


def test_a_store_without_truth_or_without_the_run_s_inputs_is_refused(made: tuple[Path, str], tmp_path: Path):
    folder, _ = made
    some = ("--analysis", "novelty", "--out", str(tmp_path / "out"))
    assert "no ground truth" in call(str(folder / "uadd"), people(tmp_path / "a.zarr", optional=()).url, *some).stderr
    without = people(tmp_path / "b.zarr", presets=(), split="test").url
    done = call(str(folder / "uadd"), without, *some)
    assert done.exit_code == 2
    assert "has no uadd/paper" in done.stderr
    flat = ("--analysis", "occlusion", "--out", str(tmp_path / "out"))
    assert "neither true 2D joints" in call(str(folder / "xy"), without, *flat).stderr
