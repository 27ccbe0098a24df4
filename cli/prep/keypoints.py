"""`--keypoints`: 2D joints of a file instead of detector and pose network, the same for every dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ...stores.errors import InvalidValueError
from ..common import warn

if TYPE_CHECKING:
    from ...pipeline.networks.substitutes.given import FromFile
    from ...pipeline.plan import Clip

KEYPOINTS_OPTIONS: list[Callable] = [
    click.option(
        "--keypoints",
        metavar="FILE",
        help="2D joints from elsewhere, in the place of detector and pose network: VideoPose3D npz, JSON of MMPose, "
        "OpenPose (a folder) or COCO results, Sports2D's TRC, netCDF of movement, a store (docs/keypoints.md).",
    ),
    click.option(
        "--keypoints-skeleton",
        metavar="NAME",
        help="Of FILE's joints, where it does not tell: coco-17, h36m-17, body-25, halpe-26, or a TOML of your own.",
    ),
    click.option(
        "--keypoints-person",
        default="",
        metavar="NAME",
        help="Of several people in FILE, this one. Default: frame by frame, by the true box, else by confidence.",
    ),
    click.option(
        "--keypoints-first", type=int, metavar="N", help="The number that FILE gives to a video's first frame."
    ),
    click.option(
        "--keypoints-slack",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        metavar="N",
        help="Take FILE where it has up to N frames more or fewer at the end than the video.",
    ),
]


def given_to(
    clips: list[Clip], options: Mapping[str, Any]
) -> tuple[list[Clip], FromFile | None, tuple[str, ...], list[str]]:
    """Clips with the joints of `--keypoints`, what stands in the networks' place, notes for the store, who has none.

    InvalidValueError where a network was named too, and as `pipeline/keypoints/given.py` says.
    """
    if options["keypoints"] is None:
        _require_alone(options)
        return clips, None, (), []
    from ...pipeline.keypoints.given import KeypointOptions, give

    _require_no_network()
    chosen = {name: options[f"keypoints_{name}"] for name in ("skeleton", "person", "first", "slack")}
    made, stand_in, notes, absent = give(clips, KeypointOptions(options["keypoints"], **chosen))
    warn(absent, "left out: ")
    return made, stand_in, tuple(notes), absent


def _require_alone(options: Mapping[str, Any]) -> None:
    """The other options say how a file is read; without one they would be passed over in silence."""
    for name in ("skeleton", "person", "first", "slack"):
        if options[f"keypoints_{name}"] not in (None, "", 0):
            raise InvalidValueError(f"--keypoints-{name} goes with --keypoints FILE")


def _require_no_network() -> None:
    context = click.get_current_context(silent=True)
    for kind in ("detector", "pose"):
        if context and context.get_parameter_source(kind) == ParameterSource.COMMANDLINE:
            raise InvalidValueError(f"--keypoints stands where detector and pose network do; leave --{kind} away")
