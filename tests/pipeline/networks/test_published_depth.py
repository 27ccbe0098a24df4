"""Depth Anything files as the hub has them: loaded by every way there is, in any version's names, or refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from auglift.pipeline.networks import tiny
from auglift.pipeline.networks.depth import DepthAnything, TransformersDepth, build_depth, build_depth_anything
from auglift.pipeline.networks.models import MODELS
from auglift.pipeline.networks.weights.load import fit_state, locate, read_state, seeded
from auglift.pipeline.networks.weights.tensor_names import match_names
from auglift.stores.errors import InvalidValueError, MissingFileError

from ...fakes.published import PROCESSOR, REPOSITORY, new_names, old_names, published_state, write_repository


@pytest.fixture(scope="module")
def repository(tmp_path_factory, published_depth) -> Path:
    """The published layout, with seeded values; the folder above it is one to give as --weights."""
    return write_repository(tmp_path_factory.mktemp("weights") / REPOSITORY.rsplit("/", 1)[-1], published_depth)


@pytest.fixture(scope="module")
def frames() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    noise = torch.rand(1, 3, 6, 8, generator=generator)
    large = torch.nn.functional.interpolate(noise, (90, 120), mode="bicubic").clamp(0, 1)
    return (255 * large).byte().permute(0, 2, 3, 1).contiguous()


@pytest.fixture(scope="module")
def reference(repository, frames) -> tuple[DepthAnything, Tensor]:
    """What the named model says with the published file in the folder of weights."""
    named = build_depth("depth-anything-v2-small", repository.parent)
    assert isinstance(named, DepthAnything)
    return named, named.estimate(frames)


def from_pretrained(folder: Path) -> Any:
    """transformers' own loading, which knows its own older names."""
    model = transformers.AutoModelForDepthEstimation.from_pretrained(folder, local_files_only=True)
    return model.eval().float()


def test_a_published_file_gives_the_depth_that_transformers_own_loading_gives(repository, frames, reference):
    named, found = reference
    with torch.inference_mode():
        expected = from_pretrained(repository)(named.inputs(frames)).predicted_depth
    assert expected.std() > 0.2, "a flat map would agree with anything"
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


def test_a_repository_and_a_folder_run_as_the_named_model_does(repository, frames, reference):
    named, found = reference
    for name, weights in ((REPOSITORY, repository.parent), (str(repository), None)):
        other = build_depth(name, weights)
        assert isinstance(other, DepthAnything)
        assert other.describe() == named.describe() | {"name": name}
        assert torch.equal(other.estimate(frames), found)


def test_either_versions_names_load_into_either_versions_architecture(published_depth):
    old = published_state(published_depth)
    new = new_names(old)
    assert not old.keys() & {key for key in new if ".attention." in key}
    for file in (old, new):
        for architecture in (old, new):
            matched = match_names(file, {key: torch.zeros_like(value) for key, value in architecture.items()})
            assert matched.keys() == architecture.keys()
            assert all(torch.equal(matched[key], architecture[key]) for key in architecture)


@pytest.mark.parametrize("names", [old_names, new_names])
def test_the_shipped_depth_network_loads_in_both_spellings(tmp_path, frames, names):
    shipped = build_depth("tiny")
    save_file(names(read_state(locate(MODELS["tiny-depth"]))), tmp_path / "tiny-depth.safetensors")
    assert torch.equal(build_depth("tiny", tmp_path).estimate(frames), shipped.estimate(frames))


def test_a_file_with_both_spellings_of_a_tensor_is_refused(published_depth):
    state = published_state(published_depth)
    doubled = state | {key: value for key, value in new_names(state).items() if ".layer.0." in key}
    config = MODELS["depth-anything-v2-small"].config
    assert isinstance(config, dict)
    with pytest.raises(InvalidValueError, match=r"unexpected backbone\.encoder\.layer\.0\.attention"):
        fit_state(build_depth_anything(config), doubled, "depth-anything-v2-small")


def test_the_token_of_masked_patches_may_be_absent_as_no_depth_depends_on_it(published_depth, frames, reference):
    state = published_state(published_depth)
    del state["backbone.embeddings.mask_token"]
    config = MODELS["depth-anything-v2-small"].config
    assert isinstance(config, dict)
    model = build_depth_anything(config)
    fit_state(model, state, "depth-anything-v2-small")
    named, found = reference
    with torch.inference_mode():
        assert torch.allclose(model(named.inputs(frames)).predicted_depth, found, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("size", ["small", "base", "large"])
def test_every_size_has_the_published_names_layer_for_layer(published_depth, size):
    """The hub's Base and Large have Small's names; what their shapes are follows from their configuration."""
    config = MODELS[f"depth-anything-v2-{size}"].config
    assert isinstance(config, dict)
    with torch.device("meta"):
        own = build_depth_anything(config).state_dict()
    names = set(json.loads(published_depth.read_text())["tensors"])
    layers = config["backbone_config"]["num_hidden_layers"]
    pattern = {key for key in names if ".encoder.layer.0." in key}
    every = {key.replace(".layer.0.", f".layer.{index}.") for key in pattern for index in range(layers)}
    expected = {key for key in names if ".encoder.layer." not in key} | every
    assert match_names(dict.fromkeys(expected, torch.zeros(0)), own).keys() == own.keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("head.conv2.weight"), "missing head.conv2.weight"),
        (lambda state: state.update({"head.conv4.weight": torch.zeros(1)}), "unexpected head.conv4.weight"),
        (lambda state: state.update({"neck.convs.0.weight": torch.zeros(64, 48, 1, 1)}), "neck.convs.0.weight is"),
    ],
)
def test_a_file_that_lacks_a_tensor_or_has_another_is_refused_by_every_way(
    tmp_path, published_depth, change: Callable, message
):
    state = published_state(published_depth)
    change(state)
    folder = write_repository(tmp_path / REPOSITORY.rsplit("/", 1)[-1], published_depth, state)
    for name, weights in (("depth-anything-v2-small", tmp_path), (REPOSITORY, tmp_path), (str(folder), None)):
        with pytest.raises(InvalidValueError, match=f"are not those of {name}: {message}"):
            build_depth(name, weights)


