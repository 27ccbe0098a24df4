"""Begin with weights that may fit in part: what fits is taken, the first layer widened, the rest listed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from ...stores.errors import InvalidValueError
from .first_layer import LAYERS, LAYOUTS, run, seen
from .foreign_weights import State
from .widen import Widening


def begin_with(
    model: nn.Module,
    state: State,
    example: Tensor,
    source: str,
    channels: Sequence[str],
    kept: Sequence[int] | None = None,
    say: Callable[[str], None] = lambda message: None,
) -> None:
    """Load what fits into the model, and return what that was and what was not.

    example    inputs that the model runs on, (B, T, J, C)
    source     the file, for messages
    channels   names of the C
    kept       where the channels that the weights were trained on lie among these; None: they are the first ones
    InvalidValueError where nothing fits, or the weights are of more channels: the model is as it was.
    """
    own = {name: value.detach().clone() for name, value in model.state_dict().items()}
    fitting = {name: value for name, value in state.items() if name in own and value.shape == own[name].shape}
    layers = {name: module for name, module in model.named_modules() if isinstance(module, LAYERS)}
    first = {f"{name}.weight": layout for name, layout in seen(model, layers, (example,), -1).items()}
    old = _old_channels(first, own, state, channels, source) if kept is None else len(kept)
    places = tuple(range(old)) if kept is None else tuple(kept)
    wide: dict[str, Tensor] = {}
    independent = True
    for layout in LAYOUTS:
        wide = _widened(own, state, first, layout, Widening({}, old, len(channels), places))
        if not fitting and not wide:
            raise InvalidValueError(_nothing_fits(source, list(state), list(own)))
        model.load_state_dict({**own, **fitting, **wide})
        independent = not wide or _ignores_new(model, example, places)
        if independent:
            break
    _say_what_fits(say, source, own, state, {**fitting, **wide})
    if wide:
        say(
            f"{source}: {', '.join(wide)} widened from {old} channels to {len(channels)}; those of the file are taken "
            f"to be {', '.join(channels[place] for place in places)}, the others begin at zero"
        )
    if not independent:
        say(f"{source}: the new channels change the output from the first step on, which they do not in most lifters")


def _old_channels(
    first: Mapping[str, str | None], own: State, state: State, channels: Sequence[str], source: str
) -> int:
    """Channels that the weights are of: read off the first layer's inputs; as many as here where nothing says."""
    for name in first:
        if name not in state or state[name].ndim != own[name].ndim or state[name].shape[0] != own[name].shape[0]:
            continue
        joints = own[name].shape[1] // len(channels)
        if joints and state[name].shape[1] % joints == 0:
            old = state[name].shape[1] // joints
            if old > len(channels):
                raise InvalidValueError(
                    f"{source} is of {old} channels a joint ({name} is {_shape(state[name])}), these inputs have "
                    f"{len(channels)} ({', '.join(channels)}): take inputs with as many"
                )
            return old
    return len(channels)


def _widened(
    own: State, state: State, first: Mapping[str, str | None], layout: str, widening: Widening
) -> dict[str, Tensor]:
    """Weights that differ from this lifter's in nothing but the channels of their inputs."""
    old, new = widening.old, widening.new
    if old == new:
        return {}
    found = {}
    for name, value in state.items():
        here = own.get(name)
        if here is None or value.ndim not in (2, 3, 4) or here.ndim != value.ndim:
            continue
        rest = value.shape[:1] + value.shape[2:] == here.shape[:1] + here.shape[2:]
        if rest and value.shape[1] % old == 0 and value.shape[1] // old * new == here.shape[1] != value.shape[1]:
            found[name] = widening.widen_weight(value.detach(), first.get(name) or layout)
    return found


def _ignores_new(model: nn.Module, example: Tensor, kept: Sequence[int]) -> bool:
    """Whether the output is the same whatever the channels hold that the weights were not trained on."""
    other = example.clone()
    new = [place for place in range(example.shape[-1]) if place not in kept]
    other[..., new] = -other[..., new] + 0.5
    (before, *_), (after, *_) = run(model, (example,)), run(model, (other,))
    return torch.allclose(before, after, rtol=1e-3, atol=1e-4 * float(before.abs().max()))


def _say_what_fits(say: Callable[[str], None], source: str, own: State, state: State, taken: State) -> None:
    say(f"{source}: {len(taken)} of its {len(state)} tensors are taken for {len(taken)} of this lifter's {len(own)}")
    other = [name for name in own if name in state and name not in taken]
    shapes = [f"{name} {_shape(state[name])} for {_shape(own[name])}" for name in other]
    unknown, new = [name for name in state if name not in own], [name for name in own if name not in state]
    for what, names, shown in (
        ("not taken, for this lifter has none of that name", unknown, _together(unknown, [*state])),
        ("not taken, for the shape is another", other, shapes),
        ("new, for the file has none of that name", new, _together(new, [*own])),
    ):
        if names:
            say(f"{source}: {len(names)} {what}: {', '.join(shown)}")


def _together(names: Sequence[str], among: Sequence[str]) -> list[str]:
    """The names, `blocks.*` for those that are all there is of `blocks` among the others, too."""
    listed = {*names}
    beginnings = {name: [_cut(name, parts)[0] for parts in range(1, name.count(".") + 1)] for name in among}
    broken = {beginning for name in among if name not in listed for beginning in beginnings[name]}
    whole = {name: next((b for b in beginnings[name] if b not in broken), "") for name in names}
    return [*dict.fromkeys(f"{whole[name]}*" if whole[name] else name for name in names)]


def _nothing_fits(source: str, theirs: Sequence[str], ours: Sequence[str]) -> str:
    return (
        f"nothing of {source} fits: its names are {_some(theirs)}, this lifter's {_some(ours)}; "
        f"{_rename_that_helps(theirs, ours)}, or train the lifter that they are of"
    )


def _rename_that_helps(theirs: Sequence[str], ours: Sequence[str]) -> str:
    """The prefix that other code has before its names, and the one that this lifter has there."""
    for more in range(3):
        for name in theirs[:20]:
            head, rest = _cut(name, more)
            for fewer in range(3) if rest else ():
                prefix = next((h for h, r in (_cut(own, fewer) for own in ours) if r == rest), None)
                if prefix is not None and head:
                    return f"try --rename '{head}={prefix}'"
    return "rename with --rename OLD=NEW"


def _cut(name: str, parts: int) -> tuple[str, str]:
    """A name's first parts, their dot included, and the rest."""
    pieces = name.split(".")
    return "".join(f"{piece}." for piece in pieces[:parts]), ".".join(pieces[parts:])


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")


def _shape(value: Tensor) -> str:
    return "x".join(map(str, value.shape)) or "one number"
