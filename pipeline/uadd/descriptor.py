"""UADD, the Uncertainty-Aware Depth Descriptor: how deep a joint lies, and how much that could be wrong by.

About each joint lies a disk, the larger the less the joint is trusted; statistics of the depth in it describe the joint
(AugLift, section 3.2). Four presets say how large the disk is and which statistics: docs/method.md has their table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ...stores.errors import InvalidValueError
from ...stores.format.skeleton import H36M_17
from .disks import HUNDREDTHS, Disks, Queries, as_array
from .percentiles import disk_percentiles
from .presets import PRESETS, Preset, Rule
from .radii import Kind, radii

__all__ = ["PRESETS", "Preset", "Uadd", "compute", "measure", "radius"]


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
    plan = _plan((preset,))
    found, _ = radii(plan.rows, *_host(keypoints, confidence, plan))
    return torch.from_numpy(found[0]).to(keypoints.device)


def _host(keypoints: Tensor, confidence: Tensor, plan: _Plan) -> tuple[np.ndarray, np.ndarray]:
    """Both as contiguous arrays."""
    shape = keypoints.shape
    if len(shape) != 3 or shape[2] != 2 or confidence.shape != shape[:2]:
        found = f"{tuple(shape)} and {tuple(confidence.shape)}"
        raise InvalidValueError(f"UADD takes keypoints (B, J, 2) and confidence (B, J); got {found}")
    if plan.torso and shape[1] != len(H36M_17):
        raise InvalidValueError(f"a radius from the torso needs H36M-17 joints, got {shape[1]}; use another preset")
    if not keypoints.is_cpu:
        # One copy for both: each would make a GPU wait.
        both = torch.cat([keypoints, confidence[..., None]], dim=-1).cpu()
        keypoints, confidence = both[..., :2], both[..., 2]
    places, trust = (as_array(part) for part in (keypoints, confidence))
    return places, trust


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
    presets = tuple(presets)
    places, trust = _host(keypoints, confidence, _plan(presets))
    found = measure(depth, places, trust, frame_size, presets)
    return {name: Uadd(stats, torch.from_numpy(radius).to(depth.device)) for name, (stats, radius) in found.items()}


def measure(
    depth: Tensor,
    keypoints: np.ndarray,
    confidence: np.ndarray,
    frame_size: tuple[int, int],
    presets: Iterable[Preset | str] = tuple(PRESETS),
) -> dict[str, tuple[Tensor, np.ndarray]]:
    """`compute` for joints that are on the host, contiguous arrays: statistics where the depth is, radii on the host.

    Nothing waits for a GPU that the depth is on.
    """
    plan = _plan(tuple(presets))
    _check(depth, keypoints, frame_size)
    if confidence.size == 0:
        shape = confidence.shape
        return {p.name: (depth.new_zeros(*shape, len(p.stats)), np.zeros(shape, np.float32)) for p in plan.presets}
    found, centre = radii(plan.rows, keypoints, confidence)
    values = disk_percentiles(depth, Disks(centre, found), frame_size, plan.queries)
    disks = [disk for disk, _ in plan.queries.results]
    return {p.name: (stats, found[disk]) for p, stats, disk in zip(plan.presets, values, disks, strict=True)}


@dataclass(frozen=True)
class _Plan:
    """The queries for some presets, a result each; presets that share a rule share its disks.

    rows   the rules, as `radii` takes them
    torso  whether one needs the torso
    """

    presets: tuple[Preset, ...]
    rows: np.ndarray
    torso: bool
    queries: Queries


@lru_cache(maxsize=64)
def _plan(presets: tuple[Preset | str, ...]) -> _Plan:
    """InvalidValueError for names that are no preset's, and for two presets of one name."""
    chosen = tuple(_preset(preset) for preset in presets)
    names = [preset.name for preset in chosen]
    if len(set(names)) < len(names):
        raise InvalidValueError(f"UADD presets {', '.join(names)}: two have one name; give each its own")
    rules: list[Rule] = list(dict.fromkeys(preset.radius for preset in chosen))
    rows = np.array([rule.row for rule in rules])
    torso = any(rule.kind is Kind.TORSO for rule in rules)
    # In the order of first use, so that a preset alone finds its statistics in place.
    percentiles = list(dict.fromkeys(p for preset in chosen for p in _percentiles(preset))) or [50.0]
    ends = list(dict.fromkeys(p for preset in chosen if preset.positions for p in _ends(preset)))
    wanted = np.zeros((len(rules), len(percentiles)), bool)
    locate, own = np.zeros((2, len(rules)), bool)
    for preset in chosen:
        disk = rules.index(preset.radius)
        wanted[disk, [percentiles.index(p) for p in _percentiles(preset)]] = True
        locate[disk] |= preset.positions
        own[disk] |= preset.d == "pixel"
    located = np.array([percentiles.index(p) for p in ends], np.int64)
    wanted[np.ix_(locate, located)] = True  # also those wanted for the positions of another set alone
    results = []
    for preset in chosen:
        columns = [percentiles.index(p) for p in _percentiles(preset)]
        if preset.d == "pixel":
            columns = [len(percentiles) + 2 * len(ends), *columns]
        if preset.positions:
            first = [len(percentiles) + 2 * ends.index(p) for p in _ends(preset)]
            columns += [column + axis for column in first for axis in (0, 1)]
        results.append((rules.index(preset.radius), np.array(columns)))
    queries = Queries(
        max_radius=tuple(rule.max_radius for rule in rules),
        percentiles=np.array([round(p * HUNDREDTHS / 100) for p in percentiles]),
        wanted=wanted,
        located=located,
        locate=locate,
        own=own,
        results=tuple(results),
    )
    return _Plan(chosen, rows, torso, queries)


def _percentiles(preset: Preset) -> list[float]:
    return [p for p in (preset.d, *_ends(preset)) if isinstance(p, (int, float))]


def _ends(preset: Preset) -> list[float]:
    return [p for p in (preset.low, preset.high) if p is not None]


def _preset(preset: Preset | str) -> Preset:
    if isinstance(preset, Preset):
        return preset
    if preset not in PRESETS:
        raise InvalidValueError(f"no UADD preset '{preset}'; there are {', '.join(PRESETS)}")
    return PRESETS[preset]


def _check(depth: Tensor, keypoints: np.ndarray, frame_size: tuple[int, int]) -> None:
    shape = depth.shape
    if len(shape) != 3 or shape[0] != keypoints.shape[0] or 0 in shape[1:]:
        found = f"{tuple(shape)} and {tuple(keypoints.shape)}"
        raise InvalidValueError(f"UADD takes depth (B, h, w) and keypoints (B, J, 2); got {found}")
    if len(frame_size) != 2 or min(frame_size) < 1:
        raise InvalidValueError(f"UADD takes a frame size (width, height) in px, got {tuple(frame_size)}")
