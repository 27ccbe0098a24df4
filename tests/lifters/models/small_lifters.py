"""Lifters of few parameters, and weights for them that no initialisation makes special."""

from __future__ import annotations

from typing import Any

import torch

from auglift.lifters.models import build

SMALL = {
    "simple_baseline": {"width": 32},
    "video_pose3d": {"width": 32},
    "poseformer": {"joint_width": 8, "heads": 4},
    "dstformer": {"width": 16, "representation_width": 24, "depth": 2, "heads": 4},
    "dstformer_lite": {"width": 8, "depth": 2, "heads": 4},
    "context_aware": {"width": 16, "fusion_depth": 2, "joint_depth": 2, "heads": 4},
}


def small(name: str, channels: int = 6, window: int = 9, **overrides) -> Any:
    torch.manual_seed(0)
    return build(name, channels, window, **{**SMALL[name], **overrides})


def shuffle_weights(model: Any) -> Any:
    """Weights and running statistics that no initialisation makes special."""
    generator = torch.Generator().manual_seed(1)
    for values in (*model.parameters(), *model.buffers()):
        if values.is_floating_point():
            values.data = torch.rand(values.shape, generator=generator) * 0.4 + (0.1 if values.ndim == 1 else -0.2)
    return model
