"""The UADD presets: how large a disk about a joint is, and which statistics of the depth in it are stored.

Rows of one table, `PRESETS`; docs/method.md says where each comes from.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from ...stores.errors import InvalidValueError
from .disks import HUNDREDTHS, MAX_RADIUS
from .radii import Kind


class _Rule:
    """How a joint's radius follows from its confidence and its person: `radii.Kind` has the formulas."""

    rule: ClassVar[str]
    kind: ClassVar[Kind]

    @property
    def row(self) -> tuple[float, ...]:
        """As `radii.radii` takes it."""
        own = vars(self)
        r_max = own["r"] if "r" in own else own["r_max"]
        return (self.kind, own.get("r_min", r_max), r_max, *(own.get(name, 0.0) for name in ("k", "beta", "gamma")))

    @property
    def max_radius(self) -> float:
        """The largest radius that the rule gives, px."""
        return self.row[2]


@dataclass(frozen=True)
class ConfidenceRadius(_Rule):
    """The paper's: from r_max down to r_min as confidence grows."""

    r_min: float = 3.0
    r_max: float = 30.0
    rule: ClassVar[str] = "confidence"
    kind: ClassVar[Kind] = Kind.CONFIDENCE


@dataclass(frozen=True)
class TorsoRadius(_Rule):
    """The research code's: also larger for larger people."""

    k: float = 0.04
    beta: float = 3.0
    gamma: float = 1.5
    r_min: float = 3.0
    r_max: float = 30.0
    rule: ClassVar[str] = "torso"
    kind: ClassVar[Kind] = Kind.TORSO


@dataclass(frozen=True)
class FixedRadius(_Rule):
    """The same for every joint."""

    r: float = 3.0
    rule: ClassVar[str] = "fixed"
    kind: ClassVar[Kind] = Kind.FIXED


Rule = ConfidenceRadius | TorsoRadius | FixedRadius


@dataclass(frozen=True)
class Preset:
    """A rule for the radius, and the statistics of the disk.

    d          a percentile of the disk, or "pixel": depth at the joint's own pixel
    low, high  the percentiles d_min and d_max, or None for neither
    positions  where the pixels are whose depth is nearest to low and high
    """

    name: str
    radius: Rule
    d: float | Literal["pixel"] = 50.0
    low: float | None = None
    high: float | None = None
    positions: bool = False

    def __post_init__(self) -> None:
        for problem in self._problems():
            raise InvalidValueError(f"UADD preset '{self.name}': {problem}")

    def _problems(self) -> Iterator[str]:
        constants = dataclasses.asdict(self.radius)
        for key, value in constants.items():
            if not _is_number(value):
                yield f"{key} is {value!r}; it must be a finite number"
            elif key in ("r", "r_min", "r_max") and not 0 < value <= MAX_RADIUS:
                yield f"{key} is {value:g} px; it must be over 0 and at most {MAX_RADIUS:g}"
            elif value < 0:
                yield f"{key} is {value:g}; it must not be negative"
        if constants.get("r_min", 0) > constants.get("r_max", math.inf):
            yield f"r_min {constants['r_min']:g} is over r_max {constants['r_max']:g}; change one of them"
        bounds = {key: value for key, value in (("low", self.low), ("high", self.high)) if value is not None}
        for key, value in bounds.items() if self.d == "pixel" else [("d", self.d), *bounds.items()]:
            if not _is_percentile(value):
                yield f"{key} is {value!r}; a percentile is 0 to 100 in steps of 0.01"
        if len(bounds) == 1 or (self.positions and not bounds):
            yield "low and high come together, and positions need both"
        if len(bounds) == 2 and bounds["low"] > bounds["high"]:
            yield f"low {bounds['low']:g} is over high {bounds['high']:g}; change one of them"

    @property
    def stats(self) -> tuple[str, ...]:
        """Names of the statistics, in the order of the last axis of `Uadd.stats`."""
        bounds = () if self.low is None else ("d_min", "d_max")
        return ("d", *bounds, *(("x_min", "y_min", "x_max", "y_max") if self.positions else ()))

    @property
    def constants(self) -> dict[str, float]:
        """What `replace` takes."""
        bounds = {} if self.low is None or self.high is None else {"low": self.low, "high": self.high}
        return dataclasses.asdict(self.radius) | bounds

    def replace(self, **constants: float) -> Preset:
        """The preset with other constants, `preset.replace(r_max=20)`.

        InvalidValueError where it has no constant of that name, or the value cannot be.
        """
        for name in constants.keys() - self.constants.keys():
            has = ", ".join(self.constants)
            raise InvalidValueError(f"UADD preset '{self.name}' has no constant '{name}'; it has {has}")
        own = {name: value for name, value in constants.items() if name in ("low", "high")}
        radius = {name: value for name, value in constants.items() if name not in own}
        return dataclasses.replace(self, radius=dataclasses.replace(self.radius, **radius), **own)

    def describe(self) -> dict[str, Any]:
        """As plain data, for a store's fingerprint: whatever changes a result is in it."""
        radius = {"rule": self.radius.rule} | {key: float(v) for key, v in dataclasses.asdict(self.radius).items()}
        d = self.d if self.d == "pixel" else float(self.d)
        low, high = (None if value is None else float(value) for value in (self.low, self.high))
        return {"radius": radius, "d": d, "low": low, "high": high, "stats": list(self.stats)}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_percentile(value: Any) -> bool:
    if not _is_number(value) or not 0 <= value <= 100:
        return False
    hundredths = value * HUNDREDTHS / 100
    return math.isclose(hundredths, round(hundredths), abs_tol=1e-6)


# method.md section 3. d of `fixed` is the minimum, percentile 0.
PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            Preset("paper", ConfidenceRadius(), d=50.0, low=0.0, high=100.0),
            Preset("quantile", TorsoRadius(), d="pixel", low=10.0, high=90.0),
            Preset("spatial", TorsoRadius(), d=50.0, low=10.0, high=90.0, positions=True),
            Preset("fixed", FixedRadius(), d=0.0),
        )
    }
)
