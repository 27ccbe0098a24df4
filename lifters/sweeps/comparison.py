"""Compare a grid's results in one table: means and spreads over seeds, and changes against `xy`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..training.setup import baseline_of


@dataclass(frozen=True)
class Cell:
    """A representation's figure, mm, over seeds, and its change against `xy` of the same seeds, per cent."""

    mean: float
    spread: float
    seeds: int
    change: float


@dataclass(frozen=True)
class Comparison:
    """rows[(source, target, lifter, window)][inputs]; changes[inputs] = in and out of distribution, per cent."""

    inputs: tuple[str, ...]
    rows: Mapping[tuple[str, str, str, int], Mapping[str, Cell]]
    changes: Mapping[str, tuple[float, float]]

    def texts(self, cells: Mapping[str, Cell]) -> list[str]:
        """Return a row's figures in the order of `inputs`, with spread and change where known; empty for none."""
        return [_text(cells[name], name != baseline_of(name)) if name in cells else "" for name in self.inputs]


def compare(rows: Sequence[Mapping[str, Any]], measure: str = "mpjpe") -> Comparison:
    """Average over seeds, with standard deviations, the change against `xy` of each, and the mean of the changes.

    In distribution is where source and target have one name. NaN where there is nothing to compare with.
    """
    inputs = tuple(dict.fromkeys(row["inputs"] for row in rows))
    figures: dict[tuple[str, str, str, int], dict[str, dict[int, float]]] = {}
    for row in rows:
        if row[measure] is not None:
            key = (row["source"], row["target"], row["lifter"], row["window"])
            figures.setdefault(key, {}).setdefault(row["inputs"], {})[row["seed"]] = row[measure]
    table = {
        key: {name: _cell(values, by_inputs.get(baseline_of(name), {})) for name, values in by_inputs.items()}
        for key, by_inputs in figures.items()
    }
    changes = {}
    for name in inputs:
        sides = []
        for inside in (True, False):
            some = [
                cells[name].change for key, cells in table.items() if name in cells and (key[0] == key[1]) == inside
            ]
            sides.append(_mean([change for change in some if not math.isnan(change)]))
        changes[name] = (sides[0], sides[1])
    return Comparison(inputs, table, changes)


def _cell(values: Mapping[int, float], baseline: Mapping[int, float]) -> Cell:
    shared = [seed for seed in values if seed in baseline]
    ours, theirs = _mean([values[s] for s in shared]), _mean([baseline[s] for s in shared])
    spread = statistics.stdev(values.values()) if len(values) > 1 else math.nan
    return Cell(_mean(list(values.values())), spread, len(values), 100 * (ours / theirs - 1) if shared else math.nan)


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else math.nan


def _text(cell: Cell, compared: bool) -> str:
    spread = "" if math.isnan(cell.spread) else f" ± {cell.spread:.1f}"
    change = f" ({cell.change:+.1f} %)" if compared and not math.isnan(cell.change) else ""
    return f"{cell.mean:.1f}{spread}{change}"
