"""pipeline/networks/weights/load.py: where weights come from, and what may be in a checkpoint."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from auglift.pipeline.networks import models, openmmlab
from auglift.pipeline.networks.weights import load
from auglift.stores.errors import InvalidValueError, MissingFileError

from .small_network import network, same


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


@pytest.mark.parametrize(("weights", "seed"), [("random", 0), ("random:7", 7), (None, None), ("randomised", None)])
def test_random_weights_have_a_name_and_a_seed(weights, seed):
    assert load.random_seed(weights) == seed


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
