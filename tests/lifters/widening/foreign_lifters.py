"""Lifters that know nothing of ours, with every kind of first layer. All take (B, T, 17, C) but where it is said."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class PerJoint(nn.Module):
    """Linear on each joint's channels; something else is registered before it."""

    def __init__(self, c: int = 2):
        super().__init__()
        self.head = nn.Linear(16, 3)
        self.body = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.embed = nn.Linear(c, 16)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.embed(x).flatten(0, 1))).view(*x.shape[:3], 3)


class Flattened(nn.Module):
    """Linear over window and joints, channels of a joint side by side."""

    def __init__(self, c: int = 2, t: int = 5):
        super().__init__()
        self.net = nn.Sequential(
            nn.Flatten(1), nn.Linear(t * 17 * c, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 51)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).view(-1, 1, 17, 3)


class ChannelMajor(nn.Module):
    """Conv1d over time of all x, then all y."""

    def __init__(self, c: int = 2):
        super().__init__()
        self.conv = nn.Conv1d(17 * c, 20, 3, padding=1, padding_mode="replicate")
        self.out = nn.Conv1d(20, 51, 1)

    def forward(self, x: Tensor) -> Tensor:
        signal = x.permute(0, 3, 2, 1).flatten(1, 2)
        return self.out(self.conv(signal).relu()).transpose(1, 2).reshape(*x.shape[:3], 3)


class Grouped(nn.Module):
    """Conv1d over time, one group a joint."""

    def __init__(self, c: int = 2):
        super().__init__()
        self.conv = nn.Conv1d(17 * c, 17 * 4, 3, padding=1, groups=17, bias=False)
        self.out = nn.Conv1d(17 * 4, 51, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.conv(x.flatten(2).transpose(1, 2)).relu()).transpose(1, 2).reshape(*x.shape[:3], 3)


class Graph(nn.Module):
    """Conv2d over (B, C, T, J), as graph networks have it, and a mask beside it."""

    def __init__(self, c: int = 2):
        super().__init__()
        self.adjacency = nn.Parameter(torch.rand(17, 17))
        self.conv = nn.Conv2d(c, 12, (3, 1), padding=(1, 0))
        self.out = nn.Conv2d(12, 3, 1)

    def forward(self, x: Tensor, scale: float) -> dict[str, Any]:
        return {"pose": [self.out((self.conv(x) @ self.adjacency).relu() * scale)], "scale": scale}


class Fussy(nn.Module):
    """Centres its input first, counts its channels, and names its input."""

    def __init__(self, c: int = 2):
        super().__init__()
        self.in_features = c
        self.joints = nn.ModuleDict({"flat": nn.Linear(17 * c, 30)})
        self.out = nn.Linear(30, 51)

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[-1] == self.in_features, "in_features"
        x = (x - x.mean(2, keepdim=True)).reshape(*x.shape[:2], 17 * self.in_features)
        return self.out(self.joints["flat"](input=x).relu()).view(*x.shape[:2], 17, 3)


class TwoStreams(nn.Module):
    def __init__(self, c: int = 2):
        super().__init__()
        self.near, self.far, self.out = nn.Linear(c, 8), nn.Linear(c, 8), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.cat([self.near(x), self.far(x)], -1).relu())


def sequential(c: int = 2) -> nn.Sequential:
    """A first layer as wide as the next, so that shapes cannot tell them apart."""
    return nn.Sequential(nn.Flatten(2), nn.Linear(17 * c, 34), nn.ReLU(), nn.Linear(34, 34), nn.Linear(34, 51))


FOREIGN = {
    "per joint": (PerJoint, (4, 5, 17, 2), (), {}),
    "flattened": (Flattened, (4, 5, 17, 2), (), {}),
    "channel-major": (ChannelMajor, (4, 5, 17, 2), (), {}),
    "grouped": (Grouped, (4, 5, 17, 2), (), {}),
    "graph": (Graph, (4, 2, 5, 17), (1.5,), {"channel_axis": 1}),
    "fussy": (Fussy, (4, 5, 17, 2), (), {"attributes": ["in_features"]}),
    "sequential": (sequential, (4, 5, 17, 2), (), {}),
    "both streams": (TwoStreams, (4, 5, 17, 2), (), {"layer": ["near", "far"]}),
}
