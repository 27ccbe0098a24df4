"""Features of any top-down model of MMPose: its last map, by a hook of its own, at joints mapped to H36M-17."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from auglift.pipeline.features.joints import to_h36m
from auglift.pipeline.features.streams import PoseWithFeatures
from auglift.pipeline.networks.families import load_pose
from auglift.pipeline.networks.own_networks.mmpose_pose import TopdownPose
from auglift.pipeline.networks.pose import crop_frame, into_crop
from auglift.stores.errors import InvalidValueError

from ....fakes.configs import HALPE_26, HEATMAP_UDP, write_config
from ....fakes.tiny_networks import blocks
from ...features.test_sampling import by_hand

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.cuda.amp.autocast:FutureWarning"),  # mmdet's own
    pytest.mark.filterwarnings("ignore:The metainfo config file"),
]
BOXES = torch.tensor([[20.0, 10, 90, 110], [60, 5, 150, 118], [0, 0, 40, 119]])
FRAME = torch.tensor([0, 1, 1])


def pose_of(folder: Path, base: str) -> TopdownPose:
    pose = load_pose(str(write_config(folder / "own.py", base)), "random:1", torch.device("cpu"))
    assert isinstance(pose, TopdownPose)
    return pose


@pytest.mark.parametrize("base", [HALPE_26, HEATMAP_UDP], ids=["simcc-26", "udp heat map"])
def test_features_are_the_backbones_unmirrored_map_at_the_joints(tmp_path, base):
    pose, frames = pose_of(tmp_path, base), torch.from_numpy(blocks(2))
    plain = pose.estimate(frames, BOXES, FRAME)
    assert isinstance(pose, PoseWithFeatures)
    about = pose.with_features("nearest_4")
    seen: list[torch.Tensor] = []
    pose._model.backbone.register_forward_hook(lambda module, given, found: seen.append(found[-1]))
    keypoints, score, features = pose.estimate_with_features(frames, BOXES, FRAME)
    assert torch.equal(keypoints, plain[0])
    assert torch.equal(score, plain[1])
    maps = seen[0].numpy()
    assert features.shape == (3, 17, about["channels"]) == (3, 17, maps.shape[1])
    centre, extent = crop_frame(BOXES, pose.input_size, pose._padding)
    places = into_crop(to_h36m(keypoints, pose.to_h36m), centre, extent, pose.input_size, pose._udp).numpy()
    for person in range(3):
        for joint, (x, y) in enumerate(places[person]):
            expected = by_hand(maps[person], x, y, pose.input_size, "nearest_4")
            np.testing.assert_allclose(features[person, joint], expected, rtol=1e-4, atol=1e-5)
    again = pose.features_at(frames, BOXES, FRAME, to_h36m(keypoints, pose.to_h36m))
    torch.testing.assert_close(again, features, rtol=1e-4, atol=1e-4, equal_nan=True)


def test_a_network_whose_last_output_is_no_map_is_refused(tmp_path, monkeypatch):
    pose = pose_of(tmp_path, HALPE_26)
    pose._model.backbone.register_forward_hook(lambda module, given, found: (found[-1].flatten(2),))
    monkeypatch.setattr(type(pose._model), "extract_feat", lambda self, inputs: self.backbone(inputs))
    with pytest.raises(InvalidValueError, match="is no map"):
        pose.with_features("nearest_4")
