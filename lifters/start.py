"""The lifter that a training begins with: new, or an earlier run's."""

from __future__ import annotations

import torch

from ..stores.errors import InvalidValueError
from ..stores.store import FeatureStore
from . import checkpoint
from .checkpoint import Run
from .models import Lifter, build
from .setup import Setup
from .widen import widen


def starting_model(setup: Setup, stores: list[FeatureStore]) -> Lifter:
    """A new lifter, or that of the run `setup.init`, widened where this representation has more channels.

    InvalidValueError where that run is of another lifter, skeleton or window, or has channels that this one lacks.
    """
    if setup.init is None:
        return build(setup.lifter, setup.inputs.count, setup.window, **setup.hyperparameters.model)
    run = Run(setup.init)
    run.expect(lifter=setup.lifter)
    ours = checkpoint.description(setup, stores)
    for what in ("model", "window", "skeleton"):
        if run.description[what] != ours[what]:
            raise InvalidValueError(
                f"{setup.init} has the {what} {run.description[what]!r}, this training {ours[what]!r}: weights of "
                "the one do not fit the other"
            )
    old = [channel.name for channel in run.inputs.channels]
    new = [channel.name for channel in setup.inputs.channels]
    if lacking := [name for name in old if name not in new]:
        raise InvalidValueError(
            f"{setup.init} was trained on '{run.inputs.name}', whose {', '.join(lacking)} '{setup.inputs.name}' does "
            "not have; begin with a run whose channels are among this training's"
        )
    model = run.model()
    if old != new:
        example = torch.zeros(2, model.window, model.joints, len(old))
        widen(model, len(new), example=example, kept=[new.index(name) for name in old])
    return model
