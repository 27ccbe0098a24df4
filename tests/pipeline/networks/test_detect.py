"""RTMDet in batches against MMDetection's own inference."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from auglift.pipeline.networks import openmmlab
from auglift.pipeline.networks.detect import RTMDet, build_detector, fit_size, resize
from auglift.pipeline.networks.models import MODELS
from auglift.stores.errors import InvalidValueError

pytestmark = [  # mmdet's own, on its own paths
    pytest.mark.filterwarnings("ignore:`torch.cuda.amp.autocast:FutureWarning"),
    pytest.mark.filterwarnings("ignore:torch.meshgrid:UserWarning"),
]


@pytest.fixture(scope="module")
def photograph(shared_data: Path) -> np.ndarray:
    """(425, 640, 3) uint8 RGB."""
    return np.asarray(Image.open(shared_data / "coco" / "000000000785.jpg").convert("RGB"))


@pytest.fixture(scope="module")
def nano() -> RTMDet:
    return build_detector("rtmdet-nano", "random:2")


# ---------------------------------------------------------------------------------------------------------------------
# Against MMDetection
# ---------------------------------------------------------------------------------------------------------------------


def mmdetection(detector: RTMDet, name: str, images: list[np.ndarray], threshold: float) -> list[Tensor]:
    """What MMDetection's own loop, one image at a time, finds with the same weights: (n, 5) a frame, persons alone."""
    apis = openmmlab.load("mmdet.apis")
    config = openmmlab.read_config(str(MODELS[name].config))
    # As many boxes as there are: an 80-class detector's other classes would take the persons' places.
    config.model.test_cfg.update(score_thr=threshold, max_per_img=10**6, nms_pre=10**6)
    model = apis.init_detector(config, None, device="cpu", palette="coco")
    model.load_state_dict(detector._model.state_dict())
    found = apis.inference_detector(model, [np.ascontiguousarray(image[..., ::-1]) for image in images])
    people = [each.pred_instances[each.pred_instances.labels == 0] for each in found]
    return [torch.cat([each.bboxes, each.scores[:, None]], dim=1) for each in people]


@pytest.mark.parametrize(("name", "seed", "threshold"), [("rtmdet-nano", 1, 0.02), ("rtmdet-tiny", 1, 0.025)])
def test_boxes_and_scores_are_mmdetections(frames, name, seed, threshold):
    """On frames that are made smaller by a whole number, where both resize to the same bits: a random network, unlike a
    trained one, makes much of a grey level. Other sizes are compared at the network's input, below."""
    detector = build_detector(name, f"random:{seed}", score_threshold=threshold)
    detector._test_cfg.update(max_per_img=10**6)
    ours = detector.detect(torch.from_numpy(frames[::2]))
    theirs = mmdetection(detector, name, list(frames[::2]), threshold)
    assert sum(len(each) for each in theirs) > 100  # something was compared
    for mine, reference in zip(ours, theirs, strict=True):
        assert len(mine) == len(reference)
        assert torch.equal(mine[:, 4], mine[:, 4].sort(descending=True).values)
        assert (mine[:, 4] > threshold).all()
        # Paired by overlap: boxes of all but equal score may stand in another order.
        cost = (mine[:, None, :4] - reference[None, :, :4]).abs().amax(-1)
        nearest = cost.argmin(1)
        assert nearest.unique().numel() == len(mine)
        assert cost.amin(1).max() < 1
        assert (mine[:, 4] - reference[nearest, 4]).abs().max() < 1e-3


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 4000), st.integers(1, 4000), st.sampled_from([(640, 640), (320, 320), (1333, 800)]))
def test_the_size_a_frame_is_resized_to_is_mmcvs(width, height, scale):
    expected = openmmlab.load("mmcv").rescale_size((width, height), scale)
    assert fit_size((width, height), scale) == tuple(max(1, side) for side in expected)


