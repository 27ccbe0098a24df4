"""Widen the first layer of any lifter, ours or not, for more channels a joint; its outputs stay what they were.

Trained columns are kept, the columns of new channels start at zero. Which layer comes first, and in which order joints
and channels come to it, is seen by running the model on an example; without one it is guessed from shapes, and where
that is not certain the error lists the candidates, of which the user names one.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...stores.errors import InvalidValueError
from .first_layer import LAYERS, LAYOUTS, guessed, inputs_of, named, only, run, seen


@dataclass(frozen=True)
class Widening:
    """What was widened: first layers by name with the layout of their inputs, and channels a joint before and after.

    kept  where the old channels lie among the new ones
    """

    layers: Mapping[str, str]
    old: int
    new: int
    kept: tuple[int, ...]

    def widen_weight(self, weight: Tensor, layout: str) -> Tensor:
        """Widen (out, n * old, ...) to (out, n * new, ...), zero where a channel is new."""
        out, inputs, *rest = weight.shape
        n = inputs // self.old
        axis = 2 if layout == "joint-major" else 1
        apart = weight.view(out, n, self.old, *rest) if axis == 2 else weight.view(out, self.old, n, *rest)
        shape = [*apart.shape]
        shape[axis] = self.new
        wide = weight.new_zeros(shape).index_copy_(axis, torch.tensor(self.kept, device=weight.device), apart)
        return wide.reshape(out, n * self.new, *rest)

    def widen_state_dict(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Widen a checkpoint of the narrow model. InvalidValueError where it has not these layers."""
        wide = dict(state)
        for name, layout in self.layers.items():
            key = _key(name)
            if key not in state:
                near = difflib.get_close_matches(key, state, 3, 0.3)
                raise InvalidValueError(f"the state dict has no '{key}'; nearest are {', '.join(near) or 'none'}")
            if state[key].ndim < 2 or state[key].shape[1] % self.old:
                raise InvalidValueError(
                    f"'{key}' is {tuple(state[key].shape)}: its inputs are no multiple of {self.old} channels"
                )
            wide[key] = self.widen_weight(state[key].detach(), layout)
        return wide


def widen(
    model: nn.Module,
    channels: int,
    *,
    example: Tensor | tuple[Any, ...] | None = None,
    layer: str | Sequence[str] | None = None,
    old_channels: int | None = None,
    joints: int = 17,
    layout: str = "joint-major",
    channel_axis: int = -1,
    kept: Sequence[int] | None = None,
    attributes: Sequence[str] = (),
) -> Widening:
    """Make a trained model take `channels` a joint, in place. Do it before an optimiser is given its parameters.

    example       arguments the narrow model runs on, the joints first, with their channels on `channel_axis`. Then the
                  first layer and its layout are seen, and that outputs are unchanged is checked
    layer         name of the first layer, or names where several see the input; None: find it
    old_channels  channels a joint so far; None: from the example, the model's own `channels`, or shapes
    joints        a frame, for guessing from shapes
    layout        where it is not seen: see `LAYOUTS`
    kept          where each old channel lies among the new ones; None: they come first, as `xy` does in `uadd`
    attributes    whole numbers of the model that count channels, such as "in_features", to be put right
    Raises InvalidValueError, the model being as it was: no layer found, several candidates, a layer whose groups no
    channel can join, or outputs that would change. BatchNorm over the joints before the first layer is not widened.
    """
    layers = {name: module for name, module in model.named_modules() if isinstance(module, LAYERS)}
    if example is not None:
        arguments = example if isinstance(example, tuple) else (example,)
        old = arguments[0].shape[channel_axis]
        if old_channels not in (None, old):
            raise InvalidValueError(f"the example has {old} channels a joint, not old_channels = {old_channels}")
        found = seen(model, layers, arguments, channel_axis)
    else:
        arguments = None
        inputs = {name: inputs_of(module) for name, module in layers.items()}
        own = getattr(model, "channels", None)
        known = own if old_channels is None and isinstance(own, int) else old_channels
        found, old = guessed(inputs, known, joints, layer)
    names = named(layer, layers) if layer is not None else only(found, layers)
    for name in names:
        _check_layer(name, layers[name], old, model)
    _check_layout(layout)
    other = LAYOUTS[layout == LAYOUTS[0]]
    # Where no layout was seen (values were transformed on their way) the one given comes first.
    tries = [layout] if arguments is None or all(found.get(name) for name in names) else [layout, other]
    for attempt, guess in enumerate(tries):
        widening = Widening({n: found.get(n) or guess for n in names}, old, channels, _kept(kept, old, channels))
        try:
            _apply(model, widening, arguments, channel_axis, attributes)
        except InvalidValueError:
            if attempt == len(tries) - 1:
                raise
        else:
            return widening
    raise AssertionError("unreachable")


def widen_state_dict(
    state: Mapping[str, Tensor],
    channels: int,
    *,
    layer: str | Sequence[str] | None = None,
    old_channels: int | None = None,
    joints: int = 17,
    layout: str = "joint-major",
    kept: Sequence[int] | None = None,
) -> dict[str, Tensor]:
    """Widen a checkpoint's state dict to `channels` a joint; the rest as for `widen` without an example.

    Where the model is at hand, `widen(model, ..., example=...).widen_state_dict(state)` guesses nothing.
    """
    _check_layout(layout)
    weights = {k.removesuffix("weight").removesuffix("."): v for k, v in state.items() if _is_weight(k, v)}
    inputs = {name: weight.shape[1] for name, weight in weights.items()}
    found, old = guessed(inputs, old_channels, joints, layer)
    names = named(layer, weights) if layer is not None else only(found, weights)
    return Widening(dict.fromkeys(names, layout), old, channels, _kept(kept, old, channels)).widen_state_dict(state)


