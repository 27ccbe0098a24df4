"""Run a controlled experiment on simulated stores: the same clips and joints with other depth, each input at its best.

    python -m reproduce.controlled simulated

reads `reproduce/simulated.toml`. Of every lifter and input, dropout is chosen on held-out training people (seed 0) and
the training repeated with twice the epochs until that gains no more; the other seeds follow with both. The learning
rate falls to a hundredth over a training, and every lifter learns by MPJPE. A run that was stopped continues when it is
called again. Writes `docs/results/simulated.json`, `.svg` and `.md`.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from auglift.lifters.sweeps.grid import Job, read_tables
from auglift.lifters.sweeps.sweep import Finished, log_of, run_job
from auglift.lifters.training.setup import Setup, inputs_by_name, parse_changes

from .controlled_report import write
from .experiment import ROOT, Failed, experiment
from .run import make_store

# Input of the grid -> the representation, and the noise of its stores. `exact` and `useless` are controls.
CONDITIONS: Mapping[str, tuple[str, str]] = {
    "xy": ("xy", "standard"),
    "xyc": ("xyc", "standard"),
    "uadd": ("uadd", "standard"),
    "uadd@root": ("uadd@root", "standard"),
    "useless": ("uadd@root", "useless"),
    "exact": ("uadd@root", "exact"),
}
DROPOUTS = (0.0, 0.1)
FLAT = 0.015  # twice the epochs bring less than this share of the held-out error
DOUBLINGS = 2
FALL = 0.01  # of the learning rate


@dataclass(frozen=True)
class Chosen:
    """What was settled for a lifter and an input, on held-out people."""

    dropout: float
    epochs: int
    flat: bool
    held_out: float


class Experiment:
    """Its file, filled in."""

    def __init__(self, name: str, mocap: str | None, suffix: str = "", only: tuple[str, ...] = ()) -> None:
        self.tables = read_tables(experiment(name))
        self.out = str(self.tables["out"])
        self.mocap, self.suffix = mocap, suffix
        self.inputs, self.lifters = (
            [
                each
                for each in self.tables["grid"][axis]
                if not set(only) & set(self.tables["grid"][axis]) or each in only
            ]
            for axis in ("inputs", "lifter")
        )
        if unknown := [each for each in self.inputs if each not in CONDITIONS]:
            raise Failed(f"no input '{unknown[0]}' in this experiment; there are {', '.join(CONDITIONS)}")

    def place(self, path: str, noise: str) -> str:
        return path.format(out=self.out, noise=noise)

    def make_stores(self) -> None:
        (ROOT / self.out).mkdir(parents=True, exist_ok=True)
        for noise in dict.fromkeys(CONDITIONS[each][1] for each in self.inputs):
            for path, options in self.tables["stores"].items():
                given = {**self.tables["every_store"], **options, "noise": noise}
                given |= {"mocap": self.mocap} if self.mocap else {}
                make_store(ROOT / self.out, Path(self.place(path, noise)), given)

    def job(self, lifter: str, inputs: str, seed: int, dropout: float, epochs: int) -> Job:
        representation, noise = CONDITIONS[inputs]
        own = dict(self.tables["lifters"][lifter])
        changes = own.pop("set", {}) | {"dropout": dropout, "loss.mpjpe": 1.0, "schedule.unit": "epoch"}
        changes |= {"schedule.every": 1, "schedule.factor": FALL ** (1 / epochs)}
        given = {**self.tables.get("training", {}), **own, "epochs": epochs}
        setup = Setup(
            (self.place(self.tables["sources"]["studio"], noise),),
            lifter,
            inputs_by_name(representation + self.suffix),
            seed=seed,
            changes=parse_changes(lifter, [f"{key}={value}" for key, value in changes.items()]),
            **given,
        )
        targets = {name: self.place(path, noise) for name, path in self.tables["targets"].items()}
        return Job(f"{lifter}-{inputs}{self.suffix}-drop{dropout:g}-{epochs}-{seed}", "studio", setup, targets)

    def steps(self, lifter: str, inputs: str) -> Iterator[list[Job]]:
        """Yield what is to be trained next; each step's results decide on the following one."""
        epochs = int(self.tables["lifters"][lifter]["epochs"])
        yield [self.job(lifter, inputs, 0, dropout, epochs) for dropout in DROPOUTS]
        for _ in range(DOUBLINGS):
            found = self.chosen(lifter, inputs)
            assert found is not None
            if found.flat or found.epochs == self.most_epochs(lifter):
                break
            yield [self.job(lifter, inputs, 0, found.dropout, 2 * found.epochs)]
        found = self.chosen(lifter, inputs)
        assert found is not None
        yield [self.job(lifter, inputs, seed, found.dropout, found.epochs) for seed in self.tables["grid"]["seed"]]

    def most_epochs(self, lifter: str) -> int:
        return int(self.tables["lifters"][lifter]["epochs"]) << DOUBLINGS

    def chosen(self, lifter: str, inputs: str) -> Chosen | None:
        """Return what the trainings so far have settled; None where there are none."""
        epochs = int(self.tables["lifters"][lifter]["epochs"])
        curves = {dropout: self.curve(lifter, inputs, dropout, epochs) for dropout in DROPOUTS}
        if not all(curves.values()):
            return None
        dropout = min(DROPOUTS, key=lambda d: min(curves[d]))
        best = Chosen(dropout, epochs, False, min(curves[dropout]))
        for _ in range(DOUBLINGS):
            curve = self.curve(lifter, inputs, dropout, 2 * best.epochs)
            if best.flat or not curve:
                break
            lowest = min(curve)
            best = Chosen(dropout, 2 * best.epochs, lowest > (1 - FLAT) * best.held_out, min(lowest, best.held_out))
        return best

    def curve(self, lifter: str, inputs: str, dropout: float, epochs: int) -> list[float]:
        """Error on held-out people by epoch, mm; empty where the training has not ended."""
        job = self.job(lifter, inputs, 0, dropout, epochs)
        found = [line["held_out_mpjpe"] for line in log_of(job, str(ROOT / self.out)) if "held_out_mpjpe" in line]
        return found if len(found) == epochs else []


