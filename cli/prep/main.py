"""`auglift-prep`: video in, one feature store out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ...stores.errors import InvalidValueError
from ..common import AugliftGroup, warn
from .calibrated import calibrated
from .datasets import COMMANDS
from .depth_pass import depth_pass_options, require_prep, run
from .extend import extend
from .synth import synth


@click.group(cls=AugliftGroup)
@click.version_option(package_name="auglift")
def main() -> None:
    """Run the depth pass: video in, one feature store out.

    Every frame goes through a person detector (RTMDet), a 2D pose network (RTMPose) and a monocular depth network
    (Depth Anything V2); the depth around each joint becomes its Uncertainty-Aware Depth Descriptor. Any number of
    trainings can read the store. A job that was stopped goes on where it was when the same command is run again.
    """


@main.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@depth_pass_options
def video(sources: Sequence[Path], **options: Any) -> None:
    """Video files, folders of images (a clip each) and folders of videos.

    \b
    auglift-prep video walk.mp4 run.mp4 --out mine.zarr
    auglift-prep video clip.mp4 --detector rtmdet-nano --pose rtmpose-s \\
        --depth depth-anything-v2-small --out quick.zarr

    A folder stands for the images or the videos in it, and must not hold both; one with neither, for the folders in
    it. What is left out is named. A source that cannot be read is left out too, and the exit code is then 1.
    """
    require_prep()
    from ...pipeline.datasets.listing import list_sources
    from ...pipeline.datasets.video import clips

    listing = list_sources(sources)
    warn([*listing.hints, *listing.skipped])
    found, bad = clips(listing, options["fps"], options["limit"])
    if len(bad) == 1 and not found:
        raise bad[0][1]
    left_out = [str(error) for _, error in bad]
    warn(left_out, "left out: ")
    if not found:
        raise InvalidValueError(f"none of {len(bad)} sources can be read; nothing was written")
    code = run(found, options, left_out=left_out, skipped=listing.skipped)
    sys.exit(code or (1 if bad else 0))


main.add_command(calibrated)
main.add_command(synth)
main.add_command(extend)
for command in COMMANDS:
    main.add_command(command)


if __name__ == "__main__":
    main()
