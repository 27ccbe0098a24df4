"""Run an experiment from end to end, through the commands a user has: make its stores, train its grid, write it down.

    python -m reproduce.run quick

reads `reproduce/quick.toml`: [stores], each a call of `auglift-prep synth` with the options of [every_store] and its
own, and a grid for `auglift-sweep`. Every step goes on where it was stopped. Writes `docs/results/quick.json` (a row a
training and target), `docs/results/quick.svg`, and the section of that name in `docs/reproduce.md`.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from auglift.lifters.comparison import Comparison, compare
from auglift.lifters.grid import read_grid, read_tables
from auglift.lifters.setup import Setup, baseline_of
from auglift.lifters.sweep import RESULTS
from auglift.stores.store import FeatureStore
from benchmarks.harness import machine, versions

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "reproduce.md"
FIGURES = ROOT / "docs" / "results"
TIMES = "times.json"
# The paper's own, with detected 2D, mean over four data sets and four lifters (method.md, section 7).
PAPER = {"in distribution": -4.0, "out of distribution": -10.1}


class Failed(click.ClickException):
    """A step ended with an error of its own, which it has said."""


@click.command(help=__doc__)
@click.argument("name")
@click.option("--workers", type=click.IntRange(min=1), help="Trainings at a time. Default: one a core, or a GPU (Ray).")
@click.option("--stores-only", is_flag=True, help="Make the stores and stop.")
@click.option("--write-only", is_flag=True, help="Write down what has been measured so far.")
@click.option(
    "--show", type=click.Path(path_type=Path), metavar="FIGURE", help="Print the table, draw FIGURE, leave docs/ alone."
)
def main(name: str, workers: int | None, stores_only: bool, write_only: bool, show: Path | None) -> None:
    path = experiment(name)
    tables = read_tables(path)
    out = ROOT / tables["out"]
    if not write_only:
        out.mkdir(parents=True, exist_ok=True)
        for store, options in tables["stores"].items():
            make_store(out, Path(store), tables["every_store"] | options)
        if stores_only:
            return
        relative = str(path.relative_to(ROOT))
        # One thread each whatever the machine: the same sums in the same order.
        limit = ["--workers", str(workers)] if workers else []
        timed(out, "training", ["-m", "auglift.cli.sweep", relative, "--threads", "1", *limit])
    if show:
        comparison = compare(measured(out))
        draw(show, comparison)
        table = [*_table(comparison), ""] if write_only else []  # the sweep has just printed it
        click.echo("\n".join([*table, f"{show} written"]))
        return
    write(name, path, out)


def experiment(name: str) -> Path:
    """Its file. UsageError, with those that there are, where it has none."""
    path = ROOT / "reproduce" / f"{name}.toml"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in path.parent.glob("*.toml")))
        raise click.UsageError(f"no experiment '{name}'; there are {there}")
    return path


def make_store(out: Path, store: Path, options: Mapping[str, Any]) -> None:
    call = ["-m", "auglift.cli.prep", "synth", "--out", str(store)]
    for key, value in options.items():
        call += [f"--{key}"] if value is True else [f"--{key}", str(value)]
    timed(out, f"store {store.stem}", call)


def timed(out: Path, step: str, call: Sequence[str]) -> None:
    """Run a step; the time it takes is added to what earlier calls of it took.

    Its exit code 1, a frame or a training that failed, was listed and stops nothing.
    """
    times = read_times(out)
    begin = time.monotonic()
    code = subprocess.run([sys.executable, *call], cwd=ROOT, check=False).returncode
    times[step] = times.get(step, 0.0) + time.monotonic() - begin
    (out / TIMES).write_text(json.dumps(times, indent=1) + "\n")
    if code not in (0, 1):
        raise Failed(f"step '{step}' ended with {code}: {' '.join(call)}")


def read_times(out: Path) -> dict[str, float]:
    path = out / TIMES
    return json.loads(path.read_text()) if path.is_file() else {}


# Writing down ---------------------------------------------------------------------------------------------------------


def measured(out: Path) -> list[dict[str, Any]]:
    """A row a training and target, as the sweep left them."""
    try:
        return json.loads((out / RESULTS).read_text())
    except FileNotFoundError as error:
        raise Failed(f"nothing has been measured yet: {out / RESULTS} is not there") from error


def write(name: str, path: Path, out: Path) -> None:
    """The rows, the figure, and the document's section."""
    rows = measured(out)
    FIGURES.mkdir(parents=True, exist_ok=True)
    kept = ("lifter", "inputs", "window", "source", "target", "seed", "mpjpe", "p_mpjpe", "epochs", "seconds")
    short = [{key: _rounded(row[key]) for key in kept} for row in rows]
    (FIGURES / f"{name}.json").write_text("[\n" + ",\n".join(json.dumps(row) for row in short) + "\n]\n")
    comparison = compare(rows)
    draw(FIGURES / f"{name}.svg", comparison)
    setups = [job.setup for job in read_grid(path).jobs]
    made_by = networks(read_tables(path)["stores"])
    text = section(name, comparison, compare(rows, "p_mpjpe"), rows, setups, read_times(out), made_by)
    document = DOCUMENT.read_text(encoding="utf-8")
    marked = re.compile(rf"<!-- {name} -->.*?<!-- /{name} -->", re.DOTALL)
    if not marked.search(document):
        raise Failed(f"{DOCUMENT.relative_to(ROOT)} has no place for it: <!-- {name} --> <!-- /{name} -->")
    DOCUMENT.write_text(marked.sub(lambda _: f"<!-- {name} -->\n{text}\n<!-- /{name} -->", document), encoding="utf-8")
    click.echo(f"{DOCUMENT.relative_to(ROOT)} and docs/results/{name}.json, .svg written")


