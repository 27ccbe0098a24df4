"""lifters/widening/foreign_weights.py: tensors of whatever other code saves, and nothing of it run."""

from __future__ import annotations

import argparse
import builtins
import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from auglift.lifters.widening.foreign_weights import chosen, read_weights, renamed
from auglift.stores.errors import CorruptStoreError, InvalidValueError, MissingFileError
from tests.fakes.hostile import Hostile


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return {f"module.{name}": value for name, value in nn.Linear(3, 4).state_dict().items()}


@pytest.mark.parametrize("zipped", [True, False], ids=["as torch saves now", "as it did before 1.6"])
def test_what_trainers_save_beside_the_weights_does_not_hinder(
    tmp_path: Path, state: dict[str, torch.Tensor], zipped: bool
):
    """VideoPose3D, MixSTE, MotionBERT and MotionAGFormer save such things; `weights_only` alone refuses the file."""
    optimiser = torch.optim.AdamW([nn.Parameter(torch.zeros(3))])
    optimiser.param_groups[0]["lr"] = np.float64(1e-3)
    beside = {
        "epoch": 3,
        "lr": np.float64(4e-5),
        "min_loss": np.float32(40.9),
        "random_state": np.random.RandomState(1),
        "generator": np.random.default_rng(1),
        "args": argparse.Namespace(frames=243),
        "errors": np.arange(3.0),
        "optimizer": optimiser.state_dict(),
    }
    path = tmp_path / "theirs.bin"
    torch.save({**beside, "model_pos": state}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(Exception, match="Weights only load failed"):
        torch.load(path, weights_only=True)
    found = read_weights(path)
    assert found.keys() == {"model_pos"}
    assert all(torch.equal(found["model_pos"][name], value) for name, value in state.items())


@pytest.mark.parametrize(
    ("function", "argument"),
    [
        (os.system, "touch evil"),
        (os.mkdir, "evil"),
        (builtins.exec, "open('evil', 'w')"),
        (builtins.eval, "open('evil', 'w')"),
        (subprocess.call, ["touch", "evil"]),
        (shutil.copy, ["evil.pth", "evil"]),
    ],
)
def test_code_in_a_file_of_weights_never_runs(
    tmp_path: Path, state: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch, function, argument
):
    """Either the file is refused, or the function is not so much as looked up."""
    monkeypatch.chdir(tmp_path)
    torch.save({"model": state, "more": Hostile(function, argument)}, "evil.pth")
    with contextlib.suppress(CorruptStoreError):
        assert read_weights(Path("evil.pth"))["model"].keys() == state.keys()
    assert [path.name for path in tmp_path.iterdir()] == ["evil.pth"]


def test_functions_of_python_and_of_the_system_are_refused(tmp_path: Path, state: dict[str, torch.Tensor]):
    for name, function in (("a.pth", os.mkdir), ("b.pth", builtins.eval)):
        torch.save({"model": state, "more": Hostile(function, "evil")}, tmp_path / name)
        with pytest.raises(CorruptStoreError, match=r"cannot be read as weights .* code in it is not run"):
            read_weights(tmp_path / name)


def test_a_file_without_weights_is_refused(tmp_path: Path):
    torch.save({"epoch": 3, "names": ["a"]}, tmp_path / "none.pth")
    with pytest.raises(InvalidValueError, match="holds no weights by name"):
        read_weights(tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("weights")
    with pytest.raises(CorruptStoreError, match="cannot be read as weights"):
        read_weights(tmp_path / "text.pth")
    with pytest.raises(MissingFileError, match="cannot be read"):
        read_weights(tmp_path / "no.pth")


def test_safetensors_are_read(tmp_path: Path, state: dict[str, torch.Tensor]):
    save = pytest.importorskip("safetensors.torch").save_file
    save(state, str(tmp_path / "theirs.safetensors"))
    assert read_weights(tmp_path / "theirs.safetensors")[""].keys() == state.keys()


@pytest.mark.parametrize(
    ("names", "renames", "after"),
    [
        (["module.a.w", "module.b"], ["module.="], ["a.w", "b"]),
        (["module.module.a"], ["module.="], ["a"]),
        (["module.a", "sub_module.b", "c.module.d"], ["module.=x."], ["x.a", "sub_module.b", "c.x.d"]),
        (["blocks.0.attn.w", "blocks.1.attn.w"], ["attn.=attention.", "blocks.=layers."], ["layers.0.attention.w"]),
        (["module.head"], ["module.=net.body."], ["net.body.head"]),
        (["a.b"], ["a.b=c"], ["c"]),
    ],
)
def test_a_rename_is_of_a_beginning_or_of_a_part_after_a_dot(names: list[str], renames: list[str], after: list[str]):
    found = renamed({name: torch.zeros(1) for name in names}, renames)
    assert list(found)[: len(after)] == after


@pytest.mark.parametrize(
    ("rename", "words"),
    [
        ("module", "write OLD=NEW"),
        ("=a", "write OLD=NEW"),
        ("modul_.=", r"begins with 'modul_\.'; near are module\."),
        ("a.=b.", r"two tensors would be called 'b\.w'"),
    ],
)
def test_a_rename_that_cannot_be_meant_is_refused(rename: str, words: str):
    with pytest.raises(InvalidValueError, match=words):
        renamed({name: torch.zeros(1) for name in ("module.x", "a.w", "b.w")}, [rename])


def test_of_several_in_a_file_the_one_is_taken_that_has_the_models_names():
    own = nn.Linear(3, 4).state_dict()
    states = {"model": {f"module.{k}": v for k, v in own.items()}, "discriminator": {"x": torch.zeros(1)}}
    assert chosen(states, ["module.="], own).keys() == own.keys()
    with pytest.raises(InvalidValueError, match="begins with 'nothing"):
        chosen(states, ["nothing.="], own)
