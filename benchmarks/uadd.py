"""How much faster is exact UADD than drawing random points, and what does it cost beside the depth network?

The other way is that of the research code: upsample the depth map to the frame, then in a Python loop over the 17
joints draw about 100 points in the square about each, reject those outside the disk, and let NumPy compute their
statistics. Some 78 points are left of a disk that has up to 2,821 pixels; here all of them count. Frames are
1000 x 1000, maps 518 x 518, radii 3 to 30 px. The whole of `compute` is timed, from keypoints to descriptors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from auglift.pipeline.networks.depth import DepthAnything, build_depth
from auglift.pipeline.uadd.descriptor import PRESETS, compute, radius

from .harness import Row, compare, main, peak_memory

FRAME, MAP, JOINTS, DRAWS = 1000, 518, 17, 100
TORSO = 94  # px; the radius of `quantile` and `spatial` then runs from 3.75 to 30 with confidence, `paper`'s from 3


def scene(frames: int, device: str = "cpu") -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Depth, keypoints and confidence of so many frames."""
    rng = np.random.default_rng(0)
    depth = torch.from_numpy(rng.uniform(1, 8, (frames, MAP, MAP)).astype(np.float32))
    keypoints = rng.uniform(50, FRAME - 50 - TORSO, (frames, JOINTS, 2)).astype(np.float32)
    keypoints[:, 8] = keypoints[:, 0] + (0, TORSO)
    confidence = torch.from_numpy(rng.uniform(0, 1, (frames, JOINTS)).astype(np.float32))
    return depth.to(device), torch.from_numpy(keypoints).to(device), confidence.to(device)


# The research code's way ---------------------------------------------------------------------------------------------


def upsampled(depth: torch.Tensor) -> np.ndarray:
    """One map at the frame's size."""
    size = (FRAME, FRAME)
    return torch.nn.functional.interpolate(depth[None, None], size=size, mode="bilinear", align_corners=True)[
        0, 0
    ].numpy()


def draw(full: np.ndarray, x: float, y: float, r: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depth at random points of a disk, and where they are."""
    offsets = np.random.uniform(-r, r, (DRAWS, 2))  # noqa: NPY002, as the research code does
    offsets = offsets[(offsets**2).sum(axis=1) <= r * r]
    u, v = (x + offsets[:, 0]).astype(int), (y + offsets[:, 1]).astype(int)
    inside = (u >= 0) & (u < full.shape[1]) & (v >= 0) & (v < full.shape[0])
    return full[v[inside], u[inside]], u[inside], v[inside]


def describe(preset: str, full: np.ndarray, x: float, y: float, r: float) -> tuple[float, ...]:
    """One joint."""
    depth, u, v = draw(full, x, y, r)
    if preset == "fixed":
        return (depth.min(),)
    if preset == "paper":
        return np.median(depth), depth.min(), depth.max()
    low, high = np.percentile(depth, 10), np.percentile(depth, 90)
    if preset == "quantile":
        return full[int(y), int(x)], low, high
    ends = [np.argmin(np.abs(depth - value)) for value in (low, high)]
    return np.median(depth), low, high, *(part[end] for end in ends for part in (u, v))


def research(preset: str, full: np.ndarray, keypoints: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """One frame."""
    joints = zip(keypoints, radii, strict=True)
    return np.array([describe(preset, full, x, y, r) for (x, y), r in joints], dtype=np.float32)


# The comparison ------------------------------------------------------------------------------------------------------


def against_research(frames: int, presets: tuple[str, ...], seconds: float) -> list[Row]:
    depth, keypoints, confidence = scene(frames)
    places = keypoints.numpy()
    radii = {name: radius(PRESETS[name], keypoints, confidence).numpy() for name in presets}
    # The loop treats one frame after the other whatever the batch: some frames are enough to know its time for each.
    some = min(frames, 8)
    ready = [upsampled(depth[frame]) for frame in range(some)]

    def kernel() -> None:
        compute(depth, keypoints, confidence, (FRAME, FRAME), presets)

    def loop(upsample: bool) -> None:
        for frame in range(some):
            full = upsampled(depth[frame]) if upsample else ready[frame]
            for name in presets:
                research(name, full, places[frame], radii[name][frame])

    label = presets[0] if len(presets) == 1 else "all presets"
    rows = []
    for upsample in (True, False):
        timing = compare(kernel, lambda upsample=upsample: loop(upsample), seconds)
        ratio = timing.ratio * frames / some
        ours, theirs = timing.ours / frames * 1e3, timing.theirs / some * 1e3
        text = f"research code's way{'' if upsample else ', upsampling not counted'}: {theirs:.3g} ms"
        rows.append(Row(f"{label}, batch {frames}", ours, "ms a frame", text, ratio, ">= 30" if upsample else None))
    return rows


@torch.inference_mode()
def against_depth(device: str, batches: tuple[int, ...], seconds: float, least: int) -> list[Row]:
    # Random weights take as long as trained ones.
    network = build_depth("depth-anything-v2-small", "random", device)
    assert isinstance(network, DepthAnything)
    wait: Callable[[], Any] = torch.cuda.synchronize if device == "cuda" else lambda: None
    rows = []
    for frames in batches:
        depth, keypoints, confidence = scene(frames, device)
        image = torch.zeros(frames, 3, MAP, MAP, device=device)
        ours = lambda: compute(depth, keypoints, confidence, (FRAME, FRAME))  # noqa: B023, E731
        theirs = lambda: network.forward(image)  # noqa: B023, E731
        timing = compare(ours, theirs, seconds, least, wait)
        text = f"forward of Depth Anything V2 small, {device}: {timing.theirs / frames * 1e3:.3g} ms"
        ours_ms = timing.ours / frames * 1e3
        rows.append(
            Row(f"all presets, batch {frames}, {device}", ours_ms, "ms a frame", text, 1 / timing.ratio, "< 0.02")
        )
    return rows


def prepare(frames: int) -> Callable[[], Any]:
    depth, keypoints, confidence = scene(frames)
    compute(depth[:1], keypoints[:1], confidence[:1], (FRAME, FRAME))  # imports and tables are not the kernel's memory
    return lambda: compute(depth, keypoints, confidence, (FRAME, FRAME))


def prepare_research(frames: int) -> Callable[[], Any]:
    depth = scene(frames)[0]
    size = (FRAME, FRAME)
    return lambda: torch.nn.functional.interpolate(depth[:, None], size=size, mode="bilinear", align_corners=True)


def memory(frames: int) -> Row:
    ours, theirs = peak_memory(prepare, frames), peak_memory(prepare_research, frames)
    text = f"the batch's maps upsampled at once: {theirs / 2**20:,.0f} MiB"
    return Row(f"peak memory beside the input, all presets, batch {frames}", ours / 2**20, "MiB", text, ours / theirs)


def rows(quick: bool) -> list[Row]:
    seconds = 0.7 if quick else 8
    found = []
    for frames in (1, 64):
        for presets in (("paper",), ("spatial",), tuple(PRESETS)):
            found += against_research(frames, presets, seconds)
    found += against_depth("cpu", (1,), seconds, least=2 if quick else 5)
    if torch.cuda.is_available():
        found += against_depth("cuda", (1, 16, 64), seconds, least=20)
    return [*found, memory(64)]


if __name__ == "__main__":
    main(rows, __doc__)
