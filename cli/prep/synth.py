"""`auglift-prep synth`: rendered people with exact ground truth, drawn into a cache and put through the depth pass."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ...stores.errors import InvalidValueError
from ..common import AugliftCommand, stderr
from .depth_pass import depth_pass_options, require_prep, run

if TYPE_CHECKING:
    from ...pipeline.synth.clip import Clip as DrawnClip
    from ...pipeline.synth.motion.mocap import MocapArchive
    from ...pipeline.synth.simulated.noise import Noise

# A process needs a few seconds to start: for fewer frames than this, that does not pay.
FRAMES_WORTH_A_PROCESS = 150
SENSORS = ("pictures", "simulated")
MOTIONS = ("procedural", "recorded", "rich")
PICTURES_SIZE, SIMULATED_SIZE = 256, 1000  # px; the descriptors' radii are for the latter
SIMULATED_BATCH = 32


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
@click.option(
    "--size", type=click.IntRange(32, 4096), help="Width and height, px. Default: 256; 1000 of a simulated sensor."
)
@click.option(
    "--people", type=click.IntRange(min=1), metavar="N", help="People of each split. Default: the domain's, 2 to 12."
)
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
    "--motion",
    type=click.Choice(MOTIONS),
    help="procedural; recorded: with --mocap, half of the clips; rich: limbs from other motions and random angles, so "
    "that depth does not follow from the picture. Default: recorded with --mocap, else procedural.",
)
@click.option(
    "--sensor",
    type=click.Choice(SENSORS),
    default=SENSORS[0],
    show_default=True,
    help="simulated: no pictures and no networks; joints and depth are the geometry, with errors that --noise states.",
)
@click.option(
    "--noise",
    metavar="NOISE",
    help="Of the simulated sensor: standard, exact (exact depth), useless (another frame's depth), none; constants may "
    "follow: standard:relief=0.1:map=252 (docs/synthetic.md). Default: standard.",
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
    size: int | None,
    people: int | None,
    seed: int,
    mocap: Path | None,
    motion: str | None,
    sensor: str,
    noise: str | None,
    cache: Path | None,
    renderers: int | None,
    **options: Any,
) -> None:
    """Render people with exact 3D joints; needs no data and, with the tiny networks, no weights.

    \b
    auglift-prep synth --domain studio --clips 40 --out studio.zarr
    auglift-prep synth --domain gym --pose ground-truth --depth ground-truth --out oracle.zarr
    auglift-prep synth --domain street --sensor simulated --clips 1000 --people 200 --out simulated.zarr

    The videos are drawn once, into the cache, for any number of stores. To continue a drawing that was stopped, run the
    same command again.
    """
    require_prep()
    from ...pipeline.build import NetworkOptions
    from ...pipeline.datasets.synth import SynthOptions, cache_folder, store_clips, undrawn_clips
    from ...pipeline.networks.substitutes.given import FromFile
    from ...pipeline.networks.substitutes.ground_truth import is_truth
    from ...pipeline.synth.motion.mocap import MocapArchive
    from ...pipeline.synth.simulated.noise import choose_noise

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    pictures = sensor == SENSORS[0]
    size = size or (PICTURES_SIZE if pictures else SIMULATED_SIZE)
    recordings = _recordings(motion, mocap)
    wished = SynthOptions(domain, clips, split, frames, size, seed, people, motion == "rich")
    wished.plan(pictures=pictures)  # a wrong option is an error before the archive is unpacked
    _require_of_one_sensor(pictures, noise, renderers)
    constants = choose_noise(noise or "standard")
    home = cache_folder(cache)
    if not pictures:
        constants.require_fit(size)
    archive = MocapArchive(recordings, cache) if recordings else None
    drawn = wished.plan(archive, pictures)
    if not pictures:
        sys.exit(_simulate(drawn, constants, archive, options))
    folder = wished.folder(home, archive is not None)
    depth = is_truth(options["depth"])
    if options["dry_run"] and not options["calibrate"]:
        sys.exit(run(undrawn_clips(drawn, folder, depth, options["fps"], options["limit"]), options))
    named = {kind: options[kind] for kind in ("detector", "pose", "depth", "weights")}
    networks = NetworkOptions(**named, given=FromFile() if options["keypoints"] else None)
    networks.find_weights()  # before the drawing, which takes longer than to find that there are none
    _draw(drawn, folder, depth, archive, renderers, quiet=options["json"])
    sys.exit(run(store_clips(drawn, folder, depth, options["fps"], options["limit"]), options))


def _recordings(motion: str | None, mocap: Path | None) -> Path | None:
    """Return the archive to take recorded motion from, if any."""
    if motion == "recorded" and mocap is None:
        raise InvalidValueError("--motion recorded needs the recordings: name their archive with --mocap FILE")
    if motion == "procedural" and mocap is not None:
        raise InvalidValueError("--motion procedural takes no recordings: leave --mocap away, or choose recorded")
    return mocap


def _require_of_one_sensor(pictures: bool, noise: str | None, renderers: int | None) -> None:
    """Raise InvalidValueError for options of the other sensor."""
    if pictures:
        if noise is not None:
            raise InvalidValueError("--noise states the errors of a simulated sensor: add --sensor simulated")
        return
    context = click.get_current_context()
    for name in ("detector", "pose", "depth", "weights", "depth_size", "keypoints", "depth_backend"):
        if context.get_parameter_source(name) == ParameterSource.COMMANDLINE:
            flag = name.replace("_", "-")
            raise InvalidValueError(f"--sensor simulated stands where the networks do: leave --{flag} away")
    if renderers is not None:
        raise InvalidValueError("--sensor simulated draws no pictures: leave --renderers away")


def _simulate(drawn: tuple[DrawnClip, ...], noise: Noise, archive: MocapArchive | None, options: dict[str, Any]) -> int:
    from ...pipeline.build import choose_presets
    from ...pipeline.networks.substitutes.simulated import Simulated
    from ...pipeline.synth.simulated.truth import simulated_clips

    reach = max(preset.radius.max_radius for preset in choose_presets(options["uadd"]))
    dry = options["dry_run"] and not options["calibrate"]
    with stderr.status("placing people and cameras"):
        clips = simulated_clips(drawn, noise, archive, reach, options["fps"], options["limit"], dry)
    stand_in = Simulated(about={"noise": noise.of_joints()}), Simulated(about={"noise": noise.of_depth()})
    batch = options["batch"] or SIMULATED_BATCH
    return run(clips, {**options, "batch": batch, "depth": "simulated"}, simulated=stand_in)


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
