"""What commands of datasets with ground truth share: `--check`, `--accept-suspicious`, and the table of figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from ..common import stdout, warn

if TYPE_CHECKING:
    from ...pipeline.plan import Clip

CLIPS_SHOWN = 12
_OPTIONS = [
    click.option(
        "--check", is_flag=True, is_eager=True, help="Look at files and ground truth, load no network, write nothing."
    ),
    click.option("--accept-suspicious", is_flag=True, help="Continue with ground truth that looks wrong."),
]
_FIGURES = {
    "reprojection": "px off",
    "bone_spread": "bones vary",
    "height": "height, m",
    "in_front": "in front",
    "in_frame": "in frame",
    "upright": "upright",
    "left_is_left": "left is left",
}


def truth_options(command: Callable) -> Callable:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def looked_at(clips: list[Clip], notes: list[str], accept: bool) -> dict[str, Any]:
    """Say what was found, refuse what looks wrong unless it is accepted; plain data for the store."""
    from ...pipeline.datasets.sanity import check, require_sane

    warn(notes, "note: ")
    report = check(clips)
    if not accept:
        require_sane(report)
    warn(report.problems, "accepted: ", "bold yellow")
    return {**report.to_json(), "notes": notes}


def show_check(clips: list[Clip], notes: list[str], as_json: bool) -> int:
    """Show the figures of every clip; exit code 2 where something is wrong."""
    from ...pipeline.datasets.sanity import check

    report = check(clips)
    if as_json:
        figures = {id: {k: None if v != v else v for k, v in asdict(f).items()} for id, f in report.clips.items()}
        click.echo(json.dumps({**report.to_json(), "notes": notes, "figures": figures}))
        return 2 if report.problems else 0
    table = Table("clip", "frames", *_FIGURES.values(), title="Ground truth")
    for id, figures in list(report.clips.items())[:CLIPS_SHOWN]:
        table.add_row(id, str(figures.frames), *(f"{getattr(figures, name):.3g}" for name in _FIGURES))
    if len(report.clips) > CLIPS_SHOWN:
        table.add_row(f"and {len(report.clips) - CLIPS_SHOWN} more")
    medians = report.medians()
    if len(report.clips) > 1 and medians:
        table.add_section()
        table.add_row("median", "", *(f"{medians[name]:.3g}" for name in _FIGURES))
    stdout.print(table)
    for note in notes:
        stdout.print(f"note: {note}", soft_wrap=True)
    for problem in report.problems:
        stdout.print(f"wrong: {problem}", style="red", soft_wrap=True)
    return 2 if report.problems else 0
