"""Parts that the transformers share: drop path, self-attention, the block of the two."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from ...stores.errors import InvalidValueError


class DropPath(nn.Module):
    """In training, leaves out a residual branch for a share of samples and scales the rest up (Huang et al. 2016)."""

    def __init__(self, rate: float = 0.0):
        super().__init__()
        if not 0 <= rate < 1:
            raise InvalidValueError(f"drop path {rate}: must be 0 or more and below 1")
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        if self.rate == 0 or not self.training:
            return branch
        kept = branch.new_empty(branch.shape[0], *[1] * (branch.ndim - 1)).bernoulli_(1 - self.rate)
        return branch * kept / (1 - self.rate)


class Attention(nn.Module):
    """Multi-head self-attention over the tokens of (B, N, D)."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0, attention_dropout: float = 0.0):
        super().__init__()
        if width % heads:
            raise InvalidValueError(f"width {width} does not divide into {heads} heads")
        self.heads = heads
        self.attention_dropout = attention_dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        b, n, d = tokens.shape
        q, k, v = self.qkv(tokens).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        rate = self.attention_dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(q, k, v, dropout_p=rate)
        return self.drop(self.proj(mixed.transpose(1, 2).reshape(b, n, d)))


class Mlp(nn.Sequential):
    """Two layers with GELU between, `ratio` times as wide inside."""

    def __init__(self, width: int, ratio: float, dropout: float = 0.0):
        hidden = round(width * ratio)
        super().__init__(
            nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width), nn.Dropout(dropout)
        )


class Block(nn.Module):
    """Attention, then MLP, each after a LayerNorm and added to what came in; (B, N, D) -> (B, N, D)."""

    def __init__(
        self,
        width: int,
        heads: int,
        mlp_ratio: float,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        drop_path: float = 0.0,
    ):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads, dropout, attention_dropout)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, mlp_ratio, dropout)
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.drop_path(self.attn(self.norm1(tokens)))
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))


def rising(rate: float, depth: int) -> list[float]:
    """Return the drop-path rates of a stack: 0 at the first block, `rate` at the last."""
    return [rate * block / max(depth - 1, 1) for block in range(depth)]
