"""Run an experiment from end to end, through the commands a user has: make its stores, train its grid, write it down.

    python -m reproduce.run quick

reads `reproduce/quick.toml`: [stores], each a call of `auglift-prep synth`, or of the `archive` that it names, with the
options of [every_store] and its own, and a grid for `auglift-sweep`. Archives lie in the folder of --archives; what is
missing there is said before any work. A run that was stopped continues when it is called again. Writes
`docs/results/quick.json` (a row a training and target), `docs/results/quick.svg`, and the section of that name in
`docs/reproduce.md`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from auglift.lifters.sweeps.comparison import compare
from auglift.lifters.sweeps.grid import read_tables

from .archives import root_of, roots
from .document import draw, table, write
from .experiment import ROOT, TIMES, Failed, experiment, measured, read_times


@click.command(help=__doc__)
@click.argument("name")
@click.option(
    "--archives",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the licensed archives.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Trainings at a time. Default: one a core, or a GPU (Ray).")
@click.option("--stores-only", is_flag=True, help="Make the stores and stop.")
@click.option("--write-only", is_flag=True, help="Write down what has been measured so far.")
@click.option(
    "--show", type=click.Path(path_type=Path), metavar="FIGURE", help="Print the table, draw FIGURE, leave docs/ alone."
)
def main(
    name: str, archives: Path | None, workers: int | None, stores_only: bool, write_only: bool, show: Path | None
) -> None:
    path = experiment(name)
    tables = read_tables(path)
    out = ROOT / tables["out"]
    if not write_only:
        there = roots([options["archive"] for options in tables["stores"].values() if "archive" in options], archives)
        out.mkdir(parents=True, exist_ok=True)
        for store, options in tables["stores"].items():
            make_store(out, Path(store), tables["every_store"] | root_of(options, there))
        if stores_only:
            return
        relative = str(path.relative_to(ROOT))
        # One thread each whatever the machine: the same sums in the same order.
        limit = ["--workers", str(workers)] if workers else []
        timed(out, "training", ["-m", "auglift.cli.sweep", relative, "--threads", "1", *limit])
    if show:
        comparison = compare(measured(out))
        draw(show, comparison)
        lines = [*table(comparison), ""] if write_only else []  # the sweep has just printed it
        click.echo("\n".join([*lines, f"{show} written"]))
        return
    click.echo(write(name, path, out))


def make_store(out: Path, store: Path, options: Mapping[str, Any]) -> None:
    options = dict(options)
    call = ["-m", "auglift.cli.prep.main", str(options.pop("archive", "synth")), "--out", str(store)]
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


if __name__ == "__main__":
    main()
