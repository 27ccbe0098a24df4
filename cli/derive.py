"""`auglift-store merge`, `select`, `log`: stores made from stores, and what a store was made by."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click
from rich.table import Table

from ..stores.derived.job import Derived, derive
from ..stores.derived.merge import merge_plan
from ..stores.derived.plan import DerivedPlan
from ..stores.derived.select import Selection, select_plan
from ..stores.errors import InvalidValueError, MissingFileError, UnreadableFileError
from ..stores.reading.store import FeatureStore
from ..stores.summaries.lineage import lineage
from .common import NAMED, echo_json, filter_options, json_option, progress_bar, stderr, stdout, store_argument

out_option = click.option("--out", required=True, metavar="STORE", help="The new store: a folder, s3:// or gs://.")
shard_option = click.option(
    "--shard-frames",
    type=click.IntRange(min=1),
    metavar="N",
    help="Frames a shard. By default as in the stores that are read, so that shards can be copied as they are.",
)


@click.command()
@click.argument("stores", metavar="STORE STORE...", nargs=-1, required=True)
@out_option
@shard_option
@json_option
def merge(stores: tuple[str, ...], out: str, shard_frames: int | None, json: bool) -> None:
    """Make one store of several: all their sequences, in the order given.

    They must have the same skeleton, networks, descriptors and fields; what differs is listed. Ground truth may be in
    some of them only: elsewhere it is NaN. Splits are kept. An id that an earlier store has gets a number.

    Shards are copied byte for byte as far as their boundaries allow, else written anew. Killed at any moment, the same
    command goes on. At the end every byte is verified.
    """
    _report(_run(merge_plan(stores, shard_frames), out, json), json)


@click.command()
@store_argument
@filter_options
@click.option(
    "--sequences", "listed", metavar="FILE", help="Only the sequences whose ids it lists, one a line; -: stdin."
)
@click.option(
    "--fields",
    multiple=True,
    metavar="NAME,...",
    help="Only these fields, or groups of them (uadd). valid and source_frame go along.  [default: all]",
)
@out_option
@shard_option
@json_option
def select(
    store: str,
    where: str,
    listed: str | None,
    fields: tuple[str, ...],
    out: str,
    shard_frames: int | None,
    json: bool,
    **filters: tuple[str, ...],
) -> None:
    """Make a smaller store of some sequences and some fields of one; of all of it, a copy.

    All that is given must hold. Sequences keep their order and ids.

    Shards are copied byte for byte as far as their boundaries allow, else written anew. Killed at any moment, the same
    command goes on. At the end every byte is verified.
    """
    names = tuple(name.strip() for text in fields for name in text.split(",") if name.strip()) if fields else None
    selection = Selection(where.strip(), filters, None if listed is None else _ids(listed), names)
    _report(_run(select_plan(store, selection, shard_frames), out, json), json)


@click.command()
@store_argument
@json_option
def log(store: str, json: bool) -> None:
    """Every command that made the store, or what it was made from, in order, with versions.

    It follows from what is in the store: neither times nor machines nor paths are kept.
    """
    entries = lineage(FeatureStore.open(store, allow_incomplete=True))
    if json:
        echo_json(entries)
        return
    table = Table("", "command", "of", "options", "versions")
    number = {entry["made"]: str(count) for count, entry in enumerate(entries, 1)}
    for entry in entries:
        table.add_row(
            number[entry["made"]],
            entry["command"],
            ", ".join(number[made] if made in number else made[:8] for made in entry["of"]),
            _pairs(entry["options"]),
            _pairs(entry["versions"]),
        )
    stdout.print(table)


def _pairs(values: dict[str, object]) -> str:
    shown = {key: ", ".join(map(str, value)) if isinstance(value, list) else value for key, value in values.items()}
    return "; ".join(f"{key} {value}" for key, value in shown.items())


def _ids(path: str) -> tuple[str, ...]:
    """The ids in a file, a line each; empty lines are none."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise MissingFileError(f"--sequences {path}: there is no such file") from error
    except UnicodeDecodeError as error:
        raise InvalidValueError(f"--sequences {path}: is no text (UTF-8)") from error
    except OSError as error:
        raise UnreadableFileError(f"--sequences {path}: cannot be read: {error.strerror}") from error
    ids = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not ids:
        raise InvalidValueError(f"--sequences {path}: lists no sequence; write one id a line")
    return ids


def _run(plan: DerivedPlan, out: str, json: bool) -> Derived:
    with progress_bar("shards", quiet=json) as progress:
        return derive(plan, out, progress)


def _report(done: Derived, json: bool) -> None:
    if json:
        renamed = [dict(zip(("store", "id", "new_id"), each, strict=True)) for each in done.renamed]
        echo_json({**asdict(done), "renamed": renamed})
        return
    for store, old, new in done.renamed[:NAMED]:
        stderr.print(f"'{old}' of {store} is called '{new}' here: an earlier store has that id", soft_wrap=True)
    if len(done.renamed) > NAMED:
        stderr.print(f"and {len(done.renamed) - NAMED} more are renamed (--json lists them)")
    for note in done.notes[:NAMED]:
        stderr.print(note, style="bold red", soft_wrap=True)
    if len(done.notes) > NAMED:
        stderr.print(f"and {len(done.notes) - NAMED} more of the kind (--json lists them)")
    stdout.print(f"{done.url}: {done.sequences} sequences, {done.frames} frames, {done.shards} shards", soft_wrap=True)
    resumed = f", {done.resumed} shards were there already" if done.resumed else ""
    stdout.print(f"{done.copied} files copied as they are, {done.written} written anew{resumed}; every byte verified")
