"""SimpleBaseline: a residual MLP over one frame's joints (Martinez et al., ICCV 2017)."""

from __future__ import annotations

from torch import Tensor, nn

from .lifter import Lifter


class ResidualBlock(nn.Module):
    """Twice Linear, BatchNorm, ReLU, Dropout, added to what came in."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        layers = [(nn.Linear(width, width), *_after(width, dropout)) for _ in range(2)]
        self.layers = nn.Sequential(*layers[0], *layers[1])

    def forward(self, features: Tensor) -> Tensor:
        return features + self.layers(features)


class SimpleBaseline(Lifter):
    """The paper has one frame; a longer window is flattened into the first layer, frame by frame.

    The paper also holds the norm of every layer's weights below 1. The research codes that train it here do without,
    and so do we.
    """

    def __init__(
        self,
        channels: int,
        window: int = 1,
        joints: int = 17,
        width: int = 1024,
        blocks: int = 2,
        dropout: float = 0.5,
    ):
        super().__init__(window, joints)
        self.expand = nn.Linear(window * joints * channels, width)
        self.norm = nn.Sequential(*_after(width, dropout))
        self.blocks = nn.Sequential(*[ResidualBlock(width, dropout) for _ in range(blocks)])
        self.head = nn.Linear(width, 3 * joints)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight)
                nn.init.zeros_(module.bias)

    @property
    def channels(self) -> int:
        return self.expand.in_features // (self.window * self.joints)

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, window, J, C) -> (B, 1, J, 3)."""
        self.check(inputs)
        features = self.blocks(self.norm(self.expand(inputs.flatten(1))))
        return self.head(features).view(-1, 1, self.joints, 3)


def _after(width: int, dropout: float) -> tuple[nn.Module, ...]:
    return nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout)
