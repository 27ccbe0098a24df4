"""pipeline/frames/resize.py against PIL itself: not a bit of difference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from auglift.pipeline.frames.resize import resize_bicubic


def by_pil(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC))


def by_us(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    out = resize_bicubic(torch.from_numpy(frames), (height, width))
    assert out.dtype == torch.uint8
    assert out.is_contiguous()
    return out.permute(0, 2, 3, 1).numpy()


def noise(seed: int, height: int, width: int, *, hard: bool = False) -> np.ndarray:
    """(height, width, 3) grey levels; `hard`: black and white alone, where the kernel overshoots most."""
    frame = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.where(frame > 127, 255, 0).astype(np.uint8) if hard else frame


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 99), st.integers(1, 90), st.integers(1, 90), st.integers(1, 200), st.integers(1, 200), st.booleans()
)
def test_it_is_pils_resize_bit_for_bit(seed, height, width, new_height, new_width, hard):
    frame = noise(seed, height, width, hard=hard)
    ours = by_us(frame[None], new_height, new_width)[0]
    assert (ours == by_pil(frame, new_height, new_width)).all()


@pytest.mark.parametrize(
    ("frame", "size"),
    [((1080, 1920), (518, 924)), ((1, 1), (518, 518)), ((1, 900), (14, 518)), ((518, 518), (518, 518))],
)
def test_the_sizes_a_depth_network_asks_for(frame, size):
    picture = noise(7, *frame)
    assert (by_us(picture[None], *size)[0] == by_pil(picture, *size)).all()


def test_a_batch_is_its_frames_one_by_one():
    frames = np.stack([noise(seed, 40, 60) for seed in range(3)])
    assert (by_us(frames, 21, 33) == np.stack([by_pil(frame, 21, 33) for frame in frames])).all()
