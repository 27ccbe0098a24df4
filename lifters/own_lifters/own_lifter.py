"""A lifter of the user's own: which class of which file, what it takes, and its settings (docs/own-lifter.md)."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from ...stores.errors import InvalidValueError, MissingFileError
from ..losses import LOSSES
from ..models.hyperparameters import Hyperparameters, check_tables, filled, hyperparameters, own_defaults
from . import user_code

OWN_LOSS = "own"  # in [loss], the class' own method
GIVEN = ("channels", "window", "joints")  # arguments that auglift fills in


@dataclass(frozen=True)
class OwnLifter:
    """What a run remembers of a class: where it came from, and what it takes.

    name        as tables and folders of runs show it: `model.py:MyLifter`, `package.module:MyLifter`, an entry point's
    file        the source, by its full path
    sha256      of that file's bytes
    path        of the class in its module; with dots where it lies in another class
    module      by which it is imported, None: the file itself is loaded
    imports     sha256 of the files beside it that it imports, by their path from `folder`
    defaults    of its arguments but `GIVEN`, those that are plain data
    free        arguments with another default (None, a function): they take any value
    needed      arguments without a default
    takes_any   `**settings`: any other name, too
    takes_joints, has_loss   whether it has an argument `joints`, a method `loss`
    """

    name: str
    file: str
    sha256: str
    path: str
    module: str | None = None
    imports: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    free: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    takes_any: bool = False
    takes_joints: bool = True
    has_loss: bool = False

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> OwnLifter:
        tuples = {name: tuple(values[name]) for name in ("free", "needed")}
        return cls(**{**values, **tuples, "defaults": {k: frozen(v) for k, v in values["defaults"].items()}})

    @property
    def folder(self) -> Path | None:
        """Return where its imports are looked for: the file's own folder, or the one that holds its package."""
        file = Path(self.file)
        return file.parent if self.module is None else user_code.folder_of(file, self.module)

    @property
    def identity(self) -> dict[str, str]:
        """Return what weights are of, without where the file lies."""
        return {"class": self.path, "sha256": self.sha256}

    def changed(self) -> list[str]:
        """List files that are gone or changed: the class' own by its full path, and what it imports."""
        own = [] if user_code.digest_of(Path(self.file)) == self.sha256 else [self.file]
        return [*own, *(user_code.changed(self.folder, self.imports) if self.folder else self.imports)]

    def load(self) -> type[nn.Module]:
        """Load the class. Raises what `user_code.load_file` does; `changed` says whether the file is what it was."""
        return class_in(self._loaded(), self.path, self.name)

    def _loaded(self) -> user_code.Loaded:
        if self.module is None:
            return user_code.load_file(Path(self.file))
        loaded = user_code.load_module(self.module, self.folder)
        if Path(loaded.module.__file__ or "").resolve() != Path(self.file).resolve():
            raise InvalidValueError(f"{self.name} is found in {loaded.module.__file__} here, and was in {self.file}")
        return loaded

    def hyperparameters(self, changes: Mapping[str, Any] | None = None) -> Hyperparameters:
        """Return its settings, with changes. InvalidValueError names what is unknown, of another type, or missing."""
        changes = changes or {}
        defaults, losses = own_defaults(), [*LOSSES, OWN_LOSS] if self.has_loss else [*LOSSES]
        if self.has_loss:
            defaults["loss"] = {OWN_LOSS: 1.0}
        check_tables(changes)
        model = dict(self.defaults)
        for key, value in changes.get("model", {}).items():
            self._check_name(key)
            model[key] = _fitting(key, frozen(value), self.defaults.get(key))
        if missing := [name for name in self.needed if name not in model]:
            raise InvalidValueError(
                f"{self.name} needs {', '.join(missing)}, which has no default: give --set {missing[0]}=..., or "
                f"[model] in {self.beside().name} beside it"
            )
        return filled(defaults, changes, model, losses)

    def check(self, changes: Mapping[str, Any]) -> None:
        """Raise InvalidValueError where changes are wrong in themselves; needed arguments may come from elsewhere."""
        replace(self, needed=(), free=(*self.free, *self.needed)).hyperparameters(changes)

    @property
    def settings(self) -> tuple[str, ...]:
        """Return the names that [model] may hold."""
        return (*self.defaults, *self.free, *self.needed)

    def beside(self) -> Path:
        """Return the settings file that is read without `--config`: of the class' file's name, and there or not."""
        return Path(self.file).with_suffix(".toml")

    def _check_name(self, key: str) -> None:
        if key in GIVEN:
            raise InvalidValueError(f"model.{key}: auglift gives that to the class itself; --window sets the window")
        if key not in self.settings and not self.takes_any:
            near = difflib.get_close_matches(key, self.settings, 1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            takes = ", ".join(self.settings) or "nothing but " + ", ".join(GIVEN)
            raise InvalidValueError(f"{self.name} takes no '{key}'; {hint}it takes {takes}")


def settings_file(lifter: str | OwnLifter, config: str | Path | None) -> dict[str, dict[str, Any]]:
    """Read the settings file given, or the one beside the user's own lifter; no tables where there is none.

    Raises MissingFileError, InvalidValueError that names the file.
    """
    if config is None:
        if isinstance(lifter, str) or not lifter.beside().is_file():
            return {}
        config = lifter.beside()
    try:
        tables = tomllib.loads(Path(config).read_text(encoding="utf-8"))
    except OSError as error:
        raise MissingFileError(f"{config} cannot be read ({error.strerror or error}); --config takes a TOML") from error
    except ValueError as error:
        raise InvalidValueError(f"{config} is no TOML: {error}") from error
    try:
        if isinstance(lifter, OwnLifter):
            lifter.check(tables)
        else:
            hyperparameters(lifter, tables)
    except InvalidValueError as error:
        raise InvalidValueError(f"{config}: {error}") from error
    return tables


def class_in(loaded: user_code.Loaded, path: str, name: str) -> type[nn.Module]:
    found: Any = loaded.module
    for part in path.split("."):
        found = getattr(found, part, None)
    if found is None:
        classes = [k for k, v in vars(loaded.module).items() if isinstance(v, type) and issubclass(v, nn.Module)]
        near = difflib.get_close_matches(path, classes, 1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        there = ", ".join(classes) or "no class of torch.nn.Module"
        raise InvalidValueError(f"{name.rpartition(':')[0]} has no class '{path}'; {hint}it has {there}")
    check_class(found, name)
    return found


def check_class(found: Any, name: str) -> None:
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise InvalidValueError(
            f"{name} is no class of torch.nn.Module but a {type(found).__name__}: name such a class"
        )


def _fitting(key: str, value: Any, default: Any) -> Any:
    """The value, where it is plain and of the default's kind; a number is a number."""
    if not is_plain(value):
        raise InvalidValueError(f"model.{key} = {value!r}: must be a number, a text, true, false, or a list of these")
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (value, default))
    if default is not None and not numbers and type(value) is not type(default):
        raise InvalidValueError(f"model.{key} = {value!r}: must be a {type(default).__name__}, such as {default!r}")
    return value


def is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) for key in value) and all(map(is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    return isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))


def frozen(value: Any) -> Any:
    return tuple(map(frozen, value)) if isinstance(value, list) else value
