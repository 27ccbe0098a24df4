"""`auglift-eval`: how good a trained lifter is on any stores."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from ..stores.errors import StoreWriteError
from .common import AugliftCommand, echo_json, json_option, stderr, stdout


@click.command(cls=AugliftCommand)
@click.argument("run", metavar="RUN")
@click.argument("stores", nargs=-1, required=True, metavar="STORE...")
@click.option("--by", type=click.Choice(["action", "joint", "sequence"]), multiple=True, help="Also a table by this.")
@click.option("--split", default="test", show_default=True, help="Which sequences; stores without it are read whole.")
@click.option("--joints", default="all", show_default=True, help="all, or 3dhp14: those that MPI-INF-3DHP counts.")
@click.option("--flip/--no-flip", default=None, help="Average with the mirror image. Default: as it was trained.")
@click.option(
    "--lifter",
    metavar="NAME",
    help="Refuse a run of another lifter. For a lifter of your own: where it lies now, FILE.py:CLASS.",
)
@click.option(
    "--allow-changed-lifter", is_flag=True, help="Load a lifter of your own though its file has changed since training."
)
@click.option("--inputs", metavar="NAME", help="Refuse a run of another representation.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many frames a store: every n-th.")
@click.option("--batch", type=click.IntRange(min=1), default=1024, show_default=True, help="Windows a forward pass.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 ...")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads. Default: torch's.")
@click.option("--csv", "csv_path", type=click.Path(path_type=Path), help="Write every figure to this file.")
@json_option
def main(run: str, stores: tuple[str, ...], by: tuple[str, ...], csv_path: Path | None, **options: Any) -> None:
    """Measure the best checkpoint of a run on one or more stores.

    \b
    auglift-eval runs/uadd h36m.zarr 3dpw.zarr --by action
    """
    import torch

    from ..lifters.checkpoint import Run
    from ..lifters.evaluate import csv_rows, evaluate
    from ..lifters.setup import inputs_by_name

    as_json, threads = options.pop("json"), options.pop("threads")
    lifter, inputs = options.pop("lifter"), options.pop("inputs")
    if threads:
        torch.set_num_threads(threads)
    trained = Run(run, lifter or None, options.pop("allow_changed_lifter"))
    trained.expect(inputs=inputs_by_name(inputs) if inputs else None)
    if trained.own is not None and not as_json:
        stderr.print(f"lifter: {trained.own.path} of {trained.own.file}", soft_wrap=True)
    found = []
    for one in evaluate(trained, stores, **options):
        found.append(one)
        if not as_json:
            out = f", {one.left_out} left out: nobody was found in them" if one.left_out else ""
            stderr.print(f"{one.store}: {one.frames} frames of {one.sequences} sequences{out}", soft_wrap=True)
    if csv_path is not None:
        try:
            with csv_path.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows(csv_rows(found))
        except OSError as error:
            raise StoreWriteError(f"{csv_path} cannot be written ({error.strerror or error})") from error
    if as_json:
        echo_json([one.as_dict() for one in found])
        return
    _show("store", {one.store: one.measures for one in found})
    for group in by:
        for one in found:
            _show(f"{group}, {one.store}" if len(found) > 1 else group, one.by[group])


def _show(title: str, rows: dict[str, Any]) -> None:
    from ..lifters.metrics import MEASURES

    table = Table(title, *(f"{name} {m.unit}" for name, m in MEASURES.items()))
    for name, values in rows.items():
        table.add_row(name, *(_figure(values.get(measure, math.nan)) for measure in MEASURES))
    stdout.print(table)


def _figure(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.1f}"


if __name__ == "__main__":
    main()
