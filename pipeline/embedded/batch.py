"""A training batch: tensors by name, and how pictures become one."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

Batch = dict[str, Tensor]


def stack(images: list[np.ndarray]) -> Tensor:
    """Stack arrays of equal shape into one tensor (B, ...)."""
    return torch.from_numpy(np.stack(images))
