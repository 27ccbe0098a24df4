"""Train a lifter on feature stores: one loop, from `Setup` to a run's folder.

Every step's dropout and flips are a function of (seed, rank, step), and the loader's order one of (seed, epoch): so a
training that was stopped and goes on has the losses of one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from ...stores.errors import AugliftError
from ...stores.reading.store import FeatureStore
from ..data.batches import centres_of, examples, flip_some, open_stores
from ..data.holdout import hold_out
from ..losses import combined, mpjpe
from ..metrics import MM
from . import checkpoint
from .checkpoint import BEST, LAST, LOG
from .distributed import Team, team
from .ema import AveragedWeights
from .loaders import training_loader, usable_truths, validation_loader
from .log import Log
from .schedule import apply_schedule, make_optimiser
from .setup import Setup
from .start import starting_model, with_statistics
from .trial import try_first_batch
from .validation import validate


class TrainingDivergedError(AugliftError, ArithmeticError):
    """The loss, or the error on the held-out frames, is no number any more."""


class Watcher(Protocol):
    """Follows a training from outside: a console, a log, a test."""

    def begin(self, epochs: int, steps: int, epoch: int, step: int) -> None: ...
    def step(self, epoch: int, step: int, loss: float, mpjpe: float, windows: int) -> None: ...
    def epoch(self, record: dict[str, Any]) -> None: ...
    def message(self, message: str) -> None: ...


class NoWatcher:
    def begin(self, epochs: int, steps: int, epoch: int, step: int) -> None: ...
    def step(self, epoch: int, step: int, loss: float, mpjpe: float, windows: int) -> None: ...
    def epoch(self, record: dict[str, Any]) -> None: ...
    def message(self, message: str) -> None: ...


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    best_mpjpe  mm on the held-out data; NaN where nothing was held out
    finished    False: it was stopped, and the same call goes on
    leads       this process, of those that train together, is the one that shows and writes
    """

    folder: Path
    epochs: int
    best_epoch: int
    best_mpjpe: float
    finished: bool
    leads: bool = True


@dataclass
class Progress:
    """Where a training is: plain numbers, in the checkpoint. Sums are of the epoch so far."""

    epoch: int = 0
    step: int = 0
    in_epoch: int = 0
    loss: float = 0.0
    mpjpe: float = 0.0
    best_epoch: int = -1
    best_mpjpe: float = math.inf


@dataclass(frozen=True)
class Pace:
    """Windows of this process, seconds they took, and seconds of these that it waited for data."""

    windows: int
    seconds: float
    waited: float


def train(
    setup: Setup, out: str | Path, watcher: Watcher | None = None, stop: Callable[[], bool] = lambda: False
) -> Outcome:
    """Train, or continue what `out` holds of the same training; nothing to do where that is finished.

    stop   called after every step: True saves where the training is and returns
    Raises what `open_stores` does, InvalidValueError for settings that do not fit the stores or the folder, and
    TrainingDivergedError where the loss becomes NaN or infinite: the last good checkpoint stays.
    """
    watcher = watcher or NoWatcher()
    with team(setup.device) as mates:
        stores = open_stores(setup.stores, setup.inputs, setup.allow_incomplete)
        return Training(
            setup.bound(stores), Path(out), stores, mates, watcher if mates.leads else NoWatcher(), stop
        ).run()


