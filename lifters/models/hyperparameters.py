"""Hyper-parameters of a lifter: the defaults beside each architecture, what the user changes, checked once."""

from __future__ import annotations

import dataclasses
import difflib
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from ...stores.errors import InvalidValueError
from ..losses import LOSSES

# A file of this folder each: method.md, section 6.
NAMES = ("simple_baseline", "video_pose3d", "poseformer", "dstformer", "dstformer_lite", "context_aware")


@dataclass(frozen=True)
class Optimiser:
    name: str
    learning_rate: float
    weight_decay: float = 0.0
    amsgrad: bool = False

    def __post_init__(self) -> None:
        _one_of("optimiser", self.name, ("adam", "adamw"))
        _above_zero("optimiser.learning_rate", self.learning_rate)
        if self.weight_decay < 0:
            raise InvalidValueError(f"optimiser.weight_decay = {self.weight_decay}: must be 0 or more")


@dataclass(frozen=True)
class Schedule:
    """The learning rate is multiplied by `factor` every so many epochs or steps.

    batch_norm_momentum  first and last, between which it decays exponentially over the epochs; empty: left alone
    """

    factor: float
    every: int = 1
    unit: str = "epoch"
    batch_norm_momentum: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        _one_of("schedule.unit", self.unit, ("epoch", "step"))
        _above_zero("schedule.factor", self.factor)
        _above_zero("schedule.every", self.every)
        if len(self.batch_norm_momentum) not in (0, 2) or not all(0 < m <= 1 for m in self.batch_norm_momentum):
            raise InvalidValueError(
                f"schedule.batch_norm_momentum = {self.batch_norm_momentum}: must be [] or [first, last] in (0, 1]"
            )


@dataclass(frozen=True)
class Training:
    """window in frames; batch in windows; flip: augmentation in training and averaging in test."""

    window: int
    batch: int
    epochs: int
    flip: bool = True

    def __post_init__(self) -> None:
        for name in ("window", "batch", "epochs"):
            _above_zero(f"training.{name}", getattr(self, name))


@dataclass(frozen=True)
class Hyperparameters:
    """model: arguments of the architecture but channels and window; loss: name -> weight."""

    model: Mapping[str, Any]
    loss: Mapping[str, float]
    optimiser: Optimiser
    schedule: Schedule
    training: Training

    def __post_init__(self) -> None:
        if not self.loss:
            raise InvalidValueError(f"loss is empty: name one of {', '.join(LOSSES)} with its weight")

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, as a TOML file or a checkpoint holds it; `hyperparameters(name, it)` gives this back."""
        return dataclasses.asdict(self)


_TABLES = {"optimiser": Optimiser, "schedule": Schedule, "training": Training}


def hyperparameters(name: str, changes: Mapping[str, Any] | None = None) -> Hyperparameters:
    """Return those published for a lifter, with changes: `{"optimiser": {"learning_rate": 1e-4}, "loss": {"mse": 1}}`.

    A loss replaces the whole loss; other tables change by the key. InvalidValueError names an unknown lifter, table or
    key with the nearest there is, and a value of another type.
    """
    defaults, changes = _defaults(canonical(name)), changes or {}
    check_tables(changes)
    model = {**defaults["model"], **_checked("model", changes.get("model", {}), defaults["model"])}
    return filled(defaults, changes, model)


def own_defaults() -> dict[str, dict[str, Any]]:
    """Return the tables that a lifter of the user's own begins with, `own.toml`; its `[model]` is empty."""
    return {"model": {}, **_defaults("own")}


def filled(
    defaults: Mapping[str, Mapping[str, Any]],
    changes: Mapping[str, Any],
    model: Mapping[str, Any],
    losses: Iterable[str] = LOSSES,
) -> Hyperparameters:
    """Return the defaults with changes; `model` is checked already. Raises as `hyperparameters` does.

    losses   names that [loss] may hold
    """
    check_tables(changes)
    loss = _checked("loss", changes.get("loss", defaults["loss"]), dict.fromkeys(losses, 1.0))
    tables = {}
    for table, kind in _TABLES.items():
        # What a TOML file leaves out has its default in the class.
        known = {**{f.name: f.default for f in dataclasses.fields(kind)}, **defaults[table]}
        tables[table] = kind(**{**defaults[table], **_checked(table, changes.get(table, {}), known)})
    return Hyperparameters(model, loss, **tables)


def check_tables(changes: Mapping[str, Any]) -> None:
    """Raise InvalidValueError for a table that lifters do not have, or a value where a table must be."""
    for table, values in changes.items():
        _one_of("table of hyper-parameters", table, ("model", "loss", *_TABLES))
        if not isinstance(values, Mapping):
            raise InvalidValueError(f"{table} = {values!r}: must be a table of names and values")


def canonical(name: str) -> str:
    """Return the name as in `NAMES`; hyphens are accepted."""
    name = name.replace("-", "_")
    _one_of("lifter", name, NAMES)
    return name


@cache
def _defaults(name: str) -> dict[str, dict[str, Any]]:
    text = files(__package__ or __name__.rpartition(".")[0]).joinpath(f"{name}.toml").read_text(encoding="utf-8")
    tables = tomllib.loads(text)
    return {table: {key: _frozen(value) for key, value in values.items()} for table, values in tables.items()}


def _checked(table: str, values: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """The values, each of a known name and of the type of what is known by it."""
    checked = {}
    for key, value in values.items():
        _one_of(f"key in {table}", key, known)
        default, value = known[key], _frozen(value)
        kind: Any = type(default)
        fits = type(value) is kind or (kind is float and type(value) is int)
        if not fits:
            raise InvalidValueError(
                f"{table}.{key} = {value!r}: must be a {type(default).__name__}, such as {default!r}"
            )
        if not _finite(value):
            raise InvalidValueError(f"{table}.{key} = {value!r}: must be finite")
        checked[key] = kind(values[key])
    return checked


def _finite(value: Any) -> bool:
    numbers = value if isinstance(value, tuple) else (value,)
    return all(math.isfinite(number) for number in numbers if isinstance(number, float))


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _one_of(what: str, name: str, names: Iterable[str]) -> None:
    names = list(names)
    if name not in names:
        near = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise InvalidValueError(f"no {what} '{name}'; {hint}there are {', '.join(names)}")


def _above_zero(name: str, value: float) -> None:
    if not value > 0:
        raise InvalidValueError(f"{name} = {value}: must be above 0")
