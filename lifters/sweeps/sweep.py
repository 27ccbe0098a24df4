"""Run a grid; what has a result is not run again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...stores.errors import AugliftError
from ...stores.reading.store import FeatureStore
from ..data.batches import open_stores
from ..data.holdout import chosen
from ..data.truth import check_truth, truth_of
from ..evaluation.evaluate import evaluate
from ..training.checkpoint import LOG, Run, write_atomically
from ..training.log import finite, read_log
from ..training.setup import name_of_inputs, what_counts
from ..training.train import Watcher, train
from .grid import Grid, Job

RESULT, RESULTS = "result.json", "results.json"


@dataclass(frozen=True)
class Finished:
    """A job's rows, one a target: plain data. `error`: why there are none, or not of all targets."""

    job: str
    rows: list[dict[str, Any]]
    error: str | None = None


def run_job(
    job: Job,
    folder: str,
    watcher: Watcher | None = None,
    threads: int | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Finished | None:
    """Train and test; what an earlier call finished is not done again. None where `stop` ended it: call again.

    Targets are checked before anything is trained. An error that a user can cause is this job's alone, and one that a
    target turns out to have that target's.
    """
    if threads:
        import torch

        torch.set_num_threads(threads)
    here = Path(folder) / job.name
    try:
        if (done := finished(job, folder)) is not None:
            return done
        for store in open_stores(list(job.targets.values()), job.setup.inputs):
            check_truth(store, chosen(store, "test"), truth_of(store), "measured")
        if not train(job.setup, here, watcher, stop).finished:
            return None
        rows, errors = _test(job, here)
    except AugliftError as error:
        return Finished(job.name, [], " ".join(str(error).split()))
    if errors:
        return Finished(job.name, rows, "; ".join(errors))
    write_atomically(
        here / RESULT, (json.dumps({"of": _identity(job), "rows": rows}, indent=1, allow_nan=False) + "\n").encode()
    )
    return Finished(job.name, rows)


def finished(job: Job, folder: str) -> Finished | None:
    """Return a job's earlier result: None where it has none, or one of other settings or stores."""
    path = Path(folder) / job.name / RESULT
    try:
        content = json.loads(path.read_text())
        same = content["of"] == json.loads(json.dumps(_identity(job)))
    except (OSError, ValueError, KeyError):
        return None
    return Finished(job.name, content["rows"]) if same else None


def log_of(job: Job, folder: str) -> list[dict[str, Any]]:
    """Return what a training has logged so far, a record an epoch."""
    return read_log(Path(folder) / job.name / LOG)


def key_of(job: Job, target: str) -> dict[str, Any]:
    """Return what a row of results is of, as `comparison.compare` reads it."""
    setup = job.setup
    return {
        "lifter": setup.lifter,
        "inputs": name_of_inputs(setup.inputs),
        "window": setup.window,
        "source": job.source,
        "target": target,
        "seed": setup.seed,
    }


def run_grid(grid: Grid, each: Callable[[Sequence[Job]], Iterable[Finished | None]]) -> Iterator[Finished]:
    """Run what is missing, with `each`, and yield every job's result; `results.json` has all of them after each one.

    each   runs jobs anywhere, in any order, and yields what `run_job` returns; None ends it
    """
    found = {job.name: done for job in grid.jobs if (done := finished(job, grid.out)) is not None}
    if found:
        _write(grid, found)
    yield from found.values()
    missing = [job for job in grid.jobs if job.name not in found]
    for one in each(missing):
        if one is None:
            return
        found[one.job] = one
        _write(grid, found)
        yield one


def _write(grid: Grid, found: Mapping[str, Finished]) -> None:
    rows = [row for job in grid.jobs if job.name in found for row in found[job.name].rows]
    folder = Path(grid.out)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / RESULTS, (json.dumps(rows, indent=1, allow_nan=False) + "\n").encode())


def _test(job: Job, here: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """A row a target, and a line for each target that could not be read to its end."""
    run, setup = Run(here), job.setup
    log = log_of(job, str(here.parent))
    rows, errors = [], []
    for name, store in job.targets.items():
        for result in evaluate(
            run, [store], device=setup.device, failed=lambda _, error, name=name: errors.append(f"{name}: {error}")
        ):
            rows.append(
                {
                    **key_of(job, name),
                    **finite(result.measures),
                    "frames": result.frames,
                    "epochs": setup.epochs,
                    "seconds": round(sum(line["seconds"] for line in log), 1),
                }
            )
    return rows, [" ".join(error.split()) for error in errors]


def _identity(job: Job) -> dict[str, Any]:
    """What a result depends on."""
    setup = what_counts(job.setup.as_dict())
    stores = [FeatureStore.open(url, job.setup.allow_incomplete).fingerprint for url in job.setup.stores]
    targets = {name: FeatureStore.open(url).fingerprint for name, url in job.targets.items()}
    return {"setup": setup, "stores": stores, "targets": targets}
