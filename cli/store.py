"""`auglift-store`: look at a feature store, check it, describe it, export it, make others of it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any

import click
from rich.table import Table

from ..stores.derived.select import Selection, selected
from ..stores.errors import InvalidValueError
from ..stores.export import ANNOTATIONS, FORMATS, JOINTS, MISSING, export
from ..stores.format.layout import CARD, CROISSANT
from ..stores.format.sequences import SequenceTable
from ..stores.locations.choose import locate
from ..stores.reading.store import FeatureStore
from ..stores.summaries.card import write_card
from ..stores.summaries.croissant import Publication
from ..stores.summaries.info import summary
from ..stores.writing.families import remove_family
from ..stores.writing.verify import REMEDIES, Finding, repair, verify
from .common import (
    DONE,
    FILTERS,
    SOME_FAILED,
    AugliftGroup,
    echo_json,
    filter_options,
    json_option,
    progress_bar,
    stderr,
    stdout,
    store_argument,
    warn,
)
from .compare import diff
from .derive import log, merge, select
from .info import tables
from .look import report, view
from .picture import picture

LEFT_OUT_SHOWN, SEQUENCES_SHOWN = 20, 1000


def chosen(store: FeatureStore, where: str, filters: dict[str, tuple[str, ...]]) -> SequenceTable:
    """Return the sequences that the options select; all without options."""
    wanted = {name: values for name in FILTERS if (values := filters[name])}
    if where.strip():
        return selected(store.sequences, Selection(where.strip(), wanted), store.url)
    return store.sequences.select(**wanted) if wanted else store.sequences


@click.group(cls=AugliftGroup)
@click.version_option(package_name="auglift")
def main() -> None:
    """Look at a feature store, check it, describe it, export it, compare it, make others of it.

    STORE is a folder or a URL: s3://, gs://, or https:// (to read).
    """


@main.command()
@store_argument
@json_option
def info(store: str, json: bool) -> None:
    """Show what a store holds and how it was made, also while it is being written."""
    about = summary(FeatureStore.open(store, allow_incomplete=True))
    if json:
        echo_json(about)
        return
    warn(about["warnings"], style="bold red", console=stdout)
    for table in tables(about):
        stdout.print(table)


@main.command("verify")
@store_argument
@click.option("--deep", is_flag=True, help="Also read every byte: hashes, chunks, counts.")
@click.option("--repair", "mend", is_flag=True, help="Mark what is bad, so that the next auglift-prep writes it again.")
@json_option
def verify_command(store: str, deep: bool, mend: bool, json: bool) -> None:
    """Compare a store with its ledger. Exit 1 where something is wrong.

    Finds files that are lost, cut off, altered or foreign, ledger records that are damaged or of another plan, and
    what a killed job left. --repair removes the records of bad shards only: run the auglift-prep command that made the
    store again, and it writes just these.
    """
    with progress_bar("shards", quiet=json) as progress:
        findings = verify(store, deep=deep, progress=partial(progress, "verify"))
    done = repair(store, findings) if mend and findings else []
    if json:
        echo_json({"store": store, "deep": deep, "findings": [asdict(f) for f in findings], "repaired": done})
    else:
        _show_findings(store, findings, deep, done)
    sys.exit(SOME_FAILED if findings else DONE)


def _show_findings(store: str, findings: list[Finding], deep: bool, done: list[str]) -> None:
    if not findings:
        looked = "every byte was read" if deep else "sizes, ledger and checksums; --deep reads every byte"
        stdout.print(f"{store}: nothing wrong ({looked})", soft_wrap=True)
        return
    table = Table("file", "what is wrong", "shard", "--repair would")
    for finding in findings:
        shard = "" if finding.shard is None else str(finding.shard)
        table.add_row(finding.key, finding.problem, shard, REMEDIES[finding.remedy])
    stdout.print(table)
    for line in done:
        stdout.print(f"repaired: {line}")
    if not done:
        stdout.print(f"{len(findings)} findings; --repair marks what is bad, auglift-prep then does it again")
    elif any(finding.remedy not in ("delete", "none") for finding in findings):
        stdout.print("now run the auglift-prep command that made the store, or the new fields, again")


@main.command("remove-fields")
@store_argument
@click.argument("name")
@json_option
def remove_fields(store: str, name: str, json: bool) -> None:
    """Take away the fields that `auglift-prep extend --name NAME` added, complete or not.

    What is left has the bytes that the store had before. The fields a store was made with cannot be taken away.
    """
    with progress_bar("files", quiet=json) as progress:
        count = remove_family(locate(store), name, partial(progress, "remove"))
    if json:
        echo_json({"store": store, "name": name, "files": count})
    else:
        stdout.print(f"{store}: took the fields '{name}' away, {count} files", soft_wrap=True)


@main.command()
@store_argument
@filter_options
@json_option
def sequences(store: str, where: str, json: bool, **filters: tuple[str, ...]) -> None:
    """Show the table of sequences, or those for which all that is given holds."""
    table = chosen(FeatureStore.open(store, allow_incomplete=True), where, filters)
    if json:
        echo_json([{k: _finite(v) for k, v in vars(row).items()} for row in table])
        return
    shown = Table("id", "subject", "action", "camera", "split", "start", "frames", "fps", "size", "source")
    for row in SequenceTable(table.table.slice(0, SEQUENCES_SHOWN)):
        rate = "-" if row.fps != row.fps else f"{row.fps:.6g}"
        names = (row.id, row.subject, row.action, row.camera, row.split)
        size = f"{row.width} x {row.height}"
        shown.add_row(*names, str(row.start), str(row.length), rate, size, row.source)
    stdout.print(shown)
    if len(table) > SEQUENCES_SHOWN:
        stdout.print(f"and {len(table) - SEQUENCES_SHOWN} more; --json lists all")
    stdout.print(f"{len(table)} sequences, {table.frames} frames")


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and value != value else value


@main.command()
@store_argument
@click.option("--url", default="", metavar="URL", help="Where the store is published, or a page about it.")
@click.option("--licence", default="", metavar="NAME", help="Of the store as a whole: a name of SPDX, or a URL.")
@click.option("--creator", "creators", multiple=True, metavar="NAME", help="Who made it; may be repeated.")
@click.option("--date", type=click.DateTime(["%Y-%m-%d"]), help="When it is published.")
@click.option("--force", is_flag=True, help="Replace a card that is there.")
@json_option
def card(
    store: str, url: str, licence: str, creators: tuple[str, ...], date: datetime | None, force: bool, json: bool
) -> None:
    """Write a dataset card into a finished store, as hubs expect it: README.md, and croissant.json for machines.

    croissant.json is Croissant 1.1 (MLCommons): files, fields, licences, lineage. The specification also wants what
    only you know: give --url, --licence, --creator and --date before you publish the store.
    """
    opened = FeatureStore.open(store)
    there = [name for name in (CARD, CROISSANT) if opened.location.exists(name)]
    if there and not force:
        raise InvalidValueError(f"{opened.url}/{there[0]} is there already; --force replaces it")
    publication = Publication(url, licence, creators, "" if date is None else date.date().isoformat())
    write_card(opened, publication)
    if json:
        echo_json({"paths": [f"{opened.url}/{name}" for name in (CARD, CROISSANT)], "missing": publication.missing})
        return
    for name in (CARD, CROISSANT):
        stdout.print(f"wrote {opened.url}/{name}", soft_wrap=True)
    if publication.missing:
        stderr.print(f"before you publish the store, give {', '.join(publication.missing)} too")


@main.command("export")
@store_argument
@click.option(
    "--format",
    "kind",
    required=True,
    type=click.Choice(list(FORMATS)),
    help="; ".join(f"{name}: {known.meaning}" for name, known in FORMATS.items()) + ".",
)
@click.option("--out", required=True, metavar="FOLDER", help="Folder for the files.")
@filter_options
@click.option(
    "--missing",
    type=click.Choice(list(MISSING)),
    help=f"Frames without ground truth. {'; '.join(f'{name}: {what}' for name, what in MISSING.items())}. "
    "[default: split]",
)
@click.option(
    "--checkout",
    metavar="FOLDER",
    help="VideoPose3D's folder, whose code knows where Human3.6M's cameras stand. [default: that whose data folder is "
    "--out]",
)
@click.option(
    "--annotation",
    type=click.Choice(list(ANNOTATIONS)),
    help="mpi-inf-3dhp: the kind of ground truth that must be in the store. Figures on the two are not comparable.",
)
@click.option(
    "--joints",
    type=click.Choice(JOINTS),
    help="motionbert, mpi-inf-3dhp: the 2D joints to learn from. [default: detected; truth, as in the papers]",
)
@click.option("--clip-frames", type=int, help="motionbert: frames of a clip. [default: 243]")
@click.option("--clip-stride", type=int, help="motionbert: between clips of training. [default: a third of a clip]")
@click.option("--force", is_flag=True, help="Replace files that are there.")
@json_option
def export_command(
    store: str,
    kind: str,
    out: str,
    missing: str | None,
    checkout: str | None,
    annotation: str | None,
    joints: str | None,
    clip_frames: int | None,
    clip_stride: int | None,
    force: bool,
    where: str,
    json: bool,
    **filters: tuple[str, ...],
) -> None:
    """Write a store's sequences in another project's format.

    These projects read pickles, of dictionaries and plain arrays, so that is what the files hold: whoever loads them
    must trust them.
    """
    opened = FeatureStore.open(store)
    done = export(
        opened,
        kind,
        out,
        chosen(opened, where, filters),
        force,
        missing,
        checkout,
        annotation,
        joints,
        clip_frames,
        clip_stride,
    )
    if json:
        left_out = [{"sequence": id, "reason": why} for id, why in done.left_out]
        paths = [str(path) for path in done.paths]
        echo_json({"paths": paths, "frames": done.frames, "notes": done.notes, "left_out": left_out})
        return
    for id, why in done.left_out[:LEFT_OUT_SHOWN]:
        stderr.print(f"{id} is left out: {why}", soft_wrap=True)
    if len(done.left_out) > LEFT_OUT_SHOWN:
        stderr.print(f"and {len(done.left_out) - LEFT_OUT_SHOWN} more (--json lists them)")
    for note in done.notes:
        stderr.print(note, soft_wrap=True)
    for path in done.paths:
        stdout.print(f"wrote {path}", soft_wrap=True)
    stdout.print(f"{done.frames} frames")


for command in (diff, log, merge, picture, report, select, view):
    main.add_command(command)


if __name__ == "__main__":
    main()
