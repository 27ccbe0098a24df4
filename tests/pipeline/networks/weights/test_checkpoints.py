"""pipeline/networks/weights/load.py: what may be in a checkpoint, and that none of it runs."""

from __future__ import annotations

import os
import subprocess
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from auglift.pipeline.networks import models, openmmlab
from auglift.pipeline.networks.weights import load
from auglift.stores.errors import InvalidValueError

from ....fakes.hostile import Hostile
from .small_network import network, same


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "the format before"])
def test_a_checkpoint_in_openmmlabs_layout_is_read_and_its_logs_are_not(tmp_path, zipped):
    HistoryBuffer = openmmlab.load("mmengine.logging").HistoryBuffer
    ConfigDict = openmmlab.load("mmengine.config").ConfigDict
    state = OrderedDict(network().state_dict())
    ema = {f"module.{key}": value + 1 for key, value in state.items()}
    checkpoint = {
        "meta": {
            "epoch": 420,
            "seed": np.int64(21),
            "best": np.float32(0.78),
            "dataset_meta": {"classes": ("person",), "sigmas": np.array([0.026, 0.025], dtype=np.float32)},
            "cfg": ConfigDict(a=1),
            "hook_msgs": {"last": np.bool_(True)},
        },
        "state_dict": state,
        "ema_state_dict": ema | {"steps": torch.tensor(4)},
        "message_hub": {
            "log_scalars": OrderedDict({"train/loss": HistoryBuffer([1.0, 2.0], [1, 1])}),
            "runtime_info": OrderedDict(iter=np.int32(3)),
            "resumed_keys": OrderedDict(),
        },
        "optimizer": {"state": {}, "param_groups": [{"lr": 1e-3}]},
    }
    path = tmp_path / "checkpoint.pth"
    torch.save(checkpoint, path, _use_new_zipfile_serialization=zipped)
    assert same(load.read_state(path), dict(state))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": {f"module.{key}": value for key, value in state.items()}},
        lambda state: {"state_dict": state | {f"ema_{key.replace('.', '_')}": value for key, value in state.items()}},
        lambda state: {
            "state_dict": {key: nn.Parameter(value, value.is_floating_point()) for key, value in state.items()}
        },
    ],
    ids=["bare", "data parallel", "older averaging hook", "parameters"],
)
def test_other_layouts_give_the_same_weights(tmp_path, wrap):
    state = {key: value.clone() for key, value in network().state_dict().items() if value.is_floating_point()}
    torch.save(wrap(state), tmp_path / "checkpoint.pth")
    assert same(load.read_state(tmp_path / "checkpoint.pth"), state)


@pytest.mark.parametrize("place", ["state_dict", "message_hub", "itself"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_checkpoint_runs_nothing(tmp_path, place, zipped):
    mark = tmp_path / "ran"
    path = tmp_path / "checkpoint.pth"
    for hostile in (
        Hostile(os.system, f"touch {mark}"),
        Hostile(eval, f"open({str(mark)!r}, 'w')"),
        Hostile(subprocess.Popen, ["touch", str(mark)]),
        Hostile(Hostile(getattr, Path, "touch"), mark),
    ):
        checkpoint = hostile if place == "itself" else {"state_dict": network().state_dict(), place: {"x": hostile}}
        torch.save(checkpoint, path, _use_new_zipfile_serialization=zipped)
        with pytest.raises(InvalidValueError, match=rf"{path} was not loaded|holds no weights"):
            load.read_state(path)
        assert not mark.exists()


def test_a_name_on_the_list_of_logs_is_never_called_itself(tmp_path):
    """`getattr` is on it, as training logs may mention it: what it gives is inert, and cannot be called in turn."""
    fetched, state = Hostile(getattr, torch.Tensor, "exp"), network().state_dict()
    torch.save({"state_dict": state, "x": fetched}, tmp_path / "c.pth")
    assert same(load.read_state(tmp_path / "c.pth"), state)
    torch.save({"state_dict": state, "x": Hostile(fetched, torch.ones(1))}, tmp_path / "c.pth")
    with pytest.raises(InvalidValueError, match="was not loaded"):
        load.read_state(tmp_path / "c.pth")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.pth", b"", "is not a PyTorch checkpoint|was not loaded"),
        ("c.pth", b"<html>404</html>", "was not loaded|is not a PyTorch checkpoint"),
        ("c.pth", b"PK\x03\x04 cut off", "is not a PyTorch checkpoint"),
        ("c.safetensors", b"<html>404</html>", "is not a safetensors file"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidValueError, match=message) as error:
        load.read_state(tmp_path / name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("held", [[1, 2], {"state_dict": {}}, {"state_dict": {"x": 1}}])
def test_a_checkpoint_without_weights_is_an_error(tmp_path, held):
    torch.save(held, tmp_path / "c.pth")
    with pytest.raises(InvalidValueError, match="holds no weights"):
        load.read_state(tmp_path / "c.pth")


def test_weights_of_another_network_are_refused_by_name():
    state = network().state_dict()
    fits = network()
    load.fit_state(fits, state, "rtmpose-s")
    assert same(fits.state_dict(), state)
    wrong = dict(state, **{"0.weight": torch.zeros(4, 4), "z": torch.zeros(1)})
    del wrong["1.weight"], wrong["1.bias"]
    with pytest.raises(InvalidValueError) as error:
        load.fit_state(network(), wrong, "rtmpose-s")
    assert str(error.value) == (
        "these weights are not those of rtmpose-s: missing 1.weight and 1 more; unexpected z; "
        "0.weight is (4, 4) instead of (2, 3)"
    )


def test_weights_that_layers_share_may_be_stored_once():
    """RTMDet's head uses the same convolutions at every level; a safetensors file has them once."""
    config = openmmlab.read_config(str(models.MODELS["rtmdet-tiny"].config))
    full = openmmlab.build(config, "mmdet", 4)
    seen: set[int] = set()
    once = {
        key: value
        for key, value in full.state_dict().items()
        if value.data_ptr() not in seen and not seen.add(value.data_ptr())  # type: ignore[func-returns-value]
    }
    assert len(once) < len(full.state_dict())
    other = openmmlab.build(config, "mmdet", 5)
    load.fit_state(other, once, "rtmdet-tiny")
    assert same(other.state_dict(), full.state_dict())
