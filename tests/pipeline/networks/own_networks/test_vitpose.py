"""ViTPose from a folder, with published settings and tensor names, against transformers' own processor and model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoImageProcessor, VitPoseForPoseEstimation

from auglift.pipeline.networks.families import find_own, load_pose
from auglift.pipeline.networks.own_networks.vitpose import VitPose
from auglift.pipeline.networks.pose import crop, crop_frame
from auglift.stores.errors import InvalidValueError, MissingFileError
from auglift.stores.format.skeleton import COCO_17, H36M_17, H36M_FROM_COCO

from ....fakes.hub_models import EXPERTS, VITPOSE, VITPOSE_PROCESSOR, changed, write_model

# In cam01's frames (1080 x 1920), with room about them: the person balancing, scenery, wider than high.
BOXES = torch.tensor([[240.0, 320, 580, 1180], [500.5, 700, 800, 1500], [300.5, 900.25, 700, 1100.75]])
FRAME = torch.tensor([0, 1, 2])
VARIANTS: dict[str, dict[str, Any]] = {
    "simple": VITPOSE,
    "classic": changed(VITPOSE, use_simple_decoder=False),
    "experts": changed(VITPOSE, backbone_config={**VITPOSE["backbone_config"], **EXPERTS}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("hub")
    for name, config in VARIANTS.items():
        write_model(root / name, config, VITPOSE_PROCESSOR)
    return root


def built(folder: Path, weights: str | None = None) -> VitPose:
    pose = load_pose(str(folder), weights, "cpu")
    assert isinstance(pose, VitPose)
    return pose


def transformers_own(folder: Path, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(M, 17, 2) and (M, 17), a box at a time."""
    processor: Any = AutoImageProcessor.from_pretrained(folder)
    model: Any = VitPoseForPoseEstimation.from_pretrained(folder).eval()
    index = {"dataset_index": torch.tensor([0])} if model.config.backbone_config.num_experts > 1 else {}
    found = []
    for (x1, y1, x2, y2), frame in zip(BOXES.tolist(), FRAME.tolist(), strict=True):
        boxes = [[[x1, y1, x2 - x1, y2 - y1]]]
        with torch.no_grad():
            outputs = model(**processor(images[frame], boxes=boxes, return_tensors="pt"), **index)
        found.append(processor.post_process_pose_estimation(outputs, boxes=boxes)[0][0])
    return np.stack([each["keypoints"] for each in found]), np.stack([each["scores"] for each in found])


@pytest.mark.parametrize("variant", VARIANTS)
def test_joints_are_transformers_own_on_a_real_frame(folder, frames, variant):
    pose = built(folder / variant)
    pose.crop_batch = 2
    keypoints, score = pose.estimate(torch.from_numpy(frames), BOXES, FRAME)
    expected, expected_score = transformers_own(folder / variant, frames)
    used = [VITPOSE["label2id"][name] for name in pose.describe()["joints"]]
    apart = np.linalg.norm(keypoints.numpy() - expected[:, used], axis=-1)
    # A pixel rounded to the next grey level moves a random network's maximum, or a step from a flat one, now and then.
    assert np.mean(apart < 0.2) > 0.93
    assert len(np.unique(expected.reshape(-1, 2).round(), axis=0)) > 30  # and not because all joints are in one place
    np.testing.assert_allclose(score.numpy(), expected_score[:, used], atol=5e-3)
    assert expected_score.std() > 0.05


def test_a_crop_at_the_picture_s_edge_is_the_processors_but_for_the_edge_itself(folder, frames):
    """A pixel half outside is half black here, as in OpenCV, which ViTPose was trained with; there it is black."""
    x1, y1, x2, y2 = 0.0, 300.0, 120.0, 780.0
    processor: Any = AutoImageProcessor.from_pretrained(folder / "simple")
    theirs = processor(frames[0], boxes=[[[x1, y1, x2 - x1, y2 - y1]]], do_normalize=False, return_tensors="np")
    theirs = theirs["pixel_values"][0].transpose(1, 2, 0) * 255
    centre, extent = crop_frame(torch.tensor([[x1, y1, x2, y2]]), (192, 256), 1.25)
    ours = crop(torch.from_numpy(frames), torch.tensor([0]), centre, extent, (192, 256), udp=True)[0].numpy()
    assert np.all(theirs[:, :20] == 0)  # the crop does reach over the edge
    differing = np.abs(ours - theirs).max(axis=(0, 2)) > 1
    assert differing.sum() <= 1


def test_a_batch_is_its_crops_one_by_one(folder, frames):
    pose, images = built(folder / "classic"), torch.from_numpy(frames)
    together = pose.estimate(images, BOXES, FRAME)
    for row in range(len(BOXES)):
        alone = pose.estimate(images, BOXES[row : row + 1], FRAME[row : row + 1])
        torch.testing.assert_close(alone[0][0], together[0][row], rtol=1e-3, atol=0.05)
        torch.testing.assert_close(alone[1][0], together[1][row], rtol=1e-3, atol=1e-5)
    assert pose.estimate(images, BOXES[:0], FRAME[:0])[0].shape == (0, together[0].shape[1], 2)


