"""Coverage: in which sequences, subjects, actions and cameras a person was found, and how surely."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..reading.store import FeatureStore
from .charts import LONG_NAMES, dots, histogram
from .html import WARN, Finding, Section, figures, number, paragraph, percent, table

_WORST = 24
_GROUPS, _GROUPS_SHOWN = ("split", "subject", "action", "camera"), 12
LOW = 0.9  # of a sequence's frames


def coverage(store: FeatureStore, report: dict[str, Any]) -> Section:
    """Show shares of frames with a person, from `summaries.info.report`, which reads every finished frame."""
    rows = [row for row in report["sequences"] if row["frames"]]
    unread = len(report["sequences"]) - len(rows)
    if not rows:
        return Section(
            "Coverage by sequence", paragraph("No frame can be read yet."), {"sequences": 0, "unread": unread}
        )
    shares = np.array([row["valid_share"] for row in rows])
    low = int((shares < LOW).sum())
    findings = ()
    if low:
        findings = (
            Finding(WARN, f"{low:,} of {len(rows):,} sequences have a person in fewer than 90 % of their frames"),
        )
    worst = [(row["id"], row["valid_share"], np.nan, np.nan) for row in rows[:_WORST]]
    which = "every sequence" if len(rows) <= _WORST else f"the {_WORST} worst of {len(rows):,} sequences"
    text = "Few frames with a person: a wrong detector, people out of the picture, or a clip that cannot be read."
    charts = []
    if shares.min() < 1:
        low_end = min(0.9, float(shares.min()))
        charts.append(dots(f"Frames with a person, {which}", worst, "share of frames", low=low_end, high=1.0,
                           words=_percent, names=LONG_NAMES))  # fmt: skip
        if len(rows) > _WORST:
            title = "Frames with a person, all sequences"
            charts.append(histogram(title, shares, "share of frames", low=0.0, high=1.0, words=_percent))
    else:
        text = f"Every frame of {len(rows):,} sequences has a person."
    scores = np.array([np.nan if row["mean_score"] is None else row["mean_score"] for row in rows])
    unsure = sorted((row["mean_score"], row["id"]) for row in rows if row["mean_score"] is not None)[:_WORST]
    lines = [(id, score, np.nan, np.nan) for score, id in unsure]
    if lines:
        charts.append(dots("Mean confidence, least sure first", lines, "confidence", names=LONG_NAMES))
    groups = _groups(store, rows)
    parts = [paragraph(text)]
    if unread:
        parts.append(paragraph(f"{unread:,} sequences are not written yet and are left out here.", "warn"))
    tables = [_table(kind, of) for kind, of in groups.items()]
    if len(charts) == 1:  # it stands beside the tables
        tables, charts = [f"<div class=beside>{charts[0]}</div>", *tables], []
    parts += [figures(charts) if charts else "", f"<div class=tables>{''.join(tables)}</div>"]
    numbers = {
        "sequences": len(rows),
        "unread": unread,
        "below_90_percent": low,
        "valid_share": {"min": shares.min(), "median": np.median(shares)},
        "mean_score": {"min": np.nanmin(scores), "median": np.nanmedian(scores)} if np.isfinite(scores).any() else None,
        "groups": groups,
    }
    return Section("Coverage by sequence", "".join(parts), numbers, findings)


def _table(kind: str, groups: dict[str, dict[str, Any]]) -> str:
    cells = [
        (name or "(no name)", number(g["frames"]), percent(g["valid_share"]), number(g["mean_score"]))
        for name, g in list(groups.items())[:_GROUPS_SHOWN]
    ]
    more = len(groups) - _GROUPS_SHOWN
    caption = f"By {kind}" + (f": the {_GROUPS_SHOWN} worst, {more:,} more in --json" if more > 0 else "")
    return table((kind, "frames", "with a person", "confidence"), cells, caption)


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"


def _groups(store: FeatureStore, rows: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """By split, subject, action and camera, those that tell sequences apart: counts and shares, the worst first."""
    table = store.sequences.table
    place = {id: n for n, id in enumerate(table["id"].to_pylist())}
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for kind in _GROUPS:
        names = table[kind].to_pylist()
        sums: dict[str, np.ndarray] = {}
        for row in rows:
            total = sums.setdefault(names[place[row["id"]]], np.zeros(4))
            total += (1, row["frames"], row["valid"], row["valid"] * (row["mean_score"] or 0.0))
        if len(sums) > 1:
            described = {
                name: {
                    "sequences": int(of[0]),
                    "frames": int(of[1]),
                    "valid_share": of[2] / of[1],
                    "mean_score": of[3] / of[2] if of[2] else None,
                }
                for name, of in sums.items()
            }
            found[kind] = dict(sorted(described.items(), key=_badness))
    return found


def _badness(group: tuple[str, dict[str, Any]]) -> tuple[float, float, str]:
    """Sorts the worst first: fewest frames with a person, then the least sure."""
    name, of = group
    return of["valid_share"], of["mean_score"] or 0.0, name
