"""pipeline/networks/depth.py against transformers' own processor, model and post-processing, on real and odd frames."""

from __future__ import annotations

import copy
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForDepthEstimation,
    BeitConfig,
    DPTImageProcessorPil,
    ZoeDepthConfig,
    ZoeDepthForDepthEstimation,
    ZoeDepthImageProcessorPil,
)

from auglift.pipeline.device.precision import Precision
from auglift.pipeline.frames.sources import read
from auglift.pipeline.networks import depth as depth_module
from auglift.pipeline.networks.depth import DepthAnything, build_depth, build_depth_anything, input_size, resize_bicubic
from auglift.pipeline.networks.models import resolve
from auglift.pipeline.networks.weights.load import seeded
from auglift.stores.errors import InvalidValueError, MissingFileError

from ...fakes.depth import write_tiny_depth

TINY = {
    "model_type": "depth_anything",
    "backbone_config": {
        "model_type": "dinov2",
        "image_size": 518,
        "patch_size": 14,
        "hidden_size": 32,
        "num_attention_heads": 2,
        "num_hidden_layers": 4,
        "out_indices": [1, 2, 3, 4],
        "apply_layernorm": True,
        "reshape_hidden_states": False,
    },
    "patch_size": 14,
    "reassemble_hidden_size": 32,
    "neck_hidden_sizes": [8, 16, 24, 32],
    "fusion_hidden_size": 16,
    "head_hidden_size": 8,
    "depth_estimation_type": "metric",
    "max_depth": 20,
}


def processor() -> DPTImageProcessorPil:
    """As the published Depth Anything V2 repositories configure it."""
    return DPTImageProcessorPil(
        size={"height": 518, "width": 518},
        keep_aspect_ratio=True,
        ensure_multiple_of=14,
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )


def lively(model: torch.nn.Module) -> torch.nn.Module:
    """Random weights whose depth varies over the picture, so that a wrong picture gives a wrong depth.

    The last layer is scaled so that what it says of one picture has a standard deviation of 0.3 before the sigmoid.
    """
    last = [layer for layer in model.modules() if isinstance(layer, torch.nn.Conv2d)][-1]
    said = []
    hook = last.register_forward_hook(lambda layer, inputs, output: said.append(output))
    with torch.no_grad():
        model(resize_bicubic(pictures(1, 252, 252), (252, 252)) / 128 - 1)
        scale = 0.3 / said[0].std()
        last.weight *= scale
        assert last.bias is not None
        last.bias.copy_((last.bias - said[0].mean()) * scale)
    hook.remove()
    return model


@pytest.fixture(scope="module")
def tiny() -> DepthAnything:
    with seeded(0):
        model = lively(build_depth_anything(TINY))
    return DepthAnything(model, {"name": "tiny", "weights": "random:0"}, 20.0, torch.device("cpu"))


def pictures(count: int, height: int, width: int) -> torch.Tensor:
    """Smooth random pictures: noise of every size, like a photograph."""
    generator = torch.Generator().manual_seed(height * 10_007 + width)
    total = torch.zeros(count, 3, height, width)
    for side in (2, 5, 12, 40):
        noise = torch.randn(count, 3, side, side, generator=generator)
        total += torch.nn.functional.interpolate(noise, (height, width), mode="bilinear")
    return (128 + 40 * total).clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous()


