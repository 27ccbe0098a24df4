"""Measures of boxes, joints, confidence and depth, as plain functions of arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

HEAD = 0.2  # metres: the head of PCKh; a constant, so that it does not shrink when a head is seen from above


def average_precision(
    found: Sequence[np.ndarray], people: Sequence[np.ndarray], wanted: Sequence[np.ndarray], threshold: float = 0.5
) -> float:
    """Return the average precision at one IoU, over all frames, at COCO's 101 points of recall.

    found   of each frame, (n, 5): x1, y1, x2, y2, score
    people  of each frame, (P, 4) true boxes; NaN where there is no person
    wanted  of each frame, (P,) bool: who should be found. A box on another person is neither right nor wrong.
    """
    verdicts: list[tuple[float, bool]] = []
    for boxes, truth, required in zip(found, people, wanted, strict=True):
        free = np.asarray(np.isfinite(truth).all(1))
        overlap = _iou(boxes[:, :4], np.nan_to_num(truth))
        for row in np.argsort(-boxes[:, 4], kind="stable"):
            for group in (free & required, free & ~required):
                candidates = np.where(group, overlap[row], 0)
                best = int(candidates.argmax()) if len(candidates) else 0
                if len(candidates) and candidates[best] >= threshold:
                    free[best] = False
                    if required[best]:
                        verdicts.append((float(boxes[row, 4]), True))
                    break
            else:
                verdicts.append((float(boxes[row, 4]), False))
    total = sum(
        int((np.isfinite(truth).all(1) & required).sum()) for truth, required in zip(people, wanted, strict=True)
    )
    if not total or not verdicts:
        return 0.0
    right = np.array([ok for _, ok in sorted(verdicts, key=lambda verdict: -verdict[0])])
    recall = right.cumsum() / total
    precision = np.maximum.accumulate((right.cumsum() / np.arange(1, len(right) + 1))[::-1])[::-1]
    at = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(np.where(at < len(precision), precision[np.minimum(at, len(precision) - 1)], 0).mean())


def _iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the IoU (n, m) of boxes (n, 4) and (m, 4)."""
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    shared = sides.clip(0).prod(-1)
    area = [(x[:, 2:] - x[:, :2]).clip(0).prod(-1) for x in (a, b)]
    return shared / np.maximum(area[0][:, None] + area[1][None] - shared, 1e-9)


def pixels_a_metre(xy: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Return (B,) pixels a metre at the root's distance. xy (B, J, 2) px; joints (B, J, 3) m, camera frame."""
    rays = joints[..., :2] / joints[..., 2:]
    rays, xy = rays - rays.mean(1, keepdims=True), xy - xy.mean(1, keepdims=True)
    focal = np.abs(rays * xy).sum((1, 2)) / np.square(rays).sum((1, 2))
    return focal / joints[:, 0, 2]


def pck(xy: np.ndarray, truth: np.ndarray, counted: np.ndarray, head: np.ndarray, share: float = 0.5) -> float:
    """Return the share of `counted` (B, J) joints, xy (B, J, 2), within `share` of a head (B,) px of the truth."""
    near = np.linalg.norm(xy - truth, axis=-1) <= share * head[:, None]  # NaN: not near
    return float(near[counted].mean())


def auc(score: np.ndarray, positive: np.ndarray) -> float:
    """Return the probability that a positive scores above a negative; ties count half. score, positive (N,)."""
    if positive.all() or not positive.any():
        return float("nan")
    rank, count = rankdata(score), int(positive.sum())
    return float((rank[positive].sum() - count * (count + 1) / 2) / (count * (len(score) - count)))


def sample(depth: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Return depth (B, H, W) at the pixels of points (B, J, 2), as (B, J); outside, at the nearest pixel."""
    height, width = depth.shape[1:]
    x = np.clip(np.floor(xy[..., 0]), 0, width - 1).astype(int)
    y = np.clip(np.floor(xy[..., 1]), 0, height - 1).astype(int)
    return depth[np.arange(len(depth))[:, None], y, x]
