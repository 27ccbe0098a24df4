"""What a simulated sensor gets wrong: every constant with its meaning, and named sets of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from ....stores.errors import InvalidValueError

# Of H36M-17's joints: how much more or less than the average one a detector errs by; hips and wrists are hard to see.
BY_JOINT = (1.2, 1.2, 1.0, 1.1, 1.2, 1.0, 1.1, 1.1, 0.9, 0.8, 0.9, 0.9, 1.1, 1.3, 0.9, 1.1, 1.3)
DISTANCE = 4.5  # m: where a person stands whose relief is wrong by `relief`
RELIEF_LIMIT = 0.8  # m: what is farther from the pelvis than this is background, and keeps its distance
SMALLEST_MAP = 8  # cells


@dataclass(frozen=True)
class Noise:
    """The constants of a simulated sensor. Lengths in the picture are shares of the person's stature there.

    joint       scale of a visible joint's 2D error, along x and along y
    tails       degrees of freedom of its Student t distribution: fewer give more gross errors; 0: Gaussian
    hidden      a hidden joint's error is so many times as large,
    bias        and it has an error besides that stays through the clip, of this deviation
    lasting     share of the 2D error's variance that changes slowly,
    memory      over so many seconds
    seen, unseen   confidence of a joint without error that can be seen, and of a hidden one
    decay       the 2D error at which confidence falls to 1/e of that
    spread      deviation of what else confidence varies by
    map         cells of the depth map's side, over the whole frame
    blur        deviation, in cells, of the Gaussian that softens its edges
    scale       deviation of the logarithm of the factor on all of a frame's depth
    gain        the share of a person's relief that depth has; gain_spread: its deviation
    relief      m: deviation of a smooth error of depth over the picture, of a person 4.5 m away
    smooth      how far that error reaches
    steady      share of the variance of scale, gain and relief that stays through a clip
    useless     0, or 1: depth at the joints is that of another person's frame, brought to this one's distance
    coco        0: joints are H36M-17's own, as the truth has them; 1: as detectors give them, H36M-17 made of COCO-17:
                the head between the eyes and not the crown, the thorax between the shoulders and not the neck
    """

    joint: float = 0.0071
    tails: float = 5.0
    hidden: float = 1.8
    bias: float = 0.011
    lasting: float = 0.55
    memory: float = 0.3
    seen: float = 0.93
    unseen: float = 0.62
    decay: float = 0.089
    spread: float = 0.07
    map: int = 518
    blur: float = 1.2
    scale: float = 0.08
    gain: float = 0.85
    gain_spread: float = 0.1
    relief: float = 0.05
    smooth: float = 0.133
    steady: float = 0.6
    useless: int = 0
    coco: int = 0

    def __post_init__(self) -> None:
        for problem in self._problems():
            raise InvalidValueError(f"--noise: {problem}")

    def _problems(self) -> Iterator[str]:
        for name, value in asdict(self).items():
            if not math.isfinite(value) or value < 0:
                yield f"{name}={value:g} must be a finite number that is not negative"
            elif name in _SHARES and value > 1:
                yield f"{name}={value:g} is a share; it must be at most 1"
            elif name in _WHOLE and value != int(value):
                yield f"{name}={value:g} must be a whole number"
        if self.map < SMALLEST_MAP:
            yield f"map={self.map} is too small to hold a person; the least is {SMALLEST_MAP} cells"
        if 0 < self.tails <= 2:
            yield f"tails={self.tails:g}: errors would have no finite variance; take more than 2, or 0 for Gaussian"
        if self.decay == 0 or self.smooth == 0:
            yield "decay and smooth are lengths to divide by; they must be over 0"
        if self.blur > self.map / 8:
            yield f"blur={self.blur:g} is over an eighth of map={self.map}; nothing would be left of a person"

    def require_fit(self, size: int) -> None:
        """Raise InvalidValueError where the depth map has more cells than the frame (`size` px a side) has pixels."""
        if self.map > size:
            raise InvalidValueError(
                f"--noise: map={self.map} is larger than the frame, {size} px; lower it (standard:map={size}) or raise "
                f"--size"
            )

    def of_joints(self) -> dict[str, Any]:
        """Return the constants of the 2D joints as plain data, for a fingerprint."""
        coco = {"coco": 1} if self.coco else {}  # stores from before it was a choice keep their fingerprint
        return {name: getattr(self, name) for name in _JOINTS} | {"by_joint": list(BY_JOINT)} | coco

    def of_depth(self) -> dict[str, Any]:
        """Return the constants of the depth as plain data, for a fingerprint."""
        joints = (*_JOINTS, "coco")
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in joints}


_JOINTS = ("joint", "tails", "hidden", "bias", "lasting", "memory", "seen", "unseen", "decay", "spread")
_SHARES = ("lasting", "seen", "unseen", "steady", "useless", "coco")
_WHOLE = ("map", "useless", "coco")

_EXACT: dict[str, Any] = {"blur": 0.0, "scale": 0.0, "gain": 1.0, "gain_spread": 0.0, "relief": 0.0}
NOISES: Mapping[str, Noise] = MappingProxyType(
    {
        "standard": Noise(),
        "exact": Noise(**_EXACT),  # exact depth at the joints that are detected
        "useless": Noise(useless=1),
        "none": Noise(joint=0.0, bias=0.0, seen=1.0, unseen=1.0, spread=0.0, **_EXACT),
    }
)


def choose_noise(text: str) -> Noise:
    """Return the noise that a text names: `standard`, or with constants of one's own, `standard:relief=0.1:map=252`.

    InvalidValueError for a name or a constant that there is not, naming the nearest, and for impossible values.
    """
    name, *constants = text.strip().split(":")
    if name not in NOISES:
        raise InvalidValueError(f"--noise: no set of constants named '{name}'; there are {', '.join(NOISES)}")
    values: dict[str, float] = {}
    there = [field.name for field in fields(Noise)]
    for part in constants:
        key, _, value = part.partition("=")
        if key not in there:
            near = get_close_matches(key, there, n=1, cutoff=0)[0]
            raise InvalidValueError(f"--noise: no constant '{key}', did you mean {near}? There are {', '.join(there)}")
        try:
            number = float(value)
        except ValueError:
            raise InvalidValueError(
                f"--noise: '{part}': constants are NAME=NUMBER, as in standard:relief=0.1:map=252"
            ) from None
        values[key] = int(number) if key in _WHOLE and number.is_integer() else number
    return replace(NOISES[name], **values)  # type: ignore[arg-type]