def _check_layer(name: str, layer: nn.Module, old: int, model: nn.Module) -> None:
    weight = layer._parameters.get("weight")
    inputs, groups = inputs_of(layer), getattr(layer, "groups", 1)
    if weight is None:
        raise InvalidValueError(f"'{name}' computes its weight (weight norm, spectral norm): remove that first")
    if sum(p is weight for module in model.modules() for p in module._parameters.values()) > 1:
        raise InvalidValueError(f"'{name}' shares its weight with another layer, which would keep the old one")
    if inputs % old:
        raise InvalidValueError(f"'{name}' has {inputs} inputs, no multiple of {old} channels a joint")
    if groups > 1 and (inputs // old) % groups:
        raise InvalidValueError(
            f"'{name}' is a convolution in {groups} groups that part a joint's {old} channels: no new one can join them"
        )


def _check_layout(layout: str) -> None:
    if layout not in LAYOUTS:
        raise InvalidValueError(f"no layout '{layout}'; there are {', '.join(LAYOUTS)}")


def _kept(kept: Sequence[int] | None, old: int, new: int) -> tuple[int, ...]:
    if new < old:
        raise InvalidValueError(f"the model takes {old} channels a joint: it cannot be widened to {new}")
    kept = tuple(range(old)) if kept is None else tuple(kept)
    if len(kept) != old or len({*kept}) != old or not all(0 <= k < new for k in kept):
        raise InvalidValueError(
            f"kept = {kept}: must be {old} different places from 0 to {new - 1}, one an old channel"
        )
    return kept


def _apply(
    model: nn.Module,
    widening: Widening,
    arguments: tuple[Any, ...] | None,
    channel_axis: int,
    attributes: Sequence[str],
) -> None:
    """Widen in place; where there is an example, check that outputs are the same, and undo it all if not."""
    undo: list[tuple[nn.Module, str, Any]] = []

    def put(module: nn.Module, name: str, value: Any) -> None:
        undo.append((module, name, getattr(module, name)))
        setattr(module, name, value)

    try:
        before = run(model, arguments) if arguments is not None else []
        for name, layout in widening.layers.items():
            layer = model.get_submodule(name)
            if getattr(layer, "groups", 1) > 1 and layout == LAYOUTS[1]:
                raise InvalidValueError(f"'{name}' is a convolution in groups over channels: new ones cannot join them")
            weight = layer.get_parameter("weight")
            size = "in_features" if isinstance(layer, nn.Linear) else "in_channels"
            put(layer, "weight", nn.Parameter(widening.widen_weight(weight.detach(), layout), weight.requires_grad))
            put(layer, size, inputs_of(layer) // widening.old * widening.new)
        for path in attributes:
            owner, _, name = path.rpartition(".")
            module = model.get_submodule(owner)
            value = getattr(module, name, None)
            if not isinstance(value, int) or value % widening.old:
                raise InvalidValueError(f"attribute '{path}' is {value!r}: no multiple of {widening.old} channels")
            put(module, name, value // widening.old * widening.new)
        if arguments is not None:
            _check_answers(model, widening, arguments, channel_axis, before)
    except BaseException:
        for module, name, value in reversed(undo):
            setattr(module, name, value)
        raise


def _check_answers(
    model: nn.Module, widening: Widening, arguments: tuple[Any, ...], channel_axis: int, before: list[Tensor]
) -> None:
    narrow = arguments[0]
    shape = list(narrow.shape)
    shape[channel_axis] = widening.new
    wide = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(narrow)
    wide.index_copy_(channel_axis % narrow.ndim, torch.tensor(widening.kept, device=narrow.device), narrow)
    names = ", ".join(f"'{name}'" for name in widening.layers)
    try:
        after = run(model, (wide, *arguments[1:]))
    except Exception as error:
        counts = [
            f"'{f'{path}.{name}'.lstrip('.')}'"
            for path, module in model.named_modules()
            for name, value in vars(module).items()
            if isinstance(value, int) and value > 1 and value == widening.old and not isinstance(module, LAYERS)
        ]
        hint = f"; if it counts channels, name it in `attributes`: {', '.join(counts)}" if counts else ""
        raise InvalidValueError(
            f"with {names} widened, the model does not run on {widening.new} channels "
            f"({type(error).__name__}: {error}){hint}"
        ) from error
    for a, b in zip(before, after, strict=True):
        if a.shape != b.shape or not torch.allclose(a, b, rtol=1e-3, atol=1e-4 * float(a.abs().max()), equal_nan=True):
            raise InvalidValueError(
                f"with {names} widened, outputs change: the model uses channels elsewhere, or in another order"
            )


def _is_weight(key: str, value: Any) -> bool:
    return key.rpartition(".")[2] == "weight" and isinstance(value, Tensor) and value.ndim in (2, 3, 4)


def _key(name: str) -> str:
    return f"{name}.weight" if name else "weight"
