"""`auglift-lift`: a clip of one's own to 3D, as a video to look at and as files of other programs."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..stores.errors import AugliftError, InvalidValueError, MissingFileError
from ..stores.reading.store import FeatureStore
from .common import DONE, AugliftCommand, echo_json, json_option, progress_bar, stderr, stdout, warn
from .prep.depth_pass import depth_pass_options, require_prep

if TYPE_CHECKING:
    from ..lifters.poses.lifted import LiftedClip
    from ..lifters.training.checkpoint import Run

AUTO = "auto"
# Of the depth pass's options, those that say what is seen in a clip and how it is computed here.
NETWORKS = ("detector", "pose", "depth", "depth_size", "weights", "uadd")
KEYPOINTS = ("keypoints", "keypoints_skeleton", "keypoints_person", "keypoints_first", "keypoints_slack")
_MACHINE = ("batch", "threads", "precision", "compile_networks", "depth_backend", "device")
_TAKEN = (*NETWORKS, *KEYPOINTS, "fps", "limit", *_MACHINE)


def _depth_pass(command: Callable) -> Callable:
    """Add the options in `_TAKEN` with the meaning that auglift-prep gives them; networks by default the lifter's."""

    def nothing() -> None: ...

    parameters = {p.name: p for p in depth_pass_options(nothing).__click_params__}  # type: ignore[attr-defined]
    for name in _TAKEN:
        if name in ("detector", "pose", "depth"):
            parameters[name].default = AUTO
    kept = [parameters[name] for name in reversed(_TAKEN)]
    command.__click_params__ = [*kept, *getattr(command, "__click_params__", [])]  # type: ignore[attr-defined]
    return command


@click.command(cls=AugliftCommand)
@click.argument("source", metavar="CLIP|STORE")
@click.option(
    "--lifter",
    metavar="RUN|NAME",
    help="Folder of a run of auglift-train, or the name of a shipped lifter. Default: the first that is shipped.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder for the files.",
)
@click.option(
    "--format",
    "formats",
    metavar="NAMES",
    help="Comma-separated: npz, trc, bvh, c3d. Default: all; C3D needs the extra `c3d`.",
)
@click.option("--rrd", is_flag=True, help="Also write a recording for the rerun viewer; needs the extra `viz`.")
@click.option("--no-overlay", is_flag=True, help="Draw no video. A store's sources are not needed then.")
@click.option("--no-depth-map", is_flag=True, help="No depth map in the video: the depth network runs once, not twice.")
@click.option(
    "--keep-store", metavar="STORE", help="Keep the features of the clip in this store. Default: a temporary one."
)
@click.option("--sequence", "sequences", multiple=True, metavar="ID", help="Of a store, only this; may be repeated.")
@click.option(
    "--videos",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder that holds a store's sources, or a few levels above. Default: the current one.",
)
@click.option("--flip/--no-flip", default=None, help="Average with the mirror image. Default: as in training.")
@_depth_pass
@json_option
def main(source: str, lifter: str | None, out: Path, json: bool, **options: Any) -> int:
    """Lift a clip, or a store that auglift-prep made, to 3D.

    \b
    auglift-lift clip.mp4 --out lifted
    auglift-lift clip.mp4 --lifter runs/uadd --depth depth-anything-v2-small --out lifted
    auglift-lift walk.zarr --lifter runs/uadd --videos footage --out lifted

    Writes overlay.mp4 (the frames with their joints by confidence, the depth map, a turning 3D skeleton), poses.npz,
    and TRC, BVH and C3D of each person. Poses are in metres, less the pelvis: where a person goes in the room is not
    known. Without --lifter a small shipped one is used, with the networks that it was made for.
    """
    require_prep()
    from ..lifters.poses.formats import choose
    from ..lifters.poses.lifted import choose_sequences, lift

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    formats, notes = choose(options["formats"])
    if options["rrd"]:
        from ..pipeline.pictures.lifted_recording import require_rerun

        require_rerun()
    run = _run(lifter)
    if options["threads"]:
        import torch

        torch.set_num_threads(options["threads"])
    with _store(source, run, options, json) as (store, videos):
        rows = choose_sequences(store, options["sequences"])
        sources = {} if options["no_overlay"] and not options["rrd"] else _sources(store, rows, videos)
        with progress_bar("windows", quiet=json) as show:
            clips = lift(
                run, store, rows, options["device"], options["flip"],
                progress=lambda url, done, of: show("lifting", done, of),
            )  # fmt: skip
        written = []
        for clip, folder in zip(clips, _folders(out, clips), strict=True):
            written.append(_write(clip, folder, store, sources, formats, options, json))
            notes += clip.notes
    warn(notes)
    if json:
        echo_json({"lifter": _name(run), "clips": written, "notes": notes})
    else:
        _show(_name(run), written)
    return DONE


