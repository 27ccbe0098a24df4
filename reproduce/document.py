"""Write what an experiment has measured: its section of `docs/reproduce.md`, its rows and its figure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from auglift.lifters.sweeps.comparison import Comparison, compare
from auglift.lifters.sweeps.grid import Job, read_grid, read_tables
from auglift.lifters.sweeps.sweep import key_of, log_of
from auglift.lifters.training.setup import baseline_of
from auglift.stores.reading.store import FeatureStore
from benchmarks.harness import machine, versions

from .experiment import ROOT, Failed, measured, read_times

DOCUMENT = ROOT / "docs" / "reproduce.md"
FIGURES = ROOT / "docs" / "results"
# The paper's own, with detected 2D, mean over four data sets and four lifters (method.md, section 7).
PAPER = {"in distribution": -4.0, "out of distribution": -10.1}


def write(name: str, path: Path, out: Path) -> str:
    """Write the rows, the figure, and the document's section; return a line that names those files."""
    rows, jobs = measured(out), read_grid(path).jobs
    FIGURES.mkdir(parents=True, exist_ok=True)
    kept = ("lifter", "inputs", "window", "source", "target", "seed", "mpjpe", "p_mpjpe", "epochs", "seconds")
    short = [{key: _rounded(row[key]) for key in kept} for row in rows]
    (FIGURES / f"{name}.json").write_text("[\n" + ",\n".join(json.dumps(row) for row in short) + "\n]\n")
    draw(FIGURES / f"{name}.svg", compare(rows))
    made_by = networks(read_tables(path)["stores"])
    text = section(name, rows, kept_aside(jobs, out), jobs, read_times(out), made_by)
    document = DOCUMENT.read_text(encoding="utf-8")
    marked = re.compile(rf"<!-- {name} -->.*?<!-- /{name} -->", re.DOTALL)
    if not marked.search(document):
        raise Failed(f"{DOCUMENT.relative_to(ROOT)} has no place for it: <!-- {name} --> <!-- /{name} -->")
    DOCUMENT.write_text(marked.sub(lambda _: f"<!-- {name} -->\n{text}\n<!-- /{name} -->", document), encoding="utf-8")
    return f"{DOCUMENT.relative_to(ROOT)} and docs/results/{name}.json, .svg written"


def kept_aside(jobs: Sequence[Job], out: Path) -> list[dict[str, Any]]:
    """Return a row for each training, as those of the targets: its lowest MPJPE on what was held out of its source."""
    rows = []
    for job in jobs:
        found = [line["held_out_mpjpe"] for line in log_of(job, str(out)) if "held_out_mpjpe" in line]
        if found:
            rows.append({**key_of(job, job.source), "mpjpe": min(found)})
    return rows


def networks(stores: Iterable[str]) -> str:
    """Write a sentence: the networks that made the stores, and how their weights' digests begin."""
    made = [
        FeatureStore.open(str(ROOT / store)).attributes["configuration"] for store in stores if (ROOT / store).exists()
    ]
    found = dict.fromkeys(
        f"{each[task]['name']} {each[task]['weights'].removeprefix('sha256:')[:8]}".removesuffix(" none")
        for task in ("detector", "pose", "depth")
        for each in made
    )
    return f" Networks: {', '.join(found)}." if found else ""


