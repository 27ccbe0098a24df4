"""batch_memory.py: a batch that does not fit goes through in parts, and the next ones at once in that size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from auglift.pipeline.execution.batch_memory import ForwardLimit
from auglift.pipeline.extract import Extractor, StageTimes

from ...fakes.networks import FakeDepth, fake_extractor


class SmallDepth(FakeDepth):
    """Holds so many frames at once, as a GPU does."""

    def __init__(self, holds: int):
        self.holds = holds
        self.batches: list[int] = []

    def estimate(self, frames):
        self.batches.append(len(frames))
        if len(frames) > self.holds:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().estimate(frames)


def small_extractor(holds: int) -> tuple[Extractor, SmallDepth]:
    fake, depth = fake_extractor(), SmallDepth(holds)
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
    parts = limit.extract(extractor, frames, readable, truth, times)
    assert parts.keys() == whole.keys()
    for name in whole:
        np.testing.assert_array_equal(parts[name], whole[name])
    assert depth.batches[-1] <= holds


def test_what_was_learnt_is_remembered():
    extractor, depth = small_extractor(3)
    limit = ForwardLimit()
    for _ in range(2):
        limit.extract(extractor, frames_of(8), np.ones(8, bool), None, StageTimes())
    assert limit.frames == 2
    assert depth.batches == [8, 4, *[2] * 4, *[2] * 4]


def test_where_a_single_frame_does_not_fit_the_error_is_the_devices_own():
    extractor, depth = small_extractor(0)
    with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
        ForwardLimit().extract(extractor, frames_of(4), np.ones(4, bool), None, StageTimes())
    assert depth.batches == [4, 2, 1]


def test_a_batch_that_fits_goes_through_whole():
    extractor, depth = small_extractor(8)
    limit = ForwardLimit()
    limit.extract(extractor, frames_of(8), np.ones(8, bool), None, StageTimes())
    assert depth.batches == [8]
    assert limit.frames is None
