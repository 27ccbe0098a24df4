"""What a training reads: the windows to learn from, and those held out, for one process of a team."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...stores.errors import InvalidValueError
from ...stores.reading.store import FeatureStore
from ...stores.reading.windows import WindowLoader
from ..data.batches import loader_for, thinned
from ..data.holdout import HeldOut, chosen
from ..data.truth import Truth, check_truth, per_sequence, truth_of
from ..models import Lifter
from .distributed import Team
from .setup import Setup


def usable_truths(stores: Sequence[FeatureStore], split: str, say: Callable[[str], None]) -> list[Truth]:
    """Find the frames of each store to train on. InvalidValueError for a store with none; `say`: what it lacks."""
    truths = []
    for store in stores:
        truth, table = truth_of(store), chosen(store, split)
        check_truth(store, table, truth, "trained")
        lacking = table.frames - int(per_sequence(table, truth.known).sum())
        if lacking and store.status == "complete":
            say(f"{store.url}: {lacking} of {table.frames} frames have no ground truth and are left out")
        truths.append(truth)
    return truths


def training_loader(
    setup: Setup,
    model: Lifter,
    stores: Sequence[FeatureStore],
    held: HeldOut,
    centres: Sequence[np.ndarray],
    mates: Team,
    say: Callable[[str], None],
) -> tuple[WindowLoader, int]:
    """Make the loader, and count the steps of an epoch.

    centres   by store, see `batches.centres_of`
    say       called where there are fewer windows than a batch holds, so that batches are smaller, and where the window
              is longer than every sequence
    Raises InvalidValueError where there are fewer than two a process.
    """

    def make(batch: int) -> WindowLoader:
        return loader_for(
            stores,
            held.train,
            setup.inputs,
            model,
            centres,
            stride=setup.stride,
            batch_size=batch,
            # Steps of one size: BatchNorm needs it, and compiled models like it.
            drop_last=True,
            seed=setup.seed,
            **_team(setup, mates),
        )

    batch = max(1, (setup.batch or 1) // mates.size)
    loader = make(batch)
    longest = int((loader.table.sequences["stop"] - loader.table.sequences["start"]).max())
    if model.window > longest:
        say(
            f"a window of {model.window} frames is longer than every sequence to train on (the longest has {longest}): "
            "their first and last frames are repeated to fill it"
        )
    if not len(loader):
        batch = loader.windows // mates.size
        if batch < 2:
            raise InvalidValueError(
                f"{loader.windows} windows with ground truth to train on: too few for {mates.size} processes; take "
                "more sequences, or a smaller --held-out or --stride"
            )
        say(f"fewer windows than a batch holds: batches of {batch * mates.size} instead")
        loader = make(batch)
    steps = len(loader)
    if setup.limit is not None:
        steps = min(steps, max(1, setup.limit // (batch * mates.size)))
    return loader, steps


def validation_loader(
    setup: Setup,
    model: Lifter,
    stores: Sequence[FeatureStore],
    held: HeldOut,
    centres: Sequence[np.ndarray],
    mates: Team,
) -> WindowLoader | None:
    """Make the loader of what is held out; None where nothing is. `centres` as in `training_loader`."""
    some = [number for number, ids in enumerate(held.held_out) if ids]
    if not some:
        return None
    stores, centres = [stores[number] for number in some], [centres[number] for number in some]
    ids = [held.held_out[number] for number in some]
    # Where all frames of a window are predicted, windows need not begin at each frame.
    stride = (model.window + 1) // 2 if model.many_to_many else 1
    options = {"batch_size": max(1, (setup.batch or 1) // mates.size), "shuffle": False, "stride": stride}
    options |= _team(setup, mates)
    loader = loader_for(stores, ids, setup.inputs, model, centres, **options)
    if setup.limit is not None and loader.windows > setup.limit:
        loader = loader_for(stores, ids, setup.inputs, model, thinned(loader, stride, setup.limit), **options)
    return loader


def _team(setup: Setup, mates: Team) -> dict[str, Any]:
    return {"rank": mates.rank, "world_size": mates.size, "allow_incomplete": setup.allow_incomplete}
