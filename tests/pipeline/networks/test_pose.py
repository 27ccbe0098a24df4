"""RTMPose in batches against MMPose's own inference: its crops, its decoding, its joints."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from auglift.pipeline.networks import openmmlab
from auglift.pipeline.networks.models import MODELS
from auglift.pipeline.networks.pose import RTMPose, build_pose, crop, crop_frame, decode_simcc
from auglift.stores.errors import InvalidValueError
from auglift.stores.format.skeleton import COCO_17

from ...fakes.mmpose_apis import mmpose_apis

pytestmark = pytest.mark.filterwarnings("ignore:`torch.cuda.amp.autocast:FutureWarning")  # mmdet's own

# Boxes in cam01's frames (1080 x 1920), x1 y1 x2 y2: the person balancing, the one looking on, wider than high, half
# outside at the left, below and at the right, larger than the frame, all outside.
BOXES = torch.tensor(
    [
        [240.0, 320, 580, 1180],
        [0, 300, 120, 780],
        [300.5, 900.25, 900, 1100.75],
        [-150.5, 400, 260, 1300],
        [500, 1500, 900, 2300],
        [900, 10, 1400, 900],
        [-200, -100, 1300, 2100],
        [2200, 100, 2500, 800],
    ]
)
FRAME = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])


@pytest.fixture(scope="module")
def mmpose() -> Any:
    return mmpose_apis()


def peaked(name: str, seed: int) -> RTMPose:
    """The network with random weights, but for its last two layers: these make a narrow hump for each of 48 of its
    hidden channels, at a place of its own on either axis, so that a response has a peak, like a trained one's."""
    pose = build_pose(name, f"random:{seed}", crop_batch=3)
    generator = torch.Generator().manual_seed(seed)
    for layer in (pose._model.head.cls_x, pose._model.head.cls_y):
        bins, channels = layer.weight.shape
        centre = torch.randint(5, bins - 5, (channels,), generator=generator)  # the last bin has no mirror image
        humps = torch.exp(-((torch.arange(bins)[:, None] - centre) ** 2) / (2 * 1.5**2))
        layer.weight.copy_(humps * (torch.arange(channels) < 48))
    return pose


@pytest.fixture(scope="module")
def small() -> RTMPose:
    return peaked("rtmpose-t", 1)


# ---------------------------------------------------------------------------------------------------------------------
# Against MMPose
# ---------------------------------------------------------------------------------------------------------------------


def inference_topdown(api: Any, pose: RTMPose, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(M, 17, 2) joints and (M, 17) scores: MMPose's own loop with the same weights, a box at a time."""
    model = api.init_model(openmmlab.read_config(str(MODELS[pose.name].config)), None, device="cpu")
    model.load_state_dict(pose._model.state_dict())
    found = []
    for box, index in zip(BOXES.numpy(), FRAME.tolist(), strict=True):
        image = np.ascontiguousarray(images[index][..., ::-1])
        found.append(api.inference_topdown(model, image, box[None])[0].pred_instances)
    return np.concatenate([each.keypoints for each in found]), np.concatenate([each.keypoint_scores for each in found])


def lead(response: Tensor) -> Tensor:
    """By how much a response's best bin leads the second best, as a share of it."""
    best, second = response.topk(2, dim=-1).values.unbind(-1)
    return (best - second) / best.abs()


@pytest.mark.filterwarnings("ignore:The metainfo config file")
@pytest.mark.parametrize(("name", "seed"), [("rtmpose-t", 1), ("rtmpose-s", 2)])
def test_joints_are_mmposes_where_the_response_is_peaked(mmpose, frames, name, seed, monkeypatch):
    """MMPose mirrors a response back bin for bin, a bin off where a pixel has two: here it is moved by that."""
    heads = openmmlab.load("mmpose.models.heads.coord_cls_heads.rtmcc_head")
    theirs = heads.flip_vectors

    def by_pixels(x: Tensor, y: Tensor, flip_indices: list[int]) -> tuple[Tensor, Tensor]:
        x, y = theirs(x, y, flip_indices)
        return torch.cat([x[..., 1:], x[..., -1:]], -1), y

    monkeypatch.setattr(heads, "flip_vectors", by_pixels)
    pose = peaked(name, seed)
    keypoints, score = pose.estimate(torch.from_numpy(frames), BOXES, FRAME)
    expected, expected_score = inference_topdown(mmpose, pose, frames)
    centre, extent = crop_frame(BOXES, pose.input_size, 1.25)
    crops = crop(torch.from_numpy(frames), FRAME, centre, extent, pose.input_size)
    with torch.inference_mode():
        x, y = pose.responses(pose._normalise(crops))
    is_peaked = ((lead(x) > 0.01) & (lead(y) > 0.01)).numpy()
    assert is_peaked.sum() > 100  # of 8 boxes x 17 joints
    apart = np.linalg.norm(keypoints.numpy() - expected, axis=-1)
    assert apart[is_peaked].max() < 0.5
    assert len(np.unique(expected[is_peaked].round(3), axis=0)) > 30  # and not because all joints are in one place
    # A pixel rounded to the next grey level here and there moves a random network's score in the third digit.
    np.testing.assert_allclose(score.numpy(), expected_score, rtol=0.01, atol=1e-5)


@pytest.mark.parametrize("size", [(192, 256), (288, 384)])
def test_crops_are_mmposes_to_a_grey_level_on_average(frames, size):
    transforms = openmmlab.load("mmpose.datasets.transforms")
    steps = (transforms.GetBBoxCenterScale(), transforms.TopdownAffine(input_size=size))
    centre, extent = crop_frame(BOXES, size, 1.25)
    crops = crop(torch.from_numpy(frames), FRAME, centre, extent, size).numpy()
    for index, (box, frame) in enumerate(zip(BOXES.numpy(), FRAME.tolist(), strict=True)):
        data = {"img": frames[frame], "bbox": box[None]}
        for step in steps:
            data = step(data)
        np.testing.assert_allclose(centre[index], data["input_center"], rtol=1e-6)
        np.testing.assert_allclose(extent[index], data["input_scale"], rtol=1e-6)
        assert np.abs(crops[index] - data["img"]).mean() < 1
        assert np.abs(crops[index].mean() - data["img"].mean()) < 0.1  # nor a shift that noise would hide
    assert crops[7].max() == 0  # all outside
    assert crops[0].std() > 20


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    people=st.integers(1, 5),
    levels=st.sampled_from([2, 5, 1000]),  # few levels make ties
    shift=st.sampled_from([-2.0, 0.0, 1.0]),  # responses that are nowhere positive
    split=st.sampled_from([1.0, 2.0, 3.0]),
)
def test_decoding_is_mmposes_for_the_same_numbers(seed, people, levels, shift, split):
    rng = np.random.default_rng(seed)
    x, y = (
        (rng.integers(0, levels, (people, 17, int(bins * split))) / levels + shift).astype(np.float32)
        for bins in (19, 26)
    )
    codec = openmmlab.load("mmpose.codecs").SimCCLabel(input_size=(19, 26), simcc_split_ratio=split, normalize=False)
    expected, expected_score = codec.decode(x.copy(), y.copy())
    at, score = decode_simcc(torch.from_numpy(x), torch.from_numpy(y), split)
    np.testing.assert_array_equal(at.numpy(), expected)
    np.testing.assert_array_equal(score.numpy(), expected_score)


