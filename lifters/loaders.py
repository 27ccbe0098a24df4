"""A training's loaders: of the windows to learn from, and of those held out, for one process of a team."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..stores.errors import InvalidValueError
from ..stores.store import FeatureStore
from ..stores.windows import WindowLoader
from .batches import loader_for
from .distributed import Team
from .holdout import HeldOut
from .models import Lifter
from .setup import Setup


def training_loader(
    setup: Setup, model: Lifter, stores: list[FeatureStore], held: HeldOut, mates: Team, say: Callable[[str], None]
) -> tuple[WindowLoader, int]:
    """The loader, and how many steps an epoch has.

    say   told where there are fewer windows than a batch holds, so that batches are smaller
    Raises InvalidValueError where there are fewer than two a process.
    """

    def make(batch: int) -> WindowLoader:
        return loader_for(
            stores,
            held.train,
            setup.inputs,
            model,
            stride=setup.stride,
            batch_size=batch,
            # Steps of one size: BatchNorm needs it, and compiled models like it.
            drop_last=True,
            seed=setup.seed,
            **_team(setup, mates),
        )

    batch = max(1, (setup.batch or 1) // mates.size)
    loader = make(batch)
    if not len(loader):
        batch = loader.windows // mates.size
        if batch < 2:
            raise InvalidValueError(f"{loader.windows} windows to train on: too few for {mates.size} processes")
        say(f"fewer windows than a batch holds: batches of {batch * mates.size} instead")
        loader = make(batch)
    steps = len(loader)
    if setup.limit is not None:
        steps = min(steps, max(1, setup.limit // (batch * mates.size)))
    return loader, steps


def validation_loader(
    setup: Setup, model: Lifter, stores: list[FeatureStore], held: HeldOut, mates: Team
) -> WindowLoader | None:
    """None where nothing is held out."""
    if not any(held.held_out):
        return None
    # Windows that answer all their frames need not begin at each of them.
    stride = (model.window + 1) // 2 if model.many_to_many else 1
    options = {"batch_size": max(1, (setup.batch or 1) // mates.size), "shuffle": False}
    loader = loader_for(stores, held.held_out, setup.inputs, model, stride=stride, **options)
    if setup.limit is not None and loader.windows > setup.limit:
        stride *= math.ceil(loader.windows / setup.limit)
    options |= _team(setup, mates)
    return loader_for(stores, held.held_out, setup.inputs, model, stride=stride, **options)


def _team(setup: Setup, mates: Team) -> dict[str, Any]:
    return {"rank": mates.rank, "world_size": mates.size, "allow_incomplete": setup.allow_incomplete}