def _run(lifter: str | None) -> Run:
    from ..lifters.training.checkpoint import Run
    from ..lifters.zoo.shipped import Shipped, names

    if lifter is None or (lifter in names() and not Path(lifter).exists()):
        return Shipped(lifter)
    if not Path(lifter).exists():
        raise MissingFileError(f"no run at {lifter}, and no shipped lifter of that name ({', '.join(names())})")
    return Run(lifter)


def _name(run: Run) -> str:
    return getattr(run, "name", str(run.folder))


@contextmanager
def _store(
    source: str, run: Run, options: Mapping[str, Any], quiet: bool
) -> Iterator[tuple[FeatureStore, Path | None]]:
    """Open the store that the source is, or make one of the clip; and say where its sources lie."""
    if "://" in source or (Path(source) / "zarr.json").is_file():
        _refuse_clip_options()
        yield FeatureStore.open(source), options["videos"]
        return
    if options["sequences"] or options["videos"]:
        raise InvalidValueError(f"--sequence and --videos are for a store, and {source} is a clip; leave them out")
    with tempfile.TemporaryDirectory(prefix="auglift-lift-") as folder:
        place = options["keep_store"] or str(Path(folder) / "clip.zarr")
        yield _look_at(Path(source), run, place, options, quiet), Path(source)


def _refuse_clip_options() -> None:
    """A store holds what was seen; options that say how to see would be passed over in silence."""
    context = click.get_current_context()
    for name in (*NETWORKS, *KEYPOINTS, "fps", "limit", "keep_store"):
        if name != "weights" and context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE:
            raise InvalidValueError(f"--{name.replace('_', '-')} is for a clip, and this is a store; leave it out")


def _networks(run: Run, options: Mapping[str, Any]) -> dict[str, str]:
    """The networks by name: those chosen, else those that the lifter was made for, else auglift-prep's."""
    from ..pipeline.networks.models import DEFAULTS

    own = getattr(run, "networks", None) or {**DEFAULTS, "depth": DEFAULTS["depth"] if run.inputs.preset else "none"}
    return {kind: own[kind] if options[kind] == AUTO else options[kind] for kind in ("detector", "pose", "depth")}


def _look_at(source: Path, run: Run, place: str, options: Mapping[str, Any], quiet: bool) -> FeatureStore:
    """Run the depth pass over a clip into a store."""
    from ..pipeline.build import NetworkOptions, warnings
    from ..pipeline.datasets.video import clips
    from ..pipeline.execution.results import NoProgress
    from ..pipeline.execution.serial import SerialExecutor, execute
    from ..pipeline.licences import stated
    from ..pipeline.plan import Plan, warnings_of
    from ..stores.locations.choose import locate
    from .prep.computing import computing_of
    from .prep.depth_pass import presets_of, shard_frames_of
    from .prep.keypoints import given_to
    from .prep.progress import progress_for

    found, bad = clips([source], options["fps"], options["limit"])
    if bad:
        raise bad[0][1]
    if not found:
        raise InvalidValueError(f"{source} holds no video and no images")
    named = {**options, **_networks(run, options)}
    if named["depth"] == "none" and run.inputs.preset is not None:
        raise InvalidValueError(
            f"{_name(run)} was trained with depth, and --depth none makes none; name a depth network"
        )
    made, given, notes, _ = given_to(found, named)
    presets = presets_of(named)
    networks = NetworkOptions(
        presets=presets,
        given=given,
        computing=computing_of(named, made),
        **{key: named[key] for key in (*NETWORKS[:5], "device", "batch")},
        **({"threads": named["threads"]} if named["threads"] else {}),
    )
    with stderr.status("loading the networks"):
        extractor = networks.build()
    settings = networks.settings(extractor)
    datasets = dict.fromkeys(clip.dataset for clip in made)
    lines = (*warnings(settings, datasets), *notes)
    frames = shard_frames_of(sum(clip.count for clip in made))
    names = tuple(preset.name for preset in presets)
    plan = Plan(tuple(made), settings, names, frames, lines, stated=stated(settings, datasets))
    warn([*lines, *warnings_of(made)])
    with progress_for(False, stderr) as progress:
        outcome = execute(plan, locate(place), SerialExecutor(lambda: extractor), NoProgress() if quiet else progress)
    if outcome.failures:
        raise AugliftError(f"{source} could not be looked at: {outcome.failures[0].reason}")
    return FeatureStore.open(place)


