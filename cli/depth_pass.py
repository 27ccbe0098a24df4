"""What every dataset's command shares: the options of a depth pass, and the pass itself."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import click

from ..stores.agreement import agreement
from ..stores.errors import InvalidValueError, MissingExtraError
from ..stores.location import locate
from ..stores.relief import relief
from ..stores.shards import SHARD_FRAMES
from ..stores.store import FeatureStore
from .common import json_option, stderr
from .computing import COMPUTING_OPTIONS, computing_of
from .report import Estimate, show_outcome, show_plan
from .workers import WORKER_OPTIONS

if TYPE_CHECKING:
    from ..pipeline.plan import Clip

# A small job is cut into about this many shards, so that little is lost when it is stopped.
SHARDS_OF_A_SMALL_JOB = 8
SMALLEST_SHARD = 32


def _needed(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """A command that only looks (`--check`) writes nothing."""
    if value is None and not context.params.get("check"):
        raise click.MissingParameter(ctx=context, param=option)
    return value


_OPTIONS = [
    click.option("--out", metavar="STORE", callback=_needed, help="The store to write, or to go on with.  [required]"),
    click.option("--detector", default="rtmdet-m", show_default=True, metavar="NAME", help="Person detector."),
    click.option(
        "--pose",
        default="rtmpose-l",
        show_default=True,
        metavar="NAME",
        help="2D pose network; `ground-truth`: the dataset's own joints, with confidence 1 and without a detector.",
    ),
    click.option(
        "--depth",
        default="depth-anything-v2-large",
        show_default=True,
        metavar="NAME",
        help="Depth network: a name, or a Hugging Face repository that AutoModelForDepthEstimation loads; "
        "`ground-truth`: the dataset's own depth maps.",
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
        help="Descriptors, comma-separated: paper, quantile, spatial, fixed. They cost next to nothing. Their radii "
        "are for frames of about 1000 px; for others, say so: paper:r_min=0.8:r_max=8.",
    ),
    click.option("--fps", type=float, help="Take so many frames a second. Default: all there are."),
    click.option("--limit", type=click.IntRange(min=1), help="At most so many frames of each source."),
    click.option("--shard-frames", type=click.IntRange(min=1), help="Frames a shard. Default: 8192; small jobs, less."),
    click.option("--batch", type=click.IntRange(min=1), help="Frames a forward pass. Default: 8; on a GPU, 16."),
    click.option("--threads", type=click.IntRange(min=1), help="CPU threads a worker. Default: all cores it has."),
    *COMPUTING_OPTIONS,
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 ..."),
    *WORKER_OPTIONS,
    click.option("--dry-run", is_flag=True, help="Say what would be done; load no network, write nothing."),
    click.option(
        "--calibrate",
        is_flag=True,
        help="With --dry-run: load the networks, time a few batches, estimate the time.",
    ),
    json_option,
]


def depth_pass_options(command: Callable | None = None, **defaults: str) -> Callable:
    """The options that every dataset's command has; `defaults`, where this dataset's differ."""

    def decorate(command: Callable) -> Callable:
        for option in reversed(_OPTIONS):
            command = option(command)
        for parameter in command.__click_params__:  # type: ignore[attr-defined]
            parameter.default = defaults.get(parameter.name, parameter.default)
        return command

    return decorate if command is None else decorate(command)


def require_prep() -> None:
    """MissingExtraError where what the depth pass needs was not installed."""
    needed = ("av", "cv2", "numba", "transformers", "safetensors", "mmengine", "mmcv", "mmdet", "mmpose", "pycocotools")
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"the depth pass needs {', '.join(missing)}, not here: pip install 'auglift[prep]', or make install"
        )


def run(clips: list[Clip], options: Mapping[str, Any], truth: Mapping[str, Any] | None = None) -> int:
    """Plan, then do: the part that all datasets share. Returns the exit code.

    truth   what was found of the ground truth, for the store to tell
    """
    from ..pipeline.ground_truth import require_truth
    from ..pipeline.networks import NetworkOptions, choose_presets, warnings
    from ..pipeline.plan import Plan

    require_truth(clips, options)
    chosen = choose_presets(options["uadd"])
    presets = tuple(preset.name for preset in chosen)
    shard_frames = options["shard_frames"] or _shard_frames(sum(clip.count for clip in clips))
    if options["calibrate"] and not options["dry_run"]:
        raise InvalidValueError("--calibrate goes with --dry-run: it says how long a job would take")
    if options["dry_run"] and not options["calibrate"]:
        show_plan(Plan(tuple(clips), {}, presets, shard_frames), options["json"])
        return 0

    from ..pipeline.execute import execute
    from .progress import progress_for
    from .workers import ready

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    named = {k: options[k] for k in ("detector", "pose", "depth", "weights", "device", "batch")}
    networks = NetworkOptions(
        presets=chosen,
        computing=computing_of(options, clips),
        **named,
        **({"threads": options["threads"]} if options["threads"] else {}),
    )
    with ready(options, networks) as crew:
        plan = Plan(tuple(clips), crew.settings, presets, shard_frames, warnings(crew.settings), truth or {})
        for warning in plan.warnings:
            stderr.print(f"[bold yellow]{warning}[/]")
        if options["dry_run"]:
            with stderr.status("timing a few batches"):
                timed = crew.calibrate(plan)
            show_plan(plan, options["json"], Estimate(timed.seconds_of_plan / crew.workers, crew.workers, timed))
            return 0
        with progress_for(options["json"], stderr) as progress:
            outcome = execute(plan, locate(options["out"]), crew.executor, progress)
    checks: dict[str, Any] = {"agreement": None, "relief": None}
    if not outcome.failures:
        store = FeatureStore.open(options["out"])
        checks = {"agreement": agreement(store), "relief": relief(store)}
    show_outcome(plan, outcome, options["out"], options["json"], checks)
    return 1 if outcome.failures else 0


def _shard_frames(frames: int) -> int:
    """Shards of 8,192 frames; of a small job, a power of two that cuts it into about eight."""
    wish = 1 << max(frames // SHARDS_OF_A_SMALL_JOB, 1).bit_length() - 1
    return max(SMALLEST_SHARD, min(wish, SHARD_FRAMES))
