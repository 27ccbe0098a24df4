"""The depth pass: its options, which every dataset's command has, and the pass itself."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import click

from ...stores.errors import InvalidValueError, MissingExtraError
from ...stores.locations.choose import locate
from ...stores.reading.store import FeatureStore
from ...stores.summaries.agreement import agreement
from ...stores.summaries.relief import relief
from ...stores.writing.shards import SHARD_FRAMES
from ..common import json_option, stderr, warn
from .report import Estimate, show_outcome, show_plan
from .workers import WORKER_OPTIONS

if TYPE_CHECKING:
    from ...pipeline.plan import Clip

# A small job is cut into about this many shards, so that little is lost when it is stopped.
SHARDS_OF_A_SMALL_JOB = 8
SMALLEST_SHARD = 32


def _needed(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Require --out, except with --check, which writes nothing."""
    if value is None and not context.params.get("check"):
        raise click.MissingParameter(ctx=context, param=option)
    return value


WEIGHTS_OPTION = click.option(
    "--weights",
    metavar="DIR",
    help="Folder with the networks' weights. Without it: the usual caches, then their origin. `random`: seeded "
    "random weights, to try the machinery.",
)

# How it is computed, not what: the same for every command that computes fields.
MACHINE_OPTIONS = [
    click.option("--batch", type=click.IntRange(min=1), default=8, show_default=True, help="Frames of a forward pass."),
    click.option("--threads", type=click.IntRange(min=1), help="CPU threads of a worker. Default: all its cores."),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 ..."),
    *WORKER_OPTIONS,
    click.option("--dry-run", is_flag=True, help="Show what would be done: load no network, write nothing."),
    click.option(
        "--calibrate",
        is_flag=True,
        help="With --dry-run: load the networks, time a few batches, estimate the time.",
    ),
    json_option,
]

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
        help="Depth network: a name, a Hugging Face repository (owner/name) or a folder with a model in it; "
        "`ground-truth`: the dataset's own depth maps.",
    ),
    WEIGHTS_OPTION,
    click.option(
        "--uadd",
        default="all",
        show_default=True,
        metavar="PRESETS",
        help="Descriptors, comma-separated: paper, quantile, spatial, fixed. They cost next to nothing. Their radii "
        "are for frames of about 1000 px; for others, say so: paper:r_min=0.8:r_max=8.",
    ),
    click.option("--fps", type=float, help="Frames a second to take, the nearest ones. Default: all."),
    click.option("--limit", type=click.IntRange(min=1), help="At most so many frames of each source."),
    click.option(
        "--shard-frames", type=click.IntRange(min=1), help="Frames of a shard. Default: 8192; less for small jobs."
    ),
    *MACHINE_OPTIONS,
]


def depth_pass_options(command: Callable | None = None, **defaults: str) -> Callable:
    """Add the options of a depth pass to a command. defaults: those of this dataset, if they differ."""

    def decorate(command: Callable) -> Callable:
        for option in reversed(_OPTIONS):
            command = option(command)
        for parameter in command.__click_params__:  # type: ignore[attr-defined]
            parameter.default = defaults.get(parameter.name, parameter.default)
        return command

    return decorate if command is None else decorate(command)


def require_prep() -> None:
    """Raise MissingExtraError if a package that the depth pass needs is not installed."""
    needed = ("av", "cv2", "numba", "transformers", "safetensors", "mmengine", "mmcv", "mmdet", "mmpose", "pycocotools")
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"the depth pass needs {', '.join(missing)}, not here: pip install 'auglift[prep]', or make install"
        )


def run(
    clips: list[Clip],
    options: Mapping[str, Any],
    truth: Mapping[str, Any] | None = None,
    left_out: Sequence[str] = (),
    skipped: Sequence[str] = (),
) -> int:
    """Make a plan and run it, the same way for every dataset. Returns the exit code.

    truth      what was found about the ground truth, for the store's attributes
    left_out   sources that cannot be read, and skipped, what is no source; shown before, and again in the JSON
    """
    from ...pipeline.build import NetworkOptions, choose_presets, warnings
    from ...pipeline.networks.ground_truth import require_truth
    from ...pipeline.plan import Plan, warnings_of

    require_truth(clips, options)
    chosen = choose_presets(options["uadd"])
    presets = tuple(preset.name for preset in chosen)
    shard_frames = options["shard_frames"] or _shard_frames(sum(clip.count for clip in clips))
    if options["calibrate"] and not options["dry_run"]:
        raise InvalidValueError("--calibrate goes with --dry-run: it says how long a job would take")
    beside = {"left_out": list(left_out), "skipped": list(skipped)}
    warn(warnings_of(clips))
    if options["dry_run"] and not options["calibrate"]:
        show_plan(Plan(tuple(clips), {}, presets, shard_frames), options["json"], beside)
        return 0

    from ...pipeline.execution.serial import execute
    from .progress import progress_for
    from .workers import ready

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    named = {k: options[k] for k in ("detector", "pose", "depth", "weights", "device", "batch")}
    networks = NetworkOptions(
        presets=chosen, **named, **({"threads": options["threads"]} if options["threads"] else {})
    )
    with ready(options, networks) as loaded:
        plan = Plan(tuple(clips), loaded.settings, presets, shard_frames, warnings(loaded.settings), truth or {})
        warn(plan.warnings, style="bold yellow")
        if options["dry_run"]:
            with stderr.status("timing a few batches"):
                timed = loaded.calibrate(plan)
            estimate = Estimate(timed.seconds_of_plan / loaded.workers, loaded.workers, timed)
            show_plan(plan, options["json"], beside, estimate)
            return 0
        with progress_for(options["json"], stderr) as progress:
            outcome = execute(plan, locate(options["out"]), loaded.executor, progress)
    checks: dict[str, Any] = {"agreement": None, "relief": None}
    if not outcome.failures:
        store = FeatureStore.open(options["out"])
        checks = {"agreement": agreement(store), "relief": relief(store)}
    show_outcome(plan, outcome, options["out"], options["json"], {**checks, **beside})
    return 1 if outcome.failures else 0


def _shard_frames(frames: int) -> int:
    """Return 8,192 frames for each shard; for a small job, a power of two that makes about eight shards."""
    size = 1 << max(frames // SHARDS_OF_A_SMALL_JOB, 1).bit_length() - 1
    return max(SMALLEST_SHARD, min(size, SHARD_FRAMES))
