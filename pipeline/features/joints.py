"""COCO-17, or any skeleton's joints, to H36M-17 on the device: means of joints, batched."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..device.tables import kept_on_device


def to_h36m(values: Tensor, rows: Sequence[Sequence[int]]) -> Tensor:
    """`coco_to_h36m` on the device, of any skeleton's rows: (N, K, D) to (N, 17, D)."""
    *groups, order = _sources(tuple(map(tuple, rows)), device=values.device)
    return torch.cat([values[:, joints].mean(dim=2) for joints in groups], dim=1)[:, order]


@kept_on_device
def _sources(rows: tuple[tuple[int, ...], ...]) -> tuple[Tensor, ...]:
    """Of the joints that are means of 1, 2 ... others, these; and where in this order each joint stands."""
    numbers = sorted({len(sources) for sources in rows})
    groups = [[joint for joint, sources in enumerate(rows) if len(sources) == n] for n in numbers]
    order = torch.tensor([joint for group in groups for joint in group]).argsort()
    return (*(torch.tensor([rows[joint] for joint in group]) for group in groups), order)
