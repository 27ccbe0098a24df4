"""Relative depth has its sign turned once, whatever runs the network: larger is farther in every store."""

from __future__ import annotations

import pytest
import torch

from auglift.pipeline.device.precision import Precision
from auglift.pipeline.networks.depth import DepthAnything, build_depth_anything
from auglift.pipeline.networks.depth_models.openvino_depth import OpenVinoDepth
from auglift.pipeline.networks.tiny import DEPTH


def relative() -> DepthAnything:
    torch.manual_seed(0)
    model = build_depth_anything({**DEPTH, "depth_estimation_type": "relative"})
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


def test_openvino_negates_it_once_too():
    pytest.importorskip("openvino")
    depth = relative()
    inputs = torch.randn(1, 3, 126, 126)
    expected = depth.forward(inputs)
    depth.run_by(OpenVinoDepth(depth.model, depth.patch, Precision(), 1), "openvino")
    torch.testing.assert_close(depth.forward(inputs), expected, rtol=1e-3, atol=1e-3)
