"""The picture of each analysis: bars by tier, lines by window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .sequence_length import SIDES, Lengths
from .style import COLOURS, HATCHES, INK, MARKERS, figure, save
from .tiers import Analysis

ACROSS = 3  # panels beside one another


def draw_tiers(stem: Path, analyses: Sequence[Analysis]) -> list[Path]:
    """Draw one analysis of several stores: a panel a store, MPJPE by tier, a bar a run. Returns the files."""
    across = min(ACROSS, len(analyses))
    down = -(-len(analyses) // across)
    with figure(0.6 + 3.9 * across, 0.6 + 2.9 * down) as picture:
        axes = picture.subplots(down, across, squeeze=False, sharey=True)
        for spare in axes.flat[len(analyses) :]:
            spare.set_axis_off()
        for at, (axis, one) in enumerate(zip(axes.flat, analyses, strict=False)):
            _bars(axis, one)
            if at % across == 0:
                axis.set_ylabel("MPJPE, mm")
        if len(analyses[0].runs) > 1:
            handles, labels = axes.flat[0].get_legend_handles_labels()
            picture.legend(handles, labels, loc="outside upper left", ncols=min(4, len(labels)))
        return save(picture, stem)


def _bars(axis: Any, one: Analysis) -> None:
    width = 0.8 / len(one.runs)
    for number, run in enumerate(one.runs):
        places = [at + (number - (len(one.runs) - 1) / 2) * width for at in range(len(one.tiers))]
        heights = [_finite(tier.measures[run]["mpjpe"]) for tier in one.tiers]
        look = number % len(COLOURS)
        # Filled, then hatched ever more densely: told apart without colour, too.
        fill = COLOURS[look] if look == 0 else "white"
        bars = axis.bar(
            places, heights, 0.92 * width, label=run, facecolor=fill, edgecolor=COLOURS[look], hatch=HATCHES[look]
        )
        labels = [f"{height:.0f}" if height else "" for height in heights]
        axis.bar_label(bars, labels, padding=1.5, fontsize=7.5, color=INK)
    names = [f"{tier.name}\n{_range(tier.low, tier.high, one.unit)}\n{tier.frames:,} frames" for tier in one.tiers]
    axis.set_xticks(range(len(names)), names, fontsize=7)
    axis.tick_params(length=0)
    axis.grid(axis="y")
    axis.set_title(f"{one.dataset}, by {one.value}", fontsize=9)


def draw_lengths(stem: Path, found: Lengths) -> list[Path]:
    """Draw MPJPE by window: a panel a lifter, solid in distribution, dashed out of it. Returns the files."""
    lifters = list(dict.fromkeys(lifter for lifter, _, _ in found.lines))
    names = list(dict.fromkeys(inputs for _, inputs, _ in found.lines))
    across = min(ACROSS, len(lifters))
    down = -(-len(lifters) // across)
    with figure(1.2 + 3.6 * across, 0.9 + 3.0 * down) as picture:
        axes = picture.subplots(down, across, squeeze=False, sharey=True)
        for spare in axes.flat[len(lifters) :]:
            spare.set_axis_off()
        for at, (axis, lifter) in enumerate(zip(axes.flat, lifters, strict=False)):
            for (whose, inputs, side), points in found.lines.items():
                if whose == lifter:
                    _line(axis, found.windows, points, names.index(inputs), side, f"{inputs}, {side}")
            axis.set_xticks(range(len(found.windows)), [str(window) for window in found.windows])
            axis.set(title=lifter, xlabel="window, frames", ylim=(0, None), xlim=(-0.3, len(found.windows) - 0.7))
            axis.grid(axis="y")
            if at % across == 0:
                axis.set_ylabel("MPJPE, mm")
        handles = {
            label: handle for axis in axes.flat for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
        }
        picture.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=2)
        return save(picture, stem)


def _line(axis: Any, windows: Sequence[int], points: Any, number: int, side: str, label: str) -> None:
    inside = side == SIDES[0]
    look = number % len(COLOURS)
    here = [window for window in windows if window in points]
    spread = [_finite(points[window].spread) for window in here]
    axis.errorbar(
        [windows.index(window) for window in here],
        [points[window].mpjpe for window in here],
        yerr=spread if any(spread) else None,
        color=COLOURS[look],
        linestyle="-" if inside else "--",
        marker=MARKERS[look],
        markerfacecolor=COLOURS[look] if inside else "white",
        markersize=5,
        linewidth=1.5,
        capsize=2,
        label=label,
    )


def _range(low: float, high: float, unit: str) -> str:
    if math.isnan(low):
        return "-"
    digits = 0 if high >= 20 or unit == "%" else 1
    return f"{low:.{digits}f} to {high:.{digits}f} {unit}"


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0
