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
from .computing import COMPUTING_OPTIONS, computing_of
from .keypoints import KEYPOINTS_OPTIONS, given_to
from .report import Estimate, show_outcome, show_plan
from .workers import WORKER_OPTIONS

if TYPE_CHECKING:
    from ...pipeline.networks.substitutes.simulated import Simulated
    from ...pipeline.plan import Clip
    from ...pipeline.uadd.descriptor import Preset

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
    "random weights, to try the installation.",
)

DEPTH_SIZE_OPTION = click.option(
    "--depth-size",
    type=click.IntRange(min=14),
    metavar="PX",
    help="Short side of the depth network's input: less is faster and coarser. Default: the network's own, 518 of "
    "Depth Anything.",
)

FEATURE_OPTIONS = [
    click.option(
        "--features",
        metavar="STREAMS",
        help="Learned features at the joints, for --inputs v2 and image: pose, depth, or pose,depth. 43.5 KB a frame "
        "of the large networks.",
    ),
    click.option(
        "--feature-sampling",
        default="nearest_4",
        show_default=True,
        metavar="HOW",
        help="Of the cells of a feature map about a joint: nearest_4 (their mean), nearest_1, bilinear.",
    ),
]

# How it is computed, not what: the same for every command that computes fields.
MACHINE_OPTIONS = [
    click.option("--batch", type=click.IntRange(min=1), help="Frames in a forward pass. Default: 8; 16 on a GPU."),
    click.option("--threads", type=click.IntRange(min=1), help="CPU threads of a worker. Default: all its cores."),
    *COMPUTING_OPTIONS,
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
    click.option("--out", metavar="STORE", callback=_needed, help="The store to write or to continue.  [required]"),
    click.option(
        "--detector",
        default="rtmdet-m",
        show_default=True,
        metavar="NAME",
        help="Person detector: a name (docs/networks.md), a Hugging Face repository (owner/name) or folder that "
        "transformers loads, or CONFIG.py:CHECKPOINT of MMDetection's (a configuration is Python and runs). "
        "`blazepose` needs no weights but those in MediaPipe's Python package.",
    ),
    click.option(
        "--pose",
        default="rtmpose-l",
        show_default=True,
        metavar="NAME",
        help="2D pose network, after any detector: a name, a repository or folder with a ViTPose, or "
        "CONFIG.py:CHECKPOINT of any top-down model of MMPose's; `blazepose`, as above. "
        "`ground-truth`: the dataset's own joints, with confidence 1 and without a detector.",
    ),
    *KEYPOINTS_OPTIONS,
    click.option(
        "--depth",
        default="depth-anything-v2-large",
        show_default=True,
        metavar="NAME",
        help="Depth network: a name, a Hugging Face repository (owner/name) or a folder with a model in it; "
        "`ground-truth`: the dataset's own depth maps; `none`: joints and scores alone, for trainings on xy and xyc.",
    ),
    DEPTH_SIZE_OPTION,
    WEIGHTS_OPTION,
    click.option(
        "--uadd",
        default="all",
        show_default=True,
        metavar="PRESETS",
        help="Descriptors, comma-separated: paper, quantile, spatial, fixed. They cost almost no time. Their radii "
        "are for frames of about 1000 px; for other sizes set them: paper:r_min=2:r_max=8.",
    ),
    *FEATURE_OPTIONS,
    click.option("--fps", type=float, help="Frames to take per second, those nearest in time. Default: all."),
    click.option("--limit", type=click.IntRange(min=1), help="Take at most this many frames of each source."),
    click.option(
        "--shard-frames", type=click.IntRange(min=1), help="Frames in a shard. Default: 8192; fewer for small jobs."
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
    simulated: tuple[Simulated, Simulated] | None = None,
) -> int:
    """Make a plan, run it, and return the exit code; every dataset uses this function.

    truth      what was found about the ground truth, for the store's attributes
    simulated  what stands in the networks' place
    left_out   sources that cannot be read; skipped: files that are no sources. Both were shown, and are in the JSON too
    """
    from ...pipeline.build import NetworkOptions, warnings
    from ...pipeline.features.streams import choose_features
    from ...pipeline.licences import stated
    from ...pipeline.networks.substitutes.ground_truth import require_truth
    from ...pipeline.plan import Plan, warnings_of

    require_truth(clips, options)
    clips, given, notes, absent = given_to(clips, options)
    chosen = presets_of(options)
    presets = tuple(preset.name for preset in chosen)
    shard_frames = options["shard_frames"] or shard_frames_of(sum(clip.count for clip in clips))
    if options["calibrate"] and not options["dry_run"]:
        raise InvalidValueError("--calibrate goes with --dry-run: it says how long a job would take")
    beside = {"left_out": [*left_out, *absent], "skipped": list(skipped)}
    warn(warnings_of(clips))
    named = {k: options[k] for k in ("detector", "pose", "depth", "depth_size", "weights", "device", "batch")}
    networks = NetworkOptions(
        presets=chosen,
        given=simulated[0] if simulated else given,
        given_depth=simulated[1] if simulated else None,
        computing=computing_of(options, clips),
        features=choose_features(options["features"]),
        sampling=options["feature_sampling"],
        **named,
        **({"threads": options["threads"]} if options["threads"] else {}),
    )
    expected = networks.expected_features()
    if options["dry_run"] and not options["calibrate"]:
        warn(notes)
        features = {"features": expected} if expected else {}
        show_plan(Plan(tuple(clips), features, presets, shard_frames, notes), options["json"], beside)
        return 0

    from ...pipeline.execution.serial import execute
    from .progress import progress_for
    from .workers import ready

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ready(options, networks) as loaded:
        datasets = dict.fromkeys(clip.dataset for clip in clips)
        lines = (*warnings(loaded.settings, datasets), *notes)
        known = stated(loaded.settings, datasets)
        plan = Plan(tuple(clips), loaded.settings, presets, shard_frames, lines, truth or {}, known)
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
    return 1 if outcome.failures or absent else 0


def presets_of(options: Mapping[str, Any]) -> tuple[Preset, ...]:
    """The descriptors that were chosen; none without depth."""
    from ...pipeline.build import choose_presets
    from ...pipeline.networks.substitutes.no_depth import is_none

    if not is_none(options["depth"]):
        return choose_presets(options["uadd"])
    if options["uadd"] != "all":
        raise InvalidValueError(f"--uadd {options['uadd']} needs depth, and --depth none makes none: leave one out")
    return ()


def shard_frames_of(frames: int) -> int:
    """Return 8,192 frames for each shard; for a small job, a power of two that makes about eight shards."""
    size = 1 << max(frames // SHARDS_OF_A_SMALL_JOB, 1).bit_length() - 1
    return max(SMALLEST_SHARD, min(size, SHARD_FRAMES))