TINY = {key: value for key, value in tiny.DEPTH.items() if key not in ("depth_estimation_type", "max_depth")}
TINY |= {"patch_size": 14, "backbone_config": {**tiny.DEPTH["backbone_config"], "patch_size": 14}}


def write_model(folder: Path, config: dict[str, Any], processor: dict[str, Any] | None = None) -> dict[str, Tensor]:
    """A small model in a folder, in the published names; its weights."""
    folder.mkdir(exist_ok=True)
    with seeded(2):
        state = build_depth_anything(config).state_dict()
    state = old_names(state)
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps({"architectures": ["DepthAnythingForDepthEstimation"], **config}))
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR if processor is None else processor))
    return state


@pytest.mark.parametrize(
    "said",
    [{}, {"depth_estimation_type": "relative", "max_depth": None}, {"backbone": None, "use_timm_backbone": False}],
    ids=["version 1", "version 2", "older configurations"],
)
def test_relative_depth_is_said_to_have_no_unit_and_agrees_with_transformers(tmp_path, frames, said):
    write_model(tmp_path / "model", {"model_type": "depth_anything", **TINY, **said})
    found = build_depth(str(tmp_path / "model"))
    assert isinstance(found, DepthAnything)
    assert (found.describe()["metric"], found.describe()["max_depth"]) == (False, None)
    if said.get("max_depth", 1) is None:  # which the newest transformers cannot multiply by
        config = json.loads((tmp_path / "model" / "config.json").read_text()) | {"max_depth": 1}
        (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    with torch.inference_mode():
        expected = from_pretrained(tmp_path / "model")(found.inputs(frames)).predicted_depth
    torch.testing.assert_close(found.estimate(frames), expected, rtol=1e-5, atol=1e-5)


METRIC = {"model_type": "depth_anything", **TINY, "depth_estimation_type": "metric", "max_depth": 80}


def test_the_processor_in_a_folder_is_followed(tmp_path, frames):
    changed = PROCESSOR | {"size": {"height": 140, "width": 140}, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    write_model(tmp_path / "model", METRIC, changed)
    found = build_depth(str(tmp_path / "model"))
    assert isinstance(found, DepthAnything)
    assert found.describe()["mean"] == [0.5] * 3
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / "model", use_fast=False)
    expected = processor(images=frames[0].numpy(), return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(found.inputs(frames), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"keep_aspect_ratio": False},
        {"resample": 2},
        {"do_normalize": False},
        {"do_resize": False},
        {"ensure_multiple_of": 7},
        {"size": {"height": 140, "width": 280}},
        {"image_processor_type": "ViTImageProcessor"},
        {"rescale_factor": 1 / 127.5},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_processor_that_does_something_else_runs_itself(tmp_path, change):
    write_model(tmp_path / "model", METRIC, PROCESSOR | change)
    assert isinstance(build_depth(str(tmp_path / "model")), TransformersDepth)


def test_weights_in_parts_are_those_in_one_file(tmp_path, frames):
    state = write_model(tmp_path / "whole", METRIC)
    shutil.copytree(tmp_path / "whole", tmp_path / "parts")
    (tmp_path / "parts" / "model.safetensors").unlink()
    halves = {f"model-0000{part + 1}-of-00002.safetensors": list(state)[part::2] for part in (0, 1)}
    for file, keys in halves.items():
        save_file({key: state[key] for key in keys}, tmp_path / "parts" / file, {"format": "pt"})
    index = {"weight_map": {key: file for file, keys in halves.items() for key in keys}}
    (tmp_path / "parts" / "model.safetensors.index.json").write_text(json.dumps(index))
    whole, parts = (build_depth(str(tmp_path / name)) for name in ("whole", "parts"))
    assert torch.equal(whole.estimate(frames), parts.estimate(frames))
    assert len(parts.describe()["weights"].split(",")) == 2
    (tmp_path / "parts" / next(iter(halves))).unlink()
    with pytest.raises(MissingFileError, match=r"names model-00001-of-00002\.safetensors, which is not there"):
        build_depth(str(tmp_path / "parts"))


def test_an_index_cannot_name_a_file_outside_its_folder(tmp_path):
    state = write_model(tmp_path / "model", METRIC)
    (tmp_path / "model" / "model.safetensors").rename(tmp_path / "outside.safetensors")
    index = {"weight_map": dict.fromkeys(state, "../outside.safetensors")}
    (tmp_path / "model" / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(MissingFileError, match=r"names outside\.safetensors, which is not there"):
        build_depth(str(tmp_path / "model"))


def test_half_precision_files_are_computed_with_in_float32(tmp_path, frames):
    state = write_model(tmp_path / "model", METRIC)
    save_file({key: value.half() for key, value in state.items()}, tmp_path / "model" / "model.safetensors")
    found = build_depth(str(tmp_path / "model"))
    assert {value.dtype for value in load_file(tmp_path / "model" / "model.safetensors").values()} == {torch.float16}
    assert found.estimate(frames).dtype == torch.float32
    assert {value.dtype for value in found._model.state_dict().values()} == {torch.float32}
