"""pipeline/depth.py against transformers' own processor, model and post-processing, on real and odd frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForDepthEstimation, DPTConfig, DPTForDepthEstimation, DPTImageProcessorPil

from auglift.pipeline import depth as depth_module
from auglift.pipeline.depth import DepthAnything, build_depth, build_depth_anything, input_size, resize_bicubic
from auglift.pipeline.frames import read
from auglift.pipeline.models import resolve
from auglift.pipeline.weights import seeded
from auglift.stores.errors import InvalidValueError, MissingFileError

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
    assert reference.std() / reference.mean() > 0.01, "a flat map would agree with anything"
    assert np.median(relative(ours_at(tiny, frame), reference)) < 1e-3
    assert relative(ours_at(tiny, frame), reference).mean() < 1e-3


def test_depth_of_real_frames_is_that_of_transformers(tiny, shared_data):
    for name in ("cam01.mp4", "cam03.mp4"):
        (batch,) = read(shared_data / "pose2sim" / "single" / name, [0, 60], 2, 2)
        for frame in batch.frames:
            reference = theirs(tiny, frame)
            assert reference.std() / reference.mean() > 0.01
            assert relative(ours_at(tiny, frame), reference).mean() < 1e-3


def test_the_small_network_as_published_agrees_too_and_is_loaded_from_its_file(tmp_path):
    spec = resolve("depth-anything-v2-small", "depth")
    assert isinstance(spec.config, dict)
    with seeded(3):
        model = lively(build_depth_anything(spec.config))
    save_file(model.state_dict(), tmp_path / "depth-anything-v2-small.safetensors")
    loaded = build_depth("depth-anything-v2-small", tmp_path)
    assert isinstance(loaded, DepthAnything)
    assert loaded.describe()["weights"].startswith("sha256:")
    frame = pictures(1, 300, 300)[0].numpy()
    reference = theirs(loaded, frame)
    assert relative(ours_at(loaded, frame), reference).mean() < 1e-3


def test_inputs_are_within_a_grey_level_of_the_processors():
    frame = pictures(1, 600, 803)[0]
    prepared = processor()(images=frame.numpy(), return_tensors="pt")["pixel_values"][0]
    ours = resize_bicubic(frame[None], input_size(600, 803))[0]
    std = torch.tensor(depth_module.STD).view(3, 1, 1)
    mean = torch.tensor(depth_module.MEAN).view(3, 1, 1)
    difference = (ours - (prepared * std + mean) * 255).abs()
    assert difference.max() <= 1.01
    assert difference.mean() < 0.01


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


def test_any_model_that_transformers_loads_can_be_named_by_its_folder(tmp_path):
    config = DPTConfig(  # pyright: ignore[reportCallIssue]
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=64,
        patch_size=16,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 16, 24, 32],
        fusion_hidden_size=16,
    )
    with seeded(0):
        DPTForDepthEstimation(config).save_pretrained(tmp_path)
    DPTImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(tmp_path)
    estimator = build_depth(str(tmp_path))
    described = estimator.describe()
    assert described["metric"] is False
    assert described["architecture"] == "dpt"
    frames = pictures(2, 90, 70)
    found = estimator.estimate(frames)
    assert found.shape[0] == 2
    model = AutoModelForDepthEstimation.from_pretrained(tmp_path).eval()
    prepared = DPTImageProcessorPil.from_pretrained(tmp_path)(images=frames[1].numpy(), return_tensors="pt")
    with torch.inference_mode():
        reference = model(**prepared).predicted_depth[0]
    torch.testing.assert_close(found[1], reference, rtol=1e-4, atol=1e-5)


def test_a_folder_without_a_model_says_what_it_needs(tmp_path):
    with pytest.raises(MissingFileError, match=r"config\.json"):
        build_depth(str(tmp_path))


def test_a_model_that_only_a_pickle_holds_is_not_loaded(tmp_path):
    torch.save({}, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text('{"model_type": "dpt"}')
    with pytest.raises(MissingFileError, match="safetensors"):
        build_depth(str(tmp_path))
