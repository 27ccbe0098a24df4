"""Features on the GPU that is not there (tests/fakes/cuda.py): sampled there, and waited for at the end alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from auglift.pipeline.device.traffic import page_locked
from auglift.pipeline.extract import Extractor, StageTimes
from auglift.pipeline.features.streams import streams_of
from auglift.pipeline.networks.pose import build_pose
from auglift.pipeline.networks.substitutes.stored import FromStore

from ...fakes.cuda import DEVICE, PretendedGpu
from ...fakes.tiny_networks import blocks, tiny_extractor

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:torch.meshgrid:UserWarning")
BOTH = ("pose", "depth")


def with_features(device: str) -> Extractor:
    extractor = tiny_extractor(device)
    return replace(extractor, streams=streams_of(BOTH, "nearest_4", extractor.pose, extractor.depth))


def test_no_step_waits_for_features_but_the_last_and_they_are_those_of_a_cpu():
    frames, readable = blocks(3), np.ones(3, bool)
    expected = with_features("cpu").extract(frames, readable)
    with PretendedGpu() as gpu:
        extractor = with_features("cuda:0")
        extractor.extract(frames, readable)  # makes the tables that are kept
        times = StageTimes(DEVICE)
        gpu.reset()
        under_way = extractor.begin(page_locked(frames, DEVICE), readable, None, times)
        extractor.find_people(under_way, times)
        extractor.describe_people(under_way, times)
        # How many people there are, and their joints: as without features.
        assert dict(gpu.reset().waits) == {"event": 2}
        found = extractor.end(under_way)
        # What the descriptor says, and each stream.
        assert dict(gpu.reset().waits) == {"event": 3}
    for name in ("feature/pose", "feature/depth", "clipped"):
        np.testing.assert_allclose(found[name].astype(float), expected[name], atol=1e-3, rtol=0.01)  # sums in turn


def test_features_at_stored_joints_make_nobody_wait_either():
    frames, readable = blocks(3), np.ones(3, bool)
    first = with_features("cpu").extract(frames, readable)
    stored = {f"stored/{name}": first[name] for name in ("keypoints", "score", "bbox")}

    def extend(device: str) -> Extractor:
        depth, pose = tiny_extractor(device).depth, build_pose("tiny", device=device)
        streams = streams_of(BOTH, "nearest_4", FromStore(), depth, pose)
        return Extractor(FromStore(), FromStore(), depth, (), torch.device(device), streams=streams)

    expected = extend("cpu").extract(frames, readable, stored)
    with PretendedGpu() as gpu:
        extractor = extend("cuda:0")
        extractor.extract(frames, readable, stored)
        gpu.reset()
        found = extractor.extract(page_locked(frames, DEVICE), readable, stored)
        assert dict(gpu.reset().waits) == {"event": 2}
    for name in ("feature/pose", "feature/depth"):
        np.testing.assert_allclose(found[name].astype(float), expected[name], atol=1e-3, rtol=0.01)  # sums in turn
