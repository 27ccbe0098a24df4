"""`auglift-store diff`: what differs between two stores."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import click
from rich.table import Table

from ..stores.comparison.diff import diff as diff_of
from ..stores.format.fingerprint import canonical_json
from ..stores.reading.store import FeatureStore
from .common import DONE, NAMED, SOME_FAILED, echo_json, json_option, progress_bar, stdout

LONGEST = 60


@click.command()
@click.argument("store", metavar="STORE")
@click.argument("other", metavar="OTHER")
@click.option("--values", "values_only", is_flag=True, help="Sequences and values only, not how they were made.")
@json_option
def diff(store: str, other: str, values_only: bool, json: bool) -> None:
    """Say what differs between two stores. Exit 0 where nothing does, 1 where something does.

    How they were made, their sequences, their fields; and of every field in both the share of values that differ, the
    largest and the median difference, and the first frame that differs. Sequences are matched by id. NaN equals NaN.

    Shards whose sha256 is the same in both ledgers are not read: `auglift-store verify --deep` says whether a ledger is
    right.
    """
    ours, theirs = FeatureStore.open(store), FeatureStore.open(other)
    with progress_bar("fields", quiet=json) as progress:
        found = diff_of(ours, theirs, values_only, partial(progress, "compare"))
    if json:
        echo_json({"store": store, "other": other, **found})
    else:
        _show(store, other, found)
    sys.exit(DONE if found["same"] else SOME_FAILED)


def _show(store: str, other: str, found: dict[str, Any]) -> None:
    if found["same"]:
        frames = max((value["frames"] for value in found["values"].values()), default=0)
        stdout.print(f"the same: {len(found['values'])} fields, {frames} frames", soft_wrap=True)
        return
    _lines([f"{key}: {_short(here)} | {_short(there)}" for key, (here, there) in found["configuration"].items()])
    for what in ("sequences", "fields"):
        _lines([f"{what[:-1]} {name} only in {store}" for name in found[what]["only_here"]])
        _lines([f"{what[:-1]} {name} only in {other}" for name in found[what]["only_there"]])
        changed = found[what]["changed"].items()
        _lines([f"{what[:-1]} {n}: {k} {_short(a)} | {_short(b)}" for n, keys in changed for k, (a, b) in keys.items()])
    if not found["sequences"]["order"]:
        stdout.print("the sequences lie in another order")
    stdout.print(_values(found["values"]))


def _lines(lines: list[str]) -> None:
    for line in lines[:NAMED]:
        stdout.print(line, soft_wrap=True)
    if len(lines) > NAMED:
        stdout.print(f"and {len(lines) - NAMED} more of the kind (--json lists them)")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else canonical_json(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _values(values: dict[str, dict[str, Any]]) -> Table:
    table = Table(
        "field", "frames", "values differ", "NaN on one side", "largest", "median", "first: sequence", "frame"
    )
    for name, value in values.items():
        if not value["differ"]:
            table.add_row(name, str(value["frames"]), "none" if value["frames"] else "not compared")
            continue
        first, sized = value["first"], value["median"] is not None
        table.add_row(
            name,
            str(value["frames"]),
            f"{value['differ']} ({value['share']:.2%})",
            str(value["one_nan"] or ""),
            f"{value['largest']:.3g}" if sized else "-",
            f"{value['median']:.3g}" if sized else "-",
            first["sequence"],
            str(first["frame"]),
        )
    return table
