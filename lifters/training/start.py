"""Build the lifter that a training begins with: new, an earlier run's, or one with the weights of other code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ...stores.errors import InvalidValueError, MissingFileError
from ...stores.format.fingerprint import describe_difference
from ...stores.reading.store import FeatureStore
from ..data.batches import frames_of
from ..data.features import percentiles
from ..data.holdout import HeldOut
from ..inputs import Inputs
from ..models import Lifter, Streamed, build, channels_behind
from ..own_lifters.adapter import Adapted, adapt
from ..widening.first_weights import begin_with
from ..widening.foreign_weights import chosen, read_weights, renamed
from ..widening.widen import widen
from . import checkpoint
from .checkpoint import BEST, LAST, RUN, Run
from .setup import Setup

Say = Callable[[str], None]


def with_statistics(setup: Setup, stores: Sequence[FeatureStore], held: HeldOut, folder: Path, say: Say) -> Setup:
    """Return the setup, its inputs with the statistics of what is trained on, where they are standard.

    Where `setup.init` is a run, its channels keep that run's statistics: its weights were made for these numbers.
    folder   of the training: what it began with goes on
    say      takes whose statistics these are, if not this training's own, and which channels never change
    InvalidValueError where nothing ever changes, or the channels of that run were treated otherwise.
    """
    inputs = setup.inputs
    if inputs.standard and (folder / LAST).is_file():
        begun = Run(folder)
        if begun.setup.inputs == replace(inputs, widths=()):
            return replace(setup, inputs=begun.inputs)
    if inputs.standard:
        inputs = inputs.fit(frames_of(stores, held.train, inputs.without_streams(), setup.allow_incomplete))
    if setup.init is not None and (Path(setup.init) / RUN).is_file():
        inputs = _with_statistics_of(Run(setup.init).inputs, inputs, setup, say)
    if inputs.statistics is not None and (constant := inputs.statistics.constant()):
        names = ", ".join(inputs.channels[index].name for index in constant)
        say(f"{names}: the same in every frame to train on, so 0 in the inputs, and in all that is lifted later")
    return replace(setup, inputs=inputs)


def _with_statistics_of(theirs: Inputs, inputs: Inputs, setup: Setup, say: Say) -> Inputs:
    for option in ("centred", "standard"):
        if getattr(theirs, option) != getattr(inputs, option):
            has, lacks = ("that run", "this training")[:: 1 if getattr(theirs, option) else -1]
            raise InvalidValueError(
                f"{setup.init}: the inputs of {has} are @{option}, those of {lacks} are not, so its weights do not "
                "fit; give --inputs that run's options"
            )
    if inputs.statistics is None or theirs.statistics is None:
        return inputs
    kept = _channels(theirs, setup)[2][: len(theirs.channels)]
    say(f"{', '.join(c.name for c in theirs.channels)} are standardised as in {setup.init}, by its training set")
    return replace(inputs, statistics=inputs.statistics.with_columns(theirs.statistics, kept))


def starting_model(
    setup: Setup,
    stores: list[FeatureStore],
    device: torch.device | str = "cpu",
    say: Say = lambda message: None,
    new: bool = False,
    learned: Sequence[Sequence[str]] | None = None,
) -> Lifter:
    """Build a lifter, with the weights of `setup.init`; widened where those are of fewer channels.

    say      takes what of other weights fits, and what does not
    new      leave `init` alone: the training goes on, and has weights, percentiles of learned features among them
    learned  by store, ids of the sequences to learn from, whose percentiles normalise learned features; None: all
    InvalidValueError where that run is of another lifter, skeleton or window, or has channels that this one lacks.
    """
    setup = setup.bound(stores)
    if setup.init is None or new:
        model = _new(setup, device)
    else:
        model = _begun(setup, stores, device, say)
    if isinstance(model, Streamed) and not new:
        _fit(model, setup.inputs, stores, learned)
    return model


def _fit(model: Streamed, inputs: Inputs, stores: list[FeatureStore], learned: Sequence[Sequence[str]] | None) -> None:
    """Normalise the streams that came with no weights by percentiles of the training set."""
    ids = learned or [store.sequences.values("id") for store in stores]
    tables = [store.sequences.select(id=list(names)) for store, names in zip(stores, ids, strict=True)]
    for stream, field in inputs.streams.items():
        if stream not in model.fitted:
            low, high = percentiles(stores, tables, field)
            model.fit(stream, torch.from_numpy(low), torch.from_numpy(high))


def _begun(setup: Setup, stores: list[FeatureStore], device: torch.device | str, say: Say) -> Lifter:
    """With weights of a run or a file."""
    assert setup.init is not None
    if (Path(setup.init) / RUN).is_file():
        run = Run(setup.init)
        if setup.own is None and run.setup.own is None and not setup.rename:
            return _continued(run, setup, stores).to(device)
        return _with_weights_of_run(run, setup, stores, device, say)
    if not Path(setup.init).is_file():
        raise MissingFileError(f"{setup.init} is no run (it has no {RUN}) and no file of weights; give --init either")
    return _with_weights_of_file(Path(setup.init), setup, device, say)


def _new(setup: Setup, device: torch.device | str) -> Lifter:
    settings, window, widths = setup.hyperparameters.model, setup.window or 1, setup.inputs.widths_by_stream
    if setup.own is None:
        return build(setup.lifter, len(setup.inputs.channels), window, streams=widths, **settings).to(device)
    if changed := setup.own.changed():
        raise InvalidValueError(f"{setup.own.name} has changed since this training was set up ({', '.join(changed)})")
    lifter = adapt(setup.own, len(_names(setup.inputs, setup.lifter)), window, settings, device)
    return Streamed(lifter, widths).to(device) if widths else lifter


def _continued(run: Run, setup: Setup, stores: list[FeatureStore]) -> Lifter:
    """The best model of a run of the same lifter, exactly."""
    run.expect(lifter=setup.lifter)
    ours = checkpoint.description(setup, stores)
    for what in ("model", "window", "skeleton"):
        if run.description[what] != ours[what]:
            raise InvalidValueError(
                f"{setup.init} has the {what} {run.description[what]!r}, this training {ours[what]!r}: weights of "
                "the one do not fit the other"
            )
    _check_features(run, ours)
    old, new, kept = _channels(run.inputs, setup)
    trained = run.model()
    model = _inner(trained)
    if old != new:
        example = torch.zeros(2, model.window, model.joints, len(old))
        widen(model, len(new), example=example, kept=kept)
    return _streamed_as(trained, model, setup)


def _check_features(run: Run, ours: Mapping[str, Any]) -> None:
    theirs = run.description.get("features") or {}
    for stream, made in (ours.get("features") or {}).items():
        if stream in theirs and theirs[stream] != made:
            raise InvalidValueError(
                f"{run.folder} learned from features '{stream}' of another kind "
                f"({describe_difference(made, theirs[stream], where=('here', 'there'))}); its weights do not fit these"
            )


def _streamed_as(trained: Lifter, lifter: Lifter, setup: Setup) -> Lifter:
    """The lifter behind this training's streams, which begin as those of the trained one where it has them."""
    widths = setup.inputs.widths_by_stream
    if not widths:
        return lifter
    model = Streamed(lifter, widths)
    if isinstance(trained, Streamed):
        model.take_streams(trained)
    return model


