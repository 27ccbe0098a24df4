"""Any detector of MMDetection, from a configuration and a checkpoint, against MMDetection's own inference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from auglift.pipeline.networks import openmmlab
from auglift.pipeline.networks.families import load_detector
from auglift.pipeline.networks.own_networks.mmdet_detector import MMDetDetector
from auglift.stores.errors import InvalidValueError, MissingExtraError

from ....fakes.configs import FASTER_RCNN, YOLOX, write_checkpoint, write_config

pytestmark = pytest.mark.filterwarnings("ignore:`torch.cuda.amp.autocast:FutureWarning")  # mmdet's own
CPU = torch.device("cpu")
SMALL = (  # frames of 128 px: the test is of the way, not of a size
    "test_pipeline = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=(128, 128), keep_ratio=True), "
    "dict(type='Pad', pad_to_square=True, pad_val=dict(img=(114.0, 114.0, 114.0))), "
    "dict(type='LoadAnnotations', with_bbox=True), dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', "
    "'ori_shape', 'img_shape', 'scale_factor'))]",
    "test_dataloader = dict(dataset=dict(pipeline=test_pipeline))",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("detectors")


@pytest.fixture(scope="module")
def config(folder) -> Path:
    return write_config(folder / "yolox.py", YOLOX, *SMALL)


@pytest.fixture(scope="module")
def detector(config) -> MMDetDetector:
    found = load_detector(str(config), "random:2", CPU)
    assert isinstance(found, MMDetDetector)
    for layer in found._model.bbox_head.multi_level_conv_reg:
        layer.weight.mul_(2e-4)  # boxes' sides are exponentials
    return found


def test_boxes_are_mmdetections_own_on_real_frames(detector, config, frames):
    ours = detector.detect(torch.from_numpy(frames))
    api: Any = openmmlab.load("mmdet.apis")
    model = api.init_detector(str(config), None, palette="random", device="cpu", cfg_options={
        "model.test_cfg.score_thr": 0.0
    })  # fmt: skip
    model.load_state_dict(detector._model.state_dict())
    for frame, found in zip(frames, ours, strict=True):
        theirs = api.inference_detector(model, np.ascontiguousarray(frame[..., ::-1])).pred_instances
        people = theirs[theirs.labels == 0]
        assert len(found) == len(people) > 10
        torch.testing.assert_close(found[:, :4], people.bboxes, rtol=1e-4, atol=1e-2)
        torch.testing.assert_close(found[:, 4], people.scores, rtol=5e-3, atol=1e-5)


def test_a_frame_has_its_boxes_whatever_batch_it_is_in(detector, frames):
    together = detector.detect(torch.from_numpy(frames))
    alone = [detector.detect(torch.from_numpy(frame[None]))[0] for frame in frames]
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-2)
    assert detector.detect(torch.from_numpy(frames[:0])) == []


def test_the_class_of_people_is_found_by_its_name(folder, config, detector):
    state = detector._model.state_dict()
    classes = tuple(f"thing {number}" for number in range(79))
    checkpoint = write_checkpoint(folder / "last.pth", state, {"classes": (*classes, "Pedestrian".lower())})
    found = load_detector(f"{config}:{checkpoint}", None, CPU)
    assert isinstance(found, MMDetDetector)
    assert (found._person, found.describe()["class"], found.score_threshold) == (79, "pedestrian", 0.3)
    nobody = write_checkpoint(folder / "nobody.pth", state, {"classes": (*classes, "cat")})
    with pytest.raises(InvalidValueError, match="finds no people: its classes are thing 0"):
        load_detector(f"{config}:{nobody}", None, CPU)


def test_a_detector_that_needs_a_compiled_op_says_so_before_the_first_frame(folder):
    small = "model = dict(backbone=dict(depth=18, init_cfg=None), neck=dict(in_channels=[64, 128, 256, 512]))"
    with pytest.raises(MissingExtraError, match="compiled op 'roi_align_forward'"):
        load_detector(str(write_config(folder / "two_stages.py", FASTER_RCNN, small)), "random", CPU)