def theirs(estimator: DepthAnything, frame: np.ndarray) -> np.ndarray:
    """transformers' processor, the same network, and its post-processing to the frame's size."""
    prepared = processor()(images=frame, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        out = estimator._model(prepared)
    size = frame.shape[:2]
    return np.asarray(processor().post_process_depth_estimation(out, target_sizes=[size])[0]["predicted_depth"])


def ours_at(estimator: DepthAnything, frame: np.ndarray) -> np.ndarray:
    found = estimator.estimate(torch.from_numpy(frame)[None])[:, None]
    # transformers' post-processing is bicubic without aligned corners: the comparison is of maps, so ours goes the same
    # way here. The rule that UADD samples by is tested with UADD.
    size = frame.shape[:2]
    return torch.nn.functional.interpolate(found, size, mode="bicubic", align_corners=False)[0, 0].numpy()


def relative(ours: np.ndarray, reference: np.ndarray) -> np.ndarray:
    return np.abs(ours - reference) / reference


@pytest.mark.parametrize(("height", "width"), [(600, 800), (800, 600), (518, 518), (256, 256), (120, 160), (719, 541)])
def test_depth_is_that_of_transformers_within_a_thousandth(tiny, height, width):
    frame = pictures(1, height, width)[0].numpy()
    reference = theirs(tiny, frame)
    assert reference.std() / reference.mean() > 0.1, "a flat map would agree with anything"
    assert relative(ours_at(tiny, frame), reference).max() < 1e-3


def test_the_comparison_with_transformers_would_notice_a_coarser_resize(tiny, monkeypatch):
    def careless(frames: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        return torch.nn.functional.interpolate(frames.permute(0, 3, 1, 2).float(), size, mode="bilinear")

    frame = pictures(1, 600, 800)[0].numpy()
    reference = theirs(tiny, frame)
    monkeypatch.setattr(depth_module, "resize_bicubic", careless)
    assert relative(ours_at(tiny, frame), reference).max() > 1e-2


@pytest.mark.parametrize("name", ["cam01.mp4", "cam03.mp4"])
def test_depth_of_real_frames_is_that_of_transformers(tiny, shared_data, name):
    (batch,) = read(shared_data / "pose2sim" / "single" / name, [0, 1], 2, 2)
    reference = theirs(tiny, batch.frames[1])
    assert reference.std() / reference.mean() > 0.1
    assert relative(ours_at(tiny, batch.frames[1]), reference).max() < 1e-3


def test_the_small_network_as_published_agrees_too_and_is_loaded_from_its_file(tmp_path):
    spec = resolve("depth-anything-v2-small", "depth")
    assert isinstance(spec.config, dict)
    with seeded(3):
        model = lively(build_depth_anything(spec.config))
    save_file(model.state_dict(), tmp_path / "depth-anything-v2-small.safetensors")
    loaded = build_depth("depth-anything-v2-small", tmp_path)
    assert isinstance(loaded, DepthAnything)
    assert loaded.describe()["weights"].startswith("sha256:")
    frame = pictures(1, 150, 600)[0].numpy()
    reference = theirs(loaded, frame)
    assert reference.std() / reference.mean() > 0.01
    assert relative(ours_at(loaded, frame), reference).max() < 1e-3


def test_inputs_are_the_processors_own():
    frame = pictures(1, 600, 803)[0]
    prepared = processor()(images=frame.numpy(), return_tensors="pt")["pixel_values"]
    estimator = DepthAnything(torch.nn.Identity(), {"name": "none"}, 20.0, torch.device("cpu"))
    torch.testing.assert_close(estimator.inputs(frame[None]), prepared, rtol=0, atol=1e-5)


def test_half_precision_does_not_lay_depth_on_steps(tiny):
    frames = pictures(1, 600, 800)
    exact = tiny.estimate(frames)
    estimator = DepthAnything(copy.deepcopy(tiny._model), {"name": "tiny"}, 20.0, torch.device("cpu"))
    estimator.compute_in(Precision("bfloat16"))  # what a CPU has; a GPU's is finer
    found = estimator.estimate(frames)
    assert found.dtype == torch.float32
    assert estimator.describe()["precision"] == "bfloat16"
    assert not torch.equal(found, exact)
    assert ((found - exact).abs() / exact).mean() < 0.05
    assert found.bfloat16().float().ne(found).float().mean() > 0.9


def test_what_is_not_finite_stays_so(tiny):
    frames = pictures(2, 140, 140)
    estimator = DepthAnything(copy.deepcopy(tiny._model), {"name": "tiny"}, 20.0, torch.device("cpu"))
    with torch.no_grad():
        estimator._model.head.conv3.bias.fill_(float("nan"))
    assert estimator.estimate(frames).isnan().all()


@pytest.mark.parametrize("size", [(600, 800), (2160, 3840), (3840, 2160), (120, 160), (1080, 1920), (337, 991)])
def test_the_input_has_the_size_that_the_processor_gives_it(size):
    frame = np.zeros((*size, 3), np.uint8)
    assert tuple(processor()(images=frame, return_tensors="pt")["pixel_values"].shape[-2:]) == input_size(*size)


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (3, 5)])
def test_a_frame_of_hardly_any_pixels_still_has_depth(tiny, size):
    found = tiny.estimate(pictures(1, *size))
    assert found.isfinite().all()
    assert min(found.shape[-2:]) >= 14


def test_a_batch_is_its_frames_one_by_one_and_twice_the_same(tiny):
    frames = pictures(3, 200, 260)
    together = tiny.estimate(frames)
    for row, frame in enumerate(frames):
        torch.testing.assert_close(tiny.estimate(frame[None])[0], together[row], rtol=1e-4, atol=1e-5)
    assert torch.equal(tiny.estimate(frames), together)


