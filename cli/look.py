"""`auglift-store report` and `view`: a page about a store, and a recording to move through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.table import Table

from ..pipeline.pictures.recording import Pictures, record
from ..stores.errors import AugliftError, InvalidValueError, MissingExtraError, StoreWriteError
from ..stores.reading.store import FeatureStore
from ..stores.report.page import make_page
from ..stores.report.sheet import SIDE, FrameReader
from ..stores.report.times import read_times
from ..stores.summaries.info import report as report_of
from .common import AugliftCommand, echo_json, json_option, progress_bar, stderr, stdout, store_argument

FRAMES_SHOWN, WORST_SHOWN = 10, 100


@click.command("report", cls=AugliftCommand)
@store_argument
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the page: an .html file.")
@click.option(
    "--videos",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder that holds the sources, or a few levels above, for the contact sheet. Default: the current one.",
)
@click.option("--no-pictures", is_flag=True, help="Look for no sources; the contact sheet shows joints alone.")
@click.option("--times", "seconds", metavar="FILE", help="What `auglift-prep --json` printed: time by stage.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Chooses the frames looked at.")
@click.option("--force", is_flag=True, help="Replace a page that is there.")
@json_option
def report(
    store: str,
    out: Path | None,
    videos: Path | None,
    no_pictures: bool,
    seconds: str | None,
    seed: int,
    force: bool,
    json: bool,
) -> None:
    """Look at a store before you train from it: coverage, confidence, depth, errors, jumps, what was left out.

    With --out one HTML page that needs nothing else (docs/report.md says how to read it). Without it a table of the
    sequences in which no person was found or frames could not be read, worst first. --json prints all the numbers.

    \b
    auglift-store report h36m.zarr --out report.html
    auglift-store report walk.zarr --out report.html --videos footage --times pass.jsonl
    """
    opened = FeatureStore.open(store, allow_incomplete=True)
    if out is None and not json:
        _show(report_of(opened))
        return
    if out is not None:
        _check_out(out, ".html", force)
    timed = read_times(seconds) if seconds is not None else None
    reader = None if no_pictures or out is None else _reader(opened, videos)
    with progress_bar("sections", quiet=json) as progress:
        page = make_page(opened, reader, timed, seed=seed, progress=progress)
    if out is not None:
        write_whole(out, page.html.encode())
    if json:
        echo_json({**report_of(opened), **page.numbers, "out": None if out is None else str(out)})
        return
    for level, text in page.numbers["findings"]:
        stdout.print(f"{_SAID[level]}: {text}", style=_STYLE[level], soft_wrap=True)
    stdout.print(f"wrote {out}", soft_wrap=True)


_SAID = {"bad": "stop", "warn": "look", "good": "good"}
_STYLE = {"bad": "bold red", "warn": "yellow", "good": "green"}


def _check_out(out: Path, ending: str, force: bool) -> None:
    if out.suffix.lower() != ending:
        raise InvalidValueError(f"--out {out}: the file must end in {ending}")
    if out.exists() and not force:
        raise InvalidValueError(f"{out} is there already; --force replaces it")
    if not out.resolve().parent.is_dir():
        raise InvalidValueError(f"--out {out}: there is no folder {out.parent}; make it first")


def write_whole(out: Path, data: bytes) -> None:
    """Write a file whole or not at all. StoreWriteError where that cannot be."""
    partial = out.with_name(out.name + ".partial")
    try:
        partial.write_bytes(data)
        partial.replace(out)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StoreWriteError(f"{out} cannot be written: {error.strerror}") from error


def _check_videos(videos: Path | None) -> None:
    if videos is not None and not videos.exists():
        raise InvalidValueError(f"--videos {videos}: there is no such folder")


def _reader(store: FeatureStore, videos: Path | None) -> FrameReader | None:
    _check_videos(videos)
    try:
        from ..pipeline.pictures.thumbnails import thumbnails
    except ImportError:
        stderr.print("no pictures in the contact sheet: they need pip install 'auglift[prep]'", style="yellow")
        return None
    try:
        return thumbnails(store, videos, SIDE)
    except MissingExtraError as error:
        stderr.print(f"no pictures in the contact sheet: {error}", style="yellow", soft_wrap=True)
        return None


def _show(about: dict[str, Any]) -> None:
    table = Table("sequence", "frames", "valid", "share", "mean score")
    for row in about["sequences"][:WORST_SHOWN]:
        share, score = row["valid_share"], row["mean_score"]
        cells = ("-" if share is None else f"{share:.1%}", "-" if score is None else f"{score:.3f}")
        table.add_row(row["id"], str(row["frames"]), str(row["valid"]), *cells)
    stdout.print(table)
    if len(about["sequences"]) > WORST_SHOWN:
        stdout.print(f"and {len(about['sequences']) - WORST_SHOWN} more (--json lists them)")
    for problem in about["problems"][:FRAMES_SHOWN]:
        line = f"frame {problem['source_frame']} of {problem['sequence']} could not be read: {problem['reason']}"
        stdout.print(line, soft_wrap=True)
    if len(about["problems"]) > FRAMES_SHOWN:
        stdout.print(f"and {len(about['problems']) - FRAMES_SHOWN} more (--json lists them)")


@click.command("view", cls=AugliftCommand)
@store_argument
@click.option(
    "--sequence", "ids", multiple=True, metavar="ID", help="This sequence; may be repeated. Default: the first."
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The recording: a .rrd file."
)
@click.option(
    "--videos",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder that holds the sources, or a few levels above. Default: the current one.",
)
@click.option("--no-video", is_flag=True, help="Look for no sources.")
@click.option("--depth-map", is_flag=True, help="Make the depth maps again: the depth network runs on every frame.")
@click.option("--weights", metavar="DIR", help="Weights of the depth network, as for auglift-prep.")
@click.option("--lifter", metavar="RUN", help="Show the poses that this run of auglift-train predicts.")
@click.option("--force", is_flag=True, help="Replace a recording that is there.")
@json_option
def view(
    store: str,
    ids: tuple[str, ...],
    out: Path,
    videos: Path | None,
    no_video: bool,
    depth_map: bool,
    weights: str | None,
    lifter: str | None,
    force: bool,
    json: bool,
) -> None:
    """Write a recording to move through in Rerun's viewer: video, joints, disks, descriptors over time, 3D.

    It needs the extra `viz`, and no screen. Look at it with `rerun walk.rrd`. Joints are red where the detector is
    unsure and green where it is sure; true poses are green, predicted ones orange.

    \b
    auglift-store view walk.zarr --out walk.rrd --videos footage
    auglift-store view h36m.zarr --sequence S9/Walking.54138969 --lifter runs/uadd --out walking.rrd
    """
    _check_out(out, ".rrd", force)
    opened = FeatureStore.open(store)
    rows = list(opened.sequences.select(id=list(ids))) if ids else [opened.sequences[0]]
    if missing := sorted(set(ids) - {row.id for row in rows}):
        raise InvalidValueError(f"{opened.url} has no sequence '{missing[0]}'; auglift-store sequences lists them")
    notes: list[str] = []
    if not ids and len(opened.sequences) > 1:
        notes.append(f"the first of {len(opened.sequences)} sequences; --sequence names others")
    with progress_bar("", quiet=json) as progress:
        predicted = _predicted(opened, lifter, {row.split for row in rows}, progress) if lifter else None
        pictures = None if no_video else _pictures(opened, videos, depth_map, weights, notes)
        done = record(opened, rows, out, pictures, predicted, progress)
    notes += done.notes
    if json:
        echo_json({"out": str(out), "sequences": [row.id for row in rows], "frames": done.frames,
                   "pictures": done.pictures, "entities": done.entities, "notes": notes})  # fmt: skip
        return
    for note in notes:
        stderr.print(note, soft_wrap=True)
    stdout.print(f"wrote {out}: {done.frames} frames, {done.pictures} with a picture", soft_wrap=True)


def _pictures(
    store: FeatureStore, videos: Path | None, depth_map: bool, weights: str | None, notes: list[str]
) -> Pictures | None:
    """Frames from the sources; what cannot be had, and why, goes to `notes`."""
    _check_videos(videos)
    try:
        from ..pipeline.pictures.at_hand import depth_again, frames_again
    except ImportError:
        notes.append("no video: it needs pip install 'auglift[prep]'")
        return None
    again = None
    if depth_map:
        try:
            again = depth_again(store, weights)
        except AugliftError as error:
            notes.append(f"no depth maps: {error}")
    return frames_again(store, videos, again)


def _predicted(store: FeatureStore, folder: str, splits: set[str], progress: Any) -> dict[int, Any]:
    """Frame of the store -> (17, 3) m, of all sequences of these splits."""
    from ..lifters.data.batches import TARGET, open_stores
    from ..lifters.evaluation.evaluate import predictions
    from ..lifters.training.checkpoint import Run

    run = Run(folder)
    run.check_store(store)
    open_stores([store.url], run.inputs)  # says what the lifter's inputs need of it
    store.require([TARGET])
    found = {}
    flip = run.setup.hyperparameters.training.flip
    for split in sorted(splits):
        some = predictions(
            run.model(), store, run.inputs, split, flip, progress=lambda _, done, of: progress("predictions", done, of)
        )
        found |= dict(zip(some.frame.tolist(), some.pose.numpy(), strict=True))
    return found
