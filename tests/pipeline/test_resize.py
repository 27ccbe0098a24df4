"""pipeline/resize.py against PIL itself: not a bit of difference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from auglift.pipeline.resize import resize_bicubic


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 99), st.integers(1, 100), st.integers(1, 100), st.floats(0.1, 4), st.floats(0.8, 1.25), st.booleans()
)
def test_it_is_pils_resize_bit_for_bit(seed, height, width, scale, stretch, hard):
    frame = noise(seed, height, width, hard=hard)
    size = max(1, round(scale * height)), max(1, round(scale * stretch * width))
    # One axis scaled 1.4 times as much as the other (a few pixels, rounded) is where PIL may change the order of axes.
    if not 1 / 1.4 < (size[0] / height) / (size[1] / width) < 1.4:
        return
    assert (by_us(frame[None], *size)[0] == by_pil(frame, *size)).all()


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