class Training:
    """A training that is under way: everything it needs, loaded and made."""

    def __init__(
        self,
        setup: Setup,
        folder: Path,
        stores: list[FeatureStore],
        mates: Team,
        watcher: Watcher,
        stop: Callable[[], bool],
    ):
        self.folder, self.mates, self.watcher, self.stop = folder, mates, watcher, stop
        self.parameters = setup.hyperparameters
        self.device = mates.device
        truths = usable_truths(stores, setup.split, watcher.message)
        held = hold_out(stores, setup.split, setup.held_out, truths)
        watcher.message(held.rule)
        self.setup = setup = with_statistics(setup, stores, held, folder, watcher.message)
        for store in stores:
            for warning in store.attributes.get("warnings", ()):
                watcher.message(f"{store.url}: {warning}")

        torch.manual_seed(setup.seed)
        fresh = not (folder / LAST).is_file()
        begun = starting_model(setup, stores, self.device, watcher.message, new=not fresh, learned=held.train)
        self.model = begun.to(self.device)
        centres = [centres_of(self.model, store, truth.usable) for store, truth in zip(stores, truths, strict=True)]
        self.loader, self.steps = training_loader(setup, self.model, stores, held, centres, mates, watcher.message)
        self.validation = validation_loader(setup, self.model, stores, held, centres, mates)
        self.loss = combined(self.parameters.loss, self.model.losses)
        self.autocast = _autocast(setup.amp, self.device)
        if fresh:
            try_first_batch(setup, self.model, self.loader, self.loss, self.autocast, mates, watcher.message)
        self.optimiser = make_optimiser(self.model, self.parameters)
        self.average = AveragedWeights(self.model, setup.ema) if setup.ema else None
        self.wrapped = self._compiled(mates.wrap(self.model))
        self.progress = Progress()

        self.described = checkpoint.description(setup, stores)
        data = {"stores": [store.fingerprint for store in stores], "held_out": [list(ids) for ids in held.held_out]}
        resuming = mates.leads and checkpoint.begin(folder, setup, self.described, data)
        if mates.any(resuming):
            self._resume()

    # The loop ---------------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        at, setup = self.progress, self.setup
        epochs = setup.epochs or 1
        if at.epoch >= epochs:
            return self._outcome(True)
        log = Log(self.folder / LOG, at.epoch) if self.mates.leads else None
        if log is not None and not log.has_tensorboard:
            self.watcher.message("tensorboard is not installed (pip install tensorboard): the log is log.jsonl alone")
        self.watcher.begin(epochs, self.steps, at.epoch, at.in_epoch)
        try:
            while at.epoch < epochs:
                record = self._epoch(epochs)
                if record is None:
                    return self._outcome(False)
                if log is not None:
                    log.write(record)
                self.watcher.epoch(record)
        finally:
            if log is not None:
                log.close()
        return self._outcome(True)

    def _epoch(self, epochs: int) -> dict[str, Any] | None:
        """One epoch, or what is left of it, with its validation; None where it was stopped."""
        at, began, whole = self.progress, time.monotonic(), self.progress.in_epoch == 0
        pace = self.steps_of_epoch(epochs)
        if pace is None:
            return None
        record = {
            "epoch": at.epoch,
            "loss": at.loss / at.in_epoch,
            "mpjpe": at.mpjpe / at.in_epoch,
            "learning_rate": self.optimiser.param_groups[0]["lr"],
        }
        at.epoch, at.in_epoch, at.loss, at.mpjpe = at.epoch + 1, 0, 0.0, 0.0
        self.loader.set_epoch(at.epoch)
        held_out = self._validate()
        if held_out is not None:
            if not math.isfinite(held_out):
                raise TrainingDivergedError(
                    f"the error on the held-out frames became {held_out} in epoch {at.epoch}; {self._last_good()}; "
                    "try a lower --set lr=, or --amp off"
                )
            record["held_out_mpjpe"] = held_out
        if held_out is None or held_out < at.best_mpjpe:
            at.best_epoch = record["epoch"]
            at.best_mpjpe = math.inf if held_out is None else held_out
            self._save_best()
        self._save()
        record["best_epoch"] = at.best_epoch
        if whole:
            record["windows_per_second"] = self.mates.size * pace.windows / pace.seconds
            record["waited"] = pace.waited / pace.seconds
        record["seconds"] = time.monotonic() - began
        return record

    def steps_of_epoch(self, epochs: int) -> Pace | None:
        """The steps that remain of this epoch; None where it was stopped."""
        at, began, waited, windows = self.progress, time.monotonic(), 0.0, 0
        saved = began
        self.model.train()
        batches = iter(self.loader)
        while at.in_epoch < self.steps:
            before = time.monotonic()
            batch = next(batches)
            waited += time.monotonic() - before
            loss, error = self._step(batch, epochs)
            windows += len(batch["valid"])
            del batch
            at.loss, at.mpjpe = at.loss + loss, at.mpjpe + error
            at.in_epoch, at.step = at.in_epoch + 1, at.step + 1
            self.watcher.step(at.epoch, at.in_epoch, at.loss / at.in_epoch, at.mpjpe / at.in_epoch, windows)
            if at.in_epoch < self.steps:
                stopped = self.mates.any(self.stop())
                if stopped or self.mates.any(time.monotonic() - saved > 60 * self.setup.checkpoint_minutes):
                    self._save()
                    saved = time.monotonic()
                if stopped:
                    return None
        batches.close()  # type: ignore[attr-defined]
        return Pace(windows, time.monotonic() - began, waited)

    def _step(self, batch: dict[str, Any], epochs: int) -> tuple[float, float]:
        """Loss and MPJPE, mm, of one step."""
        at, setup = self.progress, self.setup
        # Dropout and flips of this step alone: nothing of a random generator has to be saved.
        # `torch.manual_seed` also writes down a stack for every kind of device that is not there: that is slow.
        reseed = torch.default_generator.manual_seed if self.device.type == "cpu" else torch.manual_seed
        reseed(_seed(setup.seed, self.mates.rank, at.step))
        rate = apply_schedule(self.model, self.optimiser, self.parameters, at.epoch, epochs, at.step)
        given = examples(batch, setup.inputs, self.model, self.device)
        if self.parameters.training.flip:
            given = flip_some(given, setup.inputs, torch.rand(len(given.inputs)).to(self.device) < 0.5)
        self.optimiser.zero_grad(set_to_none=True)
        with self.autocast:
            predicted = self.wrapped(given.inputs)
        predicted = predicted.float()
        loss = self.loss(predicted, given.target, given.mask)
        value = float(loss.detach())
        if self.mates.any(not math.isfinite(value)):
            raise TrainingDivergedError(
                f"the loss became {value} in epoch {at.epoch + 1}, step {at.in_epoch + 1} (learning rate {rate:.3g}); "
                f"{self._last_good()}; try a lower --set lr=, or --amp off"
            )
        loss.backward()
        self.optimiser.step()
        if self.average is not None:
            self.average.update(self.model)
        with torch.no_grad():
            return value, float(mpjpe(predicted.detach(), given.target, given.mask)) * MM

    def _validate(self) -> float | None:
        """MPJPE, mm, on what was held out, with the weights that would be kept; None where nothing was."""
        if self.validation is None:
            return None
        with self.average.used_by(self.model) if self.average else nullcontext():
            total, count = validate(
                self.model, self.validation, self.setup, self.parameters.training.flip, self.device, self.autocast
            )
        total, count = self.mates.summed([total, count])
        return total / count if count else math.nan

    # Checkpoints ------------------------------------------------------------------------------------------------------

    def _save(self) -> None:
        if self.mates.leads:
            content = {
                "description": self.described,
                "weights": self.model.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "average": self.average.state_dict() if self.average else None,
                "progress": dict(vars(self.progress)),
                "loader": {**self.loader.state_dict(), "epoch": self.progress.epoch, "batch": self.progress.in_epoch},
            }
            checkpoint.save(self.folder / LAST, content)
        self.mates.wait()

    def _save_best(self) -> None:
        if self.mates.leads:
            weights = self.average.weights if self.average else self.model.state_dict()
            content = {"description": self.described, "weights": weights, "epoch": self.progress.best_epoch}
            checkpoint.save(self.folder / BEST, content)

    def _resume(self) -> None:
        path = self.folder / LAST
        content = checkpoint.load(path, self.device, ("weights", "optimiser", "average", "progress", "loader"))
        checkpoint.same_description(self.described, content, path)
        checkpoint.load_weights(self.model, content["weights"], path)
        self.optimiser.load_state_dict(content["optimiser"])
        if self.average is not None:
            self.average.load_state_dict(content["average"])
        self.progress = Progress(**content["progress"])
        # The others of a team read other windows, at the same place.
        state = content["loader"] | {"rank": self.mates.rank}
        self.loader.load_state_dict(state)
        at = self.progress
        if at.epoch < (self.setup.epochs or 1):
            self.watcher.message(f"goes on after epoch {at.epoch}, step {at.in_epoch} of {self.steps}")

    def _last_good(self) -> str:
        if (self.folder / BEST).is_file():
            return f"the weights of epoch {self.progress.best_epoch + 1} are kept in {self.folder / BEST}"
        return "no epoch was finished, so nothing is kept"

    def _outcome(self, finished: bool) -> Outcome:
        at = self.progress
        best = at.best_mpjpe if math.isfinite(at.best_mpjpe) else math.nan
        return Outcome(self.folder, at.epoch, at.best_epoch, best, finished, self.mates.leads)

    def _compiled(self, model: nn.Module) -> nn.Module:
        wanted = self.setup.compile
        if wanted == "auto":
            from importlib.util import find_spec

            wanted = "on" if self.device.type == "cuda" and find_spec("triton") else "off"
        return torch.compile(model) if wanted == "on" else model  # type: ignore[return-value]


def _autocast(wanted: str, device: torch.device) -> Any:
    """bfloat16, which needs no scaling of losses, on a GPU that has it; on a CPU only where the settings say so."""
    if wanted == "auto":
        wanted = "on" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "off"
    return torch.autocast(device.type, torch.bfloat16) if wanted == "on" else nullcontext()


def _seed(seed: int, rank: int, step: int) -> int:
    """Different for every step and rank, and far apart."""
    mixed: int = (seed * 0x9E3779B97F4A7C15 + rank * 0xC2B2AE3D27D4EB4F + step * 0x165667B19E3779F9 + 1) & (2**63 - 1)
    return mixed
