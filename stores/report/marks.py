"""Axes, ticks and text of a drawing in SVG. Its colours come from the page, light or dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from os.path import commonprefix

import numpy as np

# As wide as a telephone shows it, so that 11 px of text are 11 px there.
WIDTH = 360


@dataclass(frozen=True)
class Axis:
    """A range of values and where it lies on the drawing, px: `first` is where `low` is."""

    low: float
    high: float
    first: float
    last: float

    def at(self, values: np.ndarray | Sequence[float] | float) -> np.ndarray:
        """Return px, held inside the drawing."""
        span = self.high - self.low or 1.0
        share = np.clip((np.asarray(values, dtype=np.float64) - self.low) / span, 0, 1)
        return self.first + share * (self.last - self.first)

    def ticks(self, count: int = 5) -> list[float]:
        """Return round values inside the range."""
        span = self.high - self.low
        if not span > 0:
            return [self.low]
        step = 10 ** math.floor(math.log10(span / count))
        step *= next(factor for factor in (1, 2, 2.5, 5, 10) if span / (step * factor) <= count)
        first = math.ceil(self.low / step - 1e-9)
        return [round(step * n, 12) for n in range(first, math.floor(self.high / step + 1e-9) + 1)]


def axis_of(
    values: np.ndarray,
    first: float,
    last: float,
    low: float | None = None,
    high: float | None = None,
    shares: tuple[float, float] = (0.5, 99.5),
) -> Axis:
    """An axis for the values that are finite: from one percentile to another, unless an end is given."""
    known = values[np.isfinite(values)]
    ends = np.percentile(known, shares) if len(known) else (0.0, 1.0)
    margin = 0.04 * float(ends[1] - ends[0]) or 0.5
    return Axis(
        float(ends[0]) - margin if low is None else low, float(ends[1]) + margin if high is None else high, first, last
    )


def short(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def shared_beginning(names: Sequence[str]) -> int:
    """How many letters all names begin with, up to a separator: what tells none from another. 0 of a single name."""
    if len(set(names)) < 2:
        return 0
    same = commonprefix(list(names))  # noqa: RUF071  letters are what is wanted
    return max(same.rfind(mark) for mark in "/-_. ") + 1


def text(
    x: float, y: float, words: str, anchor: str = "start", kind: str = "", longest: int = 0, full: str = ""
) -> str:
    """Words at a place; of more than `longest` letters both ends, and all as a tip."""
    half = longest // 2
    shown = words if not longest or len(words) <= longest else f"{words[: longest - half - 1]}…{words[-half:]}"
    tip = f"<title>{escape(full or words)}</title>" if full or shown != words else ""
    style = f" class={kind}" if kind else ""
    return f'<text x="{x:.5g}" y="{y:.5g}" text-anchor="{anchor}"{style}>{escape(shown)}{tip}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<path class="{kind}" d="M{x1:.5g} {y1:.5g}L{x2:.5g} {y2:.5g}"/>'


def scale_below(axis: Axis, top: float, bottom: float, label: str, words=short) -> str:
    """Grid lines down from `top` to `bottom`, values below, and what they are."""
    parts = []
    for tick in axis.ticks():
        x = float(axis.at(tick))
        label_x, anchor = (WIDTH - 1, "end") if x > WIDTH - 18 else (x, "middle")
        parts += [line(x, top, x, bottom, "grid"), text(label_x, bottom + 13, words(tick), anchor, "tick")]
    parts.append(text((axis.first + axis.last) / 2, bottom + 28, label, "middle", "label"))
    return "".join(parts)


def scale_left(axis: Axis, left: float, right: float, label: str) -> str:
    """Grid lines from `left` to `right`, values beside them, and what they are above."""
    parts = []
    for tick in axis.ticks():
        y = float(axis.at(tick))
        parts += [line(left, y, right, y, "grid"), text(left - 5, y + 3.5, short(tick), "end", "tick")]
    parts.append(text(4, 12, label, "start", "label"))
    return "".join(parts)


def drawing(height: float, title: str, body: str, caption: str = "") -> str:
    """A figure of the page: what it shows above, the drawing, what to see in it below."""
    below = f"<p class=caption>{escape(caption)}</p>" if caption else ""
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(title)}">{body}</svg>{below}</figure>'
    )
