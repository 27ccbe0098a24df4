"""Relative depth has its sign turned once: larger is farther in every store; of OpenVINO: test_openvino.py."""

from __future__ import annotations

from typing import Any

import torch

from auglift.pipeline.networks.depth import DepthAnything, build_depth_anything
from auglift.pipeline.networks.tiny import DEPTH


def relative() -> DepthAnything:
    torch.manual_seed(0)
    model: Any = build_depth_anything({**DEPTH, "depth_estimation_type": "relative"})
    torch.nn.init.constant_(model.head.conv3.bias, 2.0)  # so that it says something
    return DepthAnything(model, {"name": "relative"}, None, torch.device("cpu"), 126, 9)


def test_the_inverse_depth_of_a_relative_network_is_negated_once():
    depth = relative()
    inputs = torch.randn(2, 3, 126, 126)
    with torch.no_grad():
        said = depth.model(inputs).predicted_depth
    assert said.mean() > 1
    torch.testing.assert_close(depth.forward(inputs), -said, rtol=1e-4, atol=1e-5)
    depth.with_features("nearest_4")
    torch.testing.assert_close(depth._forward(inputs)[0], -said, rtol=1e-4, atol=1e-5)
