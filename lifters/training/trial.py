"""Try one batch of the training's data on a lifter of the user's, before the first epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...stores.errors import InvalidValueError
from ...stores.reading.windows import WindowLoader
from ..data.batches import Examples, examples
from ..losses import Loss
from ..models import Lifter
from ..own_lifters.own_lifter import OwnLifter
from ..own_lifters.user_code import one_line, place_of
from .distributed import Team
from .setup import Setup


def try_first_batch(
    setup: Setup,
    model: Lifter,
    loader: WindowLoader,
    loss: Loss,
    autocast: Any,
    mates: Team,
    say: Callable[[str], None],
) -> None:
    """Run a user's own lifter forward, loss and backward on the first batch of the epoch, without a step.

    The model's weights and buffers stay as they are, and so does the loader.

    say   takes which weights have no gradient
    InvalidValueError, in one line, where the model does not run on the batch; where its poses, its loss or a gradient
    are no finite numbers; and where several processes train a lifter that does not use all its weights.
    """
    if setup.own is None:
        return
    batches = iter(loader)
    given = examples(next(batches), setup.inputs, model, mates.device)
    without = _tried(setup.own, model, given, loss, autocast)
    batches.close()  # type: ignore[attr-defined]
    if without:
        text = f"{setup.own.name} does not use {len(without)} of its weights for what it returns: {', '.join(without)}"
        if mates.size > 1:
            raise InvalidValueError(f"{text}; several processes need a gradient for each: remove them, or freeze them")
        say(text)


def _tried(own: OwnLifter, model: Lifter, given: Examples, loss: Loss, autocast: Any) -> list[str]:
    """Names of weights that got no gradient."""
    before = {name: value.detach().clone() for name, value in model.state_dict().items()}
    training, folder = model.training, Path(own.file).parent
    model.train()
    try:
        with torch.random.fork_rng([given.inputs.device] if given.inputs.device.type == "cuda" else []):
            with _named(f"{own.name} does not run on the first batch, {tuple(given.inputs.shape)}", folder), autocast:
                poses = model(given.inputs)
            _check_finite(
                f"{own.name} returns", poses, "look at divisions; a joint that is missing is 0 in every channel"
            )
            with _named(f"the loss of {own.name} does not run on the first batch", folder):
                value = loss(poses.float(), given.target, given.mask)
            _check_finite(f"the loss of {own.name} is", value, "look at joints that do not count: their target is 0")
            with _named(f"{own.name} has no gradient on the first batch", folder):
                value.backward()
        without = []
        for name, parameter in getattr(model, "module", model).named_parameters():
            if parameter.grad is not None:
                _check_finite(f"{own.name} has, for {name}, a gradient of", parameter.grad, "look at square roots of 0")
            elif parameter.requires_grad:
                without.append(name)
        return without
    finally:
        model.zero_grad(set_to_none=True)
        model.load_state_dict(before)
        model.train(training)


@contextmanager
def _named(what: str, folder: Path) -> Iterator[None]:
    try:
        yield
    except InvalidValueError:
        raise
    except Exception as error:
        raise InvalidValueError(f"{what}: {one_line(error)}{place_of(error, folder)}") from error


def _check_finite(what: str, values: Tensor, hint: str) -> None:
    if not (finite := values.isfinite()).all():
        kind = "NaN" if values.isnan().any() else "infinity"
        share = f" ({1 - finite.float().mean().item():.0%} of its numbers)" if values.ndim else ""
        raise InvalidValueError(f"{what} {kind}{share} on the first batch, before any step: {hint}")
