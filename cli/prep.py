"""`auglift-prep`: video in, one feature store out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ..stores.errors import InvalidValueError
from .calibrated import calibrated
from .common import AugliftGroup, stderr
from .datasets import COMMANDS
from .depth_pass import depth_pass_options, require_prep, run
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


main.add_command(calibrated)
main.add_command(synth)
for command in COMMANDS:
    main.add_command(command)


if __name__ == "__main__":
    main()
