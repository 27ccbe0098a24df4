"""`auglift-prep`: turn video into a feature store."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from ..stores.errors import InvalidValueError, MissingExtraError
from ..stores.location import locate
from ..stores.shards import SHARD_FRAMES
from .common import AugliftGroup, json_option, stderr, stdout

if TYPE_CHECKING:
    from ..pipeline.execute import Outcome
    from ..pipeline.plan import Clip, Plan

# A small job is cut into about this many shards, so that little is lost when it is stopped.
SHARDS_OF_A_SMALL_JOB = 8
SMALLEST_SHARD = 32

_OPTIONS = [
    click.option("--out", required=True, metavar="STORE", help="The store to write, or to go on with."),
    click.option("--detector", default="rtmdet-m", show_default=True, metavar="NAME", help="Person detector."),
    click.option("--pose", default="rtmpose-l", show_default=True, metavar="NAME", help="2D pose network."),
    click.option(
        "--depth",
        default="depth-anything-v2-large",
        show_default=True,
        metavar="NAME",
        help="Depth network: a name, or a Hugging Face repository that AutoModelForDepthEstimation loads.",
    ),
    click.option(
        "--weights",
        metavar="DIR",
        help="Folder with the networks' weights. Without it: the usual caches, then their origin. `random`: seeded "
        "random weights, to try the machinery.",
    ),
    click.option(
        "--uadd",
        default="all",
        show_default=True,
        metavar="PRESETS",
        help="Descriptors, comma-separated: paper, quantile, spatial, fixed. They cost next to nothing.",
    ),
    click.option("--fps", type=float, help="Take so many frames a second. Default: all there are."),
    click.option("--limit", type=click.IntRange(min=1), help="At most so many frames of each source."),
    click.option("--shard-frames", type=click.IntRange(min=1), help="Frames a shard. Default: 8192; small jobs, less."),
    click.option("--batch", type=click.IntRange(min=1), default=8, show_default=True, help="Frames a forward pass."),
    click.option("--threads", type=click.IntRange(min=1), help="CPU threads. Default: all cores."),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 ..."),
    click.option("--dry-run", is_flag=True, help="Say what would be done; load no network, write nothing."),
    json_option,
]


def depth_pass_options(command: Callable) -> Callable:
    """The options that every dataset's command has."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.group(cls=AugliftGroup)
@click.version_option(package_name="auglift")
def main() -> None:
    """Run the depth pass: video in, one feature store out.

    Every frame goes through a person detector (RTMDet), a 2D pose network (RTMPose) and a monocular depth network
    (Depth Anything V2); the depth around each joint becomes its Uncertainty-Aware Depth Descriptor. Any number of
    trainings can read the store. A job that was stopped goes on where it was when the same command is run again.
    """


def require_prep() -> None:
    """MissingExtraError where what the depth pass needs was not installed."""
    needed = ("av", "cv2", "transformers", "safetensors", "mmengine", "mmcv", "mmdet", "mmpose", "pycocotools")
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"the depth pass needs {', '.join(missing)}, not here: pip install 'auglift[prep]', or make install"
        )


@main.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@depth_pass_options
def video(sources: Sequence[Path], **options: Any) -> None:
    """Video files, folders of images (a clip each) and folders of videos.

    \b
    auglift-prep video walk.mp4 run.mp4 --out mine.zarr
    auglift-prep video clip.mp4 --detector rtmdet-nano --pose rtmpose-s \\
        --depth depth-anything-v2-small --out quick.zarr
    """
    require_prep()
    from ..pipeline.datasets.video import clips

    found, bad = clips(sources, options["fps"], options["limit"])
    for path, error in bad:
        stderr.print(f"[yellow]left out:[/] {path}: {error}", soft_wrap=True)
    if not found:
        raise InvalidValueError("no source can be read; nothing was written")
    code = run(found, options)
    sys.exit(code or (1 if bad else 0))