@settings(max_examples=40, deadline=None)
@given(
    old=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    new=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    seed=st.integers(0, 2**32 - 1),
)
def test_resizing_is_opencvs_to_a_grey_level(old, new, seed):
    image = np.random.default_rng(seed).integers(0, 256, (*old, 3), dtype=np.uint8)
    expected = cv2.resize(image, new[::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32)
    result = resize(torch.from_numpy(image)[None], new[::-1])[0].numpy()
    assert np.abs(result - expected).max() <= 1


@pytest.mark.parametrize("picture", ["video", "photograph", "portrait"])
def test_the_networks_input_is_mmdetections(nano, frames, photograph, picture):
    image = {"video": frames[0], "photograph": photograph, "portrait": photograph[:, 100:333]}[picture]
    config = openmmlab.read_config(str(MODELS["rtmdet-nano"].config))
    steps = openmmlab.load("mmdet.utils").get_test_pipeline_cfg(config)
    steps[0].type = "mmdet.LoadImageFromNDArray"
    data = openmmlab.load("mmcv.transforms").Compose(steps)({"img": image[..., ::-1].copy(), "img_id": 0})
    settings = {key: value for key, value in config.model.data_preprocessor.items() if key != "type"}
    preprocessor = openmmlab.load("mmdet.models").DetDataPreprocessor(**settings)
    expected = preprocessor({"inputs": [data["inputs"]], "data_samples": [data["data_samples"]]})["inputs"]
    inputs, scale = nano.inputs(torch.from_numpy(image.copy())[None])
    assert scale == pytest.approx(data["data_samples"].scale_factor)
    assert inputs.shape == expected.shape
    apart = (inputs - expected).abs()
    assert apart.max() < 1.01 / 57  # a grey level
    assert apart.mean() < 0.1 / 57


# ---------------------------------------------------------------------------------------------------------------------
# What it promises
# ---------------------------------------------------------------------------------------------------------------------


def test_a_frame_gets_the_same_boxes_alone_and_in_company(nano, frames):
    together = nano.detect(torch.from_numpy(frames))
    for frame, boxes in zip(frames, together, strict=True):
        alone = nano.detect(torch.from_numpy(frame)[None])[0]
        assert alone.shape == boxes.shape
        torch.testing.assert_close(alone, boxes, rtol=1e-3, atol=0.05)


def test_random_weights_distinguish_frames_and_find_a_person_in_each(nano, frames):
    found = nano.detect(torch.from_numpy(frames))
    assert all(len(boxes) for boxes in found)
    assert not torch.equal(found[0][0], found[2][0])


def test_nobody_above_the_threshold_is_an_empty_list_of_boxes(frames):
    picky = build_detector("rtmdet-nano", "random:2", score_threshold=0.999)
    assert [tuple(boxes.shape) for boxes in picky.detect(torch.from_numpy(frames))] == [(0, 5)] * 3


def test_no_frames_no_boxes(nano):
    assert nano.detect(torch.zeros(0, 10, 10, 3, dtype=torch.uint8)) == []


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (7, 3), (3840, 2160), (2160, 3840)])
def test_every_frame_size_has_a_result(nano, size):
    frames = torch.full((1, *size, 3), 90, dtype=torch.uint8)
    (boxes,) = nano.detect(frames)
    assert boxes.shape[1] == 5
    assert boxes.dtype == torch.float32
    assert torch.isfinite(boxes).all()


def test_what_decides_the_boxes_is_described_in_plain_data(nano):
    described = nano.describe()
    assert json.loads(json.dumps(described)) == described
    assert described["name"] == "rtmdet-nano"
    assert described["weights"] == "random:2"
    assert described["score_threshold"] == 0.0
    assert described["input_size"] == [320, 320]


def test_trained_weights_need_a_score_of_three_tenths(tmp_path, nano):
    torch.save({"state_dict": nano._model.state_dict()}, tmp_path / "rtmdet-nano.pth")
    trained = build_detector("rtmdet-nano", tmp_path)
    assert trained.score_threshold == 0.3
    assert trained.describe()["weights"].startswith("sha256:")
    assert all(torch.equal(a, b) for a, b in zip(trained._model.parameters(), nano._model.parameters(), strict=True))


def test_a_checkpoint_of_another_network_is_refused(tmp_path, nano):
    torch.save({"state_dict": nano._model.state_dict()}, tmp_path / "rtmdet-tiny.pth")
    with pytest.raises(InvalidValueError, match="these weights are not those of rtmdet-tiny: missing "):
        build_detector("rtmdet-tiny", tmp_path)
