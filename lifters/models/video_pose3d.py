"""VideoPose3D: a temporal convolutional network over 2D joints (Pavllo et al., CVPR 2019)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from ...stores.errors import InvalidValueError
from .lifter import Lifter


class TemporalBlock(nn.Module):
    """A convolution over time and one over channels, added to the frame that is predicted."""

    def __init__(self, width: int, kernel: int, dilation: int, dropout: float, causal: bool, dilated: bool):
        super().__init__()
        self.conv = _over_time(width, width, kernel, dilation, dilated)
        self.norm = nn.BatchNorm1d(width)
        self.mix = nn.Conv1d(width, width, 1, bias=False)
        self.mix_norm = nn.BatchNorm1d(width)
        self.drop = nn.Dropout(dropout)
        self.kept = kernel - 1 if causal else kernel // 2
        self.dilated = dilated

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, T), T shrinking by the kernel: to T / kernel strided, to T - dilation (kernel - 1) dilated."""
        values = self.drop(functional.relu(self.norm(self.conv(features))))
        values = self.drop(functional.relu(self.mix_norm(self.mix(values))))
        if self.dilated:
            residual = features.narrow(2, self.kept * self.conv.dilation[0], values.shape[2])
        else:
            residual = features[:, :, self.kept :: self.conv.stride[0]]
        return residual + values


class VideoPose3D(Lifter):
    """Two forms with the same weights, interchangeable through their state dicts.

    The training form takes single windows and strides through them, so that only the centre is computed.
    The dilated form predicts every frame of sequences of any length, their ends replicated; `for_sequences` makes it.

    kernels  over time, odd; their product is the window. Empty: the window's prime factors, so (3, 3, 3) for 27
    causal   predict the last frame of the window instead of its centre
    """

    def __init__(
        self,
        channels: int,
        window: int = 243,
        joints: int = 17,
        width: int = 1024,
        kernels: Sequence[int] = (),
        dropout: float = 0.25,
        causal: bool = False,
        dilated: bool = False,
    ):
        super().__init__(window, joints)
        kernels = tuple(kernels) or _factors(window)
        if math.prod(kernels) != window or any(kernel % 2 == 0 for kernel in kernels):
            raise InvalidValueError(
                f"kernels {kernels}: must be odd, with the window of {window} frames as their product"
            )
        self.options = {"width": width, "kernels": kernels, "dropout": dropout, "causal": causal}
        self.dilated = dilated
        # In the dilated form the first layer sees neighbouring frames, and every later one what the layers before span.
        self.expand = _over_time(joints * channels, width, kernels[0], 1, dilated)
        self.norm = nn.BatchNorm1d(width)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.Sequential(
            *[
                TemporalBlock(width, kernel, math.prod(kernels[: i + 1]), dropout, causal, dilated)
                for i, kernel in enumerate(kernels[1:])
            ]
        )
        self.shrink = nn.Conv1d(width, 3 * joints, 1)

    @property
    def channels(self) -> int:
        return self.expand.in_channels // self.joints

    @property
    def many_to_many(self) -> bool:
        return self.dilated

    def forward(self, inputs: Tensor) -> Tensor:
        """Training form: (B, window, J, C) -> (B, 1, J, 3). Dilated form: (B, T, J, C) -> (B, T, J, 3) for any T."""
        self.check(inputs, longest=math.inf if self.dilated else None)
        b, t = inputs.shape[:2]
        signal = inputs.flatten(2).transpose(1, 2)
        if self.dilated:
            before = self.window - 1 if self.options["causal"] else self.window // 2
            signal = functional.pad(signal, (before, self.window - 1 - before), mode="replicate")
        features = self.drop(functional.relu(self.norm(self.expand(signal))))
        poses = self.shrink(self.blocks(features))
        return poses.transpose(1, 2).reshape(b, t if self.dilated else 1, self.joints, 3)

    def for_sequences(self) -> VideoPose3D:
        """The dilated form of this model, with the very same weights in memory, in evaluation mode."""
        model = VideoPose3D(self.channels, self.window, self.joints, **self.options, dilated=True)
        model.load_state_dict(self.state_dict(), assign=True)
        return model.eval()


def _over_time(inputs: int, outputs: int, kernel: int, dilation: int, dilated: bool) -> nn.Conv1d:
    stride, dilation = (1, dilation) if dilated else (kernel, 1)
    return nn.Conv1d(inputs, outputs, kernel, stride=stride, dilation=dilation, bias=False)


def _factors(window: int) -> tuple[int, ...]:
    """Prime factors of an odd number in rising order; three layers of one frame for 1, as the paper's ablation has."""
    factors, rest, factor = [], window, 3
    while rest > 1:
        while rest % factor == 0:
            factors.append(factor)
            rest //= factor
        factor += 2
    return tuple(factors) or (1, 1, 1)
