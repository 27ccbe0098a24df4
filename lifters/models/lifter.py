"""What every lifter here is: joints of a window in, root-relative 3D joints out."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ...stores.errors import InvalidValueError
from ..losses import Loss


class Lifter(nn.Module):
    """`lifter(inputs)`: (B, T, J, C) as `Inputs` gives them -> (B, T_out, J, 3), metres, root-relative, camera frame.

    T_out is T where `many_to_many`, and otherwise 1: the window's centre (the last frame of a causal model).
    """

    def __init__(self, window: int, joints: int):
        super().__init__()
        if window < 1 or window % 2 == 0:
            raise InvalidValueError(f"a window of {window} frames has no centre: take an odd number, 1 or more")
        self.window = window
        self.joints = joints

    @property
    def channels(self) -> int:
        """Return the channels a joint, read off the first layer, so that they are right when that is widened."""
        raise NotImplementedError

    @property
    def receptive_field(self) -> int:
        """Return the number of frames that one prediction depends on."""
        return self.window

    @property
    def many_to_many(self) -> bool:
        """Return whether every frame is predicted, or the centre alone."""
        return False

    @property
    def losses(self) -> Mapping[str, Loss]:
        """Losses of its own by name, that [loss] may hold beside those of `losses.LOSSES`."""
        return {}

    def check(self, inputs: Tensor, longest: float | None = None) -> None:
        """Raise InvalidValueError where inputs are not (B, window, J, C); with `longest`, T may be from 1 to that."""
        fits = inputs.ndim == 4 and inputs.shape[2:] == (self.joints, self.channels)
        shortest = 1 if longest else self.window
        longest = longest or self.window
        if not fits or not shortest <= inputs.shape[1] <= longest:
            frames = f"{shortest}" if shortest == longest else f"{shortest} to {longest}"
            raise InvalidValueError(
                f"inputs of shape {tuple(inputs.shape)}: this {type(self).__name__} takes (B, T, {self.joints}, "
                f"{self.channels}) with T = {frames}"
            )
