"""`auglift-eval`: how good a trained lifter is on any stores."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from ..stores.errors import AugliftError, StoreWriteError
from .common import DONE, SOME_FAILED, AugliftCommand, echo_json, json_option, stderr, stdout

if TYPE_CHECKING:
    from ..lifters.evaluation.evaluate import Evaluation

ROWS = 200  # of a table on the screen


@click.command(cls=AugliftCommand)
@click.argument("run", metavar="RUN")
@click.argument("stores", nargs=-1, required=True, metavar="STORE...")
@click.option(
    "--by", type=click.Choice(["action", "joint", "sequence"]), multiple=True, help="Also show a table by this."
)
@click.option("--split", default="test", show_default=True, help="Split to measure; a store without it is used whole.")
@click.option("--joints", default="all", show_default=True, help="all, or 3dhp14: the 14 that MPI-INF-3DHP counts.")
@click.option("--flip/--no-flip", default=None, help="Average with the mirror image. Default: as in training.")
@click.option(
    "--lifter",
    metavar="NAME",
    help="Refuse a run of another lifter. For a lifter of your own: where it is now, FILE.py:CLASS.",
)
@click.option(
    "--allow-changed-lifter", is_flag=True, help="Load a lifter of your own though its file has changed since training."
)
@click.option("--inputs", metavar="NAME", help="Refuse a run of another representation.")
@click.option("--limit", type=click.IntRange(min=1), help="Measure at most this many frames of a store: every n-th.")
@click.option("--batch", type=click.IntRange(min=1), default=1024, show_default=True, help="Windows in a forward pass.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 ...")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads. Default: torch's.")
@click.option("--csv", "csv_path", type=click.Path(path_type=Path), help="Write every figure to this file.")
@click.option(
    "--analysis",
    metavar="NAMES",
    help="Where the run errs, in the place of the figures: novelty, occlusion, detection, sequence-length; several "
    "with commas (docs/analysis.md).",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder for an analysis' tables and pictures."
)
@click.option(
    "--compare",
    multiple=True,
    metavar="RUN",
    help="Another run beside RUN in an analysis, as one on `xy`; may be repeated.",
)
@click.option(
    "--training-store",
    multiple=True,
    metavar="STORE",
    help="Where the store that RUN was trained on is now, if not where it was; may be repeated.",
)
@json_option
def main(run: str, stores: tuple[str, ...], by: tuple[str, ...], csv_path: Path | None, **options: Any) -> int:
    """Measure the best checkpoint of a run on one or more stores.

    \b
    auglift-eval runs/uadd h36m.zarr 3dpw.zarr --by action
    auglift-eval runs/uadd 3dpw.zarr --compare runs/xy --analysis novelty,occlusion --out analysis

    All stores are checked before the first one is measured. If a store is found damaged while it is read, the command
    names it, measures the others, and the exit code is 1.
    """
    import torch

    from ..lifters.evaluation.evaluate import csv_rows, evaluate
    from ..lifters.training.checkpoint import Run
    from ..lifters.training.setup import inputs_by_name

    wanted = {name: options.pop(name) for name in ("analysis", "out", "compare", "training_store")}
    names = _analyses(wanted, by, csv_path)
    as_json, threads = options.pop("json"), options.pop("threads")
    lifter, inputs = options.pop("lifter"), options.pop("inputs")
    if threads:
        torch.set_num_threads(threads)
    trained = Run(run, lifter or None, options.pop("allow_changed_lifter"))
    trained.expect(inputs=inputs_by_name(inputs) if inputs else None)
    if trained.own is not None and not as_json:
        stderr.print(f"lifter: {trained.own.path} of {trained.own.file}", soft_wrap=True, markup=False)
    if names:
        from .analysis import analyse

        analyse(trained, wanted["compare"], stores, names, wanted["out"], wanted["training_store"], as_json, options)
        return DONE
    if csv_path is not None:
        _check_writable(csv_path)
    found: list[Evaluation] = []
    failures: list[str] = []

    def failed(store: str, error: AugliftError) -> None:
        failures.append(f"error: {store}: {' '.join(str(error).split())}")

    evaluations = evaluate(trained, stores, failed=failed, **options)
    try:
        for one in evaluations:
            found.append(one)
            if not as_json:
                stderr.print(_counts(one), soft_wrap=True, markup=False)
    finally:
        # What was measured is shown, also where a later store, or Ctrl-C, ends it.
        if found or as_json:
            _show_all(found, by, as_json)
            if csv_path is not None:
                _write(csv_path, csv_rows(found))
    for failure in failures:
        stderr.print(failure, soft_wrap=True, markup=False)
    return SOME_FAILED if failures else DONE


def _analyses(wanted: Mapping[str, Any], by: tuple[str, ...], csv_path: Path | None) -> tuple[str, ...]:
    """Return the analyses that are wanted; what does not go together is an error."""
    from .analysis import require_whole

    require_whole(**wanted, by=by, csv_path=csv_path)
    if wanted["analysis"] is None:
        return ()
    from ..lifters.analysis.analyse import names_of

    return names_of(wanted["analysis"])


def _check_writable(path: Path) -> None:
    """Check this before an hour of computing, not after it."""
    if path.is_dir() or not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise StoreWriteError(f"{path} cannot be written: its folder is not there, or not writable")


def _write(path: Path, rows: list[list[Any]]) -> None:
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
    except OSError as error:
        raise StoreWriteError(f"{path} cannot be written ({error.strerror or error})") from error


def _counts(one: Evaluation) -> str:
    out = f", {one.left_out} left out: nobody was found in them" if one.left_out else ""
    without = f", {one.without_truth} left out: they have no ground truth" if one.without_truth else ""
    return f"{one.store}: {one.frames} frames of {one.sequences} sequences{out}{without}"


def _show_all(found: list[Evaluation], by: tuple[str, ...], as_json: bool) -> None:
    if as_json:
        echo_json([one.as_dict() for one in found])
        return
    _show("store", {one.store: one.measures for one in found})
    for group in by:
        for one in found:
            _show(f"{group}, {one.store}" if len(found) > 1 else group, one.by[group])


def _show(title: str, rows: Mapping[str, Mapping[str, float]]) -> None:
    from ..lifters.metrics import MEASURES

    table = Table(title, *(f"{name} {m.unit}" for name, m in MEASURES.items()))
    shown = list(rows.items())
    if len(rows) > ROWS:
        # Nobody reads a longer table on a screen; a row without a figure is as bad as can be.
        shown = sorted(shown, key=lambda row: -math.inf if math.isnan(row[1]["mpjpe"]) else -row[1]["mpjpe"])[:ROWS]
    for name, values in shown:
        table.add_row(name, *(_figure(values.get(measure, math.nan)) for measure in MEASURES))
    stdout.print(table)
    if len(rows) > ROWS:
        stdout.print(f"the {ROWS} worst of {len(rows)}; --csv and --json have them all", markup=False)


def _figure(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.1f}"


if __name__ == "__main__":
    main()
