"""find.py, adapter.py, trial.py: what is wrong with a user's lifter is one line, before the first epoch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from auglift.lifters.inputs import Inputs
from auglift.lifters.own_lifters.find import find_lifter
from auglift.lifters.own_lifters.own_lifter import OwnLifter
from auglift.lifters.training.checkpoint import LAST, load
from auglift.lifters.training.setup import Setup, parse_changes
from auglift.lifters.training.train import NoWatcher, train
from auglift.stores.errors import AugliftError, InvalidValueError, MissingExtraError, MissingFileError
from tests.fakes.own import TOY, toy_with, write
from tests.fakes.people import people


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return people(tmp_path_factory.mktemp("own") / "people.zarr", bad=tuple(range(0, 240, 7))).url


def refusal(store: str, lifter: Any, out: Path, **more: Any) -> str:
    """The one line that it is refused with; nothing is written."""
    with pytest.raises(AugliftError) as caught:
        train(
            Setup((store,), lifter, Inputs("uadd"), **{"window": 3, "batch": 32, "epochs": 1, "device": "cpu"} | more),
            out,
        )
    assert not out.exists()
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "view(len(inputs), 1, -1, 3)",
            "view(len(inputs), -1, 3)",
            "returns a tensor (2, 17, 3) for inputs (2, 3, 17, 6)",
        ),
        (
            "view(len(inputs), 1, -1, 3)",
            "view(len(inputs), 1, -1, 3)[..., :2]",
            "it must be (2, 3, 17, 3) or (2, 1, 17, 3)",
        ),
        ("return self.head", "return None, self.head", "returns a tuple"),
        ("return self.head", "self.head", "returns nothing"),
        ("3)\n", "3).long()\n", "torch.int64"),
        ("3)\n", "3) / 0\n", "returns NaN or infinity (100% of its numbers)"),
        ("3)\n", "3).squeeze(1)\n", "returns a tensor (2, 17, 3)"),
        ("class Toy(nn.Module):", "class Toy(nn.Module):\n    many_to_many = True", "because its many_to_many is True"),
        ("relu()", "rellu()", "AttributeError: 'Tensor' object has no attribute 'rellu' (toy.py, line 12)"),
        ("window * joints", "window + joints", "RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
        ("width=8", "width=8, *, depth", "toy.py:Toy needs depth, which has no default: give --set depth=..."),
        ("window, joints=17", "joints=17", "toy.py:Toy has no argument window (it has channels, joints, width)"),
        ("channels, window", "in_chans, frames", "has no argument channels and no window (it has in_chans, frames"),
        (
            "super().__init__()",
            "pass",
            "cannot be made as Toy(channels=6, window=3, joints=17, width=8): AttributeError",
        ),
    ],
)
def test_a_lifter_that_does_not_keep_to_the_contract_is_refused(
    store: str, tmp_path: Path, old: str, new: str, words: str
):
    assert old in TOY
    text = refusal(store, f"{write(tmp_path, source=TOY.replace(old, new))}:Toy", tmp_path / "run")
    assert words in text


@pytest.mark.parametrize(
    ("line", "words"),
    [
        # What random numbers do not show, and the first batch does: a frame without anybody is 0 in x and y.
        ("return out * (inputs / inputs[..., :2].norm(dim=(2, 3), keepdim=True)).mean()", "toy.py:Toy returns NaN"),
        ("return out[:31] if len(inputs) > 31 else out", "returns a tensor (31, 1, 17, 3) for a batch of 32"),
        ("return out.detach()", "toy.py:Toy has no gradient on the first batch"),
        ("return out + (0 * out).abs().sqrt()", "a gradient of NaN"),
    ],
)
def test_one_batch_of_the_data_is_tried_before_the_first_epoch(store: str, tmp_path: Path, line: str, words: str):
    source = toy_with("out = self.head(self.expand(inputs.flatten(1)).relu()).view(len(inputs), 1, -1, 3)")
    file = f"{write(tmp_path, source=source + f'        {line}' + chr(10))}:Toy"
    assert words in refusal(store, file, tmp_path / "run")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            "(predicted - target).square().mean((1, 2, 3))",
            "the loss of toy.py:Toy is a tensor (32,): it must be one number",
        ),
        ("0.0", "the loss of toy.py:Toy is a float"),
        ("predicted.mean() / 0 * 0", "the loss of toy.py:Toy is NaN on the first batch"),
        ("predicted @ target", "the loss of toy.py:Toy does not run on the first batch: RuntimeError"),
        ("predicted.men()", "no attribute 'men' (toy.py, line 15)"),
    ],
)
def test_a_loss_that_is_no_number_is_refused(store: str, tmp_path: Path, body: str, words: str):
    source = f"{TOY}\n    def loss(self, predicted, target, mask):\n        return {body}\n"
    assert words in refusal(store, f"{write(tmp_path, source=source)}:Toy", tmp_path / "run")


def test_trying_a_batch_leaves_weights_and_statistics_as_they_were(store: str, tmp_path: Path):
    """Were it a step, BatchNorm would have seen one batch more than the training has."""
    source = TOY.replace("self.head = ", "self.norm = nn.BatchNorm1d(width)\n        self.head = ")
    source = source.replace("self.expand(inputs.flatten(1))", "self.norm(self.expand(inputs.flatten(1)))")
    setup = Setup((store,), f"{write(tmp_path, source=source)}:Toy", Inputs("uadd"), 3, 32, 1, device="cpu", limit=64)
    train(setup, tmp_path / "run")
    assert load(tmp_path / "run" / LAST)["weights"]["norm.num_batches_tracked"] == 2


def test_weights_that_are_not_used_are_named(store: str, tmp_path: Path):
    source = TOY.replace("self.head = ", "self.spare = nn.Linear(3, 4)\n        self.head = ")
    said: list[str] = []
    watcher = NoWatcher()
    watcher.message = said.append  # type: ignore[method-assign]
    train(
        Setup((store,), f"{write(tmp_path, source=source)}:Toy", window=3, epochs=1, limit=64),
        tmp_path / "run",
        watcher,
    )
    assert "toy.py:Toy does not use 2 of its weights for what it returns: spare.weight, spare.bias" in said


# Names that lead nowhere ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lifter", "kind", "words"),
    [
        ("{folder}/none.py:Toy", MissingFileError, "there is no file"),
        ("{folder}/toy.py:Tony", InvalidValueError, r"toy\.py has no class 'Tony'; did you mean 'Toy'\? it has Toy"),
        ("{folder}/toy.py", InvalidValueError, r"write .*toy\.py:CLASS; it has Toy"),
        ("{folder}/toy.py:", InvalidValueError, r"write .*toy\.py:CLASS; it has Toy"),
        ("{folder}/toy.py:nn", InvalidValueError, "is no class of torch.nn.Module but a module"),
        (
            "{folder}/missing.py:Toy",
            MissingExtraError,
            r"missing\.py imports 'no_such_package' \(missing\.py, line 1\)",
        ),
        ("{folder}/broken.py:Toy", InvalidValueError, r"SyntaxError: .* \(broken\.py, line 2\)"),
        ("{folder}/raises.py:Toy", InvalidValueError, r"ZeroDivisionError: division by zero \(raises\.py, line 1\)"),
        (
            "{folder}/exits.py:Toy",
            InvalidValueError,
            r"ends the program when it is imported \(exits\.py, line 1\).*__main__",
        ),
        ("no_such.module:Toy", MissingFileError, "there is no module no_such.module here"),
        ("json:JSONDecoder", InvalidValueError, "is no class of torch.nn.Module but a type"),
        ("json.decoder:Toy", InvalidValueError, "has no class 'Toy'; it has no class of torch.nn.Module"),
        ("posformer", InvalidValueError, r"did you mean 'poseformer'\? .*FILE\.py:CLASS"),
        ("a b:c", InvalidValueError, r"write FILE\.py:CLASS or package\.module:CLASS"),
    ],
)
def test_a_name_that_leads_nowhere_is_one_line(tmp_path: Path, lifter: str, kind: type[Exception], words: str):
    write(tmp_path)
    for name, source in (
        ("missing.py", "import no_such_package\n" + TOY),
        ("broken.py", "import torch\nclass Toy(:\n"),
        ("raises.py", "1 / 0\n"),
        ("exits.py", "raise SystemExit(2)\n"),
    ):
        write(tmp_path, name, source)
    with pytest.raises(kind, match=words) as caught:
        find_lifter(lifter.format(folder=tmp_path))
    assert isinstance(caught.value, AugliftError)
    assert "\n" not in str(caught.value)


def test_a_class_that_a_run_could_not_load_again_is_refused():
    class Local(nn.Module):
        def __init__(self, channels: int, window: int):
            super().__init__()

    with pytest.raises(InvalidValueError, match=r"Local is defined inside a function.*put it at the top of a file"):
        find_lifter(Local)
    session: dict[str, Any] = {"__name__": "__no_file__", "nn": nn}
    exec("class Typed(nn.Module):\n    def __init__(self, channels, window):\n        super().__init__()", session)
    with pytest.raises(InvalidValueError, match=r"Typed is defined in no file \(a notebook"):
        find_lifter(session["Typed"])
    with pytest.raises(InvalidValueError, match=r"is no class of torch\.nn\.Module"):
        find_lifter(dict)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["widht=3"], "no 'widht'; there are lr, weight_decay, factor, flip, width"),
        (["model.widht=3"], "toy.py:Toy takes no 'widht'; did you mean 'width'? it takes width"),
        (["width=wide"], "model.width = 'wide': must be a int"),
        (["width=nan"], "must be a number, a text"),
        (["model.window=9"], "--window sets the window"),
        (["loss.own=1"], "no key in loss 'own'"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(tmp_path: Path, settings: list[str], words: str):
    with pytest.raises(InvalidValueError, match=re.escape(words)):
        parse_changes(f"{write(tmp_path)}:Toy", settings)


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[model]\nwidht = 3\n", "toy.toml: toy.py:Toy takes no 'widht'"),
        ("[modl]\nwidth = 3\n", "toy.toml: no table of hyper-parameters 'modl'; did you mean 'model'?"),
        ("width = 3\n", "toy.toml: no table of hyper-parameters 'width'"),
        ("[optimiser]\nlearning_rate = 'fast'\n", "toy.toml: optimiser.learning_rate = 'fast': must be a float"),
        ("[model\n", "toy.toml is no TOML"),
    ],
)
def test_a_mistake_in_the_settings_file_is_refused_with_its_name(tmp_path: Path, toml: str, words: str):
    with pytest.raises(InvalidValueError, match=re.escape(words)):
        Setup(("a.zarr",), f"{write(tmp_path, toml=toml)}:Toy")
    with pytest.raises(MissingFileError, match="--config takes a TOML"):
        Setup(("a.zarr",), f"{tmp_path}/toy.py:Toy", config=tmp_path / "none.toml")


def test_a_lifter_of_auglifts_is_not_hidden_by_a_name_of_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "poseformer.py")
    assert find_lifter("poseformer") == "poseformer"
    assert isinstance(find_lifter("poseformer:Toy"), OwnLifter)
