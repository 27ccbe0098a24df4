"""features/streams.py in the extractor: features are what forward hooks and direct indexing find, of every network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from auglift.pipeline.build import NetworkOptions
from auglift.pipeline.extract import Extractor, describe
from auglift.pipeline.features.joints import to_h36m
from auglift.pipeline.features.streams import CLIPPED, choose_features, fields_of, streams_of
from auglift.pipeline.networks.pose import build_pose, crop, crop_frame, into_crop
from auglift.pipeline.networks.substitutes.ground_truth import FromTruth
from auglift.pipeline.networks.substitutes.no_depth import NoDepth
from auglift.pipeline.networks.substitutes.stored import FromStore
from auglift.stores.errors import InvalidValueError

from ...fakes.networks import FakeDepth, FakePose
from ...fakes.tiny_networks import blocks, tiny_extractor
from .test_sampling import by_hand

BOTH = ("pose", "depth")


def with_streams(extractor: Extractor, sampling: str = "nearest_4", wanted: tuple[str, ...] = BOTH) -> Extractor:
    return replace(extractor, streams=streams_of(wanted, sampling, extractor.pose, extractor.depth))


@pytest.fixture(scope="module")
def plain() -> Extractor:
    return tiny_extractor("cpu")


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return blocks(3)


@pytest.mark.parametrize("sampling", ["nearest_1", "nearest_4", "bilinear"])
def test_features_are_what_hooks_and_indexing_find(pictures, sampling):
    compare_with_hooks(pictures, sampling)


def test_features_of_real_frames_are_what_hooks_and_indexing_find(frames):
    compare_with_hooks(frames, "nearest_4")


def compare_with_hooks(pictures: np.ndarray, sampling: str) -> None:
    height, width = pictures.shape[1:3]
    extractor: Any = with_streams(tiny_extractor("cpu"), sampling)
    kept: dict[str, list] = {"pose": [], "depth": []}
    pose, depth = extractor.pose, extractor.depth
    pose._model.neck.register_forward_hook(lambda m, given, found: kept["pose"].append(found[-1]))
    depth.model.neck.register_forward_hook(lambda m, given, found: kept["depth"].append(found))
    out = extractor.extract(pictures, np.ones(3, bool))
    assert out["feature/pose"].shape == (3, 17, 480)
    assert out["feature/depth"].shape == (3, 17, 16)
    assert out["valid"].all()
    crops = torch.cat([each[: len(each) // 2] for each in kept["pose"]])  # the rest are mirrored
    boxes = extractor.detector.boxes(torch.from_numpy(pictures), 2)
    maps = next(
        m for m in kept["depth"][0] if m.shape[-2:] == tuple(n // 9 for n in depth.input_shape(1, (height, width))[2:])
    )
    for frame in range(3):
        person = next(p for p in range(2) if np.allclose(boxes[frame, p, :4], out["bbox"][frame, :4]))
        there = boxes[..., 4].isfinite()
        number = int(there.flatten()[: frame * 2 + person].sum())
        centre, extent = crop_frame(boxes[frame, person : person + 1, :4], pose.input_size, 1.25)
        corner = (centre - extent / 2)[0].numpy()
        for joint, (x, y) in enumerate(out["keypoints"][frame]):
            u, v = (np.array([x, y]) - corner) / extent[0].numpy() * pose.input_size
            found = out["feature/pose"][frame, joint].astype(float)
            # Positions went to the frame and back: a joint on the border of two cells may be of either.
            near = [by_hand(crops[number].numpy(), u + e, v + d, pose.input_size, sampling) for e in E for d in E]
            assert min(np.abs(found - each).max() for each in near) < 0.01
            expected = by_hand(maps[frame].numpy(), x, y, (width, height), sampling)
            np.testing.assert_allclose(out["feature/depth"][frame, joint], expected, atol=0.02, rtol=2e-3)


E = (0.0, 1e-3, -1e-3)


def test_keeping_the_maps_changes_no_byte_of_the_rest(plain, pictures):
    before = plain.extract(pictures, np.ones(3, bool))
    after = with_streams(tiny_extractor("cpu")).extract(pictures, np.ones(3, bool))
    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name])
    assert "feature/pose" not in before
    assert set(after) - set(before) == {"feature/pose", "feature/depth", CLIPPED}


def test_frames_without_anybody_have_no_features(pictures):
    frames = pictures.copy()
    out = with_streams(tiny_extractor("cpu")).extract(frames, np.array([True, False, True]))
    assert np.isnan(out["feature/pose"][1]).all()
    assert np.isnan(out["feature/depth"][1]).all()
    assert np.isfinite(out["feature/pose"][[0, 2]]).all()
    assert out[CLIPPED].tolist() == [0, 0, 0]


def test_at_stored_joints_the_same_network_gives_the_same_features(pictures):
    first = with_streams(tiny_extractor("cpu")).extract(pictures, np.ones(3, bool))
    pose, depth = build_pose("tiny"), tiny_extractor("cpu").depth
    streams = streams_of(BOTH, "nearest_4", FromStore(), depth, pose)
    again = Extractor(FromStore(), FromStore(), depth, (), torch.device("cpu"), streams=streams)
    stored = {f"stored/{name}": first[name] for name in ("keypoints", "score", "bbox")}
    found = again.extract(pictures, np.ones(3, bool), stored)
    np.testing.assert_array_equal(found["feature/depth"], first["feature/depth"])
    # Through the frame's pixels and back a joint may cross into the next cell, by a rounding; most do not.
    apart = np.abs(found["feature/pose"].astype(float) - first["feature/pose"]).max(axis=-1)
    assert (apart < 0.02).mean() > 0.9


def test_a_crop_and_back_is_where_it_was():
    boxes = torch.tensor([[10.0, 20.0, 80.0, 200.0], [0.0, 0.0, 50.0, 20.0]])
    for udp in (False, True):
        size = (96, 128)
        centre, extent = crop_frame(boxes, size, 1.25)
        # A ramp of x and one of y: a crop's pixel says where it was read.
        ramp = torch.arange(256).clamp(max=255).to(torch.uint8)
        x, y = ramp[None, :].expand(256, 256), ramp[:, None].expand(256, 256)
        frame = torch.stack([x, y, x], -1)[None]
        cut = crop(frame, torch.zeros(2, dtype=torch.int64), centre, extent, size, udp)
        points = cut[:, 60:61, 50, :2]  # what pixel (50, 60) of each crop shows
        assert torch.allclose(into_crop(points, centre, extent, size, udp), torch.tensor([50.0, 60.0]), atol=0.8)


def test_a_planted_crop_feature_is_found_at_the_joint_of_every_number(pictures):
    """The map is exchanged for one with a single cell set; exactly the joints in that cell have it."""
    pose = build_pose("tiny")
    pose.with_features("nearest_1")
    boxes = torch.tensor([[20.0, 10.0, 90.0, 110.0]])
    index = torch.zeros(1, dtype=torch.int64)
    centre, extent = crop_frame(boxes, pose.input_size, 1.25)
    real = pose.run
    w, h = 12, 16
    for joint in range(17):
        cell = (joint * 7 % w, joint * 5 % h) if joint > 1 else ((0, 0), (w - 1, h - 1))[joint]
        planted = torch.zeros(1, 480, h, w)
        planted[0, 0, cell[1], cell[0]] = 1

        def run(inputs, planted=planted):
            return *real(inputs)[:2], planted

        pose.run = run
        middle = (torch.tensor(cell) + 0.5) * 8 - 0.5
        spread = torch.tensor([[[40.0, 50.0]]]).repeat(1, 17, 1) + 30
        spread[0, joint] = middle
        at_frame = spread / torch.tensor(pose.input_size) * extent[:, None] + (centre - extent / 2)[:, None]
        found = pose.features_at(torch.from_numpy(pictures), boxes, index, at_frame)[0, :, 0]
        lies_there = ((spread[0] + 0.5) // 8 == torch.tensor(cell)).all(-1)
        assert found[joint] == 1
        assert torch.equal(found == 1, lies_there)


def test_mean_joints_are_sampled_where_they_lie():
    values = torch.arange(34.0).view(1, 17, 2)
    rows = [(11, 12), *[(joint,) for joint in range(16)]]
    assert torch.equal(to_h36m(values, rows)[0, 0], (values[0, 11] + values[0, 12]) / 2)


@pytest.mark.parametrize(
    ("stream", "network"),
    [("pose", FakePose()), ("pose", FromTruth()), ("depth", FakeDepth()), ("depth", FromTruth()), ("depth", NoDepth())],
)
def test_a_network_without_a_map_is_refused_in_one_line(stream, network):
    pose, depth = (network, NoDepth()) if stream == "pose" else (FakePose(), network)
    with pytest.raises(InvalidValueError, match=f"--features {stream}: '{network.name}' has no feature map") as error:
        streams_of((stream,), "nearest_4", pose, depth)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"pose": "blazepose", "features": ("pose",)}, "blazepose"),
        ({"pose": "ground-truth", "features": ("pose",)}, "ground-truth"),
        ({"depth": "none", "features": ("depth",)}, "none"),
        ({"depth": "ground-truth", "features": ("depth",)}, "ground-truth"),
    ],
)
def test_what_has_no_map_by_its_name_is_refused_before_anything_is_loaded(options, named):
    with pytest.raises(InvalidValueError, match=f"'{named}' has no feature map"):
        NetworkOptions(**options).expected_features()


@pytest.mark.parametrize(
    ("pose", "depth", "widths"),
    [
        ("tiny", "tiny", (480, 16)),
        ("rtmpose-l", "depth-anything-v2-large", (1024, 256)),
        ("rtmpose-s", "depth-anything-v2-small", (512, 64)),
    ],
)
def test_widths_are_the_networks_own(pose, depth, widths):
    options = NetworkOptions(pose=pose, depth=depth, features=BOTH)
    expected = options.expected_features()
    assert tuple(expected[stream]["channels"] for stream in BOTH) == widths
    assert tuple(field.shape for field in fields_of({"features": expected})) == tuple((17, n) for n in widths)


def test_a_pass_without_features_says_nothing_of_them(plain):
    assert "features" not in describe(plain)
    about: Any = describe(with_streams(tiny_extractor("cpu")))
    assert set(about["features"]) == {"pose", "depth"}


def test_streams_are_named_in_any_order_and_others_refused():
    assert choose_features("depth, pose") == BOTH
    assert choose_features(None) == ()
    with pytest.raises(InvalidValueError, match="there are pose, depth"):
        choose_features("pose,colour")