@click.command(help=__doc__)
@click.argument("name", default="simulated")
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Trainings at a time.")
@click.option(
    "--mocap", metavar="FILE", help="Archive of recorded motion for the stores; without it all is procedural."
)
@click.option("--inputs-with", "suffix", default="", metavar="@...", help="For all inputs, as @centred@standard.")
@click.option("--only", multiple=True, metavar="NAME", help="A lifter or an input of the grid; may be repeated.")
@click.option("--stores-only", is_flag=True, help="Make the stores and stop.")
@click.option("--write-only", is_flag=True, help="Write down what has been measured so far.")
def main(
    name: str, workers: int, mocap: str | None, suffix: str, only: tuple[str, ...], stores_only: bool, write_only: bool
) -> None:
    found = Experiment(name, mocap, suffix, only)
    if not write_only:
        found.make_stores()
        if stores_only:
            return
        train(found, workers)
    rows = list(measured(found))
    if not rows:
        raise Failed(f"nothing has been measured yet in {found.out}; run it without --write-only")
    click.echo(write(name + suffix.replace("@", "-"), rows))


def train(found: Experiment, workers: int) -> None:
    """Run all trainings, `workers` at a time, each with one thread."""
    pairs = [(lifter, inputs) for lifter in found.lifters for inputs in found.inputs]
    running = {pair: found.steps(*pair) for pair in pairs}
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        while running:
            waiting = {}
            for pair, steps in list(running.items()):
                jobs = next(steps, None)
                if jobs is None:
                    del running[pair]
                    continue
                waiting |= {pool.submit(run_job, job, str(ROOT / found.out), None, 1): job for job in jobs}
            _show(as_completed(waiting), len(waiting))


def _show(results: Iterable[Any], count: int) -> None:
    for number, result in enumerate(results, 1):
        done: Finished = result.result()
        if done.error:
            raise Failed(f"{done.job}: {done.error}")
        means = ", ".join(f"{row['target']} {row['mpjpe']:.1f}" for row in done.rows)
        click.echo(f"{number} of {count}: {done.job}: {means}")


def measured(found: Experiment) -> Iterator[dict[str, Any]]:
    """Yield a row for each training that counts and target: MPJPE, and what was chosen for it."""
    for lifter in found.lifters:
        for inputs in found.inputs:
            chosen = found.chosen(lifter, inputs)
            if chosen is None:
                continue
            for seed in found.tables["grid"]["seed"]:
                job = found.job(lifter, inputs, seed, chosen.dropout, chosen.epochs)
                path = ROOT / found.out / job.name / "result.json"
                if not path.is_file():
                    continue
                settled = {"dropout": chosen.dropout, "flat": chosen.flat, "held_out": chosen.held_out}
                for row in json.loads(path.read_text())["rows"]:
                    kept = {key: row[key] for key in ("target", "mpjpe", "p_mpjpe", "epochs", "seconds")}
                    yield {"lifter": lifter, "inputs": inputs, "seed": seed, **kept, **settled}


if __name__ == "__main__":
    main()
