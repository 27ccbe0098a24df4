"""`auglift-prep extend`: more fields for a finished store, from its videos and the joints that it holds."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from ...stores.errors import InvalidValueError
from ...stores.locations.choose import locate
from ...stores.reading.store import FeatureStore
from ...stores.summaries.relief import relief
from ..common import AugliftCommand, stderr, store_argument, warn
from .computing import computing_of
from .depth_pass import DEPTH_SIZE_OPTION, FEATURE_OPTIONS, MACHINE_OPTIONS, WEIGHTS_OPTION, require_prep
from .report import Estimate, show_outcome, show_plan

_OPTIONS = [
    click.option("--name", required=True, metavar="NAME", help="What the new fields are called: uadd/paper@NAME."),
    click.option(
        "--root",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Where the videos are now, somewhere below; they are known by their digests. Without it: under their own "
        "names in this folder or beside the store.",
    ),
    click.option("--depth", metavar="NAME", help="Depth network. Default: the one the store was made with."),
    click.option(
        "--pose",
        metavar="NAME",
        help="A 2D pose network for a second set of joints, in the boxes that the store holds: keypoints@NAME, "
        "score@NAME. Without it, the store's joints.",
    ),
    click.option(
        "--uadd", metavar="PRESETS", help="Descriptors, as for the other commands. Default: those of the store."
    ),
    *FEATURE_OPTIONS,
    DEPTH_SIZE_OPTION,
    WEIGHTS_OPTION,
    *MACHINE_OPTIONS,
]


def _options(command: Callable) -> Callable:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command("extend", cls=AugliftCommand)
@store_argument
@_options
def extend(store: str, **options: Any) -> None:
    """More fields for a finished store: another depth network, other descriptors, a second set of joints.

    \b
    auglift-prep extend h36m.zarr --root h36m --depth depth-anything-v2-base --name base
    auglift-prep extend h36m.zarr --root h36m --uadd fixed,spatial --name more
    auglift-prep extend h36m.zarr --root h36m --pose rtmpose-s --name small
    auglift-prep extend h36m.zarr --root h36m --features pose,depth --name v2

    Detector and pose network do not run where the store's boxes and joints serve. The new fields are called
    uadd/paper@base and so on. --features alone adds features and nothing else: feature/pose@v2 of the networks that
    the store was made with, at its joints. No byte of the store changes. A job that was stopped goes on where it was
    when the same command is run again; until it ends, no reader sees its fields. `auglift-store remove-fields` takes
    them away.
    """
    require_prep()
    sys.exit(_run(store, options))


def _run(url: str, options: Mapping[str, Any]) -> int:
    from ...pipeline.build import NetworkOptions, choose_presets, warnings
    from ...pipeline.execution.serial import execute
    from ...pipeline.extension.plan import (
        clips_of,
        extension_of,
        presets_of,
        require_extendable,
        require_free,
        require_same_depth,
        require_same_pose,
    )
    from ...pipeline.features.streams import choose_features
    from ...pipeline.licences import stated
    from ...pipeline.networks.substitutes.no_depth import NO_DEPTH
    from ...pipeline.networks.substitutes.stored import STORED
    from .progress import progress_for
    from .workers import ready

    if options["calibrate"] and not options["dry_run"]:
        raise InvalidValueError("--calibrate goes with --dry-run: it says how long a job would take")
    store = FeatureStore.open(locate(url))
    require_extendable(store)
    features = choose_features(options["features"])
    alone = bool(features) and not options["uadd"] and not options["depth"]
    depth = options["depth"] or (NO_DEPTH if alone and "depth" not in features else _depth_of(store))
    presets = choose_presets(options["uadd"]) if options["uadd"] else presets_of(store.configuration)
    presets = () if alone else presets
    names = tuple(preset.name for preset in presets)
    require_free(store, options["name"], _named(depth, options["pose"]))
    clips = clips_of(store, options["root"])
    beside = None if options["pose"] or "pose" not in features else str(store.configuration["pose"]["name"])
    networks = NetworkOptions(
        detector=STORED,
        pose=options["pose"] or STORED,
        depth=depth,
        depth_size=options["depth_size"] or (None if options["depth"] else _size_of(store)),
        presets=presets,
        features=features,
        sampling=options["feature_sampling"],
        feature_pose=beside,
        computing=computing_of(options, clips),
        **{key: options[key] for key in ("weights", "device", "batch")},
        **({"threads": options["threads"]} if options["threads"] else {}),
    )
    expected = networks.expected_features()
    if options["dry_run"] and not options["calibrate"]:
        about = {"features": expected} if expected else {}
        show_plan(extension_of(store, clips, options["name"], settings=about, presets=names), options["json"], {})
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ready({**options, "out": url}, networks) as loaded:
        if not options["depth"] and depth != NO_DEPTH:
            require_same_depth(store, loaded.settings)
        if beside:
            require_same_pose(store, loaded.settings)
        plan = extension_of(
            store,
            clips,
            options["name"],
            settings=loaded.settings,
            presets=names,
            warnings=warnings(loaded.settings),
            stated=stated(loaded.settings),
        )
        warn(plan.warnings, style="bold yellow")
        if options["dry_run"]:
            with stderr.status("timing a few batches"):
                timed = loaded.calibrate(plan)
            show_plan(
                plan, options["json"], {}, Estimate(timed.seconds_of_plan / loaded.workers, loaded.workers, timed)
            )
            return 0
        with progress_for(options["json"], stderr) as progress:
            outcome = execute(plan, plan.location, loaded.executor, progress)
    checks = {"relief": None if outcome.failures else relief(FeatureStore.open(store.location))}
    show_outcome(plan, outcome, plan.location.url, options["json"], checks)
    return 1 if outcome.failures else 0


def _depth_of(store: FeatureStore) -> str:
    """The depth network that a store was made with, where it can be loaded again by its name."""
    from ...pipeline.networks.substitutes.ground_truth import is_truth
    from ...pipeline.networks.substitutes.no_depth import is_none

    name = str(store.configuration.get("depth", {}).get("name", ""))
    if not name or is_truth(name) or is_none(name):
        made = "with the ground truth of its depth" if is_truth(name) else "without a depth network"
        raise InvalidValueError(f"{store.url} was made {made}; name one with --depth")
    return name


def _named(depth: str, pose: str | None) -> dict[str, str]:
    """The networks as a plan names them; a model in a folder is told by its weights, later."""
    from ...pipeline.networks.families import name_in_store
    from ...pipeline.networks.substitutes.ground_truth import GROUND_TRUTH, is_truth
    from ...pipeline.networks.substitutes.no_depth import NO_DEPTH
    from ...pipeline.networks.substitutes.stored import STORED

    for kind, name in (("depth", depth), ("pose", pose or "")):
        if is_truth(name):
            raise InvalidValueError(f"--{kind} {GROUND_TRUTH}: only the command that makes a store reads its data set")
    named = {"pose": name_in_store(pose, "pose") if pose else STORED}
    named["depth"] = NO_DEPTH if depth == NO_DEPTH else name_in_store(depth, "depth")
    return {kind: name for kind, name in named.items() if name}


def _size_of(store: FeatureStore) -> int | None:
    """The size that --depth-size may have given to the store's depth network."""
    from ...pipeline.networks.depth import size_in

    return size_in(store.configuration.get("depth", {}))