def test_the_mirror_images_joints_are_those_mmpose_swaps(mmpose):
    parse = openmmlab.load("mmpose.datasets.datasets.utils").parse_pose_metainfo
    coco = "mmpose/.mim/configs/_base_/datasets/coco.py"
    folder = Path(str(sys.modules["mmpose"].__file__)).parents[1]
    info = parse({"from_file": str(folder / coco)})
    assert list(COCO_17.flip) == info["flip_indices"]
    assert list(COCO_17.joints) == [info["keypoint_id2name"][joint] for joint in range(17)]


# ---------------------------------------------------------------------------------------------------------------------
# Geometry, by itself
# ---------------------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    frame=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    box=st.tuples(st.floats(-8, 16), st.floats(-8, 16), st.floats(0, 20), st.floats(0, 20)),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_crop_is_the_bilinear_value_at_each_of_its_points(frame, box, seed):
    """Pixel by pixel, in float64, from the words: black beyond the frame, the crop's centre at the box's centre."""
    height, width = frame
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    x, y, w, h = (np.float32(value) for value in box)
    boxes = torch.tensor([[x, y, x + w, y + h]])
    size = (6, 8)
    centre, extent = crop_frame(boxes, size, 1.25)
    assert float(extent[0, 0]) == pytest.approx(max(1.25 * w, 1.25 * h * 0.75), rel=1e-5, abs=1e-5)
    assert float(extent[0, 1]) * 0.75 == pytest.approx(float(extent[0, 0]), rel=1e-5, abs=1e-5)

    def pixel(row: int, column: int) -> np.ndarray:
        inside = 0 <= row < height and 0 <= column < width
        return image[row, column].astype(float) if inside else np.zeros(3)

    expected = np.zeros((8, 6, 3))
    scale = float(extent[0, 0]) / 6
    for j, i in itertools.product(range(8), range(6)):
        at_x, at_y = (i - 3) * scale + float(centre[0, 0]), (j - 4) * scale + float(centre[0, 1])
        column, row = int(np.floor(at_x)), int(np.floor(at_y))
        across, down = at_x - column, at_y - row
        upper = pixel(row, column) * (1 - across) + pixel(row, column + 1) * across
        lower = pixel(row + 1, column) * (1 - across) + pixel(row + 1, column + 1) * across
        expected[j, i] = upper * (1 - down) + lower * down
    crops = crop(torch.from_numpy(image)[None], torch.tensor([0]), centre, extent, size)
    assert np.abs(crops[0].numpy() - expected).max() <= 0.51


