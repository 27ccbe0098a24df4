"""A grid of trainings from a TOML file: lifters x inputs x windows x seeds x sources, each tested on all targets."""

from __future__ import annotations

import difflib
import itertools
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ...stores.errors import InvalidValueError, MissingFileError
from ..models.hyperparameters import NAMES
from ..own_lifters.find import find_lifter
from ..own_lifters.own_lifter import OwnLifter
from ..training.setup import Setup, inputs_by_name, name_of_inputs, parse_changes

# [every_store] and [stores] say how the stores were made; `reproduce/run.py` reads them.
_TABLES = ("like", "out", "every_store", "stores", "sources", "targets", "grid", "training", "lifters")
_AXES = ("lifter", "inputs", "window", "seed")
# Of `Setup`, what a grid's [training] may say; the rest follows from the axes.
_TRAINING = tuple(
    f.name
    for f in fields(Setup)
    if f.name not in ("stores", "lifter", "inputs", "window", "seed", "changes", "init", "rename", "own")
)
_LIFTER = ("window", "batch", "epochs", "stride", "limit", "ema", "set", "config")


@dataclass(frozen=True)
class Job:
    """One training and the stores it is tested on, by name."""

    name: str
    source: str
    setup: Setup
    targets: Mapping[str, str]


@dataclass(frozen=True)
class Grid:
    out: str
    jobs: tuple[Job, ...]


def read_grid(path: str | Path, training: Mapping[str, Any] | None = None) -> Grid:
    """Read the grid of a TOML file. Paths in it are relative to the folder the command runs in.

        like = "other.toml"     # optional, in the same folder: its keys hold where this file has no other
        out = "runs/grid"
        [sources]               # name = store, or list of stores
        h36m = "h36m.zarr"
        [targets]
        h36m = "h36m.zarr"
        3dpw = "3dpw.zarr"
        [grid]
        lifter = ["simple_baseline", "poseformer", "mine.py:MyLifter"]
        inputs = ["xy", "uadd"]
        window = [27]           # without it, each lifter's own
        seed = [0, 1, 2]
        [training]              # of `Setup`, for all
        epochs = 20
        [lifters.poseformer]    # for one: window, batch, epochs, stride, limit, ema, and set, as --set takes it
        set = {lr = 1e-3}
        [lifters."mine.py:MyLifter"]
        config = "mine.toml"    # settings file, as --config takes it

    training   more of [training], from the command line
    Raises MissingFileError, InvalidValueError that names the table and key.
    """
    return _grid(str(path), read_tables(path), training or {})


def read_tables(path: str | Path) -> dict[str, Any]:
    """Read the tables of a grid's TOML file, with those of the file that it is `like` beneath them.

    Raises MissingFileError, InvalidValueError for what is no TOML.
    """
    path = Path(path)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MissingFileError(f"{path} cannot be read ({error.strerror or error}); give a grid's TOML file") from error
    except ValueError as error:
        raise InvalidValueError(f"{path} is no TOML: {error}") from error
    if "like" not in tables:
        return tables
    merged = read_tables(path.parent / tables["like"])
    for name, table in tables.items():
        merged[name] = {**merged.get(name, {}), **table} if isinstance(table, dict) else table
    return merged


def _grid(path: str, tables: Mapping[str, Any], extra: Mapping[str, Any]) -> Grid:
    _known(f"{path}: table", tables, _TABLES)
    for table in ("sources", "targets", "grid"):
        if not tables.get(table):
            raise InvalidValueError(f"{path} has no [{table}]; a grid needs sources, targets and grid")
    axes = {name: _many(value) for name, value in tables["grid"].items()}
    _known(f"{path}: axis in [grid]", axes, _AXES)
    for axis in ("lifter", "inputs"):
        if not axes.get(axis):
            raise InvalidValueError(f"{path}: [grid] has no {axis}; give a list")
    training = {**tables.get("training", {}), **{k: v for k, v in extra.items() if v is not None}}
    _known(f"{path}: key in [training]", training, _TRAINING)
    lifters = _found(axes["lifter"])
    special = {_key(name): values for name, values in tables.get("lifters", {}).items()}
    for name, values in special.items():
        if ":" not in name:  # one of the user's own may be another grid's, that this one is like
            _known(f"{path}: lifter in [lifters]", [name], {**dict.fromkeys(NAMES), **lifters})
        _known(f"{path}: key in [lifters.{name}]", values, _LIFTER)
    targets = {name: str(store) for name, store in tables["targets"].items()}
    jobs = []
    for source, name, inputs, window, seed in itertools.product(
        tables["sources"], axes["lifter"], axes["inputs"], axes.get("window", [None]), axes.get("seed", [0])
    ):
        lifter, own = lifters[_key(name)], dict(special.get(_key(name), {}))
        changes = parse_changes(lifter, [f"{key}={_toml(value)}" for key, value in own.pop("set", {}).items()])
        options = {**training, **own}
        if window is not None and "window" not in own:
            options["window"] = window
        stores = tuple(str(store) for store in _many(tables["sources"][source]))
        setup = Setup(stores, lifter, inputs_by_name(inputs), seed=seed, changes=changes, **options)
        name = f"{source}-{setup.lifter}-{name_of_inputs(setup.inputs)}-{setup.window}-{seed}"
        jobs.append(Job(re.sub(r"[^\w@.-]", "_", name), source, setup, targets))
    if len({job.name for job in jobs}) < len(jobs):
        raise InvalidValueError(f"{path}: an axis of [grid] has a value twice, or a lifter's own window meets several")
    return Grid(str(tables.get("out", "runs/sweep")), tuple(jobs))


def _found(names: Iterable[str]) -> dict[str, str | OwnLifter]:
    """The lifters by their text in the grid; where two have one name, `model.py:M`, that of their folder before it."""
    found = {_key(name): find_lifter(name) for name in names}
    count = Counter(lifter.name for lifter in found.values() if isinstance(lifter, OwnLifter))
    for key, lifter in found.items():
        if isinstance(lifter, OwnLifter) and count[lifter.name] > 1:
            found[key] = replace(lifter, name=f"{Path(lifter.file).parent.name}/{lifter.name}")
    return found


def _key(name: str) -> str:
    """One text a lifter: hyphens in the names of auglift's own will do."""
    return name.replace("-", "_") if name.replace("-", "_") in NAMES else name


def _many(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _known(what: str, names: Iterable[str], known: Iterable[str]) -> None:
    known = list(known)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            raise InvalidValueError(f"{what} '{name}' is unknown; {hint}there are {', '.join(known)}")
