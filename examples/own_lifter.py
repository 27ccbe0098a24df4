"""A lifter of one's own: attention over the joints of each frame, then over the frames of each joint, as MixSTE has it.

    auglift-train h36m.zarr --lifter examples/own_lifter.py:JointsThenFrames --inputs uadd --out runs/own

It imports nothing of auglift. docs/own-lifter.md says what it must keep to; own_lifter.toml has its settings.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class JointsThenFrames(nn.Module):
    """(B, T, J, C) -> (B, T, J, 3): a pose for every frame of the window, metres from the pelvis."""

    def __init__(
        self,
        channels: int,
        window: int,
        joints: int = 17,
        width: int = 256,
        depth: int = 6,
        heads: int = 8,
        dropout: float = 0.0,
        velocity: float = 2.0,
    ):
        super().__init__()
        self.velocity = velocity
        self.embedding = nn.Linear(channels, width)
        self.joint_position = nn.Parameter(0.02 * torch.randn(1, 1, joints, width))
        self.frame_position = nn.Parameter(0.02 * torch.randn(1, window, 1, width))
        self.over_joints = nn.ModuleList(attention(width, heads, dropout) for _ in range(depth))
        self.over_frames = nn.ModuleList(attention(width, heads, dropout) for _ in range(depth))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 3))

    def forward(self, inputs: Tensor) -> Tensor:
        b, t, j, _ = inputs.shape
        features = self.embedding(inputs) + self.joint_position + self.frame_position
        for over_joints, over_frames in zip(self.over_joints, self.over_frames, strict=True):
            features = over_joints(features.flatten(0, 1)).view(b, t, j, -1)
            features = features.transpose(1, 2)
            features = over_frames(features.flatten(0, 1)).view(b, j, t, -1).transpose(1, 2)
        return self.head(features)

    def loss(self, predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Mean distance of the joints that count, and of their steps from frame to frame."""
        distance = (predicted - target).norm(dim=-1)
        steps = (predicted.diff(dim=1) - target.diff(dim=1)).norm(dim=-1)
        both = mask[:, 1:] & mask[:, :-1]
        return mean(distance, mask) + self.velocity * mean(steps, both)


def attention(width: int, heads: int, dropout: float) -> nn.Module:
    return nn.TransformerEncoderLayer(
        width, heads, 2 * width, dropout, activation="gelu", batch_first=True, norm_first=True
    )


def mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum().clamp(min=1)
