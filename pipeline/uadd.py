"""UADD, the Uncertainty-Aware Depth Descriptor: how deep a joint lies, and how much that could be wrong by.

About each joint lies a disk, the larger the less the joint is trusted; statistics of the depth in it describe the joint
(AugLift, section 3.2). Four presets say how large the disk is and which statistics: docs/method.md has their table.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..stores.errors import InvalidValueError
from .disks import Disks, disk_percentiles
from .presets import PRESETS, Preset

# A joint's own pixel: a disk that holds its centre alone.
OWN_PIXEL = 0.25

__all__ = ["PRESETS", "Preset", "Uadd", "compute", "radius"]


@dataclass(frozen=True)
class Uadd:
    """One preset's descriptor.

    stats   (B, J, S)  float32, as `Preset.stats` names them: metres, positions px; NaN where there is no depth
    radius  (B, J)     float32, px
    """

    stats: Tensor
    radius: Tensor


def radius(preset: Preset, keypoints: Tensor, confidence: Tensor) -> Tensor:
    """The disk's radius (B, J), float32 px of the frame, on the device of the keypoints.

    keypoints   (B, J, 2)  px of the frame
    confidence  (B, J)     clipped to [0, 1]
    NaN where a keypoint or its confidence is not finite, and where the rule needs a joint that is not.
    """
    found = _radius(preset, *_host(keypoints, confidence))
    return torch.from_numpy(found).to(keypoints.device)


def _host(keypoints: Tensor, confidence: Tensor) -> tuple[np.ndarray, np.ndarray]:
    if keypoints.ndim != 3 or keypoints.shape[2] != 2 or confidence.shape != keypoints.shape[:2]:
        found = f"{tuple(keypoints.shape)} and {tuple(confidence.shape)}"
        raise InvalidValueError(f"UADD takes keypoints (B, J, 2) and confidence (B, J); got {found}")
    # One copy for both: each would make a GPU wait.
    both = torch.cat([keypoints, confidence[..., None]], dim=-1).detach().to("cpu", torch.float64).numpy()
    return both[..., :2], both[..., 2]


def _radius(preset: Preset, keypoints: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """In float64 on the host and rounded once: the same whatever the device and the batch."""
    known = np.isfinite(keypoints).all(axis=-1) & np.isfinite(confidence)
    with np.errstate(invalid="ignore", over="ignore"):
        found = preset.radius(keypoints, np.minimum(np.maximum(confidence, 0), 1))
    return np.where(known & ~np.isnan(found), found, math.nan).astype(np.float32)


@torch.no_grad()
def compute(
    depth: Tensor,
    keypoints: Tensor,
    confidence: Tensor,
    frame_size: tuple[int, int],
    presets: Iterable[Preset | str] = tuple(PRESETS),
) -> dict[str, Uadd]:
    """The descriptors of every joint, by name of the preset.

    depth       (B, h, w)  metres, at the depth network's own resolution; not finite where there is no depth
    keypoints   (B, J, 2)  px of the original frame; integer coordinates are the centre of a pixel
    confidence  (B, J)     of the detector; 1 for ground truth
    frame_size  (W, H)     px of the original frame
    A disk holds the frame's pixels (u, v) with (u - x)^2 + (v - y)^2 <= r^2; depth there is what bilinear upsampling to
    the frame with align_corners=True would give. Percentiles are linear between order statistics. A joint whose disk
    misses the frame, or holds no depth, or whose radius is NaN, has NaN statistics. The joint's own pixel is (x, y)
    truncated and clipped into the frame; where that one has no depth, neither has the joint. Positions: first in
    row-major order where several pixels are equally near. The result of a frame does not depend, by a single bit, on
    the batch it is in nor on the number of threads. Memory is bounded: docs/method.md.
    Raises InvalidValueError for shapes, a frame size or a preset that cannot be.
    """
    chosen = [_preset(preset) for preset in presets]
    _check(depth, keypoints, frame_size, chosen)
    places, trust = _host(keypoints, confidence)
    batch, joints = trust.shape
    if batch * joints == 0:
        return {
            p.name: Uadd(depth.new_zeros(batch, joints, len(p.stats)), depth.new_zeros(batch, joints)) for p in chosen
        }

    # One set of disks for each rule: presets that share a rule share its disks. The own pixel is a disk of one.
    radii: dict[object, np.ndarray] = {p.radius: _radius(p, places, trust) for p in chosen}
    located = {p.radius for p in chosen if p.positions}
    frame, centre = np.repeat(np.arange(batch), joints), places.reshape(-1, 2)
    sets = [(centre, found.ravel(), rule in located) for rule, found in radii.items()]
    if any(p.d == "pixel" for p in chosen):
        pixel = np.minimum(np.maximum(np.nan_to_num(centre, posinf=0, neginf=0), 0), np.asarray(frame_size) - 1)
        sets.append((np.trunc(pixel), np.full(batch * joints, OWN_PIXEL), False))
    disks = Disks(
        frame=np.tile(frame, len(sets)),
        centre=np.concatenate([about for about, _, _ in sets]),
        radius=np.concatenate([found for _, found, _ in sets]).astype(np.float64),
        locate=np.repeat([locate for _, _, locate in sets], batch * joints),
    )
    wanted = {p for preset in chosen for p in (preset.d, preset.low, preset.high) if isinstance(p, (int, float))}
    percentiles = sorted(wanted or {50.0})
    ends = sorted({p for preset in chosen if preset.positions for p in (preset.low, preset.high) if p is not None})
    values, positions = disk_percentiles(depth, disks, frame_size, percentiles, ends)
    values = values.view(len(sets), batch, joints, len(percentiles))
    positions = positions.view(len(sets), batch, joints, 2 * len(ends))

    out = {}
    for preset in chosen:
        disk = list(radii).index(preset.radius)
        told, bounds = values[disk], [p for p in (preset.low, preset.high) if p is not None]
        columns = [percentiles.index(p) for p in bounds]
        if preset.d == "pixel":
            # NaN where the disk holds no depth, and where the pixel has none.
            told = torch.cat([told, values[-1, ..., :1] + told[..., :1] * 0], dim=-1)
            columns = [len(percentiles), *columns]
        else:
            columns = [percentiles.index(preset.d), *columns]
        if preset.positions:
            columns += [told.shape[-1] + 2 * ends.index(p) + axis for p in bounds for axis in (0, 1)]
            told = torch.cat([told, positions[disk]], dim=-1)
        # NaN comes with several bit patterns, that depend on how it came about; a store has one.
        stats = told[..., columns].nan_to_num_(math.nan, math.inf, -math.inf)
        out[preset.name] = Uadd(stats, torch.from_numpy(radii[preset.radius]).to(depth.device))
    return out


def _preset(preset: Preset | str) -> Preset:
    if isinstance(preset, Preset):
        return preset
    if preset not in PRESETS:
        raise InvalidValueError(f"no UADD preset '{preset}'; there are {', '.join(PRESETS)}")
    return PRESETS[preset]


def _check(depth: Tensor, keypoints: Tensor, frame_size: tuple[int, int], presets: list[Preset]) -> None:
    names = [preset.name for preset in presets]
    if len(set(names)) < len(names):
        raise InvalidValueError(f"UADD presets {', '.join(names)}: two have one name; give each its own")
    if depth.ndim != 3 or len(depth) != len(keypoints) or 0 in depth.shape[1:]:
        raise InvalidValueError(
            f"UADD takes depth (B, h, w) and keypoints (B, J, 2); got {tuple(depth.shape)} and {tuple(keypoints.shape)}"
        )
    if len(frame_size) != 2 or min(frame_size) < 1:
        raise InvalidValueError(f"UADD takes a frame size (width, height) in px, got {tuple(frame_size)}")
