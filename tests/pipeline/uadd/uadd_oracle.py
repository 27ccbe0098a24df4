"""UADD by brute force: NumPy float64, the whole map upsampled, a loop over every pixel."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import assume

JOINTS = 17
PELVIS, THORAX = 0, 8


def upsample(depth: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w) to (H, W) float64: corners on corners. A pixel has no depth where a cell it needs has none."""

    def cells(pixel: int, length: int, count: int) -> list[tuple[int, float]]:
        place = pixel * (count - 1) / (length - 1) if length > 1 else 0.0
        below = math.floor(place)
        parts = [(below, 1 - (place - below)), (below + 1, place - below)]
        return [(cell, weight) for cell, weight in parts if weight > 0]

    width, height = size
    columns = [cells(u, width, depth.shape[1]) for u in range(width)]
    out = np.empty((height, width))
    for v in range(height):
        rows = cells(v, height, depth.shape[0])
        for u in range(width):
            out[v, u] = sum(wr * wc * float(depth[r, c]) for r, wr in rows for c, wc in columns[u])
    return out


def percentile(ordered: list[float], p: float) -> float:
    place = p * (len(ordered) - 1) / 100
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return low + (high - low) * (place - math.floor(place))


def oracle_radius(name: str, xy: np.ndarray, c: np.ndarray, joint: int) -> float:
    if not (np.isfinite(xy[joint]).all() and np.isfinite(c[joint])):
        return math.nan
    trust = min(max(float(c[joint]), 0.0), 1.0)
    if name == "fixed":
        return 3.0
    if name == "paper":
        return 3 + (1 - trust) * 27
    torso = math.dist(xy[THORAX].tolist(), xy[PELVIS].tolist())
    found = 0.04 * torso * (1 + 3 * (1 - trust)) ** 1.5
    return math.nan if math.isnan(found) else min(max(found, 3.0), 30.0)


def oracle_disk(full: np.ndarray, xy: np.ndarray, r: float) -> list[tuple[float, int, int]]:
    """(depth, u, v) of the pixels in a disk that have a depth, in row-major order."""
    found = []
    x, y = float(xy[0]), float(xy[1])
    for v in range(full.shape[0]):
        for u in range(full.shape[1]):
            away = (u - x) ** 2 + (v - y) ** 2
            if away != r * r and abs(away - r * r) < 1e-9 * (1 + r * r):
                assume(False)  # too close to the rim to say
            if away <= r * r and math.isfinite(full[v, u]):
                found.append((float(full[v, u]), u, v))
    return found


def check_joint(name: str, full: np.ndarray, xy: np.ndarray, r: float, got: np.ndarray) -> None:
    disk = oracle_disk(full, xy, r) if math.isfinite(r) else []
    if not disk:
        assert np.isnan(got).all(), (name, xy, r, got)
        return
    ordered = sorted(z for z, _, _ in disk)
    if name == "fixed":
        wanted = [ordered[0]]
    elif name == "paper":
        wanted = [percentile(ordered, 50), ordered[0], ordered[-1]]
    else:
        height, width = full.shape
        u = min(max(int(xy[0]), 0), width - 1)
        v = min(max(int(xy[1]), 0), height - 1)
        own = full[v, u] if math.isfinite(full[v, u]) else math.nan
        d = own if name == "quantile" else percentile(ordered, 50)
        wanted = [d, percentile(ordered, 10), percentile(ordered, 90)]
    np.testing.assert_allclose(got[: len(wanted)], wanted, rtol=1e-5, atol=1e-7, err_msg=f"{name} {xy} {r}")
    if name == "spatial":
        where = {(u, v): z for z, u, v in disk}
        for place, target in ((got[3:5], wanted[1]), (got[5:7], wanted[2])):
            found = where[int(place[0]), int(place[1])]
            nearest = min(abs(z - target) for z in ordered)
            assert abs(found - target) <= nearest + 1e-5 * abs(target) + 1e-7
