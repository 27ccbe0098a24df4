"""PoseFormer: attention over the joints of each frame, then over the frames (Zheng et al., ICCV 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .lifter import Lifter
from .transformer import Block, rising


class PoseFormer(Lifter):
    """A spatial transformer whose tokens are joints, a temporal one whose tokens are frames, a learned mean of frames.

    joint_width  of a joint's token; a frame's token is its joints' side by side, J times as wide
    """

    def __init__(
        self,
        channels: int,
        window: int = 81,
        joints: int = 17,
        joint_width: int = 32,
        spatial_depth: int = 4,
        temporal_depth: int = 4,
        heads: int = 8,
        mlp_ratio: float = 2.0,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        drop_path: float = 0.1,
    ):
        super().__init__(window, joints)
        width = joints * joint_width
        rates = dropout, attention_dropout
        self.joint_embedding = nn.Linear(channels, joint_width)
        self.spatial_position = nn.Parameter(torch.zeros(1, joints, joint_width))
        self.spatial_blocks = nn.Sequential(
            *[Block(joint_width, heads, mlp_ratio, *rates, drop) for drop in rising(drop_path, spatial_depth)]
        )
        self.spatial_norm = nn.LayerNorm(joint_width, eps=1e-6)
        self.temporal_position = nn.Parameter(torch.zeros(1, window, width))
        self.temporal_blocks = nn.Sequential(
            *[Block(width, heads, mlp_ratio, *rates, drop) for drop in rising(drop_path, temporal_depth)]
        )
        self.temporal_norm = nn.LayerNorm(width, eps=1e-6)
        self.drop = nn.Dropout(dropout)
        self.weighted_mean = nn.Conv1d(window, 1, 1)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 3 * joints))

    @property
    def channels(self) -> int:
        return self.joint_embedding.in_features

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, window, J, C) -> (B, 1, J, 3)."""
        self.check(inputs)
        b, t = inputs.shape[:2]
        joints = self.drop(self.joint_embedding(inputs).flatten(0, 1) + self.spatial_position)
        joints = self.spatial_norm(self.spatial_blocks(joints))
        frames = self.drop(joints.reshape(b, t, -1) + self.temporal_position)
        frames = self.temporal_norm(self.temporal_blocks(frames))
        return self.head(self.weighted_mean(frames)).view(b, 1, self.joints, 3)
