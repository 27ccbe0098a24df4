"""`auglift-prep h36m`, `mpi-inf-3dhp`, `3dpw`, `fit3d`: the archives as their distributors ship them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from ...stores.errors import InvalidValueError
from ..common import AugliftCommand, echo_json, json_option, stderr, stdout, warn
from .depth_pass import depth_pass_options, require_prep, run
from .truth import looked_at, show_check, truth_options

if TYPE_CHECKING:
    from ...pipeline.datasets.archive import Found

_ROOT = click.option(
    "--root", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder of the unpacked archive."
)
_SPLIT = click.option("--split", default="all", show_default=True, metavar="SPLIT", help="train, test or all.")
_KEEP_BAD = click.option("--keep-bad", is_flag=True, help="Also take the sequences that are known to be bad.")
_ANNOTATION = click.option(
    "--annotation",
    type=click.Choice(["annot3", "univ_annot3"]),
    default="annot3",
    show_default=True,
    help="Ground truth: metric, or scaled to one size of person. Figures on the two are not comparable "
    "(docs/datasets.md).",
)
_SMPL = click.option(
    "--smpl",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder with SMPL's files for men and women and J_regressor_h36m.npy: joints from the body's surface, not "
    "approximated.",
)


def _h36m(root: Path, split: str, keep_bad: bool, **options: Any) -> None:
    """Human3.6M: S*/Videos and S*/MyPoseFeatures, or images/ with metadata.xml.

    \b
    auglift-prep h36m --root h36m --fps 25 --out h36m.zarr --check
    auglift-prep h36m --root h36m --fps 25 --out h36m.zarr
    """
    require_prep()
    from ...pipeline.datasets.h36m import h36m as find

    _go(find(root, split, options["fps"], options["limit"], keep_bad), options)


def _mpi_inf_3dhp(root: Path, split: str, annotation: str, **options: Any) -> None:
    """MPI-INF-3DHP: S*/Seq*/annot.mat with videos, TS*/annot_data.mat with images.

    \b
    auglift-prep mpi-inf-3dhp --root 3dhp --split test --out 3dhp-test.zarr
    """
    require_prep()
    from ...pipeline.datasets.mpi_inf_3dhp import mpi_inf_3dhp as find

    _go(find(root, split, options["fps"], options["limit"], annotation), options)


def _threedpw(root: Path, split: str, smpl: Path | None, **options: Any) -> None:
    """3D Poses in the Wild: sequenceFiles and imageFiles; a clip an actor. Splits also: validation.

    \b
    auglift-prep 3dpw --root 3DPW --split test --out 3dpw-test.zarr
    """
    require_prep()
    from ...pipeline.datasets.threedpw import threedpw as find

    _go(find(root, split, options["fps"], options["limit"], smpl), options)


def _fit3d(root: Path, split: str, **options: Any) -> None:
    """Fit3D: fit3d/train/s*/ with videos, camera_parameters and joints3d_25. s10 and s11 are the test split.

    \b
    auglift-prep fit3d --root fit3d --fps 25 --out fit3d.zarr
    """
    require_prep()
    from ...pipeline.datasets.fit3d import fit3d as find

    _go(find(root, split, options["fps"], options["limit"]), options)


def _archive(name: str, callback: Any, *own: Callable[[Any], Any]) -> click.Command:
    """A command with what all archives share, and options of its own."""
    callback = truth_options(depth_pass_options(callback))
    for option in (*reversed(own), _SPLIT, _ROOT):
        callback = option(callback)
    return click.command(name, cls=AugliftCommand)(callback)


@click.command("datasets", cls=AugliftCommand)
@json_option
def datasets(json: bool) -> None:
    """List the archives: subjects, cameras, terms, where to apply."""
    from dataclasses import asdict

    from ...pipeline.datasets.table import ARCHIVES

    if json:
        echo_json({name: asdict(row) for name, row in ARCHIVES.items()})
        return
    table = Table("name", "archive", "subjects", "cameras", "fps", "frame", "terms", "apply at")
    for row in ARCHIVES.values():
        people = "; ".join(f"{part}: {' '.join(who) or 'by folder'}" for part, who in row.splits.items())
        table.add_row(row.name, row.title, people, row.cameras, row.fps, row.frame, row.terms, row.apply)
    stdout.print(table)


COMMANDS: tuple[click.Command, ...] = (
    _archive("h36m", _h36m, _KEEP_BAD),
    _archive("mpi-inf-3dhp", _mpi_inf_3dhp, _ANNOTATION),
    _archive("3dhp", _mpi_inf_3dhp, _ANNOTATION),
    _archive("3dpw", _threedpw, _SMPL),
    _archive("fit3d", _fit3d),
    datasets,
)


def _go(found: Found, options: dict[str, Any]) -> None:
    """Check, or check and do. Exit code 1 where a part of the archive is missing or damaged."""
    check, accept = options.pop("check"), options.pop("accept_suspicious")
    lacking = [*(f"missing: {line}" for line in found.missing), *(f"damaged: {line}" for line in found.damaged)]
    share = f"{len(found.clips)} of {found.expected} sequences can be used ({100 * found.complete:.1f} %)"
    if not found.clips:
        raise InvalidValueError(f"{share}: {'; '.join(lacking[:3]) or 'the archive holds none'}")
    if check:
        notes = [share, *found.notes, *lacking]
        code = show_check(found.clips, notes, options["json"])
        sys.exit(code or (1 if lacking else 0))
    stderr.print(share, soft_wrap=True)
    warn(lacking, "left out: ")
    truth = {**looked_at(found.clips, found.notes, accept), **found.about}
    sys.exit(run(found.clips, options, truth, lacking) or (1 if lacking else 0))
