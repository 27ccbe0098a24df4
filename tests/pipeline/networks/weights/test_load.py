"""pipeline/networks/weights/load.py: where weights come from, and what may be in a checkpoint."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from auglift.pipeline.networks import models, openmmlab
from auglift.pipeline.networks.weights import load
from auglift.stores.errors import InvalidValueError, MissingFileError

from ....fakes.hostile import Hostile

# ---------------------------------------------------------------------------------------------------------------------
# Where weights come from
# ---------------------------------------------------------------------------------------------------------------------


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def same(state: dict, other: dict) -> bool:
    return state.keys() == other.keys() and all(torch.equal(state[key], other[key]) for key in state)


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """Empty caches of this test's own, and no network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)

    def unreachable(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def published(tmp_path) -> tuple[models.ModelSpec, bytes, dict]:
    """A model whose checkpoint's name carries the digest of its bytes, as OpenMMLab publishes them."""
    state = network().state_dict()
    path = tmp_path / "checkpoint.pth"
    torch.save({"meta": {}, "state_dict": state}, path)
    content = path.read_bytes()
    path.unlink()
    digest = hashlib.sha256(content).hexdigest()[:8]
    spec = models.ModelSpec(
        name="toy", kind="pose", config=None, origin=f"https://example.invalid/toy-{digest}_20230504.pth",
        sha256=digest, licence="Apache-2.0", megabytes=1, input_size=(1, 1),
    )  # fmt: skip
    return spec, content, state


@pytest.mark.parametrize("place", ["folder", "torch", "mim"])
def test_weights_are_found_in_the_folder_and_in_the_caches(cache, tmp_path, published, place):
    spec, content, state = published
    folder = {"folder": tmp_path / "mine", "torch": cache, "mim": tmp_path / ".cache" / "mim"}[place]
    folder.mkdir(parents=True)
    (folder / spec.file).write_bytes(content)
    loaded, identity = load.load_state(spec, folder if place == "folder" else None)
    assert loaded is not None
    assert same(loaded, state)
    assert identity == {"name": "toy", "weights": f"sha256:{hashlib.sha256(content).hexdigest()}"}


def test_a_file_that_is_not_the_published_one_is_refused(cache, published):
    spec, content, _ = published
    cache.mkdir(parents=True)
    (cache / spec.file).write_bytes(content[:-1])
    with pytest.raises(
        InvalidValueError, match=rf"{spec.file} is not .* not {spec.sha256} .* Delete it .* as toy\.pth"
    ):
        load.load_state(spec)


def test_ones_own_weights_go_by_the_models_name_and_come_first(cache, tmp_path, published):
    spec, content, _ = published
    own = {key: value + 1 for key, value in network().state_dict().items()}
    (tmp_path / spec.file).write_bytes(content)
    save_file(own, tmp_path / "toy.safetensors")
    loaded, identity = load.load_state(spec, str(tmp_path))
    assert loaded is not None
    assert same(loaded, own)
    assert identity["weights"] == f"sha256:{hashlib.sha256((tmp_path / 'toy.safetensors').read_bytes()).hexdigest()}"


@pytest.mark.parametrize("name", ["rtmpose-s", "depth-anything-v2-small"])
def test_missing_weights_without_a_network_are_one_error_that_says_what_to_do(cache, tmp_path, name):
    spec = models.MODELS[name]
    with pytest.raises(MissingFileError) as error:
        load.load_state(spec, tmp_path)
    message = str(error.value)
    for part in (spec.file, str(tmp_path), spec.address, "--weights FOLDER", "--weights random", "not known"):
        assert part in message
    assert "\n" not in message


def test_a_folder_of_weights_that_is_none_is_an_error(tmp_path):
    spec = models.MODELS["rtmpose-s"]
    (tmp_path / "file.pth").touch()
    with pytest.raises(MissingFileError, match="does not exist; give the folder that holds rtmpose-s_"):
        load.load_state(spec, tmp_path / "none")
    with pytest.raises(MissingFileError, match="is a file; give the folder"):
        load.load_state(spec, tmp_path / "file.pth")


@pytest.mark.parametrize(("asked", "seed"), [("random", 0), ("random:7", 7), (None, None), ("randomised", None)])
def test_random_weights_are_asked_for_by_name_and_seed(asked, seed):
    assert load.random_seed(asked) == seed


def test_random_weights_load_nothing_and_say_so():
    assert load.load_state(models.MODELS["rtmpose-s"], "random:3") == (
        None,
        {"name": "rtmpose-s", "weights": "random:3"},
    )


def test_a_seeded_block_leaves_the_callers_random_state_as_it_was():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with load.seeded(5):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    with load.seeded(5):
        assert torch.equal(torch.rand(3), inside)


@pytest.mark.parametrize(("name", "package"), [("rtmdet-nano", "mmdet"), ("rtmpose-t", "mmpose")])
def test_a_networks_random_weights_are_a_function_of_the_seed_alone(name, package):
    config = openmmlab.read_config(str(models.MODELS[name].config))
    states = []
    for seed, around in ((1, 10), (1, 11), (2, 10)):
        torch.manual_seed(around)
        states.append(openmmlab.build(config, package, seed).state_dict())
    assert same(states[0], states[1])
    assert not same(states[0], states[2])


# ---------------------------------------------------------------------------------------------------------------------
# What may be in a checkpoint
# ---------------------------------------------------------------------------------------------------------------------


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
