"""`auglift-prep calibrated`: videos of one's own, with a calibration and 3D markers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ...stores.errors import InvalidValueError
from ..common import AugliftCommand
from .depth_pass import depth_pass_options, require_prep, run
from .truth import looked_at, show_check, truth_options

_FILE = click.Path(path_type=Path)


@click.command("calibrated", cls=AugliftCommand)
@click.argument("videos", nargs=-1, required=True, type=_FILE)
@click.option("--calibration", required=True, type=_FILE, metavar="TOML", help="Cameras, as Pose2Sim writes them.")
@click.option("--markers", required=True, type=_FILE, metavar="TRC", help="3D markers of the same recording.")
@click.option(
    "--mapping", type=_FILE, metavar="TOML", help="Which markers make which joint: pelvis = ['LASI', 'RASI']."
)
@click.option("--axes", default="zxy", show_default=True, help="Columns of the markers that are the world's x, y, z.")
@click.option("--first", type=int, default=0, show_default=True, help="The video frame of the first row of markers.")
@click.option("--camera", multiple=True, metavar="VIDEO=NAME", help="Camera of a video whose name does not show it.")
@truth_options
@depth_pass_options
def calibrated(
    videos: Sequence[Path],
    calibration: Path,
    markers: Path,
    mapping: Path | None,
    axes: str,
    first: int,
    camera: Sequence[str],
    check: bool,
    accept_suspicious: bool,
    **options: Any,
) -> None:
    """Read videos of one recording, with a calibration (Pose2Sim's TOML) and 3D markers (TRC).

    \b
    auglift-prep calibrated cam0*.mp4 --calibration Calib.toml --markers walk.trc --out walk.zarr
    auglift-prep calibrated cam0*.mp4 --calibration Calib.toml --markers walk.trc --out walk.zarr --check
    """
    require_prep()
    from ...pipeline.datasets.calibrated import calibrated as find
    from ...pipeline.datasets.formats.markers import MARKERS, read_mapping

    pairs = dict(_pair(text) for text in camera)
    table = read_mapping(mapping) if mapping else MARKERS
    found = find(videos, calibration, markers, table, axes, first, pairs, options["fps"], options["limit"])
    if check:
        sys.exit(show_check(found.clips, found.notes, options["json"]))
    truth = looked_at(found.clips, found.notes, accept_suspicious)
    sys.exit(run(found.clips, options, truth))


def _pair(text: str) -> tuple[str, str]:
    video, equals, name = text.rpartition("=")
    if not equals or not video or not name:
        raise InvalidValueError(f"--camera {text}: write VIDEO=NAME, such as cam01.mp4=cam_01")
    return video, name