def _with_weights_of_run(
    run: Run, setup: Setup, stores: list[FeatureStore], device: torch.device | str, say: Say
) -> Lifter:
    """No code of that run is needed: its weights have names, and so have this lifter's."""
    theirs, ours = (s.own.path if s.own else s.lifter for s in (run.setup, setup))
    if theirs != ours:
        raise InvalidValueError(
            f"{run.folder} is a {theirs}, not a {ours}; to take what fits of its weights all the same, give "
            f"--init {run.folder / BEST}"
        )
    skeletons = run.description["skeleton"], checkpoint.skeleton_of(stores[0])
    if skeletons[0] != skeletons[1]:
        raise InvalidValueError(f"{run.folder} has the skeleton {skeletons[0]!r}, this training {skeletons[1]!r}")
    _, new, kept = _channels(run.inputs, setup)
    path = run.folder / BEST
    state = renamed(_of_lifter(checkpoint.load(path)["weights"], run.inputs), setup.rename)
    model = _new(setup, device)
    begin_with(_module(model), state, _example(setup, model, device), str(path), new, kept, say)
    return model


def _with_weights_of_file(path: Path, setup: Setup, device: torch.device | str, say: Say) -> Lifter:
    states = read_weights(path)
    model = _new(setup, device)
    state = chosen(states, setup.rename, _inner(model).state_dict())
    names = _names(setup.inputs, setup.lifter)
    begin_with(_module(model), state, _example(setup, model, device), str(path), names, None, say)
    return model


def _channels(theirs: Inputs, setup: Setup) -> tuple[list[str], list[str], list[int]]:
    """Names of channels there and here, and where those lie among these."""
    old, new = _names(theirs, setup.lifter), _names(setup.inputs, setup.lifter)
    if lacking := [name for name in old if name not in new]:
        raise InvalidValueError(
            f"{setup.init} was trained on '{theirs.name}', whose {', '.join(lacking)} '{setup.inputs.name}' does "
            "not have; begin with a run whose channels are among this training's"
        )
    return old, new, [new.index(name) for name in old]


def _names(inputs: Inputs, lifter: str) -> list[str]:
    """Names of the channels that the lifter itself takes."""
    return channels_behind(lifter, [channel.name for channel in inputs.channels], inputs.widths_by_stream)


def _inner(model: Lifter) -> Lifter:
    return model.lifter if isinstance(model, Streamed) else model


def _of_lifter(weights: Mapping[str, Any], inputs: Inputs) -> dict[str, Any]:
    """A run's weights without those of its streams."""
    if not inputs.streams:
        return dict(weights)
    return {key.removeprefix("lifter."): value for key, value in weights.items() if key.startswith("lifter.")}


def _module(model: Lifter) -> torch.nn.Module:
    model = _inner(model)
    return model.module if isinstance(model, Adapted) else model


def _example(setup: Setup, model: Lifter, device: torch.device | str) -> torch.Tensor:
    """Two windows: channels in their places, values as inputs have them."""
    generator = torch.Generator().manual_seed(0)
    shape = 2, model.window, model.joints, len(_names(setup.inputs, setup.lifter))
    return (2 * torch.rand(*shape, generator=generator) - 1).to(device)
