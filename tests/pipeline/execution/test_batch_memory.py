"""batch_memory.py: a batch that does not fit goes through in parts, and the next ones at once in that size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from auglift.pipeline.device.traffic import page_locked
from auglift.pipeline.execution.batch_memory import ForwardLimit
from auglift.pipeline.execution.overlap import Given, extract, run
from auglift.pipeline.extract import Extractor, StageTimes

from ...fakes.cuda import DEVICE, PretendedGpu
from ...fakes.networks import FakeDepth, fake_extractor


class SmallDepth(FakeDepth):
    """Holds so many frames at once, as a GPU does."""

    def __init__(self, holds: int, error: Exception | None = None):
        self.holds = holds
        self.error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self.batches: list[int] = []

    def estimate(self, frames):
        self.batches.append(len(frames))
        if len(frames) > self.holds:
            raise self.error
        return super().estimate(frames)


def small_extractor(holds: int, device: str = "cpu", error: Exception | None = None) -> tuple[Extractor, SmallDepth]:
    fake, depth = fake_extractor(device), SmallDepth(holds, error)
    return Extractor(fake.detector, fake.pose, depth, fake.presets, fake.device), depth


def frames_of(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 255, (count, 24, 32, 3), dtype=np.uint8)


@given(st.integers(1, 12), st.integers(1, 12), st.booleans())
def test_parts_give_what_the_whole_gives(count, holds, boxed):
    frames, readable = frames_of(count), np.arange(count) % 5 != 3
    truth = {"bbox": np.tile(np.array([0, 0, 20, 20], np.float32), (count, 1))} if boxed else None
    times = StageTimes()
    whole = fake_extractor().extract(frames, readable, truth, times)
    extractor, depth = small_extractor(holds)
    limit = ForwardLimit()
    parts = extract(extractor, frames, readable, truth, limit, times)
    assert parts.keys() == whole.keys()
    for name in whole:
        np.testing.assert_array_equal(parts[name], whole[name])
    assert depth.batches[-1] <= holds


def test_what_was_learnt_is_remembered():
    extractor, depth = small_extractor(3)
    limit = ForwardLimit()
    for _ in range(2):
        extract(extractor, frames_of(8), np.ones(8, bool), None, limit, StageTimes())
    assert limit.frames == 2
    assert depth.batches == [8, 4, *[2] * 4, *[2] * 4]


def test_where_a_single_frame_does_not_fit_the_error_is_the_devices_own():
    extractor, depth = small_extractor(0)
    with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
        extract(extractor, frames_of(4), np.ones(4, bool), None, ForwardLimit(), StageTimes())
    assert depth.batches == [4, 2, 1]


def test_a_batch_that_fits_goes_through_whole():
    extractor, depth = small_extractor(8)
    limit = ForwardLimit()
    extract(extractor, frames_of(8), np.ones(8, bool), None, limit, StageTimes())
    assert depth.batches == [8]
    assert limit.frames is None


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
        MemoryError(),
    ],
    ids=repr,
)
def test_whoever_says_that_the_memory_is_full_and_however(error):
    extractor, depth = small_extractor(2, error=error)
    limit = ForwardLimit()
    extract(extractor, frames_of(4), np.ones(4, bool), None, limit, StageTimes())
    assert limit.frames == 2
    assert depth.batches == [4, 2, 2]


def test_another_error_is_not_taken_for_a_full_memory():
    extractor, depth = small_extractor(2, error=RuntimeError("CUDA error: an illegal memory access was encountered"))
    with pytest.raises(RuntimeError, match="illegal memory access"):
        extract(extractor, frames_of(4), np.ones(4, bool), None, ForwardLimit(), StageTimes())
    assert depth.batches == [4]


@pytest.mark.parametrize("holds", [1, 3, 5])
def test_with_several_batches_under_way_on_a_gpu_none_is_lost_doubled_or_moved(holds):
    def batches(device: torch.device) -> list[Given[int]]:
        sizes = [6, 2, 6, 5]
        return [
            Given(n, page_locked(frames_of(size), device), np.ones(size, bool), None) for n, size in enumerate(sizes)
        ]

    cpu = torch.device("cpu")
    expected = dict(run(fake_extractor(), batches(cpu), ForwardLimit(), StageTimes()))
    with PretendedGpu():
        extractor, depth = small_extractor(holds, "cuda:0")
        found = list(run(extractor, batches(DEVICE), ForwardLimit(), StageTimes(DEVICE)))
        assert max(depth.batches) > holds
    assert [n for n, _ in found] == [0, 1, 2, 3]
    for n, features in found:
        for name, values in expected[n].items():
            np.testing.assert_array_equal(features[name], values, name)
