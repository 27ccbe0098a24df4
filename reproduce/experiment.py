"""An experiment: its file in `reproduce/`, and what its steps have left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from auglift.lifters.sweeps.sweep import RESULTS

ROOT = Path(__file__).resolve().parents[1]
TIMES = "times.json"


class Failed(click.ClickException):
    """A step ended with an error, which it has printed."""


def experiment(name: str) -> Path:
    """Return its file. UsageError, with those that there are, where it has none."""
    path = ROOT / "reproduce" / f"{name}.toml"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in path.parent.glob("*.toml")))
        raise click.UsageError(f"no experiment '{name}'; there are {there}")
    return path


def read_times(out: Path) -> dict[str, float]:
    path = out / TIMES
    return json.loads(path.read_text()) if path.is_file() else {}


def measured(out: Path) -> list[dict[str, Any]]:
    """Return a row for each training and target, as the sweep left them."""
    try:
        return json.loads((out / RESULTS).read_text())
    except FileNotFoundError as error:
        raise Failed(f"nothing has been measured yet: {out / RESULTS} is not there") from error
