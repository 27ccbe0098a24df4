"""Make a fixed number of boxes a frame of RTMDet's maps: the whole batch at once, without waiting on the host.

MMDetection decodes frame after frame, and looks at the device several times for each. Here every step has a shape that
is known beforehand, and greedy suppression stops at the boxes that are wanted. The results are MMDetection's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...stores.errors import InvalidValueError
from ..device.tables import kept_on_device

_GONE = -1.0  # below every score


@dataclass(frozen=True)
class BoxRules:
    """What makes a box count.

    score       it needs more
    overlap     one of more IoU with a better box that is kept goes
    candidates  of a level of the pyramid, the best so many are looked at
    least_side  px of the network's input, which both sides exceed; None: any box will do
    inside      boxes are cut off at the network's input
    """

    score: float
    overlap: float
    candidates: int
    least_side: float | None
    inside: bool


def rules_of(head: Any, settings: Any) -> BoxRules:
    """Return the rules that MMDetection follows for a head and its `test_cfg`; InvalidValueError for other heads."""
    coder, kinds = head.bbox_coder, dict(settings.nms)
    found = (type(coder).__name__, kinds.pop("type", "nms"), head.use_sigmoid_cls, kinds.pop("class_agnostic", False))
    threshold = float(kinds.pop("iou_threshold"))
    if found != ("DistancePointBBoxCoder", "nms", True, False) or kinds:
        raise InvalidValueError(f"this detector's boxes are not decoded as RTMDet's are: {found}, {kinds}")
    side = settings.get("min_bbox_size", -1)
    return BoxRules(
        float(settings.get("score_thr", 0)),
        threshold,
        int(settings.nms_pre),
        float(side) if side >= 0 else None,
        bool(coder.clip_border),
    )


def candidates(
    scores: Sequence[Tensor],
    distances: Sequence[Tensor],
    points: Sequence[Tensor],
    size: tuple[int, int],
    scale: tuple[float, float],
    rules: BoxRules,
) -> tuple[Tensor, Tensor]:
    """Return boxes (B, N, 4) px of the frame, x1 y1 x2 y2, and scores (B, N); what does not count scores below 0.

    scores     (B, 1, h, w)  of each level, logits of one class
    distances  (B, 4, h, w)  of each level: from its point to the left, upper, right and lower edge, px of the input
    points     (h w, 2)      of each level, px of the input
    size       (h, w)        of the input
    scale      (x, y)        from the frame to the input
    """
    kept = []
    for level, distance, point in zip(scores, distances, points, strict=True):
        score, edges = level.flatten(1).sigmoid(), distance.flatten(2).transpose(1, 2)
        score = score.where(score > rules.score, _GONE)
        if score.shape[1] > rules.candidates:
            score, at = (part[:, : rules.candidates] for part in score.sort(dim=1, descending=True, stable=True))
            edges, point = edges.gather(1, at[:, :, None].expand(-1, -1, 4)), point[at]
        else:
            point = point.expand(len(score), -1, -1)
        kept.append((score, edges, point))
    score, edges, point = (torch.cat(part, dim=1) for part in zip(*kept, strict=True))
    boxes = torch.cat([point - edges[..., :2], point + edges[..., 2:]], dim=-1)
    if rules.inside:
        boxes = torch.minimum(boxes.clamp_(min=0), _per_corner(size[1], size[0], device=boxes.device)[0])
    boxes = boxes * _per_corner(1 / scale[0], 1 / scale[1], device=boxes.device)[0]
    if rules.least_side is not None:
        sides = boxes[..., 2:] - boxes[..., :2]
        score = score.where((sides > rules.least_side).all(dim=-1), _GONE)
    return boxes, score


def best_boxes(boxes: Tensor, scores: Tensor, overlap: float, most: int) -> Tensor:
    """Suppress non-maxima greedily in every frame: (B, most, 5) boxes and scores, best first, then rows of NaN.

    boxes, scores  (B, N, 4) and (B, N), as `candidates` makes them; of equal scores the first is the best
    overlap        a box of more IoU with a better one that is kept goes
    One round a box that is wanted, whatever the boxes are.
    """
    batch, count = scores.shape
    left = scores.clone()
    corners = boxes.unbind(-1)
    area = (corners[2] - corners[0]) * (corners[3] - corners[1])
    every = torch.cat([boxes, area[..., None]], dim=-1)
    found = []
    for _ in range(min(most, count)):
        score, at = left.max(dim=1, keepdim=True)
        best = every.gather(1, at[:, :, None].expand(-1, -1, 5))
        found.append(torch.cat([best[..., :4], score[..., None]], dim=-1))
        left.masked_fill_(_overlaps(best, every) > overlap, _GONE).scatter_(1, at, _GONE)
    if len(found) < most:
        found.append(boxes.new_full((batch, most - len(found), 5), _GONE))
    chosen = torch.cat(found, dim=1)
    return chosen.where(chosen[..., 4:] > _GONE, math.nan)


def _overlaps(one: Tensor, every: Tensor) -> Tensor:
    """(B, N) intersection over union of a box a frame (B, 1, 5) with all (B, N, 5), the last column their areas."""
    low, high = torch.maximum(one[..., :2], every[..., :2]), torch.minimum(one[..., 2:4], every[..., 2:4])
    width, height = (high - low).clamp_(min=0).unbind(-1)
    shared = width * height
    return shared / (one[..., 4] + every[..., 4] - shared)


@kept_on_device
def _per_corner(x: float, y: float) -> tuple[Tensor]:
    """Of x1 y1 x2 y2."""
    return (torch.tensor([x, y, x, y], dtype=torch.float32),)
