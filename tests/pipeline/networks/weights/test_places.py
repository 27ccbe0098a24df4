"""pipeline/networks/weights/places.py: every layout that the usual download tools leave is a folder of weights."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from auglift.pipeline.build import warnings
from auglift.pipeline.networks import models
from auglift.pipeline.networks.weights import load
from auglift.stores.errors import InvalidValueError, MissingFileError

HUB = models.MODELS["depth-anything-v2-small"]
NAME = "Depth-Anything-V2-Metric-Indoor-Small-hf"
CACHED = f"models--depth-anything--{NAME}"
OPENMMLAB = models.MODELS["rtmdet-nano"]
BYTES = save({"x": torch.ones(2)})
OTHER = save({"x": torch.zeros(2)})


def published(spec: models.ModelSpec) -> models.ModelSpec:
    """The row, if BYTES were what its authors publish."""
    return replace(spec, sha256=hashlib.sha256(BYTES).hexdigest())


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch) -> Path:
    """Empty caches of this test's own, and no network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr("auglift.pipeline.networks.weights.fetch.resolve_host", refuse)
    return tmp_path


def refuse(*_: object) -> None:
    raise OSError("no network in this test")


def put(path: Path, content: bytes = BYTES) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("given", "file"),
    [
        ("mine", f"mine/{NAME}/model.safetensors"),
        ("mine", f"mine/depth-anything/{NAME}/model.safetensors"),
        ("mine", f"mine/{CACHED}/snapshots/0a1b/model.safetensors"),
        ("mine", f"mine/hub/{CACHED}/snapshots/0a1b/model.safetensors"),
        ("mine", "mine/model.safetensors"),
        (f"mine/{NAME}", f"mine/{NAME}/model.safetensors"),
        (f"hub/{CACHED}/snapshots/0a1b", f"hub/{CACHED}/snapshots/0a1b/model.safetensors"),
        ("mine", "mine/depth-anything-v2-small.safetensors"),
    ],
)
def test_a_hub_models_file_is_found_as_the_hubs_tools_lay_it_out(tmp_path, given, file):
    path = put(tmp_path / file)
    assert load.locate(published(HUB), tmp_path / given) == path


@pytest.mark.parametrize("place", ["", "checkpoints", "hub/checkpoints"])
def test_an_openmmlab_file_is_found_in_the_folder_and_in_torchs_layout(tmp_path, place):
    path = put(tmp_path / "mine" / place / OPENMMLAB.file)
    assert load.locate(published(OPENMMLAB), tmp_path / "mine") == path


def test_links_into_the_blobs_are_followed_and_of_revisions_the_newest_is_taken(tmp_path):
    cached = tmp_path / "mine" / CACHED
    for revision, content in (("0old", OTHER), ("1new", BYTES), ("2odd", OTHER)):
        blob = put(cached / "blobs" / revision, content)
        (cached / "snapshots" / revision).mkdir(parents=True)
        (cached / "snapshots" / revision / "model.safetensors").symlink_to(
            os.path.relpath(blob, cached / "snapshots/x")
        )
    put(cached / "refs" / "main", b"1new\n")
    unknown = replace(HUB, sha256="")
    assert load.locate(unknown, tmp_path / "mine").parent.name == "1new"
    (cached / "refs" / "main").unlink()
    assert load.locate(published(HUB), tmp_path / "mine").parent.name == "1new", "it alone has the published digest"


def test_a_link_to_nothing_is_said_to_be_one(tmp_path):
    link = tmp_path / "mine" / NAME / "model.safetensors"
    link.parent.mkdir(parents=True)
    link.symlink_to("../../blobs/0123")
    with pytest.raises(MissingFileError, match=r"model\.safetensors is a link to a file that is not there: copy"):
        load.locate(HUB, tmp_path / "mine")


def test_a_repositorys_file_that_is_not_the_published_one_is_ones_own_and_the_store_says_so(tmp_path):
    path = put(tmp_path / "mine" / NAME / "model.safetensors", OTHER)
    assert load.locate(published(HUB), tmp_path / "mine") == path
    _, identity = load.load_state(published(HUB), tmp_path / "mine")
    settings = {"detector": {"name": "tiny-detector", "weights": "random:0"}, "pose": {"name": "x"}, "depth": identity}
    noise, own = warnings(settings)
    assert noise == "RANDOM WEIGHTS in tiny-detector: THE FEATURES ARE NOISE"
    assert own == "weights of one's own, not the published ones, in depth-anything-v2-small"
    assert (
        warnings({**settings, "detector": {"name": "x"}, "depth": {**identity, "weights": f"sha256:{HUB.sha256}"}})
        == ()
    )


def test_another_models_file_in_the_folder_itself_is_not_taken_for_it(tmp_path):
    put(tmp_path / "mine" / "model.safetensors", OTHER)
    with pytest.raises(MissingFileError, match="no weights for depth-anything-v2-small"):
        load.locate(published(HUB), tmp_path / "mine")


def test_the_published_file_in_a_cache_is_taken_rather_than_a_damaged_one_in_the_folder(tmp_path):
    put(tmp_path / "mine" / OPENMMLAB.file, OTHER)
    with pytest.raises(InvalidValueError, match="is not the published file, or is damaged"):
        load.locate(published(OPENMMLAB), tmp_path / "mine")
    kept = put(tmp_path / "torch" / "hub" / "checkpoints" / OPENMMLAB.file)
    assert load.locate(published(OPENMMLAB), tmp_path / "mine") == kept


@pytest.mark.parametrize(("digits", "hint"), [(64, False), (8, True)])
def test_a_file_with_another_digest_can_be_used_all_the_same_and_the_error_says_how(tmp_path, digits, hint):
    spec = replace(OPENMMLAB, sha256=OPENMMLAB.sha256[:digits])
    path = put(tmp_path / "mine" / spec.file, OTHER)
    with pytest.raises(InvalidValueError) as error:
        load.locate(spec, tmp_path / "mine")
    message = str(error.value)
    assert f"its SHA-256 begins {hashlib.sha256(OTHER).hexdigest()[:8]}, not 05d8511e" in message
    assert ("under the digits of an earlier upload" in message) is hint
    assert "put it in a folder as rtmdet-nano.pth and give that with --weights" in message
    path.rename(path.with_name("rtmdet-nano.pth"))
    assert load.locate(spec, tmp_path / "mine") == path.with_name("rtmdet-nano.pth")


def test_a_git_lfs_pointer_is_said_to_be_one(tmp_path):
    put(tmp_path / "mine" / OPENMMLAB.file, b"version https://git-lfs.github.com/spec/v1\noid sha256:05d8\nsize 42\n")
    with pytest.raises(InvalidValueError, match="is a Git LFS pointer, not the file itself"):
        load.locate(OPENMMLAB, tmp_path / "mine")


def test_a_digest_is_that_of_what_the_file_holds_now(tmp_path):
    path = put(tmp_path / "x")
    assert load.sha256(path) == hashlib.sha256(BYTES).hexdigest()
    path.write_bytes(OTHER)
    os.utime(path, (1, 1))
    assert load.sha256(path) == hashlib.sha256(OTHER).hexdigest()
