"""Frames in tiers by any value a frame has, and the figures of several runs in each tier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ..evaluation.evaluate import Predictions
from ..evaluation.figures import tally
from ..training.log import finite


@dataclass(frozen=True)
class Tier:
    """Frames whose values lie from `low` to `high`, NaN where there is none; measures[run][measure]."""

    name: str
    low: float
    high: float
    frames: int
    measures: Mapping[str, Mapping[str, float]]

    def as_dict(self) -> dict[str, Any]:
        runs = {run: finite(values) for run, values in self.measures.items()}
        return {"tier": self.name, "frames": self.frames, **finite({"low": self.low, "high": self.high}), "runs": runs}


@dataclass(frozen=True)
class Analysis:
    """What one analysis found of one store.

    value      what frames are put in tiers by; its unit
    left_out   frames that were predicted, but have no such value
    runs       by name, the one that is looked at first, then those that it is compared with
    about      what else a reader must know, for the table's foot and the JSON
    """

    name: str
    store: str
    dataset: str
    value: str
    unit: str
    runs: tuple[str, ...]
    tiers: tuple[Tier, ...]
    left_out: int = 0
    about: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: None where nothing counts."""
        return {
            "analysis": self.name,
            "store": self.store,
            "dataset": self.dataset,
            "value": self.value,
            "unit": self.unit,
            "runs": list(self.runs),
            "left_out": self.left_out,
            **self.about,
            "tiers": [tier.as_dict() for tier in self.tiers],
        }


def tier_of(values: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Return (F,) int64: the tier of each frame by the rank of its value, lowest first; -1 where it is NaN.

    shares   of the frames in each tier; they add up to 1
    Frames of one value stay together, in the tier of their middle rank: where many are alike, tiers are of other sizes
    than asked for, and some may be empty. No frame's place decides where it belongs.
    """
    out = np.full(len(values), -1, dtype=np.int64)
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return out
    _, which, count = np.unique(values[known], return_inverse=True, return_counts=True)
    middle = (np.cumsum(count) - count / 2) / len(known)
    out[known] = np.searchsorted(np.cumsum(shares)[:-1], middle, side="right")[which]
    return out


def by_tier(
    found: Mapping[str, Predictions], values: np.ndarray, tiers: Mapping[str, float], joints: Sequence[int] | None
) -> tuple[Tier, ...]:
    """Measure runs that predicted the same frames, in tiers by values (F,) of these frames.

    found    by name of the run
    tiers    name to share of the frames, from the lowest value
    joints   that count; None: all
    """
    of = tier_of(values, list(tiers.values()))
    out = []
    for number, name in enumerate(tiers):
        here = np.flatnonzero(of == number)
        low, high = (float(f(values[here])) if len(here) else np.nan for f in (np.min, np.max))
        measures = {run: measured(each, here, joints) for run, each in found.items()}
        out.append(Tier(name, low, high, len(here), measures))
    return tuple(out)


def measured(found: Predictions, some: np.ndarray, joints: Sequence[int] | None) -> dict[str, float]:
    """Return every measure over some of the frames, by their index; steps are those between neighbours among them."""
    rows = torch.from_numpy(some)
    figures = tally(found.pose[rows], found.target[rows], found.frame[some], found.row[some], len(found.rows), joints)
    return figures.overall()
