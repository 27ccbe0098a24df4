"""Make any `nn.Module` of the user's a `Lifter`: built, tried on made-up numbers, the shape of its output checked."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...stores.errors import InvalidValueError
from ..losses import Loss
from ..models import Lifter
from ..widening.first_layer import evaluating
from .own_lifter import OWN_LOSS, OwnLifter
from .user_code import one_line, place_of

JOINTS = 17


class Adapted(Lifter):
    """The user's module with what a training needs to know of it. Weights are saved under the module's own names.

    name   as messages show it
    """

    def __init__(self, module: nn.Module, name: str, channels: int, window: int, joints: int, many_to_many: bool):
        super().__init__(window, joints)
        self.module, self.name = module, name
        self._channels, self._many_to_many = channels, many_to_many
        self.options = {"causal": bool(getattr(module, "causal", False))}

    @property
    def channels(self) -> int:
        return self._channels

    @property
    def many_to_many(self) -> bool:
        return self._many_to_many

    @property
    def losses(self) -> Mapping[str, Loss]:
        return {OWN_LOSS: self._loss} if callable(getattr(self.module, "loss", None)) else {}

    def _loss(self, predicted: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        value: Any = self.module.loss(predicted, target, mask)  # type: ignore[operator]
        if not isinstance(value, Tensor) or value.ndim:
            raise InvalidValueError(
                f"the loss of {self.name} is {_shape(value)}: it must be one number, such as a mean"
            )
        return value

    def forward(self, inputs: Tensor) -> Tensor:
        self.check(inputs)
        output = self.module(inputs)
        frames = self.window if self.many_to_many else 1
        if not isinstance(output, Tensor) or output.shape != (len(inputs), frames, self.joints, 3):
            raise InvalidValueError(
                f"{self.name} returns {_shape(output)} for a batch of {len(inputs)}, and ({len(inputs)}, {frames}, "
                f"{self.joints}, 3) it must be: the shape may not depend on the size of the batch (as squeeze does)"
            )
        return output

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return self.module.state_dict(*args, **kwargs)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        return self.module.load_state_dict(state_dict, strict=strict, assign=assign)


def adapt(
    own: OwnLifter,
    channels: int,
    window: int,
    settings: Mapping[str, Any],
    device: torch.device | str = "cpu",
    joints: int = JOINTS,
) -> Adapted:
    """Make the class, on the device, and try it on two windows of random numbers.

    settings   of its [model]
    Raises what `OwnLifter.load` does, and InvalidValueError in one line, with the line of the user's file where it is
    known: it cannot be made, does not run, or returns another shape, NaN, or other frames than it declares.
    """
    cls, folder = own.load(), Path(own.file).parent
    given = {"channels": channels, "window": window, **({"joints": joints} if own.takes_joints else {})}
    parameters = inspect.signature(cls).parameters
    defaults = {key: parameters[key].default for key in settings if key in parameters}
    try:
        module = cls(**given, **{key: _as_given(value, defaults.get(key)) for key, value in settings.items()})
        module = module.to(device)
    except Exception as error:
        called = ", ".join(f"{key}={value!r}" for key, value in {**given, **settings}.items())
        raise InvalidValueError(
            f"{own.name} cannot be made as {own.path}({called}): {one_line(error)}{place_of(error, folder)}"
        ) from error
    generator = torch.Generator().manual_seed(0)
    inputs = (2 * torch.rand(2, window, joints, channels, generator=generator) - 1).to(device)
    devices = [inputs.device] if inputs.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices), evaluating(module), torch.no_grad():
            output = module(inputs)
    except Exception as error:
        raise InvalidValueError(
            f"{own.name} does not run on inputs {tuple(inputs.shape)}, (B, T, J, C): {one_line(error)}"
            f"{place_of(error, folder)}"
        ) from error
    return Adapted(module, own.name, channels, window, joints, _is_many_to_many(own.name, module, inputs, output))


def _is_many_to_many(name: str, module: nn.Module, inputs: Tensor, output: Any) -> bool:
    """Whether the module returns every frame. InvalidValueError where its output is no pose."""
    batch, window, joints, _ = inputs.shape
    declared = getattr(module, "many_to_many", None)
    fitting = [frames for frames in (window, 1) if declared is None or frames == (window if declared else 1)]
    wanted = " or ".join(f"({batch}, {frames}, {joints}, 3)" for frames in dict.fromkeys(fitting))
    if not isinstance(output, Tensor) or tuple(output.shape) not in [(batch, n, joints, 3) for n in fitting]:
        because = "" if declared is None else f", because its many_to_many is {bool(declared)}"
        raise InvalidValueError(
            f"{name} returns {_shape(output)} for inputs {tuple(inputs.shape)}: it must be {wanted}, every frame of "
            f"the window or its centre alone{because}"
        )
    if not output.is_floating_point():
        raise InvalidValueError(f"{name} returns numbers of {output.dtype}: they must be floating-point metres")
    if not output.isfinite().all():
        share = 1 - output.isfinite().float().mean().item()
        raise InvalidValueError(
            f"{name} returns NaN or infinity ({share:.0%} of its numbers) for inputs from -1 to 1, untrained: look at "
            "its initialisation, divisions and square roots"
        )
    return output.shape[1] == window > 1 if declared is None else bool(declared)


def _shape(output: Any) -> str:
    if isinstance(output, Tensor):
        return f"a tensor {tuple(output.shape)}"
    return f"a {type(output).__name__}" if output is not None else "nothing"


def _as_given(value: Any, default: Any) -> Any:
    """A list of a settings file as what the class has there itself, a list where nothing says."""
    if isinstance(value, tuple):
        return value if isinstance(default, tuple) else [_as_given(item, None) for item in value]
    return value
