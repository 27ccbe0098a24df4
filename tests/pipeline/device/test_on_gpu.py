"""The depth pass on the GPU that is not there: no devices are mixed, the host waits three times a batch."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from auglift.pipeline.build import NetworkOptions
from auglift.pipeline.computing import Computing
from auglift.pipeline.device.precision import Precision
from auglift.pipeline.device.traffic import download, page_locked, upload
from auglift.pipeline.execution.batch_memory import ForwardLimit
from auglift.pipeline.execution.overlap import Given, run
from auglift.pipeline.extract import Extractor, StageTimes
from auglift.pipeline.frames.resize import resize_bicubic
from auglift.pipeline.networks.depth import build_depth
from auglift.pipeline.networks.detect import build_detector
from auglift.pipeline.networks.pose import build_pose
from auglift.pipeline.uadd.descriptor import PRESETS, compute

from ...fakes.cuda import DEVICE, Counts, PretendedGpu
from ...fakes.networks import fake_extractor

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:torch.meshgrid:UserWarning")

# What the issue allows for detector, pose and UADD; the depth network takes none.
MOST_WAITS = 5
# Operations started for a batch, whatever its size: 4,184 in all, with 201 waits, when frames were decoded one by one.
# Larger networks have more layers.
MOST_OPERATIONS = {"detect": 450, "pose": 450, "depth and uadd": 1000}


def tiny(device: str) -> Extractor:
    """The shipped networks; the detector finds a person in any noise."""
    networks = build_detector("tiny", device=device, score_threshold=1e-4), build_pose("tiny", device=device)
    depth = build_depth("tiny", device=device)
    return Extractor(*networks, depth, tuple(PRESETS.values()), torch.device(device), max_people=2)


def in_halves(extractor: Extractor, precision: str) -> Extractor:
    for network in (extractor.detector, extractor.pose, extractor.depth):
        network.compute_in(Precision(precision))  # type: ignore[union-attr]
    return extractor


def pictures(count: int, height: int = 120, width: int = 160) -> np.ndarray:
    coarse = np.random.default_rng(count).integers(0, 256, (count, height // 8, width // 8, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def test_a_batch_makes_the_host_wait_three_times_and_starts_a_bounded_number_of_operations():
    with PretendedGpu() as gpu:
        extractor = in_halves(tiny("cuda:0"), "bfloat16")
        extractor.extract(pictures(2), np.ones(2, bool))  # makes the tables that are kept
        for batch in (8, 3):
            frames, readable, times = page_locked(pictures(batch), DEVICE), np.ones(batch, bool), StageTimes(DEVICE)
            counted: dict[str, Counts] = {}
            gpu.reset()
            under_way = extractor.begin(frames, readable, None, times)
            counted["detect"] = gpu.reset()
            extractor.find_people(under_way, times)
            counted["pose"] = gpu.reset()
            extractor.describe_people(under_way, times)
            counted["depth and uadd"] = gpu.reset()
            assert extractor.end(under_way)["valid"].all()
            counted["end"] = gpu.reset()
            # How many people there are; their joints; what the descriptor says.
            waits = {name: dict(each.waits) for name, each in counted.items()}
            assert waits == {"detect": {}, "pose": {"event": 1}, "depth and uadd": {"event": 1}, "end": {"event": 1}}
            assert sum(each.waits.total() for each in counted.values()) <= MOST_WAITS
            for name, most in MOST_OPERATIONS.items():
                assert 0 < counted[name].operations.total() < most, name
            # Frames and disks go up; empty places, joints and statistics come down.
            assert sum((each.copies for each in counted.values()), Counter()) == {"up": 2, "down": 3}


def test_a_true_box_costs_a_copy_but_no_wait():
    frames, readable = pictures(4), np.ones(4, bool)
    truth = {"bbox": np.array([[0, 0, 80, 100]] * 3 + [[np.nan] * 4], np.float32)}
    with PretendedGpu() as gpu:
        extractor = tiny("cuda:0")
        extractor.extract(frames, readable, truth)
        gpu.reset()
        found = extractor.extract(frames, readable, truth)
        assert gpu.waits == {"event": 3}
        assert gpu.copies["up"] == 3
    expected = tiny("cpu").extract(frames, readable, truth)
    np.testing.assert_allclose(found["bbox"], expected["bbox"], rtol=1e-3, atol=0.05)


def test_the_networks_say_on_a_gpu_what_they_say_on_a_cpu():
    frames = pictures(3)
    expected = tiny("cpu").extract(frames, np.ones(3, bool))
    with PretendedGpu():
        found = tiny("cuda:0").extract(frames, np.ones(3, bool))
    np.testing.assert_array_equal(found["valid"], expected["valid"])
    np.testing.assert_allclose(found["keypoints"], expected["keypoints"], rtol=0, atol=0.02)
    np.testing.assert_allclose(found["uadd/paper"], expected["uadd/paper"], rtol=1e-3)


@pytest.mark.parametrize("precision", ["auto", "float32", "tf32"])
def test_options_for_a_gpu_are_chosen_and_said(precision):
    """Normalisations folded, weights rounded, everything where it belongs."""
    frames = pictures(2)
    with PretendedGpu() as gpu:
        options = NetworkOptions("tiny", "tiny", "tiny", device="cuda:0", threads=1, computing=Computing(precision))
        extractor = options.build()
        settings = options.settings(extractor)
        assert torch.backends.cuda.matmul.allow_tf32 is torch.backends.cudnn.allow_tf32 is (precision != "float32")
        extractor.extract(frames, np.ones(2, bool))
        assert gpu.operations["native_batch_norm"] == 0
    chosen = "float16" if precision == "auto" else precision
    assert settings["depth"]["precision"] == chosen
    assert settings["batch"] == 16
    for kind in ("detector", "pose"):
        assert settings[kind].get("precision", "float32") == chosen


def test_half_precision_is_near_float32():
    frames = pictures(4)
    exact = tiny("cpu")
    with PretendedGpu():
        half = in_halves(tiny("cuda:0"), "float16")
        boxes = download(half.detector.boxes(upload(frames, DEVICE), 1)).wait()  # type: ignore[union-attr]
        depth = download(half.depth.estimate(upload(frames, DEVICE))).wait()  # type: ignore[union-attr]
    expected = exact.detector.boxes(torch.from_numpy(frames), 1).numpy()  # type: ignore[union-attr]
    known = exact.depth.estimate(torch.from_numpy(frames)).numpy()  # type: ignore[union-attr]
    np.testing.assert_allclose(boxes[:, :, 4], expected[:, :, 4], atol=0.02)
    assert np.abs(depth / known - 1).mean() < 2e-3


def batches(count: int, size: int, device: str) -> list[Given[int]]:
    made = []
    for n in range(count):
        frames = np.random.default_rng(n).integers(0, 255, (size, 40, 64, 3), dtype=np.uint8)
        frames[n % size, 0, 0] = 0  # shows nobody
        readable = np.arange(size) != (n + 2) % (size + 1)
        truth = {"bbox": np.tile(np.array([0, 0, 20, 20], np.float32), (size, 1))}
        made.append(Given(n, page_locked(frames, torch.device(device)), readable, truth))
    return made


def test_batches_that_overlap_are_to_the_bit_what_each_is_alone_on_a_cpu():
    """Stand-ins for the networks, whose operations are the same on both; UADD by its kernels for GPUs."""
    expected = [fake_extractor().extract(given.frames, given.readable, given.truth) for given in batches(5, 4, "cpu")]
    with PretendedGpu() as gpu:
        extractor = fake_extractor("cuda:0")
        times = StageTimes(extractor.device)
        found = list(run(extractor, batches(5, 4, "cuda:0"), ForwardLimit(), times))
        assert gpu.waits["event"] == 3 * 5
        times.settle()
    assert [note for note, _ in found] == list(range(5))
    for (_, features), reference in zip(found, expected, strict=True):
        for name, values in reference.items():
            np.testing.assert_array_equal(features[name], values, name)
    assert times.seconds["detect"] > 0
    assert times.seconds["uadd"] > 0


def test_a_batch_begins_before_the_depth_of_the_one_before_and_its_people_follow():
    """So a GPU has the depth to compute while the host learns how many people there are."""
    order: list[str] = []

    class Noted(Extractor):
        def begin(self, *given):  # type: ignore[override]
            order.append("begin")
            return super().begin(*given)

        def find_people(self, *given):  # type: ignore[override]
            order.append("people")
            super().find_people(*given)

        def describe_people(self, *given):  # type: ignore[override]
            order.append("depth")
            super().describe_people(*given)

        def end(self, *given):  # type: ignore[override]
            order.append("end")
            return super().end(*given)

    with PretendedGpu():
        fake = fake_extractor("cuda:0")
        noted = Noted(fake.detector, fake.pose, fake.depth, fake.presets, fake.device)
        list(run(noted, batches(3, 2, "cuda:0"), ForwardLimit(), StageTimes(noted.device)))
    assert " ".join(order) == ("begin people begin depth people begin depth people end depth end end")


@pytest.mark.parametrize("sizes", [(64, 48, 64, 64), (31, 57, 60, 90), (300, 200, 56, 70), (9, 9, 9, 9)])
def test_resizing_by_matrices_is_pils_to_the_bit(sizes):
    height, width, to_height, to_width = sizes
    frames = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (2, height, width, 3), dtype=np.uint8))
    with PretendedGpu() as gpu:
        resize_bicubic(upload(frames, DEVICE), (to_height, to_width))
        gpu.reset()
        found = download(resize_bicubic(upload(frames, DEVICE), (to_height, to_width))).wait()
        assert gpu.operations.total() < 30
    np.testing.assert_array_equal(found, resize_bicubic(frames, (to_height, to_width)).numpy())


def test_uadd_by_itself_takes_one_wait_for_its_joints():
    rng = np.random.default_rng(0)
    depth = torch.from_numpy(rng.uniform(1, 5, (3, 30, 40)).astype(np.float32))
    joints = torch.from_numpy(rng.uniform(0, 120, (3, 17, 2)).astype(np.float32))
    score = torch.from_numpy(rng.uniform(0, 1, (3, 17)).astype(np.float32))
    expected = compute(depth, joints, score, (160, 120))
    with PretendedGpu() as gpu:
        there = [upload(each, DEVICE) for each in (depth, joints, score)]
        compute(there[0], there[1], there[2], (160, 120))
        gpu.reset()
        found = compute(there[0], there[1], there[2], (160, 120))
        assert gpu.waits.total() - len(found) == 1  # and a copy of each preset's radii for callers that want them there
        for name, (stats, radius) in ((name, (each.stats, each.radius)) for name, each in found.items()):
            np.testing.assert_array_equal(download(stats).wait(), expected[name].stats.numpy())
            np.testing.assert_array_equal(download(radius).wait(), expected[name].radius.numpy())
