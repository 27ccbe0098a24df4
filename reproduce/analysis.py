"""Analyse the trainings of an experiment: each lifter's `uadd` beside its `xy`, on all targets.

    python -m reproduce.analysis demo

For every source and lifter (the first seed), `auglift-eval --analysis novelty,occlusion,detection` writes tables and
pictures into `analysis/<source>-<lifter>/` of the experiment's folder. The trainings must be there:
`python -m reproduce.run` makes them.
"""

from __future__ import annotations

import subprocess
import sys

import click

from auglift.lifters.sweeps.grid import Job, read_grid
from auglift.lifters.sweeps.sweep import finished
from auglift.lifters.training.setup import name_of_inputs

from .experiment import ROOT, Failed, experiment


@click.command(help=__doc__)
@click.argument("name")
@click.option("--inputs", default="uadd", show_default=True, help="The inputs that are looked at.")
@click.option("--against", default="xy", show_default=True, help="The inputs that they are compared with.")
def main(name: str, inputs: str, against: str) -> None:
    grid = read_grid(experiment(name))
    pairs: dict[tuple[str, str], dict[str, Job]] = {}
    for job in reversed(grid.jobs):
        pairs.setdefault((job.source, job.setup.lifter), {})[name_of_inputs(job.setup.inputs)] = job
    for pair in pairs.values():
        if missing := [each for each in (inputs, against) if each not in pair]:
            raise Failed(f"experiment '{name}' has no trainings on '{missing[0]}'; it has {', '.join(sorted(pair))}")
        for each in (inputs, against):
            if finished(pair[each], str(ROOT / grid.out)) is None:
                raise Failed(f"the training {pair[each].name} is not there: python -m reproduce.run {name} makes it")
    for number, ((source, lifter), pair) in enumerate(sorted(pairs.items()), 1):
        out = f"{grid.out}/analysis/{source}-{lifter}"
        click.echo(f"{number} of {len(pairs)}: {source}, {lifter}", err=True)
        runs = [f"{grid.out}/{pair[each].name}" for each in (inputs, against)]
        call = ["-m", "auglift.cli.evaluate", runs[0], *pair[inputs].targets.values(), "--compare", runs[1]]
        call += ["--analysis", "novelty,occlusion,detection", "--out", out]
        if subprocess.run([sys.executable, *call], cwd=ROOT, check=False).returncode:
            raise Failed(f"the analysis of {source}, {lifter} failed; its error is above")


if __name__ == "__main__":
    main()
