"""Find the layer of a lifter that sees the joints first, and the order in which their channels come to it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ...stores.errors import InvalidValueError

# Where joints are flattened into a layer's inputs: all channels of a joint side by side, or all joints of a channel.
LAYOUTS = ("joint-major", "channel-major")

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d)

# Six channels a joint could as well be three frames of two, or features inside the network: no guess goes beyond this.
MOST_CHANNELS = 5


def seen(
    model: nn.Module, layers: Mapping[str, nn.Module], arguments: tuple[Any, ...], channel_axis: int
) -> dict[str, str | None]:
    """Find the layers that receive the example's own values, rearranged, with the layout they come in.

    The example is replaced by values that are all different, so that each number a layer is handed tells which joint
    and channel it was. Where no layer is handed such, the values were transformed on their way: then it is the layer
    that ran first, its layout unknown.
    """
    given = arguments[0]
    count = given.numel()
    values = (torch.randperm(count, generator=torch.Generator().manual_seed(0)) + 1).to(given.device) / count
    probe = values.to(given.dtype).view(given.shape)
    ordered, order = probe.flatten().sort()
    if count > 1 and not (ordered.diff() > 0).all():
        raise InvalidValueError(
            f"an example of {count} values in {given.dtype} is too large to tell them apart: make it smaller"
        )
    after = given.shape[channel_axis % given.ndim + 1 :].numel()
    old = given.shape[channel_axis]
    found: dict[str, str | None] = {}
    ran: list[str] = []

    def look(name: str, module: nn.Module, received: Tensor) -> None:
        if name in ran:
            return
        ran.append(name)
        axis = received.ndim - {nn.Linear: 1, nn.Conv1d: 2, nn.Conv2d: 3}[_kind(module)]
        rows = received.detach().movedim(axis, -1).reshape(-1, received.shape[axis]).to(probe.dtype)
        place = torch.searchsorted(ordered, rows.contiguous()).clamp(max=count - 1)
        whole = (ordered[place] == rows).all(-1)
        channel = order[place][whole] // after % old
        if not len(channel) or (channel != channel[0]).any():
            return
        pattern, n = channel[0], rows.shape[1] // old
        in_order = torch.arange(old, device=pattern.device)
        if torch.equal(pattern, in_order.repeat(n)):
            # Of one channel alone, all joints, the order says nothing about where a second would lie.
            found[name] = LAYOUTS[0] if old > 1 or n == 1 else None
        elif torch.equal(pattern, in_order.repeat_interleave(n)):
            found[name] = LAYOUTS[1]

    hooks = [
        module.register_forward_pre_hook(
            lambda module, args, kwargs, name=name: look(name, module, args[0] if args else kwargs["input"]),
            with_kwargs=True,
        )
        for name, module in layers.items()
    ]
    try:
        run(model, (probe, *arguments[1:]))
    except Exception as error:
        raise InvalidValueError(f"the model does not run on the example ({type(error).__name__}: {error})") from error
    finally:
        for hook in hooks:
            hook.remove()
    if not found and ran and inputs_of(layers[ran[0]]) % old == 0:
        found[ran[0]] = None
    return found


def guessed(
    inputs: Mapping[str, int], old: int | None, joints: int, layer: str | Sequence[str] | None
) -> tuple[dict[str, str | None], int]:
    """Find layers whose number of inputs could be one joint's channels, or all joints', and the channels a joint."""
    if layer is not None:
        inputs = {name: inputs[name] for name in named(layer, inputs)}
        if old is not None:
            return dict.fromkeys(inputs), old
    if old is not None:
        found = [name for name, size in inputs.items() if size in (old, joints * old)]
        # Last, windows flattened into the layer with the joints.
        found = found or [name for name, size in inputs.items() if size % (joints * old) == 0]
        return dict.fromkeys(found), old
    per_joint = {name: size for name, size in inputs.items() if size <= MOST_CHANNELS}
    flattened = {n: s // joints for n, s in inputs.items() if s % joints == 0 and s // joints <= MOST_CHANNELS}
    # As many inputs as joints: one channel of each.
    sizes = {**per_joint, **flattened}
    if len({*sizes.values()}) == 1:
        return dict.fromkeys(sizes), next(iter(sizes.values()))
    likely = _listed(sizes, inputs)
    what = f"several layers could be it: {likely}" if sizes else f"none of {_listed(inputs, inputs)} is likely"
    raise InvalidValueError(
        f"cannot tell which layer sees the joints, nor how many channels: {what}. "
        "Give an example input, or name the layer and old_channels"
    )


def only(found: Mapping[str, Any], all_layers: Mapping[str, Any]) -> list[str]:
    """Return the one that was found; InvalidValueError, with those there are, where it is none or several."""
    if len(found) == 1:
        return list(found)
    if not found:
        raise InvalidValueError(
            f"no layer was found that sees the joints' channels; there are {_listed(all_layers, all_layers)}. "
            "Name it with `layer`; only Linear, Conv1d and Conv2d can be widened"
        )
    raise InvalidValueError(
        f"several layers could be the first: {_listed(found, all_layers)}. Name one with `layer`, or all that are"
    )


def named(layer: str | Sequence[str], layers: Mapping[str, Any]) -> list[str]:
    """Return the names given; InvalidValueError where one is not among the layers."""
    names = [layer] if isinstance(layer, str) else list(layer)
    for name in names:
        if name not in layers:
            near = difflib.get_close_matches(name, layers, 1, 0.3)
            hint = f"did you mean '{near[0]}'? " if near else ""
            raise InvalidValueError(f"no Linear, Conv1d or Conv2d '{name}'; {hint}there are {_listed(layers, layers)}")
    return names


def _listed(names: Iterable[str], layers: Mapping[str, Any], most: int = 8) -> str:
    def described(name: str) -> str:
        what = layers[name]
        if isinstance(what, nn.Module):
            return f"'{name}' ({_kind(what).__name__} of {inputs_of(what)})"
        return f"'{name}' (of {what.shape[1] if isinstance(what, Tensor) else what})"

    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(map(described, names[:most])) or "none") + more


def run(model: nn.Module, arguments: tuple[Any, ...]) -> list[Tensor]:
    """Return the tensors of the model's output in evaluation mode; its mode and statistics stay as they are."""
    with evaluating(model), torch.no_grad():
        return list(_tensors(model(*arguments)))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        yield from _tensors(list(output.values()))
    elif isinstance(output, (list, tuple)):
        for part in output:
            yield from _tensors(part)


def _kind(layer: nn.Module) -> type[nn.Module]:
    return next(kind for kind in LAYERS if isinstance(layer, kind))


def inputs_of(layer: nn.Module) -> int:
    return int(layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels)  # pyright: ignore