def test_its_joints_become_human36ms_as_cocos_do(folder):
    pose = built(folder / "simple")
    names = [name.replace("L_", "left_").replace("R_", "right_").lower() for name in pose.describe()["joints"]]
    made = [{names[place] for place in row} for row in pose.to_h36m]
    assert made == [{COCO_17.joints[place] for place in row} for row in H36M_FROM_COCO]
    assert len(made) == len(H36M_17)


def test_what_decides_is_in_the_fingerprint_and_where_the_folder_lies_is_not(folder, tmp_path):
    described = built(folder / "experts").describe()
    assert described["name"] == "experts"
    assert described["expert"] == 0
    assert described["weights"].startswith("sha256:")
    assert json.loads(json.dumps(described)) == described
    state = load_file(folder / "experts" / "model.safetensors")
    moved = write_model(
        tmp_path / "experts", VARIANTS["experts"], changed(VITPOSE_PROCESSOR, image_std=[0.2, 0.2, 0.2])
    )
    assert built(moved).describe() == {**described, "std": [0.2, 0.2, 0.2]}
    save_file({**state, "head.conv.bias": state["head.conv.bias"] + 1}, moved / "model.safetensors")
    assert built(moved).describe()["weights"] != described["weights"]


def test_random_weights_need_no_file_and_are_the_seeds(folder, tmp_path, frames):
    (bare := tmp_path / "bare").mkdir()
    for name in ("config.json", "preprocessor_config.json"):
        (bare / name).write_bytes((folder / "simple" / name).read_bytes())
    with pytest.raises(MissingFileError, match=r"holds no pose network: it needs config\.json and model\.safetensors"):
        find_own(str(bare), "pose", None)
    one, again, other = (built(bare, weights) for weights in ("random:1", "random:1", "random:2"))
    results = [each.estimate(torch.from_numpy(frames), BOXES[:1], FRAME[:1])[0] for each in (one, again, other)]
    assert one.describe()["weights"] == "random:1"
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


BACKBONE = VITPOSE["backbone_config"]
NUMBERS = {str(number): f"LABEL_{number}" for number in range(17)}
REFUSED: dict[str, tuple[Mapping[str, Any], Mapping[str, Any], str]] = {
    "family": (changed(VITPOSE, model_type="vit"), VITPOSE_PROCESSOR, "is of the family 'vit': of the models"),
    "code": (
        changed(VITPOSE, model_type="mine", auto_map={"AutoConfig": "mine.Config"}), VITPOSE_PROCESSOR,
        "is of the family 'mine'",
    ),
    "processor": (VITPOSE, changed(VITPOSE_PROCESSOR, image_processor_type="DPTImageProcessor"), "names a DPTImage"),
    "no crop": (VITPOSE, changed(VITPOSE_PROCESSOR, do_affine_transform=False), "does not cut out people"),
    "no names": (changed(VITPOSE, "id2label", "label2id"), VITPOSE_PROCESSOR, "does not name its joints"),
    "numbers": (changed(VITPOSE, "label2id", id2label=NUMBERS), VITPOSE_PROCESSOR, "has no names for its joints"),
    "skeleton": (
        changed(VITPOSE, "label2id", id2label={**VITPOSE["id2label"], "0": "Chin", "13": "L_Paw"}), VITPOSE_PROCESSOR,
        "finds no left_knee, nose, which Human3.6M's 17 joints need; it finds Chin",
    ),
    "size": (VITPOSE, changed(VITPOSE_PROCESSOR, size={"height": 384, "width": 288}), "does not run on a crop of 288"),
}  # fmt: skip


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_used_is_refused_in_one_line(tmp_path, why):
    config, processor, message = REFUSED[why]
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "config.json").write_text(json.dumps(config))
    (tmp_path / "x" / "preprocessor_config.json").write_text(json.dumps(processor))
    with pytest.raises(InvalidValueError, match=message) as caught:
        load_pose(str(tmp_path / "x"), "random", "cpu")
    assert "\n" not in str(caught.value)


def test_a_missing_processor_and_weights_of_another_network_are_refused_in_one_line(folder, tmp_path):
    broken = write_model(tmp_path / "x", VITPOSE, VITPOSE_PROCESSOR)
    save_file(load_file(folder / "classic" / "model.safetensors"), broken / "model.safetensors")
    with pytest.raises(InvalidValueError) as caught:
        load_pose(str(broken), None, "cpu")
    assert "\n" not in str(caught.value)
    (broken / "preprocessor_config.json").unlink()
    with pytest.raises(InvalidValueError, match=r"preprocessor_config\.json is missing"):
        find_own(str(broken), "pose", None)


def test_a_name_of_the_table_goes_before_a_folder_that_is_called_the_same(tmp_path, monkeypatch):
    (tmp_path / "tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_pose("tiny", None, "cpu").name == "tiny-pose"
    with pytest.raises(MissingFileError, match="tiny holds no pose network"):
        load_pose("./tiny", None, "cpu")
