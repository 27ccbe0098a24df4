"""Learned features in front of any lifter: each stream normalised, embedded by a Linear of its own, and joined.

AugLiftV2: 16 numbers a joint of each stream stand beside the base channels, and the lifter learns from both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..losses import Loss
from .lifter import Lifter

EMBEDDED = 16


class Normalised(nn.Module):
    """Puts each channel's 1st and 99th percentile of the training set at -1 and 1, and clips what lies beyond.

    A channel that does not vary, and what is not known (NaN), is 0. The percentiles are buffers: a checkpoint has them.
    """

    def __init__(self, width: int):
        super().__init__()
        self.low: Tensor
        self.high: Tensor
        self.register_buffer("low", torch.full((width,), -1.0))
        self.register_buffer("high", torch.ones(width))

    def set(self, low: Tensor, high: Tensor) -> None:
        """Take the percentiles of a training set, (width,) each."""
        self.low.copy_(low)
        self.high.copy_(high)

    def forward(self, features: Tensor) -> Tensor:
        """(..., width) as stored -> (..., width) in [-1, 1]."""
        span = self.high - self.low
        scale = torch.where(span > 0, 2 / span, 0.0)
        return ((features - self.low) * scale - 1.0 * (span > 0)).nan_to_num(0.0).clamp(-1, 1)


class Streamed(Lifter):
    """A lifter whose inputs end in learned features: (B, T, J, base + the streams' widths), as `Inputs` gives them.

    lifter   takes the base channels and, of each stream, `EMBEDDED` numbers; a lifter that has `takes_streams` gets the
             normalised streams themselves
    widths   of the streams, by their names, in order
    """

    def __init__(self, lifter: Lifter, widths: Mapping[str, int]):
        super().__init__(lifter.window, lifter.joints)
        self.lifter = lifter
        self.widths = dict(widths)
        self.normalised = nn.ModuleDict({stream: Normalised(width) for stream, width in widths.items()})
        whole = getattr(lifter, "takes_streams", False)
        embedded = {} if whole else {stream: nn.Linear(width, EMBEDDED) for stream, width in widths.items()}
        self.embedding = nn.ModuleDict(embedded)
        self.options = getattr(lifter, "options", {})
        self.fitted: set[str] = set()  # streams whose percentiles are those of a training set

    @property
    def base(self) -> int:
        """Return the channels before the streams."""
        each = EMBEDDED * len(self.widths) if self.embedding else sum(self.widths.values())
        return self.lifter.channels - each

    @property
    def channels(self) -> int:
        return self.base + sum(self.widths.values())

    @property
    def receptive_field(self) -> int:
        return self.lifter.receptive_field

    @property
    def many_to_many(self) -> bool:
        return self.lifter.many_to_many

    @property
    def losses(self) -> Mapping[str, Loss]:
        return self.lifter.losses

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, T, J, channels) -> what the lifter returns."""
        if self.lifter.many_to_many:
            self.check(inputs, longest=max(self.window, inputs.shape[1] if inputs.ndim == 4 else 0))
        else:
            self.check(inputs)
        base, *streams = inputs.split([self.base, *self.widths.values()], dim=-1)
        parts = [base]
        for name, features in zip(self.widths, streams, strict=True):
            features = self.normalised[name](features)
            parts.append(self.embedding[name](features) if self.embedding else features)
        return self.lifter(torch.cat([part.to(parts[-1].dtype) for part in parts], dim=-1))

    def fit(self, stream: str, low: Tensor, high: Tensor) -> None:
        """Normalise a stream by these percentiles of a training set."""
        module: Any = self.normalised[stream]
        module.set(low, high)
        self.fitted.add(stream)

    def take_streams(self, other: Streamed) -> None:
        """Begin with another model's streams, as far as both have them: percentiles and embeddings."""
        for stream in self.widths.keys() & other.widths.keys():
            self.normalised[stream].load_state_dict(other.normalised[stream].state_dict())
            if self.embedding and other.embedding:
                self.embedding[stream].load_state_dict(other.embedding[stream].state_dict())
            self.fitted.add(stream)

    # A user's own lifter saves its weights under its module's names: so parts are asked, not the tree of modules.

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return {f"{part}.{key}": value for part, of in self._parts() for key, value in of.state_dict().items()}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        parts: dict[str, dict[str, Any]] = {part: {} for part, _ in self._parts()}
        for key, value in state_dict.items():
            part, _, name = key.partition(".")
            if part not in parts:
                raise RuntimeError(f"Error(s) in loading state_dict:\n\tUnexpected key '{key}' of no part of it")
            parts[part][name] = value
        for part, of in self._parts():
            of.load_state_dict(parts[part], strict=strict, assign=assign)

    def _parts(self) -> list[tuple[str, nn.Module]]:
        return [("lifter", self.lifter), ("normalised", self.normalised), ("embedding", self.embedding)]


# Lifters that make tokens of the streams themselves.
WHOLE = ("context_aware",)


def channels_behind(lifter: str, base: Sequence[str], widths: Mapping[str, int]) -> list[str]:
    """Return the names of the channels that the lifter itself takes: the base channels, and what streams become."""
    each = {stream: width if lifter in WHOLE else EMBEDDED for stream, width in widths.items()}
    return [*base, *(f"{stream}:{number}" for stream, count in each.items() for number in range(count))]