def test_random_weights_are_seeded_and_leave_the_callers_random_state_alone():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = build_depth("depth-anything-v2-small", "random")
    assert torch.equal(torch.random.get_rng_state(), before)
    second = build_depth("depth-anything-v2-small", "random")
    other = build_depth("depth-anything-v2-small", "random:7")
    assert isinstance(first, DepthAnything)
    assert isinstance(second, DepthAnything)
    assert isinstance(other, DepthAnything)
    states = [each._model.state_dict() for each in (first, second, other)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert any(not torch.equal(states[0][key], states[2][key]) for key in states[0])
    assert first.describe()["weights"] == "random:0"


def test_weights_of_another_size_are_refused_by_name(tmp_path):
    save_file(build_depth_anything(TINY).state_dict(), tmp_path / "depth-anything-v2-small.safetensors")
    with pytest.raises(InvalidValueError, match="not those of depth-anything-v2-small"):
        build_depth("depth-anything-v2-small", tmp_path)


def test_damaged_weights_are_an_error_and_no_traceback(tmp_path):
    (tmp_path / "depth-anything-v2-small.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0 not a header")
    with pytest.raises(InvalidValueError, match="safetensors"):
        build_depth("depth-anything-v2-small", tmp_path)


@pytest.fixture(scope="module")
def relative_model(tmp_path_factory):
    """A folder with a model of relative depth, as transformers saves it."""
    return write_tiny_depth(tmp_path_factory.mktemp("models") / "small-dpt")


def test_any_model_that_transformers_loads_can_be_named_by_its_folder(relative_model):
    before = torch.random.get_rng_state()
    estimator = build_depth(str(relative_model))
    assert torch.equal(torch.random.get_rng_state(), before)
    described = estimator.describe()
    assert described["metric"] is False
    assert described["architecture"] == "dpt"
    assert described["weights"].startswith("sha256:")
    assert json.loads(json.dumps(described)) == described
    frames = pictures(2, 90, 70)
    found = estimator.estimate(frames)
    model = AutoModelForDepthEstimation.from_pretrained(relative_model).eval()
    prepared = DPTImageProcessorPil.from_pretrained(relative_model)(images=frames[1].numpy(), return_tensors="pt")
    with torch.inference_mode():
        reference = model(**prepared).predicted_depth[0]
    assert found.shape == (2, *reference.shape)
    torch.testing.assert_close(found[1], reference, rtol=1e-4, atol=1e-5)


def test_a_repository_is_looked_for_in_the_folder_of_weights_by_its_own_name(relative_model):
    found = build_depth(f"an-owner/{relative_model.name}", relative_model.parent)
    assert found.name == f"an-owner/{relative_model.name}"
    assert found.describe()["weights"] == build_depth(str(relative_model)).describe()["weights"]


def test_random_weights_of_any_model_need_no_weights(relative_model, tmp_path):
    for file in relative_model.glob("*.json"):
        shutil.copy(file, tmp_path)
    frames = pictures(1, 64, 64)
    first, second, other = (build_depth(str(tmp_path), w) for w in ("random", "random:0", "random:1"))
    assert first.describe()["weights"] == "random:0"
    assert torch.equal(first.estimate(frames), second.estimate(frames))
    assert not torch.equal(first.estimate(frames), other.estimate(frames))


def test_weights_that_lack_a_layer_are_not_filled_up_at_random(relative_model, tmp_path):
    shutil.copytree(relative_model, tmp_path, dirs_exist_ok=True)
    state = load_file(tmp_path / "model.safetensors")
    del state[next(key for key in state if key.startswith("head."))]
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(InvalidValueError, match="lack head"):
        build_depth(str(tmp_path))


def test_damaged_weights_in_a_folder_are_an_error_in_one_line(relative_model, tmp_path):
    shutil.copytree(relative_model, tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.safetensors").write_bytes(b"not weights at all")
    with pytest.raises(InvalidValueError, match="cannot be loaded") as caught:
        build_depth(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_the_map_of_a_model_that_pads_its_input_is_of_the_frame_alone(tmp_path):
    config = ZoeDepthConfig(  # pyright: ignore[reportCallIssue]
        backbone_config=BeitConfig(  # pyright: ignore[reportCallIssue]
            image_size=64,
            patch_size=16,
            hidden_size=32,
            num_hidden_layers=4,
            num_attention_heads=2,
            intermediate_size=64,
            use_relative_position_bias=True,
            reshape_hidden_states=False,
            out_indices=[1, 2, 3, 4],  # pyright: ignore[reportCallIssue]
        ),
        neck_hidden_sizes=[8, 16, 24, 32],
        fusion_hidden_size=16,
        bottleneck_features=16,
        num_relative_features=8,
        bin_embedding_dim=16,
        bin_configurations=[{"n_bins": 8, "min_depth": 0.001, "max_depth": 10.0, "name": "nyu"}],
    )
    with seeded(0):
        ZoeDepthForDepthEstimation(config).save_pretrained(tmp_path)
    ZoeDepthImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(tmp_path)
    estimator = build_depth(str(tmp_path))
    assert estimator.describe()["metric"] is True
    height, width = estimator.estimate(pictures(1, 60, 120)).shape[1:]
    assert width == 2 * height


def test_a_folder_without_a_model_says_what_it_needs(tmp_path):
    with pytest.raises(MissingFileError, match=r"config\.json"):
        build_depth(str(tmp_path))


def test_a_model_that_only_a_pickle_holds_is_not_loaded(tmp_path):
    torch.save({}, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text('{"model_type": "dpt"}')
    with pytest.raises(MissingFileError, match="safetensors"):
        build_depth(str(tmp_path))
