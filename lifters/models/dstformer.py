"""DSTformer, MotionBERT's backbone: attention over joints and frames in both orders at once (Zhu et al., ICCV 2023)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .lifter import Lifter
from .transformer import Block, rising


class SpatioTemporalBlock(nn.Module):
    """A block over the joints of each frame and one over the frames of each joint; (B, T, J, D) -> (B, T, J, D)."""

    def __init__(
        self, width: int, heads: int, mlp_ratio: float, drop_path: float, rates: tuple[float, float], joints_first: bool
    ):
        super().__init__()
        self.spatial = Block(width, heads, mlp_ratio, *rates, drop_path)
        self.temporal = Block(width, heads, mlp_ratio, *rates, drop_path)
        self.joints_first = joints_first

    def forward(self, features: Tensor) -> Tensor:
        for over_joints in (self.joints_first, not self.joints_first):
            features = _attend(self.spatial, features) if over_joints else _over_frames(self.temporal, features)
        return features


class DSTformer(Lifter):
    """`depth` pairs of blocks, joints first and frames first, mixed for each joint by weights made from both.

    window  the longest clip; shorter ones are taken too. All its frames are predicted
    width   of a token; `representation_width` of the layer before the head, which downstream tasks read
    """

    def __init__(
        self,
        channels: int,
        window: int = 243,
        joints: int = 17,
        width: int = 512,
        representation_width: int = 512,
        depth: int = 5,
        heads: int = 8,
        mlp_ratio: float = 2.0,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        drop_path: float = 0.0,
    ):
        super().__init__(window, joints)
        self.joint_embedding = nn.Linear(channels, width)
        self.spatial_position = nn.Parameter(torch.empty(1, 1, joints, width))
        self.temporal_position = nn.Parameter(torch.empty(1, window, 1, width))
        self.drop = nn.Dropout(dropout)
        rates = dropout, attention_dropout

        def stream(joints_first: bool) -> nn.ModuleList:
            return nn.ModuleList(
                SpatioTemporalBlock(width, heads, mlp_ratio, drop, rates, joints_first)
                for drop in rising(drop_path, depth)
            )

        self.joints_first, self.frames_first = stream(True), stream(False)
        fusion = [nn.Linear(2 * width, 2) for _ in range(depth)]
        self.fusion = nn.ModuleList(fusion)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.representation = nn.Sequential(nn.Linear(width, representation_width), nn.Tanh())
        self.head = nn.Linear(representation_width, 3)
        self.apply(_initialise)
        for position in (self.spatial_position, self.temporal_position):
            nn.init.trunc_normal_(position, std=0.02)
        # Both streams weigh the same at first.
        for layer in fusion:
            nn.init.zeros_(layer.weight)
            nn.init.constant_(layer.bias, 0.5)

    @property
    def channels(self) -> int:
        return self.joint_embedding.in_features

    @property
    def many_to_many(self) -> bool:
        return True

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, T, J, C) with T up to `window` -> (B, T, J, 3)."""
        self.check(inputs, longest=self.window)
        positions = self.spatial_position + self.temporal_position[:, : inputs.shape[1]]
        features = self.drop(self.joint_embedding(inputs) + positions)
        for joints_first, frames_first, fusion in zip(self.joints_first, self.frames_first, self.fusion, strict=True):
            streams = joints_first(features), frames_first(features)
            weights = fusion(torch.cat(streams, dim=-1)).softmax(-1)
            features = streams[0] * weights[..., :1] + streams[1] * weights[..., 1:]
        return self.head(self.representation(self.norm(features)))


def _attend(block: Block, features: Tensor) -> Tensor:
    return block(features.flatten(0, 1)).view_as(features)


def _over_frames(block: Block, features: Tensor) -> Tensor:
    return _attend(block, features.transpose(1, 2).contiguous()).transpose(1, 2)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
