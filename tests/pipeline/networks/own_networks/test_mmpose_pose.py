"""Any top-down model of MMPose, from a configuration and a checkpoint, against MMPose's own inference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from auglift.pipeline.networks import openmmlab
from auglift.pipeline.networks.families import load_pose
from auglift.pipeline.networks.own_networks.mmpose_pose import TopdownPose
from auglift.stores.errors import InvalidValueError
from auglift.stores.format.skeleton import H36M_17

from ....fakes.configs import HALPE_26, HEATMAP_UDP, described, official, write_checkpoint, write_config
from ....fakes.mmpose_apis import mmpose_apis

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.cuda.amp.autocast:FutureWarning"),  # mmdet's own
    pytest.mark.filterwarnings("ignore:The metainfo config file"),
]

CPU = torch.device("cpu")
# In cam01's frames (1080 x 1920): the person balancing, the one looking on, wider than high, half outside.
BOXES = torch.tensor(
    [[240.0, 320, 580, 1180], [0, 300, 120, 780], [300.5, 900.25, 900, 1100.75], [-150.5, 400, 260, 1300]]
)
FRAME = torch.tensor([0, 1, 2, 0])
PLAIN = (
    "model = dict(test_cfg=dict(shift_heatmap=True), head=dict(decoder=dict(_delete_=True, type='MSRAHeatmap', "
    "input_size=(192, 256), heatmap_size=(48, 64), sigma=2)))",
    "test_dataloader = dict(dataset=dict(pipeline=[dict(type='LoadImage'), dict(type='GetBBoxCenterScale', "
    "padding=1.1), dict(type='TopdownAffine', input_size=(192, 256)), dict(type='PackPoseInputs')]))",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("configs")


def built(config: Path, weights: str | None = "random:1", checkpoint: Path | None = None) -> TopdownPose:
    pose = load_pose(f"{config}:{checkpoint}" if checkpoint else str(config), weights, CPU)
    assert isinstance(pose, TopdownPose)
    return pose


@pytest.fixture(scope="module")
def halpe(folder) -> TopdownPose:
    return built(write_config(folder / "halpe.py", HALPE_26))


def mmposes_own(pose: TopdownPose, config: Path, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """MMPose's loop with the same weights, a box at a time: (M, K, 2) and (M, K), of the joints that are used."""
    api: Any = mmpose_apis()
    model = api.init_model(str(config), None, device="cpu")
    model.load_state_dict(pose._model.state_dict())
    found = [
        api.inference_topdown(model, np.ascontiguousarray(images[index][..., ::-1]), box[None])[0].pred_instances
        for box, index in zip(BOXES.numpy(), FRAME.tolist(), strict=True)
    ]
    used = list(pose._joints.used)
    return (
        np.concatenate([each.keypoints for each in found])[:, used],
        np.concatenate([each.keypoint_scores for each in found])[:, used],
    )


@pytest.mark.parametrize(
    ("base", "lines"), [(HALPE_26, ()), (HEATMAP_UDP, ()), (HEATMAP_UDP, PLAIN)], ids=["simcc-26", "udp", "heat map"]
)
def test_joints_are_mmposes_own_on_a_real_frame(folder, frames, base, lines):
    config = write_config(folder / "compared.py", base, *lines)
    pose = built(config)
    pose.crop_batch = 3
    keypoints, score = pose.estimate(torch.from_numpy(frames), BOXES, FRAME)
    expected, expected_score = mmposes_own(pose, config, frames)
    apart = np.linalg.norm(keypoints.numpy() - expected, axis=-1)
    # A pixel rounded to the next grey level moves a random network's maximum now and then.
    assert np.mean(apart < 0.5) > 0.95
    assert len(np.unique(expected.reshape(-1, 2).round(1), axis=0)) > 30  # and not because all joints are in one place
    np.testing.assert_allclose(score.numpy(), expected_score, rtol=0.02, atol=1e-6)


def test_a_batch_is_its_crops_one_by_one(halpe, frames):
    together = halpe.estimate(torch.from_numpy(frames), BOXES, FRAME)
    for row in range(len(BOXES)):
        alone = halpe.estimate(torch.from_numpy(frames), BOXES[row : row + 1], FRAME[row : row + 1])
        torch.testing.assert_close(alone[0][0], together[0][row], rtol=1e-4, atol=1e-2)
        torch.testing.assert_close(alone[1][0], together[1][row], rtol=1e-3, atol=1e-5)
    none = halpe.estimate(torch.from_numpy(frames), BOXES[:0], FRAME[:0])
    assert none[0].shape == (0, together[0].shape[1], 2)


def test_halpes_joints_become_human36ms(halpe):
    names = halpe.describe()["joints"]
    assert {"hip", "neck", "head"} <= set(names)
    assert len(halpe.to_h36m) == len(H36M_17)
    assert [names[place] for place in halpe.to_h36m[H36M_17.index("pelvis")]] == ["hip"]


def test_a_checkpoint_says_what_its_joints_are_and_its_digest_is_in_the_fingerprint(folder, halpe):
    config, state = folder / "halpe.py", halpe._model.state_dict()
    meta = described("halpe26")
    renamed = dict(
        meta, keypoint_id2name={i: f"{n}s" if "toe" in n else n for i, n in meta["keypoint_id2name"].items()}
    )
    checkpoint = write_checkpoint(folder / "mine.pth", state, renamed)
    pose = built(config, None, checkpoint)
    assert "big_toes" in pose._names[20]
    described_as = pose.describe()
    assert described_as["name"] == "halpe.py:mine.pth"
    assert described_as["weights"].startswith("sha256:")
    assert described_as["config"] == halpe.describe()["config"]
    assert all(torch.equal(state[key], value) for key, value in pose._model.state_dict().items())


def test_a_checkpoint_of_another_skeleton_does_not_fit(folder):
    config = write_config(folder / "halpe.py", HALPE_26)
    other = openmmlab.build(official(HEATMAP_UDP), "mmpose")
    checkpoint = write_checkpoint(folder / "other.pth", other.state_dict())
    with pytest.raises(InvalidValueError, match=r"not those of halpe\.py"):
        built(config, None, checkpoint)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ("model = dict(head=dict(out_channels=25), test_cfg=dict(flip_test=False))",),
            "finds 25 joints, its dataset_meta names 26",
        ),
        (("model = dict(type='BottomupPoseEstimator')",), "only MMPose's top-down models"),
        (("model = dict(type='NoSuchModel')",), "cannot be built with mmpose: KeyError"),
        (("test_dataloader = dict(dataset=dict(_delete_=True, type='CocoDataset'))",), "has no test_dataloader"),
        (
            ("test_dataloader = dict(dataset=dict(pipeline=[dict(type='BottomupResize', input_size=(8, 8))]))",),
            "has the step BottomupResize",
        ),
        (
            ("test_dataloader = dict(dataset=dict(metainfo=dict(from_file='configs/_base_/datasets/mpii.py')))",),
            "finds no nose",
        ),
    ],
    ids=["count", "bottom-up", "unknown", "no pipeline", "step", "skeleton"],
)
def test_what_cannot_be_used_is_refused_in_one_line(folder, lines, message):
    with pytest.raises(InvalidValueError, match=message) as caught:
        built(write_config(folder / "refused.py", HALPE_26, *lines))
    assert "\n" not in str(caught.value)
