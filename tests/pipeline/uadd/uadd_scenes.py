"""Depth maps and keypoints for UADD: arbitrary ones, and people of ordinary size."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st

from auglift.pipeline.uadd.descriptor import PRESETS, Uadd, compute

from .uadd_oracle import JOINTS


@st.composite
def scenes(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, int]]:
    """depth (B, h, w), keypoints (B, J, 2), confidence (B, J), frame size: small, and whatever can go wrong."""
    size = (draw(st.integers(1, 26)), draw(st.integers(1, 26)))
    batch = draw(st.integers(1, 2))
    shape = (batch, draw(st.integers(1, 16)), draw(st.integers(1, 16)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    depth = rng.uniform(0.2, 20, shape).astype(np.float32)
    holes = draw(st.sampled_from([0.0, 0.0, 0.1, 0.6, 1.0]))
    if holes:
        lost = rng.random(shape) < holes
        depth[lost] = rng.choice([np.nan, np.inf, -np.inf], lost.sum()).astype(np.float32)
    # About the frame, beside it, and far away; half of them on whole or half pixels, where rims are hit exactly.
    spread = draw(st.sampled_from([0.0, 10.0, 60.0]))
    keypoints = rng.uniform(-spread, np.asarray(size) + spread, (batch, JOINTS, 2))
    if draw(st.booleans()):
        keypoints = np.round(keypoints * 2) / 2
    keypoints = keypoints.astype(np.float32)
    confidence = rng.uniform(-0.3, 1.3, (batch, JOINTS)).astype(np.float32)
    if draw(st.booleans()):
        confidence = np.round(confidence)
    if draw(st.booleans()):
        keypoints[rng.random(keypoints.shape) < 0.1] = np.nan
        confidence[rng.random(confidence.shape) < 0.1] = np.nan
        keypoints[0, 3] = rng.choice([1e30, np.inf, -1e9])
    return depth, keypoints, confidence, size


def run(depth, keypoints, confidence, size, presets=tuple(PRESETS)) -> dict[str, Uadd]:
    return compute(torch.tensor(depth), torch.tensor(keypoints), torch.tensor(confidence), size, presets)


def people(frames: int, seed: int = 0, size: tuple[int, int] = (1000, 1000), cells: tuple[int, int] = (120, 140)):
    rng = np.random.default_rng(seed)
    depth = rng.uniform(1, 8, (frames, *cells)).astype(np.float32)
    keypoints = rng.uniform(-5, np.asarray(size) + 5, (frames, JOINTS, 2)).astype(np.float32)
    return depth, keypoints, rng.uniform(0, 1.1, (frames, JOINTS)).astype(np.float32), size


def same_bits(left: dict[str, Uadd], right: dict[str, Uadd]) -> bool:
    return left.keys() == right.keys() and all(
        a.numpy().tobytes() == b.numpy().tobytes()
        for name in left
        for a, b in ((left[name].stats, right[name].stats), (left[name].radius, right[name].radius))
    )
