"""What depth networks of every family mean: metres, or inverse depth whose sign is turned; and their inputs' size."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForDepthEstimation
from transformers.models.auto.modeling_auto import MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES as LOADED

from auglift.pipeline.networks.depth import DepthAnything, build_depth, build_depth_anything
from auglift.pipeline.networks.depth_models.depth_meaning import INVERSE, METRIC, meaning_of
from auglift.pipeline.networks.depth_models.transformers_depth import DepthPro, TransformersDepth
from auglift.pipeline.networks.models import MODELS
from auglift.pipeline.networks.weights.load import seeded
from auglift.stores.errors import InvalidValueError

from ....fakes.depth import write_tiny_depth
from ....fakes.published import PROCESSOR
from ..test_depth import TINY, pictures


@pytest.mark.parametrize(
    ("config", "meaning"),
    [
        ({"model_type": "depth_anything"}, INVERSE),  # V1, whose files say nothing
        ({"model_type": "depth_anything", "depth_estimation_type": "relative", "max_depth": 1}, INVERSE),
        ({"model_type": "depth_anything", "depth_estimation_type": "metric", "max_depth": 20}, METRIC),
        ({"model_type": "dpt"}, INVERSE),
        ({"model_type": "dpt", "is_hybrid": True}, INVERSE),
        ({"model_type": "dpt", "backbone_config": {"model_type": "swinv2"}}, INVERSE),
        ({"model_type": "dpt", "add_projection": True, "backbone_config": {"model_type": "dinov2"}}, METRIC),
        ({"model_type": "zoedepth"}, METRIC),
        ({"model_type": "glpn"}, METRIC),
        ({"model_type": "depth_pro"}, METRIC),
    ],
    ids=lambda value: value.kind if hasattr(value, "kind") else "-".join(map(str, value.values()))[:40],
)
def test_a_configuration_decides_what_the_numbers_mean(config, meaning):
    assert meaning_of(config, "it") is meaning


@pytest.mark.parametrize("family", LOADED)
def test_every_family_that_transformers_loads_is_known_or_refused_in_one_line(family):
    refused = {"prompt_depth_anything": "needs a prompt", "chmv2": "height of trees"}
    if family in refused:
        with pytest.raises(InvalidValueError, match=refused[family]):
            meaning_of({"model_type": family}, "owner/name")
    else:
        assert meaning_of({"model_type": family}, "owner/name") in (METRIC, INVERSE)


def test_a_family_nobody_knows_is_refused_with_those_that_are_known():
    with pytest.raises(
        InvalidValueError, match=r"family 'marigold': whether it tells metres .* known are depth_anything"
    ):
        meaning_of({"model_type": "marigold"}, "owner/name")


def test_a_network_that_needs_a_prompt_is_refused_before_it_is_built(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "prompt_depth_anything"}))
    with pytest.raises(InvalidValueError, match=r"prompt_depth_anything, which needs a prompt"):
        build_depth(str(tmp_path), "random")


def write_depth_anything(folder: Path, **changes: Any) -> Path:
    """A small relative one, as the hub has it: V1 and V2 alike."""
    config = {key: value for key, value in TINY.items() if key not in ("depth_estimation_type", "max_depth")} | changes
    with seeded(0):
        model = build_depth_anything(config)
    folder.mkdir(exist_ok=True)
    save_file(model.state_dict(), folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return folder


@pytest.mark.parametrize("write", [write_depth_anything, write_tiny_depth], ids=["Depth Anything", "MiDaS"])
def test_inverse_depth_is_turned_so_that_larger_is_farther(tmp_path, write):
    folder = write(tmp_path / "model")
    estimator = build_depth(str(folder))
    described = estimator.describe()
    assert (described["metric"], described["unit"], described["sign_turned"]) == (False, "relative", True)
    frames = pictures(1, 90, 120)
    found = estimator.estimate(frames)[0]
    model = AutoModelForDepthEstimation.from_pretrained(folder).eval()
    with torch.inference_mode():
        if isinstance(estimator, DepthAnything):
            nearness = model(estimator.inputs(frames)).predicted_depth[0]
        else:
            assert isinstance(estimator, TransformersDepth)
            nearness = model(**estimator._processor(images=frames[0].numpy(), return_tensors="pt")).predicted_depth[0]
    assert nearness.std() > 0
    torch.testing.assert_close(found, -nearness, rtol=1e-4, atol=1e-5)


def test_what_metric_networks_describe_is_what_it_always_was():
    """Else every store of before would have another fingerprint."""
    described = build_depth("tiny").describe()
    assert set(described) == {"name", "weights", "side", "metric", "max_depth", "precision"}
    assert described["metric"] is True


# ---------------------------------------------------------------------------------------------------------------------
# Depth Pro
# ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def depth_pro(tmp_path_factory) -> Path:
    """A small one as transformers saves it; its processor needs torchvision, so that its settings are written here."""
    folder = tmp_path_factory.mktemp("depth_pro")
    encoder = {
        "model_type": "dinov2",
        "image_size": 32,
        "patch_size": 8,
        "hidden_size": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
    }
    config = AutoConfig.for_model(
        "depth_pro",
        patch_size=32,
        fusion_hidden_size=8,
        intermediate_hook_ids=[2, 1],
        intermediate_feature_dims=[8, 8],
        scaled_images_feature_dims=[16, 16, 8],
        use_fov_model=True,
        num_fov_head_layers=1,
        image_model_config=dict(encoder),
        patch_model_config=dict(encoder),
        fov_model_config=dict(encoder),
    )
    with seeded(0):
        model = AutoModelForDepthEstimation.from_config(config)
        model.fov_model.head.layers[-1].bias.data.fill_(50.0)  # degrees, about which random weights vary
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps(
            {
                "image_processor_type": "DepthProImageProcessorFast",
                "image_mean": [0.5, 0.5, 0.5],
                "image_std": [0.5, 0.5, 0.5],
                "size": {"height": 128, "width": 128},
            }
        )
    )
    return folder


def canonical(folder: Path, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The network's own outputs: inverse depth of a camera whose focal length is the picture's width, and degrees."""
    pixels = (frames.permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
    inputs = torch.nn.functional.interpolate(pixels, (128, 128), mode="bilinear", antialias=False)
    with torch.inference_mode():
        outputs = AutoModelForDepthEstimation.from_pretrained(folder).eval()(inputs)
    return outputs.predicted_depth, outputs.field_of_view.flatten()


def test_depth_pro_takes_the_focal_length_that_is_known_and_estimates_it_elsewhere(depth_pro):
    estimator = build_depth(str(depth_pro))
    assert isinstance(estimator, DepthPro)
    frames = pictures(2, 60, 80)
    inverse, degrees = canonical(depth_pro, frames)
    assert degrees.min() > 10
    guessed = 40 / torch.tan(torch.deg2rad(degrees) / 2)  # half the width over half the angle's tangent
    for given, focal in (
        (None, guessed),
        (torch.tensor([70.0, torch.nan]), torch.stack([torch.tensor(70.0), guessed[1]])),
    ):
        expected = 1 / (inverse * 80 / focal[:, None, None]).clamp(1e-4, 1e4)
        torch.testing.assert_close(estimator.estimate(frames, given), expected, rtol=1e-4, atol=1e-6)


def test_a_longer_focal_length_means_farther(depth_pro):
    estimator = build_depth(str(depth_pro))
    assert isinstance(estimator, DepthPro)
    frames = pictures(1, 60, 80)
    inside = canonical(depth_pro, frames)[0] > 1e-2  # where nothing is clipped
    one, two = (estimator.estimate(frames, torch.tensor([focal])) for focal in (100.0, 200.0))
    torch.testing.assert_close(two[inside], 2 * one[inside])


# ---------------------------------------------------------------------------------------------------------------------
# --depth-size
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tiny", "depth-anything-v2-small"])
def test_the_networks_own_size_is_the_default_and_the_same_bytes(name):
    own = MODELS["tiny-depth" if name == "tiny" else name].input_size[0]
    weights = None if name == "tiny" else "random"
    default, said = build_depth(name, weights), build_depth(name, weights, size=own)
    assert default.describe() == said.describe()
    frames = pictures(1, 150, 200)
    if name == "tiny":
        assert torch.equal(default.estimate(frames), said.estimate(frames))


def test_a_smaller_size_is_the_short_side_in_whole_patches_and_part_of_the_configuration():
    small = build_depth("depth-anything-v2-small", "random", size=100)
    assert isinstance(small, DepthAnything)
    assert small.describe()["side"] == 100
    assert small.inputs(pictures(1, 300, 400)).shape[-2:] == (98, 140)


def test_any_other_network_takes_a_size_too_where_it_has_one(tmp_path, depth_pro):
    folder = write_tiny_depth(tmp_path / "dpt")
    own, larger = build_depth(str(folder)), build_depth(str(folder), size=100)
    frames = pictures(1, 90, 70)
    assert own.estimate(frames).shape[-2:] == (64, 64)
    assert larger.estimate(frames).shape[-2:] == (96, 96)
    assert own.describe() != larger.describe()
    with pytest.raises(InvalidValueError, match=r"--depth-size 256: .* is a Depth Pro, which has one size"):
        build_depth(str(depth_pro), size=256)
    shutil.copytree(folder, tmp_path / "glpn")
    (tmp_path / "glpn" / "config.json").write_text(
        json.dumps(
            {
                "model_type": "glpn",
                "num_encoder_blocks": 4,
                "depths": [1, 1, 1, 1],
                "hidden_sizes": [8, 8, 8, 8],
                "num_attention_heads": [1, 1, 1, 1],
                "decoder_hidden_size": 8,
            }
        )
    )
    (tmp_path / "glpn" / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "GLPNImageProcessor", "size_divisor": 32})
    )
    glpn = build_depth(str(tmp_path / "glpn"), "random")
    assert glpn.describe()["metric"] is True
    assert glpn.estimate(frames).shape[-2:] == (64, 64)
    with pytest.raises(InvalidValueError, match=r"--depth-size 64: .* has no size to be changed"):
        build_depth(str(tmp_path / "glpn"), "random", size=64)
