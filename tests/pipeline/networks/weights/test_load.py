"""pipeline/networks/weights/load.py: where weights come from."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from auglift.pipeline.networks import models, openmmlab
from auglift.pipeline.networks.weights import load
from auglift.stores.errors import InvalidValueError, MissingFileError, StoreWriteError

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


@pytest.fixture
def server(tmp_path) -> Iterator[tuple[Path, str]]:
    """A folder and the address that serves it; files called `*.cut` break off after half their length."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            if not (folder / (self.path[1:] + ".cut")).exists():
                return super().do_GET()
            content = (folder / (self.path[1:] + ".cut")).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder)) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def test_weights_are_fetched_checked_and_kept(server, published, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    spec, content, state = published
    folder, address = server
    spec = replace(spec, origin=f"{address}/{spec.file}")
    (folder / spec.file).write_bytes(content)
    loaded, _ = load.load_state(spec)
    assert loaded is not None
    assert same(loaded, state)
    kept = load.torch_cache() / spec.file
    assert kept.read_bytes() == content
    assert list(kept.parent.iterdir()) == [kept]
    (folder / spec.file).unlink()
    assert load.load_state(spec)[0] is not None  # not requested again


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        (lambda folder, file, content: None, MissingFileError, "HTTP Error 404"),
        (
            lambda folder, file, content: (folder / file).write_bytes(content + b"?"),
            InvalidValueError,
            r"serves is not the published file: its SHA-256 begins .* use it all the same, .* in a folder as toy\.pth",
        ),
        (lambda folder, file, content: (folder / f"{file}.cut").write_bytes(content), MissingFileError, "broke off"),
    ],
    ids=["not there", "another file", "broken off"],
)
def test_a_fetch_that_goes_wrong_leaves_nothing_behind(server, published, tmp_path, monkeypatch, change, error, reason):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    spec, content, _ = published
    folder, address = server
    spec = replace(spec, origin=f"{address}/{spec.file}")
    change(folder, spec.file, content)
    with pytest.raises(error, match=reason):
        load.load_state(spec)
    assert [path for path in (tmp_path / "torch").rglob("*") if path.is_file()] == []


def test_a_cache_that_cannot_be_written_is_not_called_a_missing_network(server, published, tmp_path, monkeypatch):
    (tmp_path / "torch").touch()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    spec, content, _ = published
    folder, address = server
    (folder / spec.file).write_bytes(content)
    with pytest.raises(StoreWriteError, match=r"cannot keep toy-.* Not a directory"):
        load.load_state(replace(spec, origin=f"{address}/{spec.file}"))


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
