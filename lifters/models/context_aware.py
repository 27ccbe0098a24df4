"""Context-Aware PoseFormer's idea on stored features: tokens by joint and stream, fused in a joint, then over joints.

Zhao et al., NeurIPS 2023 (arXiv 2311.03312). The original reads whole feature maps of a 2D network at four resolutions:
deformable blocks look, from every joint, at places that they learn to choose. A store has what the maps hold at the
joints alone, of one map a stream: so these blocks, and with them what lies between the joints, are left out, and the
pose network cannot be trained along. What remains is the attention within each joint, across its coordinates and its
streams, and the attention across joints. It lifts single frames; in a longer window the joints of all frames attend to
each other, and those of the centre are lifted, which is ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .lifter import Lifter
from .transformer import Block, rising


class ContextAware(Lifter):
    """A lifter whose inputs end in learned features.

    streams       widths of these; without any it is a transformer over the joints' coordinates
    width         of a token: one of a joint's coordinates (and its other channels), one of each stream
    fusion_depth  blocks within a joint; joint_depth: across joints, whose tokens are theirs side by side
    """

    takes_streams = True

    def __init__(
        self,
        channels: int,
        window: int = 1,
        joints: int = 17,
        streams: Sequence[int] = (),
        width: int = 128,
        fusion_depth: int = 4,
        joint_depth: int = 4,
        heads: int = 8,
        mlp_ratio: float = 2.0,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        drop_path: float = 0.2,
    ):
        super().__init__(window, joints)
        tokens, rates = 1 + len(streams), (dropout, attention_dropout)
        self.streams = tuple(streams)
        self.coordinates = nn.Linear(channels - sum(streams), width)
        self.features = nn.ModuleList(nn.Linear(each, width) for each in streams)
        self.token_kind = nn.Parameter(torch.zeros(1, tokens, width))
        self.fusion = nn.Sequential(
            *[Block(width, heads, mlp_ratio, *rates, drop) for drop in rising(drop_path, fusion_depth)]
        )
        self.fusion_norm = nn.LayerNorm(width, eps=1e-6)
        self.joint_position = nn.Parameter(torch.zeros(1, 1, joints, tokens * width))
        self.frame_position = nn.Parameter(torch.zeros(1, window, 1, tokens * width))
        self.blocks = nn.Sequential(
            *[Block(tokens * width, heads, mlp_ratio, *rates, drop) for drop in rising(drop_path, joint_depth)]
        )
        self.head = nn.Sequential(nn.LayerNorm(tokens * width), nn.Linear(tokens * width, 3))
        for position in (self.token_kind, self.joint_position, self.frame_position):
            nn.init.trunc_normal_(position, std=0.02)

    @property
    def channels(self) -> int:
        return self.coordinates.in_features + sum(self.streams)

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, window, J, C), the streams last and normalised -> (B, 1, J, 3)."""
        self.check(inputs)
        base, *streams = inputs.split([self.coordinates.in_features, *self.streams], dim=-1)
        tokens = [self.coordinates(base), *(layer(each) for layer, each in zip(self.features, streams, strict=True))]
        within = torch.stack(tokens, dim=3).flatten(0, 2) + self.token_kind  # (B T J, tokens, width)
        joints = self.fusion_norm(self.fusion(within)).reshape(*inputs.shape[:3], -1)
        across = (joints + self.joint_position + self.frame_position).flatten(1, 2)
        lifted = self.blocks(across).view_as(joints)[:, self.window // 2]
        return self.head(lifted)[:, None]
