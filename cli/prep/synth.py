"""`auglift-prep synth`: rendered people with exact ground truth, drawn into a cache and put through the depth pass."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..common import AugliftCommand, stderr
from .depth_pass import depth_pass_options, require_prep, run

if TYPE_CHECKING:
    from ...pipeline.synth.clip import Clip as DrawnClip
    from ...pipeline.synth.motion.mocap import MocapArchive

# A process needs a few seconds to start: for fewer frames than this, that does not pay.
FRAMES_WORTH_A_PROCESS = 150


@click.command("synth", cls=AugliftCommand)
@click.option("--domain", required=True, metavar="NAME", help="studio, greenscreen, street or gym.")
@click.option("--clips", type=click.IntRange(min=1), default=40, show_default=True, help="Videos to draw.")
@click.option(
    "--split",
    default="all",
    show_default=True,
    metavar="SPLIT",
    help="train, test or all, where every fourth clip is a test clip. Splits share no person and no room.",
)
@click.option(
    "--frames", type=click.IntRange(min=1), default=100, show_default=True, help="Frames of a clip, 25 per second."
)
@click.option("--size", type=click.IntRange(32, 4096), default=256, show_default=True, help="Width and height, px.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed gives other clips."
)
@click.option(
    "--mocap",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Archive of CMU motion capture (cmu_mocap_expmap_120fps.tar.xz), or its folder: half of the clips move as "
    "recorded. Without it all motion is procedural.",
)
@click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder for the videos and their ground truth. Default: AUGLIFT_CACHE, or the user's cache folder.",
)
@click.option("--renderers", type=click.IntRange(min=1), help="Processes that draw. Default: one per core.")
@depth_pass_options(detector="tiny", pose="tiny", depth="tiny")
def synth(
    domain: str,
    clips: int,
    split: str,
    frames: int,
    size: int,
    seed: int,
    mocap: Path | None,
    cache: Path | None,
    renderers: int | None,
    **options: Any,
) -> None:
    """Render people with exact 3D joints; needs no data and, with the tiny networks, no weights.

    \b
    auglift-prep synth --domain studio --clips 40 --out studio.zarr
    auglift-prep synth --domain gym --pose ground-truth --depth ground-truth --out oracle.zarr

    The videos are drawn once, into the cache, for any number of stores. To continue a drawing that was stopped, run the
    same command again.
    """
    require_prep()
    from ...pipeline.build import NetworkOptions
    from ...pipeline.datasets.synth import SynthOptions, cache_folder, store_clips, undrawn_clips
    from ...pipeline.networks.substitutes.given import FromFile
    from ...pipeline.networks.substitutes.ground_truth import is_truth
    from ...pipeline.synth.motion.mocap import MocapArchive

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    wished = SynthOptions(domain, clips, split, frames, size, seed)
    wished.plan()  # a wrong option is an error before the archive is unpacked
    home = cache_folder(cache)
    archive = MocapArchive(mocap, cache) if mocap else None
    drawn = wished.plan(archive)
    folder = wished.folder(home, archive is not None)
    depth = is_truth(options["depth"])
    if options["dry_run"] and not options["calibrate"]:
        sys.exit(run(undrawn_clips(drawn, folder, depth, options["fps"], options["limit"]), options))
    named = {kind: options[kind] for kind in ("detector", "pose", "depth", "weights")}
    networks = NetworkOptions(**named, given=FromFile() if options["keypoints"] else None)
    networks.find_weights()  # before the drawing, which takes longer than to find that there are none
    _draw(drawn, folder, depth, archive, renderers, quiet=options["json"])
    sys.exit(run(store_clips(drawn, folder, depth, options["fps"], options["limit"]), options))


def _draw(
    clips: tuple[DrawnClip, ...],
    folder: Path,
    depth: bool,
    archive: MocapArchive | None,
    renderers: int | None,
    quiet: bool,
) -> None:
    from ...pipeline.synth.rendered import is_drawn, render_clips

    missing = [clip for clip in clips if not is_drawn(clip, folder, depth)]
    frames = sum(clip.frames for clip in missing)
    if renderers is None:
        from ...pipeline.device.cores import usable_cores

        renderers = max(1, min(usable_cores(), frames // FRAMES_WORTH_A_PROCESS))
    if missing and not quiet:
        motion = "procedural and recorded motion" if archive else "procedural motion"
        count = f"{len(missing)} clip{'s' * (len(missing) > 1)}"
        stderr.print(f"drawing {count}, {motion}, into {folder}", soft_wrap=True)
    with Progress(
        TextColumn("drawing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=stderr,
        disable=quiet or not missing or not stderr.is_terminal,
    ) as bar:
        task = bar.add_task("", total=sum(clip.frames for clip in clips))
        render_clips(clips, folder, depth, archive, renderers, lambda count: bar.advance(task, count))
