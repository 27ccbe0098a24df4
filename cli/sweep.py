"""`auglift-sweep`: a whole grid of trainings, on Ray where it is installed."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from ..stores.errors import MissingExtraError
from .common import DONE, INTERRUPTED, SOME_FAILED, AugliftCommand, json_option, stderr, stdout
from .prep.report import duration
from .train import LogLines, stopping

if TYPE_CHECKING:
    from ..lifters.sweeps.comparison import Comparison
    from ..lifters.sweeps.grid import Job
    from ..lifters.sweeps.sweep import Finished

SAID_EVERY_SECONDS = 30
NAMED = 8  # trainings in a line


@click.command(cls=AugliftCommand)
@click.argument("grid", metavar="GRID.toml")
@click.option("--out", metavar="DIR", help="Folder of the runs. Default: the grid's.")
@click.option("--workers", type=click.IntRange(min=1), help="Trainings at a time. Default: as many as Ray can place.")
@click.option(
    "--gpus-per-run", type=float, help="Share of a GPU per training, such as 0.25. Default: 1; 0 without a GPU."
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="CPU threads per training. Default: 1; torch's for one training at a time.",
)
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs, instead of the grid's.")
@click.option("--limit", type=click.IntRange(min=1), help="Use at most this many windows per epoch.")
@click.option("--device", metavar="NAME", help="auto, cpu, cuda ... Default: the grid's, or auto.")
@click.option("--dry-run", is_flag=True, help="List the trainings and say which are finished.")
@json_option
def main(
    grid: str,
    out: str | None,
    workers: int | None,
    gpus_per_run: float | None,
    threads: int | None,
    dry_run: bool,
    json: bool,
    **training: Any,
) -> int:
    """Train every combination of a grid, test each on all targets, and compare.

    \b
    auglift-sweep grid.toml --gpus-per-run 0.25

    To continue a grid that was stopped, run the same command again; a training continues in its middle. Without Ray, or
    with --workers 1, the trainings run one after another in this process.
    """
    from dataclasses import replace

    from ..lifters.sweeps.comparison import compare
    from ..lifters.sweeps.grid import read_grid
    from ..lifters.sweeps.sweep import finished, run_grid

    found = read_grid(grid, training)
    if out:
        found = replace(found, out=out)
    if dry_run:
        for job in found.jobs:
            stdout.print(f"{job.name}{'  finished' if finished(job, found.out) else ''}", soft_wrap=True)
        return DONE
    results: list[Finished] = []
    with stopping() as stop:
        each = _runner(found.out, workers, gpus_per_run, threads, stop)
        for one in run_grid(found, each):
            results.append(one)
            what = f"failed: {one.error}" if one.error else _short(one.rows)
            stderr.print(f"{len(results)} of {len(found.jobs)}  {one.job}  {what}", soft_wrap=True)
    place = {job.name: number for number, job in enumerate(found.jobs)}
    results.sort(key=lambda one: place[one.job])
    rows = [row for one in results for row in one.rows]
    failed = [one.job for one in results if one.error]
    comparison = compare(rows)
    if json:
        click.echo(_json(rows, failed, comparison))
    else:
        show(comparison)
    if len(results) < len(found.jobs):
        stderr.print("interrupted; run the same command again to go on")
        return INTERRUPTED
    return SOME_FAILED if failed else DONE


def _runner(
    out: str, workers: int | None, gpus: float | None, threads: int | None, stop: Callable[[], bool]
) -> Callable[[Sequence[Job]], Iterator[Finished | None]]:
    """What runs the missing trainings."""
    from ..lifters.sweeps.sweep import run_job

    def serially(jobs: Sequence[Job]) -> Iterator[Finished | None]:
        for job in jobs:
            stderr.print(job.name, soft_wrap=True)
            yield run_job(job, out, LogLines(), threads, stop)

    def on_ray(jobs: Sequence[Job]) -> Iterator[Finished | None]:
        import torch

        from ..pipeline.execution.ray_cluster import Cluster

        if not jobs:
            return
        share = gpus if gpus is not None else float(torch.cuda.is_available())
        limits = {"num_gpus": share, "num_cpus": threads or 1, "max_retries": 2}
        absolute = os.path.abspath(out)  # noqa: PTH100  (a worker's folder is another one)
        waiting, running = list(jobs), {}
        epochs = Epochs(jobs, out)
        # Never a cluster that happens to have been started on this machine, and may be gone.
        with Cluster(os.environ.get("RAY_ADDRESS") or None) as cluster:
            ray = cluster.ray
            remote: Any = ray.remote(**limits)(run_job)
            while waiting or running:
                while waiting and len(running) < (workers or len(jobs)):
                    job = waiting.pop(0)
                    running[remote.remote(_absolute(job), absolute, None, threads or 1)] = job
                done, _ = ray.wait(list(running), num_returns=1, timeout=1)
                for reference in done:
                    job = running.pop(reference)
                    yield _result(ray, reference, job)
                epochs.show(running.values())
                if stop():
                    yield None
                    return

    if workers == 1:
        return serially
    if find_spec("ray") is None:
        if workers:
            raise MissingExtraError(f"--workers {workers} needs Ray: pip install 'auglift[train]', or --workers 1")
        return serially
    return on_ray


class Epochs:
    """How far the trainings of a grid are, from the logs of their runs: a line every so many seconds.

    The time left is that of the epochs that are left, each as long as its lifter's have been so far, by as many at a
    time as until now; of a lifter that has not had an epoch nothing is known, and the line says «at least».
    """

    def __init__(self, jobs: Sequence[Job], folder: str):
        self.jobs, self.folder = jobs, folder
        self.all = sum(job.setup.epochs or 1 for job in jobs)
        self.spent = sum(self._seconds(log) for log in self._logs())
        self.begun = self.last = time.monotonic()

    def show(self, running: Iterable[Job]) -> None:
        now = time.monotonic()
        if now - self.last < SAID_EVERY_SECONDS:
            return
        self.last, logs = now, self._logs()
        done = sum(map(len, logs))
        names = {job.name for job in running}
        said = [self._of(job, log) for job, log in zip(self.jobs, logs, strict=True) if job.name in names and log]
        if len(said) > NAMED:
            said[NAMED:] = [f"{len(said) - NAMED} more"]
        under_way = f": {', '.join(said)}" if said else ""
        stderr.print(f"epoch {done} of {self.all}{self._left(logs, now - self.begun)}{under_way}", soft_wrap=True)

    def _logs(self) -> list[list[dict[str, Any]]]:
        from ..lifters.sweeps.sweep import log_of

        return [log_of(job, self.folder) for job in self.jobs]

    def _left(self, logs: Sequence[list[dict[str, Any]]], elapsed: float) -> str:
        alike: dict[tuple[str, int | None], list[dict[str, Any]]] = {}
        for job, log in zip(self.jobs, logs, strict=True):
            alike.setdefault((job.setup.lifter, job.setup.window), []).extend(log)
        left, unknown = 0.0, False
        for job, log in zip(self.jobs, logs, strict=True):
            epochs = (job.setup.epochs or 1) - len(log)
            like = alike[job.setup.lifter, job.setup.window]
            left += epochs * self._seconds(like) / len(like) if like else 0.0
            unknown |= epochs > 0 and not like
        at_a_time = (sum(map(self._seconds, logs)) - self.spent) / elapsed
        if at_a_time <= 0:  # no epoch has ended since this command began
            return ""
        return f", {'at least ' if unknown else ''}{duration(left / at_a_time)} left"

    @staticmethod
    def _seconds(log: Sequence[dict[str, Any]]) -> float:
        return sum(record["seconds"] for record in log)

    @staticmethod
    def _of(job: Job, log: Sequence[dict[str, Any]]) -> str:
        held = f" {log[-1]['held_out_mpjpe']:.1f} mm" if "held_out_mpjpe" in log[-1] else ""
        return f"{job.name} {len(log)}/{job.setup.epochs}{held}"


def _result(ray: Any, reference: Any, job: Job) -> Finished:
    from ..lifters.sweeps.sweep import Finished

    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        lines = [line for line in str(error).strip().splitlines() if line.strip()]
        return Finished(job.name, [], f"its worker failed: {lines[-1].strip() if lines else type(error).__name__}")


def _absolute(job: Job) -> Job:
    """Local stores by their full path: a worker runs in a folder of its own."""
    from dataclasses import replace

    def full(url: str) -> str:
        return url if "://" in url else os.path.abspath(url)  # noqa: PTH100

    setup = replace(job.setup, stores=tuple(full(url) for url in job.setup.stores))
    return replace(job, setup=setup, targets={name: full(url) for name, url in job.targets.items()})


def show(comparison: Comparison) -> None:
    """The table: mean and spread over seeds, mm, and the change against xy, per cent."""
    from ..lifters.training.setup import baseline_of

    table = Table("source", "target", "lifter", "window", *comparison.inputs, title="MPJPE, mm", title_justify="left")
    for (source, target, lifter, window), cells in comparison.rows.items():
        table.add_row(source, target, lifter, str(window), *comparison.texts(cells))
    stdout.print(table)
    for name, (inside, outside) in comparison.changes.items():
        if name != (baseline := baseline_of(name)):
            sides = (("in distribution", inside), ("out of distribution", outside))
            text = ", ".join(f"{value:+.1f} % {side}" for side, value in sides if not math.isnan(value))
            if text:
                stdout.print(f"{name} against {baseline}: {text}")


def _short(rows: Sequence[dict[str, Any]]) -> str:
    return ", ".join(f"{row['target']} {row['mpjpe']:.1f} mm" for row in rows if row["mpjpe"] is not None)


def _json(rows: Sequence[Any], failed: Sequence[str], comparison: Comparison) -> str:
    changes = {
        name: {"in_distribution": _number(inside), "out_of_distribution": _number(outside)}
        for name, (inside, outside) in comparison.changes.items()
    }
    return json.dumps({"rows": rows, "failed": failed, "change_against_xy": changes})


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


if __name__ == "__main__":
    main()
