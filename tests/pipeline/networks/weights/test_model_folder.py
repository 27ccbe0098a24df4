"""model_folder.py: a repository in a folder or in Hugging Face's cache, whole or not, and no network."""

from __future__ import annotations

import json
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import save_file

from auglift.pipeline.build import NetworkOptions
from auglift.pipeline.networks.models import resolve
from auglift.pipeline.networks.weights import model_folder
from auglift.pipeline.networks.weights.model_folder import find_repository, open_folder, preparation
from auglift.stores.errors import InvalidValueError, MissingFileError

from ....fakes.published import PROCESSOR

SPEC = resolve("an-owner/some-depth-hf", "depth")


@pytest.fixture(autouse=True)
def cached(tmp_path, monkeypatch) -> list[Path]:
    """What Hugging Face's cache holds of every repository, put into the list by a test; and no network."""
    found: list[Path] = []

    def download(*_: object, local_files_only: bool = False, **__: object) -> str:
        if local_files_only and found:
            return str(found[0])
        raise OSError("not here")

    def refuse(_: str) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(model_folder, "resolve_host", refuse)
    return found


def write(folder: Path, *, weights: bool = True) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "dpt"}')
    if weights:
        save_file({"x": torch.ones(1)}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    "place", ["some-depth-hf", "an-owner/some-depth-hf", "models--an-owner--some-depth-hf/snapshots/0a1b"]
)
def test_a_repository_is_found_in_the_folder_of_weights_as_the_hubs_tools_lay_it_out(tmp_path, place):
    folder = write(tmp_path / "mine" / place)
    assert find_repository(SPEC, tmp_path / "mine") == folder


def test_a_cached_configuration_without_its_weights_is_not_the_model(tmp_path, cached):
    cached.append(write(tmp_path / "cache", weights=False))
    assert find_repository(SPEC, "random") == cached[0]
    with pytest.raises(MissingFileError, match=r"no depth model an-owner/.* \(no network in this test\)"):
        find_repository(SPEC, None)
    save_file({"x": torch.ones(1)}, cached[0] / "model.safetensors")
    assert find_repository(SPEC, None) == cached[0]


def test_a_folder_of_weights_that_is_none_is_an_error_and_not_a_download(tmp_path):
    with pytest.raises(MissingFileError, match="does not exist; give the folder that holds some-depth-hf"):
        find_repository(SPEC, tmp_path / "none")


@pytest.mark.parametrize("depth", [SPEC.name, "a folder"])
def test_that_a_model_is_not_there_is_known_before_hours_of_other_work(tmp_path, depth):
    given = str(write(tmp_path / "folder", weights=False)) if depth == "a folder" else depth
    options = NetworkOptions(pose="ground-truth", depth=given)
    with pytest.raises(MissingFileError, match="depth model"):
        options.find_weights()


@pytest.mark.parametrize("content", ["{", "[1, 2]"])
def test_a_configuration_that_is_none_is_one_line(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InvalidValueError, match=r"config\.json (is not JSON|holds a list)") as error:
        open_folder(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("missing", sorted(PROCESSOR))
def test_what_a_processor_leaves_out_is_what_transformers_fills_in(missing):
    """Either our reading is the one with transformers' default written out, or its own processor runs."""
    shortened = {key: value for key, value in PROCESSOR.items() if key != missing}
    found = preparation(shortened)
    same = {"do_normalize", "do_pad", "do_rescale", "do_resize", "resample", "rescale_factor", "size_divisor"}
    assert found == (preparation(PROCESSOR) if missing in same else None)


def test_weights_of_a_file_that_the_index_repeats_are_read_once(tmp_path):
    folder = write(tmp_path / "x", weights=False)
    save_file({"a": torch.ones(1), "b": torch.zeros(2)}, folder / "model-1.safetensors")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-1.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    opened = open_folder(folder)
    assert [path.name for path in opened.files] == ["model-1.safetensors"]
    assert sorted(opened.state()) == ["a", "b"]