def test_a_joint_is_put_back_where_the_crop_showed_it():
    """A network that returns the brightest column and row of its input, which is where the dot is."""
    pose = build_pose("rtmpose-t", "random")
    dots = torch.tensor([[400.0, 300.0], [452.0, 340.0], [371.0, 211.0]])
    frames = torch.zeros(3, 600, 800, 3, dtype=torch.uint8)
    for index, (x, y) in enumerate(dots.long().tolist()):
        frames[index, y - 2 : y + 3, x - 2 : x + 3] = 255

    def brightest(inputs: Tensor) -> tuple[Tensor, Tensor]:
        grey = inputs.mean(1) + 3  # above the padding's nothing
        blur = torch.nn.functional.avg_pool1d
        x, y = (blur(grey.mean(axis)[:, None], 5, 1, 2).repeat_interleave(2, -1) for axis in (1, 2))
        return x.expand(-1, 17, -1), y.expand(-1, 17, -1)

    pose.responses = brightest  # type: ignore[method-assign]
    boxes = torch.tensor([[300.0, 150, 500, 450]]).expand(3, 4)
    keypoints, _ = pose.estimate(frames, boxes, torch.arange(3))
    assert (keypoints - dots[:, None]).abs().max() < 2.5  # a crop pixel is 1.5 px here, and the dot has a width


# ---------------------------------------------------------------------------------------------------------------------
# What it promises
# ---------------------------------------------------------------------------------------------------------------------


def test_no_boxes_no_joints(small, frames):
    keypoints, score = small.estimate(torch.from_numpy(frames[:1]), torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
    assert keypoints.shape == (0, 17, 2)
    assert score.shape == (0, 17)


def test_chunks_of_crops_do_not_change_the_joints(small, frames):
    """Not to the bit: a convolution over another number of crops may add up in another order."""
    other = peaked("rtmpose-t", 1)
    other.crop_batch = 8
    keypoints, score = small.estimate(torch.from_numpy(frames), BOXES, FRAME)
    together, together_score = other.estimate(torch.from_numpy(frames), BOXES, FRAME)
    assert ((keypoints - together).abs().amax(-1) > 0.01).float().mean() < 0.02  # ties may fall otherwise
    torch.testing.assert_close(score, together_score, rtol=1e-3, atol=1e-5)


def test_boxes_may_come_in_any_order_and_several_to_a_frame(small, frames):
    keypoints, _ = small.estimate(torch.from_numpy(frames), BOXES, FRAME)
    order = torch.tensor([5, 0, 7, 2, 1, 6, 3, 4])
    shuffled, _ = small.estimate(torch.from_numpy(frames), BOXES[order], FRAME[order])
    assert ((shuffled - keypoints[order]).abs().amax(-1) > 0.01).float().mean() < 0.02


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (2160, 3840), (3840, 2160)])
def test_every_frame_size_and_degenerate_box_has_a_result(small, size):
    height, width = size
    frames = torch.full((1, height, width, 3), 200, dtype=torch.uint8)
    boxes = torch.tensor([[0, 0, width, height], [width, height, width, height], [-5, -5, -1, -1]])
    keypoints, score = small.estimate(frames, boxes, torch.zeros(3, dtype=torch.long))
    assert keypoints.dtype == score.dtype == torch.float32
    assert torch.isfinite(keypoints).all()
    assert torch.isfinite(score).all()


def test_random_weights_tell_pictures_apart(frames):
    pose = build_pose("rtmpose-s", "random")
    keypoints, score = pose.estimate(torch.from_numpy(frames[[0, 2]]), BOXES[[0, 0]], torch.arange(2))
    assert not torch.equal(keypoints[0], keypoints[1])
    assert (score > 0).all()


def test_what_decides_the_joints_is_described_in_plain_data(small):
    described = small.describe()
    assert json.loads(json.dumps(described)) == described
    assert described == {
        "name": "rtmpose-t",
        "weights": "random:1",
        "input_size": [192, 256],
        "box_padding": 1.25,
        "flip_test": True,
        "flip_shift_bins": 1,
        "crop_batch": 3,
    }


def test_the_papers_network_has_the_papers_input_and_runs(shared_data):
    image = np.asarray(Image.open(shared_data / "coco" / "000000000785.jpg").convert("RGB"))
    x, y, w, h = json.loads((shared_data / "coco" / "annotation.json").read_text())["annotations"][0]["bbox"]
    pose = build_pose("rtmpose-l", "random")
    keypoints, _ = pose.estimate(
        torch.from_numpy(image.copy())[None], torch.tensor([[x, y, x + w, y + h]]), torch.tensor([0])
    )
    assert pose.input_size == (288, 384)
    assert keypoints.shape == (1, 17, 2)


def test_a_crop_batch_of_nothing_is_refused():
    with pytest.raises(InvalidValueError, match="crop_batch must be at least 1, not 0"):
        build_pose("rtmpose-t", "random", crop_batch=0)