def section(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    aside: Sequence[Mapping[str, Any]],
    jobs: Sequence[Job],
    times: Mapping[str, float],
    made_by: str,
) -> str:
    mpjpe, p_mpjpe = compare(rows), compare(rows, "p_mpjpe")
    trainings = len({(r["source"], r["lifter"], r["inputs"], r["window"], r["seed"]) for r in rows})
    stores = sum(seconds for step, seconds in times.items() if step.startswith("store "))
    total = (
        f"{_minutes(stores)} for the stores, {_minutes(times.get('training', 0.0))} for {trainings} trainings and tests"
    )
    lines = [f"{trainings} of {len(jobs)} trainings done: {total} ({machine()}; {versions()}).{made_by}"]
    lines += ["", f"![MPJPE by target](results/{name}.svg)", "", *table(mpjpe), ""]
    for inputs, (inside, outside) in mpjpe.changes.items():
        if inputs != (baseline := baseline_of(inputs)):
            aligned = p_mpjpe.changes[inputs]
            # The paper's figures are of its descriptor.
            paper = {w: f" (the paper has {c} %)" if inputs.startswith("uadd") else "" for w, c in PAPER.items()}
            lines.append(
                f"- `{inputs}` against `{baseline}`, mean over lifters and targets: MPJPE {_signed(inside)} in "
                f"distribution{paper['in distribution']}, {_signed(outside)} out of distribution"
                f"{paper['out of distribution']}; P-MPJPE {_signed(aligned[0])} and {_signed(aligned[1])}."
            )
    lines += ["", *by_lifter(rows, aside)]
    lines += ["", "| lifter | window | epochs | batch | changed from its defaults |", "|---|---|---|---|---|"]
    for setup in {job.setup.lifter: job.setup for job in jobs}.values():
        changes = ", ".join(f"{t}.{k} = {v}" for t, values in setup.changes.items() for k, v in values.items())
        lines.append(f"| {setup.lifter} | {setup.window} | {setup.epochs} | {setup.batch} | {changes} |")
    return "\n".join(lines)


def by_lifter(rows: Sequence[Mapping[str, Any]], aside: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the changes of MPJPE of each lifter; in distribution also on other people than the test's."""
    lines = ["| lifter | inputs | in distribution | on subjects kept aside of the training | out of distribution |"]
    lines.append("|---|---|---|---|---|")
    for lifter in dict.fromkeys(row["lifter"] for row in rows):
        of_tests, of_kept = (compare([row for row in some if row["lifter"] == lifter]) for some in (rows, aside))
        for inputs, (inside, outside) in of_tests.changes.items():
            if inputs != baseline_of(inputs):
                kept, _ = of_kept.changes.get(inputs, (math.nan, math.nan))
                lines.append(f"| {lifter} | {inputs} | {_signed(inside)} | {_signed(kept)} | {_signed(outside)} |")
    return lines


def table(comparison: Comparison) -> list[str]:
    lines = ["| source | target | lifter | " + " | ".join(f"{n}, mm" for n in comparison.inputs) + " |"]
    lines.append("|" + "---|" * (3 + len(comparison.inputs)))
    for (source, target, lifter, _), cells in comparison.rows.items():
        lines.append(f"| {source} | {target} | {lifter} | " + " | ".join(comparison.texts(cells)) + " |")
    return lines


def draw(path: Path, comparison: Comparison) -> None:
    """Draw bars by lifter and representation, a panel each source and target; whiskers are the spread over seeds."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "auglift"  # the same figures give the same file
    from matplotlib import pyplot as plt

    panels = list(dict.fromkeys((source, target) for source, target, _, _ in comparison.rows))
    lifters = list(dict.fromkeys(lifter for _, _, lifter, _ in comparison.rows))
    columns = min(4, len(panels))
    lines = -(-len(panels) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(3.2 * columns, 3 * lines), sharey=True, squeeze=False)
    width = 0.8 / len(comparison.inputs)
    for axis in axes.flat[len(panels) :]:
        axis.axis("off")
    for axis, (source, target) in zip(axes.flat, panels, strict=False):
        for n, inputs in enumerate(comparison.inputs):
            for at, lifter in enumerate(lifters):
                cells = [
                    c[inputs] for k, c in comparison.rows.items() if k[:3] == (source, target, lifter) and inputs in c
                ]
                for cell in cells[:1]:
                    spread = None if math.isnan(cell.spread) else cell.spread
                    label = inputs if at == 0 else None
                    axis.bar(at + n * width, cell.mean, width, yerr=spread, color=f"C{n}", label=label)
        axis.set_title(f"{source} → {target}", fontsize=9)
        axis.set_xticks([at + width * (len(comparison.inputs) - 1) / 2 for at in range(len(lifters))])
        axis.set_xticklabels([lifter.replace("_", "\n") for lifter in lifters], fontsize=7)
    for line in axes:
        line[0].set_ylabel("MPJPE, mm")
    axes.flat[0].legend(fontsize=8)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)


def _signed(change: float) -> str:
    return "-" if math.isnan(change) else f"{change:+.1f} %"


def _rounded(value: Any) -> Any:
    return round(value, 2) if isinstance(value, float) else value


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
