"""What a training is: frozen settings, checked before anything is read, and plain data in and out."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import Any

import torch

from ...stores.errors import InvalidValueError, reason
from ...stores.format.families import TAKEN, field_of, is_family_name
from ...stores.reading.store import FeatureStore
from ..inputs import D_REF, DEPTH_ORIGINS, REPRESENTATIONS, Inputs
from ..models import Hyperparameters, hyperparameters
from ..models.hyperparameters import check_tables
from ..own_lifters.find import find_lifter
from ..own_lifters.own_lifter import OwnLifter, settings_file

# `--set lr=1e-4` for `--set optimiser.learning_rate=1e-4`; a key of [model] needs no table either.
SHORT = {
    "lr": "optimiser.learning_rate",
    "weight_decay": "optimiser.weight_decay",
    "factor": "schedule.factor",
    "flip": "training.flip",
}
# Of `Inputs`, left out where not used, so that runs of before are what they were; widths are not settings at all.
# Settings that may differ when a training goes on: they change how it is run, not what comes out.
FREE = ("device", "compile", "checkpoint_minutes")


@dataclass(frozen=True)
class Setup:
    """A training.

    stores       URLs; subject to the same skeleton and UADD settings
    lifter       one of `models.MODELS`, or the user's own: FILE.py:CLASS, package.module:CLASS, an entry point, or the
                 class itself (docs/own-lifter.md); afterwards its name
    inputs       the representation, see `Inputs`
    window       frames; None: the lifter's own, as are batch (windows, all ranks together) and epochs
    changes      of the lifter's hyper-parameters, {"optimiser": {"learning_rate": 1e-4}}; above those of `config`
    stride       frames from one training window to the next
    split        of the table of sequences; a store that has none of that name is read whole
    held_out     share of each data set's frames, by whole subjects, that chooses the best checkpoint; 0: none
    limit        windows an epoch at most, and as many of the held-out ones
    seed         of weights, order, dropout and flips
    init         run, or file of weights, to begin with; where it has fewer channels, the first layer is widened
    rename       OLD=NEW: parts of names in that file, as this lifter calls them
    ema          decay a step of the averaged weights that are validated and kept; 0: none
    device       "auto", "cpu", "cuda", "cuda:1"
    amp          bfloat16 where it is exact enough: "auto" (on a GPU that has it), "on", "off"
    compile      torch.compile: "auto" (on a GPU with triton), "on", "off"
    allow_incomplete     train on the finished shards of a store that is still being written
    checkpoint_minutes   besides at the end of every epoch
    own          filled in: where the user's own lifter comes from
    config       its settings file, TOML; None: the one beside its file, if there is one
    """

    stores: tuple[str, ...]
    lifter: Any
    inputs: Inputs = field(default_factory=Inputs)
    window: int | None = None
    batch: int | None = None
    epochs: int | None = None
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    stride: int = 1
    split: str = "train"
    held_out: float = 0.1
    limit: int | None = None
    seed: int = 0
    init: str | None = None
    rename: tuple[str, ...] = ()
    ema: float = 0.0
    device: str = "auto"
    amp: str = "auto"
    compile: str = "auto"
    allow_incomplete: bool = False
    checkpoint_minutes: float = 10.0
    own: OwnLifter | None = None
    config: InitVar[str | Path | None] = None

    def __post_init__(self, config: str | Path | None) -> None:
        if self.own is None:
            self._find_lifter(config)
        # Errors of names and values come now, not after an hour.
        parameters = self.hyperparameters
        for name in ("window", "batch", "epochs"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, getattr(parameters.training, name))
        for name in ("amp", "compile"):
            if getattr(self, name) not in ("auto", "on", "off"):
                raise InvalidValueError(f"{name} {getattr(self, name)!r}: must be auto, on or off")
        for name in ("stride", "limit", "batch", "epochs", "window"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidValueError(f"{name} {value}: must be at least 1")
        if self.window % 2 == 0:  # type: ignore[operator]
            raise InvalidValueError(f"a window of {self.window} frames has no centre: take an odd number")
        if not 0 <= self.held_out < 1:
            raise InvalidValueError(f"held_out {self.held_out}: must be a share, 0 (none) to below 1")
        if self.rename and self.init is None:
            raise InvalidValueError("rename without init: it renames what lies in a file of weights; give --init, too")
        if not 0 <= self.ema < 1:
            raise InvalidValueError(f"ema {self.ema}: must be a decay, 0 (none) to below 1, such as 0.999")

    def _find_lifter(self, config: str | Path | None) -> None:
        """Done once: a setup that is read back has the file's settings among its changes, and needs no file."""
        found = find_lifter(self.lifter)
        check_tables(self.changes)
        tables = settings_file(found, config)
        merged = {
            table: {**tables.get(table, {}), **self.changes.get(table, {})} for table in {**tables, **self.changes}
        }
        if "loss" in self.changes:  # a loss replaces the whole loss
            merged["loss"] = dict(self.changes["loss"])
        object.__setattr__(self, "changes", merged)
        object.__setattr__(self, "own", found if isinstance(found, OwnLifter) else None)
        object.__setattr__(self, "lifter", found.name if isinstance(found, OwnLifter) else found)

    @property
    def hyperparameters(self) -> Hyperparameters:
        if self.own is not None:
            return self.own.hyperparameters(self.changes)
        return hyperparameters(self.lifter, self.changes)

    def bound(self, stores: Sequence[FeatureStore]) -> Setup:
        """Return this training with inputs that know how wide learned features are in its stores."""
        bound = copy.copy(self)
        object.__setattr__(bound, "inputs", self.inputs.bound(stores[0].fields))
        return bound

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, complete; `Setup.from_dict` gives it back. Rare settings are left out where not used."""
        values = {**dataclasses.asdict(self), "stores": list(self.stores), "changes": _plain(self.changes)}
        # Statistics of a training set, and widths of a store's features, are what it is of, and no settings:
        # `checkpoint.description` has them.
        values["inputs"] = dataclasses.replace(self.inputs, statistics=None, widths=()).as_dict()
        rare = {"own": values.pop("own"), "rename": list(values.pop("rename"))}
        return {**values, **{name: _plain(value) for name, value in rare.items() if value}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Setup:
        own = {"own": OwnLifter.from_dict(values["own"])} if "own" in values else {}
        rename = {"rename": tuple(values["rename"])} if "rename" in values else {}
        stores, inputs = tuple(values["stores"]), Inputs(**values["inputs"])
        return cls(**{**values, **own, **rename, "stores": stores, "inputs": inputs})


def what_counts(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of `Setup.as_dict` that the outcome depends on.

    Not how a training is run, nor where its stores and the file of its lifter lie: fingerprints say what these are.
    """
    counts = {key: value for key, value in values.items() if key not in (*FREE, "stores")}
    if own := values.get("own"):
        counts["own"] = {key: own[key] for key in ("path", "sha256", "imports")}
        del counts["lifter"]
    return counts


