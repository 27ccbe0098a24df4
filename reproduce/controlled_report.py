"""Write down a controlled experiment: rows, a table of changes against `xy`, and a figure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from .experiment import ROOT

FIGURES = ROOT / "docs" / "results"
SOURCE = "studio"
CHOSEN = "uadd, origin chosen"


def write(name: str, rows: Sequence[dict[str, Any]]) -> str:
    """Write `docs/results/<name>.json`, `.md` and `.svg`; return the table."""
    FIGURES.mkdir(parents=True, exist_ok=True)
    (FIGURES / f"{name}.json").write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    lines = table(rows)
    (FIGURES / f"{name}.md").write_text("\n".join(lines) + "\n")
    draw(name, rows)
    return "\n".join([*lines, f"docs/results/{name}.json, .md, .svg written"])


def changes(rows: Sequence[dict[str, Any]], lifter: str, inputs: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the changes of MPJPE against `xy` in and out of distribution, %, one a seed that both have."""
    found: dict[tuple[str, int, str], float] = {
        (row["inputs"], row["seed"], row["target"]): row["mpjpe"] for row in rows if row["lifter"] == lifter
    }
    seeds = sorted({s for i, s, _ in found if i == inputs} & {s for i, s, _ in found if i == "xy"})
    targets = sorted({t for _, _, t in found})
    change = np.array([[100 * (found[inputs, s, t] / found["xy", s, t] - 1) for t in targets] for s in seeds]).reshape(
        -1, len(targets)
    )
    inside = np.array([t == SOURCE for t in targets])
    return change[:, inside].mean(1), change[:, ~inside].mean(1)


def with_choice(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows, and again those of each lifter's better origin on held-out people."""
    more = []
    for lifter in {row["lifter"] for row in rows}:
        tried = [row for row in rows if row["lifter"] == lifter and row["inputs"] in ("uadd", "uadd@root")]
        if tried:
            best = min(tried, key=lambda row: row["held_out"])["inputs"]
            more += [{**row, "inputs": CHOSEN} for row in tried if row["inputs"] == best]
    return [*rows, *more]


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return lines of Markdown: a lifter and input each, and the mean over lifters."""
    rows = with_choice(rows)
    lifters = list(dict.fromkeys(row["lifter"] for row in rows))
    order = [i for i in dict.fromkeys(row["inputs"] for row in rows) if i != "xy"]
    lines = [
        "| lifter | inputs | in distribution, % | out of it, % | seeds | dropout | epochs | flat |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for lifter in lifters:
        for inputs in ["xy", *order]:
            own = [row for row in rows if row["lifter"] == lifter and row["inputs"] == inputs]
            if not own:
                continue
            inside, outside = changes(rows, lifter, inputs)
            if inputs == "xy":
                of = [[r["mpjpe"] for r in own if (r["target"] == SOURCE) == home] for home in (True, False)]
                cells = [f"{np.mean(values):.1f} mm" for values in of]
            else:
                cells = [_spread(inside), _spread(outside)]
            first = own[0]
            settled = [f"{first['dropout']:g}", str(first["epochs"]), "yes" if first["flat"] else "NO"]
            lines.append(f"| {lifter} | {inputs} | {' | '.join([*cells, str(len(inside)), *settled])} |")
    for inputs in order:
        both = [changes(rows, lifter, inputs) for lifter in lifters]
        means = [_mean(np.array([part[n].mean() for part in both if len(part[n])])) for n in (0, 1)]
        lines.append(f"| mean of {len(lifters)} | {inputs} | {means[0]} | {means[1]} | | | | |")
    return lines


def draw(name: str, rows: Sequence[dict[str, Any]]) -> None:
    """Draw the changes, a bar an input, the mean over lifters, whiskers over lifters."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = with_choice(rows)
    lifters = list(dict.fromkeys(row["lifter"] for row in rows))
    order = [i for i in dict.fromkeys(row["inputs"] for row in rows) if i != "xy"]
    figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
    for number, label in enumerate(("in distribution", "out of it")):
        values = [[changes(rows, lifter, i)[number].mean() for lifter in lifters] for i in order]
        at = np.arange(len(order)) + 0.36 * number - 0.18
        axes.bar(at, [np.nanmean(v) for v in values], 0.34, label=label, yerr=[np.nanstd(v) for v in values], capsize=2)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(order)), order)
    axes.set_ylabel("MPJPE against xy, %")
    axes.legend(frameon=False)
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(FIGURES / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)


def _mean(values: np.ndarray) -> str:
    return f"{values.mean():+.1f}" if len(values) else "-"


def _spread(values: np.ndarray) -> str:
    spread = f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else ""
    return _mean(values) + spread
