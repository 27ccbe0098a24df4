"""Choose which of the people in a frame is stored (method.md, section 1), for a batch at once."""

from __future__ import annotations

import torch
from torch import Tensor

from .detect import overlap

NOBODY = float("-inf")


def choose_people(boxes: Tensor, merit: Tensor, truth: Tensor | None = None) -> Tensor:
    """Return (B,) int64: the chosen one of each frame's people, a function of that frame alone; 0 where there are none.

    boxes  (B, K, 4)  px, best detection first: of equals the first is taken
    merit  (B, K)     the mean keypoint score; `NOBODY` where no person is
    truth  (B, 4)     px, the true boxes, NaN where unknown. Where it is known, the person whose box has the highest IoU
                      with it is taken, even if that is 0.
    """
    if truth is not None:
        known = truth.isfinite().all(dim=1, keepdim=True)
        shared = overlap(boxes, truth[:, None].to(boxes))
        merit = torch.where(known & (merit > NOBODY), shared, merit)
    return merit.argmax(dim=1)