def parse_changes(lifter: str | OwnLifter, assignments: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Read `["lr=1e-4", "width=64", "loss.mse=1"]` as tables; values as TOML has them, anything else is text.

    lifter   what `find_lifter` returns, or takes
    A key is `table.key`, one of `SHORT`, or a key of the lifter's `[model]`. InvalidValueError for any other.
    """
    found = find_lifter(lifter)
    own = found if isinstance(found, OwnLifter) else None
    settings = own.settings if own else [*hyperparameters(str(found)).model]
    changes: dict[str, dict[str, Any]] = {}
    for assignment in assignments:
        key, equals, text = (part.strip() for part in assignment.partition("="))
        if not equals:
            raise InvalidValueError(f"--set {assignment}: write KEY=VALUE, such as lr=1e-4 or model.width=256")
        key = SHORT.get(key, f"model.{key}" if key in settings else key)
        table, dot, name = key.partition(".")
        if not dot:
            there = ", ".join([*SHORT, *settings])
            raise InvalidValueError(f"--set {assignment}: no '{key}'; there are {there}, and table.key for any other")
        changes.setdefault(table, {})[name] = _value(text)
    if own is None:
        hyperparameters(str(found), changes)
    else:
        own.check(changes)
    return changes


_SCALED = 1.0  # what `@scaled` alone means: a standing person is then three quarters of the frame's width high


def inputs_by_name(text: str) -> Inputs:
    """Read `uadd`, or with a preset of the store `xycd/paper`, and options: `uadd@root@scaled`.

    @base      depths of the family `base`, which auglift-prep extend added to the store
    @joints=small   the joints of the family `small`, and not the store's own
    @root      depths from the pelvis
    @scaled    2D rescaled about each frame's joints to one size, for cameras that show people larger or smaller than
               those of the training; `@scaled=0.8` to another, see `Inputs.scale_to`
    @centred   x and y less the pelvis', which keeps its own place
    @standard  each channel of each joint by its mean and deviation over the training set and its mirror images
    @paper     neither of these two, as in the paper; so it is without a word, too
    @dscale    2D as of a person who stands 4.5 m away, by the depth of the pelvis; `@dscale=3.6` another distance
    @features=v2   learned features of the family `v2`
    """
    name, *options = text.split("@")
    name, _, preset = name.partition("/")
    origin, scale, family, joints = "nearest", None, "", ""
    rare: dict[str, Any] = {option: True for option in ("centred", "standard") if option in options}
    if "paper" in options and rare:
        raise InvalidValueError(f"inputs '{text}': @paper is without @centred and @standard; leave it or them out")
    for option in options:
        key, _, value = option.partition("=")
        if option in ("centred", "standard", "paper"):
            continue
        if key == "scaled":
            scale = _positive(text, value) if value else _SCALED
        elif key == "dscale":
            rare["distance"] = _positive(text, value) if value else D_REF
        elif key == "features" and is_family_name(value):
            rare["features"] = value
        elif key in DEPTH_ORIGINS and not value:
            origin = key
        elif key == "joints" and is_family_name(value):
            joints = value
        elif is_family_name(option) and not family and not _meant(option):
            family = option
        else:
            raise InvalidValueError(
                f"inputs '{text}' have no option '@{option}'; there are @root, @scaled, @dscale, @centred, @standard, "
                "@paper, @joints=NAME, @features=NAME, and @NAME for new fields of that name"
            )
    if family and not preset and name in REPRESENTATIONS:
        preset = Inputs(name, distance=rare.get("distance")).preset or ""
    preset = field_of(preset, family) if family else preset
    return Inputs(name, preset or None, origin, scale_to=scale, joints=joints, **rare)


def _meant(option: str) -> bool:
    """Whether an option of inputs was meant, and misspelt: `@rot`."""
    return bool(difflib.get_close_matches(option, TAKEN, 1, 0.8))


def name_of_inputs(inputs: Inputs) -> str:
    """Write what `inputs_by_name` takes, as short as possible."""
    own = Inputs(inputs.name, distance=inputs.distance).preset
    preset = f"/{inputs.preset}" if inputs.preset != own else ""
    joints = f"@joints={inputs.joints}" if inputs.joints else ""
    root = "@root" if inputs.depth_origin == "root" else ""
    scaled = {None: "", _SCALED: "@scaled"}.get(inputs.scale_to, f"@scaled={inputs.scale_to}")
    scaled += {None: "", D_REF: "@dscale"}.get(inputs.distance, f"@dscale={inputs.distance}")
    features = f"@features={inputs.features}" if inputs.features else ""
    treated = "".join(f"@{option}" for option in ("centred", "standard") if getattr(inputs, option))
    return f"{inputs.name}{preset}{joints}{features}{root}{scaled}{treated}"


def baseline_of(name: str) -> str:
    """Return the inputs without depth to compare with: `xy` of the same joints, its 2D treated alike."""
    alike = ("joints", "scaled", "dscale", "centred", "standard", "paper")
    return "@".join(["xy", *(option for option in name.split("@")[1:] if option.partition("=")[0] in alike)])


def _positive(text: str, value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise InvalidValueError(f"inputs '{text}': '{value}' is no number; write @scaled or @scaled=0.8") from error


def device_of(name: str) -> torch.device:
    """Choose a device; InvalidValueError where this machine has none such."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InvalidValueError(
            f"device '{name}' cannot be used here ({reason(error)}); --device cpu always can"
        ) from error
    return device


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _plain(value: Any) -> Any:
    """Tuples as lists, as JSON would have them."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value
