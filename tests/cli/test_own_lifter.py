"""cli: `auglift-train`, `auglift-eval` and `auglift-sweep` with a lifter of the user's own, as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from auglift.cli import evaluate, sweep, train
from auglift.lifters.training.checkpoint import Run
from tests.fakes.own import EVERY_FRAME, PARTS, TOY, write
from tests.fakes.people import people

SMALL = ["--window", "3", "--batch", "64", "--epochs", "1", "--device", "cpu", "--threads", "1"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return people(tmp_path_factory.mktemp("cli") / "people.zarr", lengths=(40,) * 4).url


def call(command: Any, *arguments: str):
    return CliRunner().invoke(command.main, [*arguments])


def test_it_trains_and_is_evaluated_from_its_file_until_that_changes(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, toml="[model]\nwidth = 16\n[optimiser]\nlearning_rate = 0.01\n")
    arguments = [store, "--lifter", "toy.py:Toy", *SMALL, "--set", "width=24", "--out", "run"]
    done = call(train, *arguments)
    assert done.exit_code == 0, done.output
    run = json.loads(Path("run/run.json").read_text())
    assert run["description"]["model"] == {"width": 24}
    assert run["setup"]["changes"]["optimiser"] == {"learning_rate": 0.01}
    assert run["setup"]["own"]["file"] == str(tmp_path / "toy.py")
    again = call(train, *arguments)
    assert (again.exit_code, again.stdout) == (0, done.stdout)

    monkeypatch.chdir("/")
    measure = [str(tmp_path / "run"), store, "--split", "train", "--device", "cpu", "--threads", "1"]
    tested = call(evaluate, *measure)
    assert tested.exit_code == 0, tested.output
    assert f"lifter: Toy of {tmp_path}/toy.py" in tested.stderr
    (tmp_path / "toy.py").write_text(TOY + "# a note\n")
    refused = call(evaluate, *measure)
    assert refused.exit_code == 2
    assert "--allow-changed-lifter" in refused.stderr.splitlines()[-1]
    assert call(evaluate, *measure, "--allow-changed-lifter").stdout == tested.stdout
    (tmp_path / "toy.py").rename(tmp_path / "old.py")
    (tmp_path / "old.py").write_text(TOY)
    assert call(evaluate, *measure).exit_code == 2
    assert call(evaluate, *measure, "--lifter", f"{tmp_path}/old.py:Toy").stdout == tested.stdout


def test_weights_of_other_code_are_taken_and_what_does_not_fit_is_said(store: str, tmp_path: Path):
    state = {
        "module.expand.weight": torch.rand(8, 3 * 17 * 2),
        "module.expand.bias": torch.rand(8),
        "more": torch.rand(1),
    }
    torch.save({"model_pos": state, "epoch": 80}, tmp_path / "theirs.bin")
    arguments = [store, "--lifter", f"{write(tmp_path)}:Toy", *SMALL, "--out", str(tmp_path / "run")]
    done = call(train, *arguments, "--init", str(tmp_path / "theirs.bin"), "--rename", "module.=")
    assert done.exit_code == 0, done.output
    assert "1 not taken, for this lifter has none of that name: more" in done.stderr
    assert "2 new, for the file has none of that name: head.*" in done.stderr
    assert "expand.weight widened from 2 channels to 6" in done.stderr
    assert Run(tmp_path / "run").setup.rename == ("module.=",)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--lifter", "{folder}/toy.py:Tony"], "did you mean 'Toy'"),
        (["--lifter", "{folder}/toy.py"], "CLASS; it has Toy"),
        (["--lifter", "{folder}/toy.py:Toy", "--set", "widht=3"], "no 'widht'"),
        (["--lifter", "{folder}/toy.py:Toy", "--config", "none.toml"], "--config takes a TOML"),
        (["--lifter", "{folder}/toy.py:Toy", "--rename", "module.="], "rename without init"),
        (["--lifter", "{folder}/toy.py:Toy", "--init", "{folder}/toy.py"], "cannot be read as weights"),
        (["--lifter", "{folder}/flat.py:Toy"], "flat.py:Toy returns a tensor (2, 17, 3)"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(store: str, tmp_path: Path, arguments: list[str], words: str):
    write(tmp_path)
    write(tmp_path, "flat.py", TOY.replace("1, -1, 3)", "-1, 3)"))
    given = [text.format(folder=tmp_path) for text in arguments]
    done = call(train, store, *SMALL, "--out", str(tmp_path / "run"), *given)
    assert done.exit_code == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert words in line
    assert "Traceback" not in done.output
    assert not (tmp_path / "run").exists()


def test_a_grid_compares_the_users_lifters_with_auglifts(store: str, tmp_path: Path):
    write(tmp_path / "a", "model.py", TOY, "[model]\nwidth = 12\n")
    write(tmp_path / "b", "parts.py", PARTS)
    write(tmp_path / "b", "model.py", EVERY_FRAME.replace("EveryFrame", "Toy"))
    write(tmp_path / "b", "small.txt", "[model]\nwidth = 4\n")
    grid = tmp_path / "grid.toml"
    grid.write_text(
        f'[sources]\nhome = "{store}"\n[targets]\nhome = "{store}"\n'
        f'[grid]\nlifter = ["{tmp_path}/a/model.py:Toy", "{tmp_path}/b/model.py:Toy", "simple-baseline"]\n'
        'inputs = ["xy", "uadd"]\nwindow = 3\n[training]\nepochs = 1\nbatch = 64\ndevice = "cpu"\n'
        f'[lifters."{tmp_path}/b/model.py:Toy"]\nconfig = "{tmp_path}/b/small.txt"\nset = {{lr = 1e-3}}\n'
        "[lifters.simple_baseline]\nset = {width = 8, blocks = 1}\n"
    )
    arguments = [str(grid), "--out", str(tmp_path / "runs"), "--workers", "1", "--threads", "1"]
    done = call(sweep, *arguments, "--json")
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)["rows"]
    lifters = ["a/model.py:Toy", "b/model.py:Toy", "simple_baseline"]
    assert {(row["lifter"], row["inputs"]) for row in rows} == {(x, i) for x in lifters for i in ("xy", "uadd")}
    settings = [Run(tmp_path / "runs" / f"home-{x}_model.py_Toy-xy-3-0").setup.hyperparameters for x in "ab"]
    assert [s.model["width"] for s in settings] == [12, 4]
    assert settings[1].optimiser.learning_rate == 1e-3
    assert call(sweep, *arguments, "--dry-run").stdout.count("finished") == 6
    (tmp_path / "a" / "model.py").write_text(TOY + "# another\n")
    assert call(sweep, *arguments, "--dry-run").stdout.count("finished") == 4  # what its code gave is not its any more