def run(clips: list[Clip], options: Mapping[str, Any]) -> int:
    """Plan, then do: the part that all datasets share. Returns the exit code."""
    from ..pipeline.networks import NetworkOptions, choose_presets, warnings
    from ..pipeline.plan import Plan

    chosen = choose_presets(options["uadd"])
    shard_frames = options["shard_frames"] or _shard_frames(sum(clip.count for clip in clips))
    if options["dry_run"]:
        _show_plan(Plan(tuple(clips), {}, tuple(p.name for p in chosen), shard_frames), options["json"])
        return 0

    from ..pipeline.execute import SerialExecutor, execute
    from .progress import progress_for

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    named = {k: options[k] for k in ("detector", "pose", "depth", "weights", "device", "batch")}
    networks = NetworkOptions(
        presets=chosen, **named, **({"threads": options["threads"]} if options["threads"] else {})
    )
    with stderr.status("loading the networks"):
        extractor = networks.build()
    settings = networks.settings(extractor)
    plan = Plan(tuple(clips), settings, tuple(p.name for p in chosen), shard_frames, warnings(settings))
    for warning in plan.warnings:
        stderr.print(f"[bold yellow]{warning}[/]")
    with progress_for(options["json"], stderr) as progress:
        outcome = execute(plan, locate(options["out"]), SerialExecutor(lambda: extractor), progress)
    _show_outcome(plan, outcome, options["out"], options["json"])
    return 1 if outcome.failures else 0


def _shard_frames(frames: int) -> int:
    """Shards of 8,192 frames; of a small job, a power of two that cuts it into about eight."""
    wish = 1 << max(frames // SHARDS_OF_A_SMALL_JOB, 1).bit_length() - 1
    return max(SMALLEST_SHARD, min(wish, SHARD_FRAMES))


def _show_plan(plan: Plan, as_json: bool) -> None:
    layout = plan.layout
    if as_json:
        sequences = {clip.id: clip.count for clip in plan.clips}
        summary = {"frames": plan.frames, "shards": layout.shards, "shard_frames": layout.shard_frames}
        click.echo(json.dumps({**summary, "bytes": layout.bytes, "sequences": sequences}))
        return
    table = Table("sequence", "source", "frames", "fps", "size", "source frames", title="What would be done")
    for clip in plan.clips:
        info = clip.info
        rate = f"{clip.fps:.6g}"
        table.add_row(clip.id, clip.name, str(clip.count), rate, f"{info.width} x {info.height}", str(info.frame_count))
    stdout.print(table)
    stdout.print(
        f"{plan.frames} frames in {layout.shards} shards of {layout.shard_frames}, "
        f"{layout.bytes / 1e6:.1f} MB before compression"
    )


def _show_outcome(plan: Plan, outcome: Outcome, out: str, as_json: bool) -> None:
    if as_json:
        summary = {
            "event": "end",
            "out": out,
            "frames": plan.frames,
            "done": outcome.frames,
            "resumed": outcome.resumed,
        }
        failures = [asdict(failure) for failure in outcome.failures]
        click.echo(json.dumps({**summary, "counts": outcome.counts, "failures": failures, "seconds": outcome.seconds}))
        return
    written = Table(title=f"{out}", show_header=False)
    written.add_row("frames", f"{plan.frames}")
    for name in ("valid", "nobody", "unreadable"):
        written.add_row(name, str(outcome.counts.get(name, "?")))
    written.add_row("shards", f"{len(plan.shards)} ({outcome.resumed} from an earlier run)")
    written.add_row("descriptors", ", ".join(plan.presets))
    stdout.print(written)
    seconds = outcome.seconds
    if seconds:
        total = seconds.pop("total")
        # Decoding runs beside the networks: only what they waited for it counts.
        times = Table("stage", "seconds", "share", title=f"{outcome.frames} frames in {total:.1f} s")
        for stage, spent in seconds.items():
            times.add_row(stage, f"{spent:.2f}", "beside" if stage == "decode" else f"{spent / total:.0%}")
        stdout.print(times)
    for problem in [p for result in outcome.results for p in result.problems][:10]:
        stdout.print(f"frame {problem['source_frame']} of {problem['sequence']} is unreadable: {problem['reason']}")
    for failure in outcome.failures:
        stdout.print(f"[red]shard {failure.shard} failed {failure.attempts} times:[/] {failure.reason}")
    if outcome.failures:
        stdout.print("The store is not complete; run the same command again to try these shards once more.")
