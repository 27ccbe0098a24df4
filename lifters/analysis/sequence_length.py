"""Sequence length: what a longer window brings, on data like the training's and on other data."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...stores.errors import InvalidValueError

NAME = "sequence-length"
SIDES = ("in distribution", "out of distribution")


@dataclass(frozen=True)
class Point:
    """MPJPE and P-MPJPE, mm: means over targets and seeds; `spread`: of MPJPE over seeds, NaN where there is one."""

    mpjpe: float
    p_mpjpe: float
    spread: float


@dataclass(frozen=True)
class Lengths:
    """lines[(lifter, inputs, side)][window]; `side` is one of SIDES. rows: what they were made of."""

    windows: tuple[int, ...]
    lines: Mapping[tuple[str, str, str], Mapping[int, Point]]
    rows: tuple[Mapping[str, Any], ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        lines = [
            {
                "lifter": lifter,
                "inputs": inputs,
                "side": side,
                "points": [
                    {"window": window, **{k: None if math.isnan(v) else v for k, v in vars(point).items()}}
                    for window, point in points.items()
                ],
            }
            for (lifter, inputs, side), points in self.lines.items()
        ]
        return {"analysis": NAME, "windows": list(self.windows), "lines": lines, "rows": list(self.rows)}

    def table(self) -> list[str]:
        """Return the lines of a Markdown table: a row a lifter, inputs and side, MPJPE (P-MPJPE) by window."""
        heads = " | ".join(f"{window} frame{'s' if window > 1 else ''}" for window in self.windows)
        out = [f"| lifter | inputs | target | {heads} |", "|" + "---|" * (3 + len(self.windows))]
        for (lifter, inputs, side), points in self.lines.items():
            cells = [_text(points[window]) if window in points else "" for window in self.windows]
            out.append(f"| {lifter} | {inputs} | {side} | {' | '.join(cells)} |")
        return out


def require_windows(windows: Mapping[str, int]) -> None:
    """Raise InvalidValueError where runs, name to window, have all the same one."""
    if len(set(windows.values())) < 2:
        (window,) = set(windows.values())
        raise InvalidValueError(
            f"{NAME} compares runs of several windows, and {', '.join(windows)} has {window} frames alone: name runs "
            "of other windows with --compare"
        )


def by_window(rows: Sequence[Mapping[str, Any]]) -> Lengths:
    """Average rows over targets, by lifter, inputs and side; a row is a training on a target, as a sweep leaves it.

    In distribution is where source and target have one name.
    """
    seeds: dict[tuple[tuple[str, str, str], int], dict[int, list[Mapping[str, Any]]]] = {}
    for row in rows:
        if row["mpjpe"] is not None:
            key = (row["lifter"], row["inputs"], SIDES[row["source"] != row["target"]])
            seeds.setdefault((key, row["window"]), {}).setdefault(row["seed"], []).append(row)
    lines: dict[tuple[str, str, str], dict[int, Point]] = {}
    for (key, window), of in sorted(seeds.items(), key=lambda item: (_place(item[0][0]), item[0][1])):
        mpjpe = [statistics.fmean(row["mpjpe"] for row in some) for some in of.values()]
        aligned = [statistics.fmean(row["p_mpjpe"] for row in some) for some in of.values()]
        spread = statistics.stdev(mpjpe) if len(mpjpe) > 1 else math.nan
        lines.setdefault(key, {})[window] = Point(statistics.fmean(mpjpe), statistics.fmean(aligned), spread)
    windows = tuple(sorted({window for _, window in seeds}))
    return Lengths(windows, lines, tuple(rows))


def _place(key: tuple[str, str, str]) -> tuple[str, int, str]:
    lifter, inputs, side = key
    return lifter, SIDES.index(side), inputs


def _text(point: Point) -> str:
    spread = "" if math.isnan(point.spread) else f" ± {point.spread:.1f}"
    return f"{point.mpjpe:.1f}{spread} ({point.p_mpjpe:.1f})"