def networks(stores: Iterable[str]) -> str:
    """A sentence: the networks that made the stores that are there, and how their weights' digests begin."""
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
    mpjpe: Comparison,
    p_mpjpe: Comparison,
    rows: Sequence[Mapping[str, Any]],
    setups: Sequence[Setup],
    times: Mapping[str, float],
    made_by: str = "",
) -> str:
    trainings = len({(r["source"], r["lifter"], r["inputs"], r["window"], r["seed"]) for r in rows})
    stores = sum(seconds for step, seconds in times.items() if step.startswith("store "))
    total = (
        f"{_minutes(stores)} for the stores, {_minutes(times.get('training', 0.0))} for {trainings} trainings and tests"
    )
    lines = [f"{trainings} of {len(setups)} trainings done: {total} ({machine()}; {versions()}).{made_by}"]
    lines += ["", f"![MPJPE by target](results/{name}.svg)", "", *_table(mpjpe), ""]
    for inputs, (inside, outside) in mpjpe.changes.items():
        if inputs != (baseline := baseline_of(inputs)):
            aligned = p_mpjpe.changes[inputs]
            lines.append(
                f"- `{inputs}` against `{baseline}`, mean over lifters and targets: MPJPE {_signed(inside)} in "
                f"distribution (the paper has {PAPER['in distribution']} %), {_signed(outside)} out of distribution "
                f"(the paper has {PAPER['out of distribution']} %); P-MPJPE {_signed(aligned[0])} and "
                f"{_signed(aligned[1])}."
            )
    lines += ["", "| lifter | window | epochs | batch | changed from its defaults |", "|---|---|---|---|---|"]
    for setup in {setup.lifter: setup for setup in setups}.values():
        changes = ", ".join(f"{t}.{k} = {v}" for t, values in setup.changes.items() for k, v in values.items())
        lines.append(f"| {setup.lifter} | {setup.window} | {setup.epochs} | {setup.batch} | {changes} |")
    return "\n".join(lines)


def _table(comparison: Comparison) -> list[str]:
    lines = ["| source | target | lifter | " + " | ".join(f"{n}, mm" for n in comparison.inputs) + " |"]
    lines.append("|" + "---|" * (3 + len(comparison.inputs)))
    for (source, target, lifter, _), cells in comparison.rows.items():
        lines.append(f"| {source} | {target} | {lifter} | " + " | ".join(comparison.texts(cells)) + " |")
    return lines


def draw(path: Path, comparison: Comparison) -> None:
    """Bars by lifter and representation, a panel a source and target; whiskers are the spread over seeds."""
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


if __name__ == "__main__":
    main()
