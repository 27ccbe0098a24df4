"""own_lifter.py, find.py, adapter.py: a lifter of the user's own trains as one of auglift's does."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from auglift.lifters.evaluation.evaluate import evaluate
from auglift.lifters.inputs import Inputs
from auglift.lifters.own_lifters.adapter import adapt
from auglift.lifters.own_lifters.find import find_lifter
from auglift.lifters.own_lifters.own_lifter import OwnLifter
from auglift.lifters.training.checkpoint import BEST, Run, load
from auglift.lifters.training.log import read_log
from auglift.lifters.training.setup import Setup, parse_changes
from auglift.lifters.training.train import train
from tests.fakes.own import EVERY_FRAME, PARTS, TOY, TWIN, write
from tests.fakes.people import people


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return people(tmp_path_factory.mktemp("own") / "people.zarr", bad=(5, 130)).url


def setup_of(store: str, lifter: Any, **more: Any) -> Setup:
    options: dict[str, Any] = {"inputs": Inputs("uadd"), "window": 3, "batch": 32, "epochs": 2, "device": "cpu"}
    return Setup((store,), lifter, **options | more)


def losses(folder: Path) -> list[tuple[float, float]]:
    return [(line["loss"], line["held_out_mpjpe"]) for line in read_log(folder / "log.jsonl")]


def own(setup: Setup) -> OwnLifter:
    assert setup.own is not None
    return setup.own


# The same lifter, named in every way ----------------------------------------------------------------------------------


def test_the_same_class_as_the_users_own_has_the_losses_and_weights_of_auglifts(store: str, tmp_path: Path):
    changes = parse_changes("simple_baseline", ["width=16", "blocks=1", "lr=2e-3"])
    train(setup_of(store, "simple_baseline", changes=changes), tmp_path / "theirs")
    tables = Setup((store,), "simple_baseline", changes=changes).hyperparameters.as_dict()
    twin = write(tmp_path, "twin.py", TWIN)
    train(setup_of(store, f"{twin}:Twin", changes=tables), tmp_path / "own")
    assert losses(tmp_path / "own") == losses(tmp_path / "theirs")
    ours, theirs = (load(tmp_path / name / BEST)["weights"] for name in ("own", "theirs"))
    assert ours.keys() == theirs.keys()  # under the names that the user's own code has
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_a_file_a_module_and_a_class_are_one_lifter_and_each_goes_on_with_the_others_run(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write(tmp_path / "package", "__init__.py", "from .toy import Toy\n")
    file = write(tmp_path / "package")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    from package.toy import Toy  # type: ignore[import-not-found]

    setups = [setup_of(store, named) for named in (f"{file}:Toy", "package/toy.py:Toy", "package.toy:Toy", Toy)]
    assert [s.lifter for s in setups] == ["toy.py:Toy", "toy.py:Toy", "package.toy:Toy", "package.toy:Toy"]
    assert {(own(s).file, own(s).sha256) for s in setups} == {(file, own(setups[0]).sha256)}
    handed_on = own(setup_of(store, "package:Toy"))  # where the class is written counts, not who hands it on
    assert (handed_on.file, handed_on.module) == (file, "package.toy")
    stop = iter([False, True])
    assert not train(setups[0], tmp_path / "run", stop=lambda: next(stop)).finished
    assert train(setups[3], tmp_path / "run").finished
    assert train(setups[1], tmp_path / "undisturbed").finished
    assert losses(tmp_path / "run") == losses(tmp_path / "undisturbed")


def test_an_entry_point_is_found_by_its_name(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path, "their_lifters.py")
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[auglift.lifters]\ntoy-former = their_lifters:Toy\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    setup = setup_of(store, "toy-former", epochs=1)
    assert setup.lifter == "toy-former"
    assert train(setup, tmp_path / "run").finished
    assert Run(tmp_path / "run").model().channels == 6


def test_a_script_that_trains_its_own_class_runs_once_and_is_evaluated_from_its_file(store: str, tmp_path: Path):
    script = write(tmp_path, "script.py", TOY)
    with Path(script).open("a") as file:
        file.write(
            "\n\nprint('the script runs')\n"
            "if __name__ == '__main__':\n"
            "    import sys\n"
            "    from auglift.lifters.training.checkpoint import Run\n"
            "    from auglift.lifters.training.setup import Setup\n"
            "    from auglift.lifters.training.train import train\n"
            "    setup = Setup((sys.argv[1],), Toy, window=3, epochs=1, device='cpu')\n"
            "    train(setup, sys.argv[2])\n"
            "    assert isinstance(Run(sys.argv[2]).model().module, Toy)\n"
        )
    command = [sys.executable, script, store, str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("the script runs") == 1
    module: Any = Run(tmp_path / "run").model().module
    assert module.head.out_features == 51


# What it returns, and its loss ----------------------------------------------------------------------------------------


def test_a_lifter_of_every_frame_is_trained_and_measured_on_every_frame(store: str, tmp_path: Path):
    write(tmp_path, "parts.py", PARTS)
    setup = setup_of(store, f"{write(tmp_path, 'every.py', EVERY_FRAME)}:EveryFrame", window=9)
    assert train(setup, tmp_path / "run").finished
    model = Run(tmp_path / "run").model()
    assert model.many_to_many
    assert model(torch.rand(2, 9, 17, 6)).shape == (2, 9, 17, 3)
    (result,) = evaluate(Run(tmp_path / "run"), [store], split="train", device="cpu")
    assert result.frames == 240 - 2


def test_a_loss_of_its_own_is_used_unless_the_settings_name_another(store: str, tmp_path: Path):
    head = "\n    def loss(self, predicted, target, mask):\n"
    toy = f"{write(tmp_path, source=TOY + head + '        return 3 * (predicted - target)[mask].square().mean()')}:Toy"
    found = {}
    for name, loss in (("own", {}), ("three", {"mse": 3.0}), ("both", {"own": 0.5, "mse": 1.5})):
        setup = setup_of(store, toy, changes={"loss": loss} if loss else {}, epochs=1)
        train(setup, tmp_path / name)
        found[name] = losses(tmp_path / name)[0][0]
    assert found["own"] == pytest.approx(found["three"], rel=1e-4) == pytest.approx(found["both"], rel=1e-4)


# Settings -------------------------------------------------------------------------------------------------------------


def test_settings_come_from_the_class_then_the_file_beside_it_then_set(store: str, tmp_path: Path):
    toml = "[model]\nwidth = 16\n[optimiser]\nlearning_rate = 0.02\n[loss]\nmse = 1.0\n[training]\nepochs = 3\n"
    bare, toy = f"{write(tmp_path / 'bare')}:Toy", f"{write(tmp_path, toml=toml)}:Toy"
    first, second = Setup((store,), bare), Setup((store,), toy)
    third = Setup((store,), toy, changes=parse_changes(toy, ["width=32", "loss.mpjpe=1"]))
    elsewhere = tmp_path / "elsewhere.toml"
    elsewhere.write_text("[model]\nwidth = 64\n")
    fourth = Setup((store,), toy, config=elsewhere)
    assert [s.hyperparameters.model["width"] for s in (first, second, third, fourth)] == [8, 16, 32, 64]
    assert [s.hyperparameters.optimiser.learning_rate for s in (first, second, third)] == [5e-4, 0.02, 0.02]
    assert [dict(s.hyperparameters.loss) for s in (first, second, third)] == [{"mpjpe": 1}, {"mse": 1}, {"mpjpe": 1}]
    assert [s.epochs for s in (first, second, fourth)] == [60, 3, 60]


def test_a_setup_is_read_back_without_the_file_and_its_settings_are_those_of_then(store: str, tmp_path: Path):
    file = Path(write(tmp_path, toml="[model]\nwidth = 16\n"))
    setup = setup_of(store, f"{file}:Toy")
    text = json.dumps(setup.as_dict())
    file.with_suffix(".toml").write_text("[model]\nwidth = 99\n")
    file.unlink()
    again = Setup.from_dict(json.loads(text))
    assert again == setup == replace(again)
    assert again.hyperparameters.model["width"] == 16


def test_settings_of_auglifts_own_lifters_can_lie_in_a_file_too(store: str, tmp_path: Path):
    config = tmp_path / "mine.toml"
    config.write_text("[model]\nwidth = 16\n")
    setup = Setup((store,), "simple_baseline", config=config, changes=parse_changes("simple_baseline", ["blocks=1"]))
    assert (setup.hyperparameters.model["width"], setup.hyperparameters.model["blocks"]) == (16, 1)


def test_arguments_of_every_kind_can_be_set(tmp_path: Path):
    source = (
        "from torch import nn\n\n\nclass Wide(nn.Module):\n"
        "    def __init__(self, channels, window, *, depth, ratio=2, widths=(3, 3), act=nn.GELU, name=None, **rest):\n"
        "        super().__init__()\n"
        "        self.given = (depth, ratio, widths, act, name, rest)\n"
        "        self.layer = nn.Linear(channels, 3)\n\n"
        "    def forward(self, inputs):\n        return self.layer(inputs)\n"
    )
    wide = find_lifter(f"{write(tmp_path, source=source)}:Wide")
    assert isinstance(wide, OwnLifter)
    values = ["depth=4", "ratio=2.5", "widths=[3, 5]", "name=small", "model.more=[1, 2]"]
    settings = wide.hyperparameters(parse_changes(wide, values)).model
    module: Any = adapt(wide, 6, 3, json.loads(json.dumps(dict(settings)))).module
    depth, ratio, widths, act, name, rest = module.given
    assert (depth, ratio, name, rest) == (4, 2.5, "small", {"joints": 17, "more": [1, 2]})
    assert (list(widths), act) == ([3, 5], torch.nn.GELU)
