"""`auglift-eval --analysis`: where a run errs, as tables on the screen and as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..stores.errors import InvalidValueError
from .common import echo_json, progress_bar, stderr, stdout

if TYPE_CHECKING:
    from ..lifters.training.checkpoint import Run


def require_whole(analysis: str | None, out: Path | None, **given: Any) -> None:
    """Raise InvalidValueError for options that only go with --analysis, or that do not go with it."""
    if analysis is None:
        if alone := [name for name in ("out", "compare", "training_store") if {**given, "out": out}.get(name)]:
            raise InvalidValueError(
                f"--{alone[0].replace('_', '-')} goes with --analysis; without it figures are shown"
            )
        return
    if out is None:
        raise InvalidValueError("--analysis writes tables and pictures: name a folder for them with --out DIR")
    if other := [name for name in ("by", "csv_path") if given.get(name)]:
        raise InvalidValueError(f"--{other[0].removesuffix('_path')} does not go with --analysis: call twice")


def analyse(
    run: Run,
    compared: Sequence[str],
    stores: Sequence[str],
    names: tuple[str, ...],
    out: Path,
    training_stores: Sequence[str],
    as_json: bool,
    options: dict[str, Any],
) -> None:
    """Check everything, compute under a progress bar, write the files, show the tables.

    names   the analyses; options   of `prepare` and of `analyse`
    """
    from ..lifters.analysis import analyse as analysing
    from ..lifters.analysis import report
    from ..lifters.training.checkpoint import Run

    runs = [run, *(Run(folder) for folder in compared)]
    checks = {name: options.pop(name) for name in ("split", "joints")}
    prepared = analysing.prepare(runs, stores, names, training_stores=training_stores, **checks)
    report.prepare_folder(out)
    with progress_bar("", as_json) as progress:
        found = analysing.analyse(prepared, progress=progress, **options)
    files = report.write(out, found)
    if as_json:
        lengths = found.lengths
        echo_json([one.as_dict() for one in found.tiers] + ([lengths.as_dict()] if lengths else []))
    else:
        _show(found)
    stderr.print(f"wrote {len(files)} files into {out}", soft_wrap=True)


def _show(found: Any) -> None:
    from rich.table import Table

    from ..lifters.analysis.report import table

    shown = [table(one) for one in found.tiers]
    if found.lengths is not None:
        shown.append(["sequence length: MPJPE (P-MPJPE), mm", "", *found.lengths.table()])
    for title, _, head, _, *lines in shown:
        grid = Table(*_cells(head), title=title, title_justify="left")
        for line in lines:
            if line.startswith("|"):
                grid.add_row(*_cells(line))
        stdout.print(grid)
        for note in lines:
            if note and not note.startswith("|"):
                stdout.print(note, soft_wrap=True)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]