def _sources(store: FeatureStore, rows: Any, videos: Path | None) -> dict[str, Path]:
    """Find the source of every sequence before anything is computed; see `find_source`."""
    from ..pipeline.pictures.panels import find_source

    described = store.configuration["sequences"]
    try:
        return {row.id: find_source(row, described[row.id]["digest"], videos) for row in rows}
    except MissingFileError as error:
        raise MissingFileError(f"{error}, or leave the video out: --no-overlay") from error


def _folders(out: Path, clips: Sequence[LiftedClip]) -> list[Path]:
    """A clip alone lies in the folder itself; several in one each, called as their first sequence."""
    if len(clips) == 1:
        return [out]
    return [
        out.joinpath(*(part for part in clip.rows[0].id.split("/") if part not in ("", ".", ".."))) for clip in clips
    ]


def _write(
    clip: LiftedClip,
    folder: Path,
    store: FeatureStore,
    sources: Mapping[str, Path],
    formats: Sequence[str],
    options: Mapping[str, Any],
    quiet: bool,
) -> dict[str, Any]:
    from ..lifters.poses.formats import write

    paths = write(clip.poses, folder, formats)
    row = clip.rows[0]
    maps = None
    if not (options["no_overlay"] or options["no_depth_map"]):
        maps = _maps(store, options)
    poses, drawn = clip.poses, []
    if sources:
        from ..pipeline.pictures.overlay import Person, overlay

        parts = zip(poses.people, poses.keypoints, poses.score, poses.pose, strict=True)
        drawn = [Person(*each) for each in parts]
        if not options["no_overlay"]:
            path = folder / "overlay.mp4"
            with progress_bar("frames", quiet=quiet) as show:
                overlay(
                    sources[row.id], poses.source_frame, poses.fps, drawn, path, maps,
                    lambda done: show("drawing", done, len(poses.source_frame)),
                )  # fmt: skip
            paths.append(path)
    if options["rrd"]:
        from ..pipeline.pictures.lifted_recording import record

        path = folder / "poses.rrd"
        record(sources[row.id], poses.source_frame, poses.fps, drawn, path)
        paths.append(path)
    found = clip.poses.found
    return {
        "source": row.source,
        "frames": found.shape[1],
        "fps": clip.poses.fps,
        "people": {
            name: {"sequence": each.id, "frames": int(seen.sum())}
            for name, each, seen in zip(clip.poses.people, clip.rows, found, strict=True)
        },
        "files": [str(path) for path in paths],
    }


def _maps(store: FeatureStore, options: Mapping[str, Any]) -> Any:
    """How to make the depth maps of the store again, their colours from the joints' own depths; None without depth."""
    import numpy as np

    from ..pipeline.pictures.overlay import Maps
    from ..pipeline.pictures.panels import depth_maps
    from ..stores.format.depth_unit import METRES, depth_unit

    fields = [name for name in store.own_fields if name.startswith("uadd/")]
    if not fields or depth_unit(store.configuration) != METRES:
        return None
    estimate = depth_maps(store.configuration, options["weights"])
    depth = store.read(fields[0])[..., 0]
    if estimate is None or not np.isfinite(depth).any():
        return None
    low, high = np.nanpercentile(depth, [1, 99])
    return Maps(estimate, max(float(low) - 0.5, 0.0), float(high) + 1.0)


def _show(lifter: str, written: Sequence[Mapping[str, Any]]) -> None:
    for clip in written:
        seen = ", ".join(f"{name} in {each['frames']}" for name, each in clip["people"].items())
        stdout.print(f"{clip['source']}: {clip['frames']} frames; {seen}", soft_wrap=True)
        for path in clip["files"]:
            stdout.print(f"wrote {path}", soft_wrap=True)
    stdout.print(f"lifted by {lifter}", soft_wrap=True)


if __name__ == "__main__":
    main()
