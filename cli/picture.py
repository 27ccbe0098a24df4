"""`auglift-store picture`: frames of a store as one picture, with disks, depth map and descriptors."""

from __future__ import annotations

from pathlib import Path

import click

from ..stores.errors import InvalidValueError
from ..stores.reading.store import FeatureStore
from .common import AugliftCommand, stdout


@click.command("picture", cls=AugliftCommand)
@click.argument("stores", metavar="STORE...", nargs=-1, required=True)
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help="A .png, .svg or .pdf.")
@click.option(
    "--frame", "frames", type=click.IntRange(min=0), multiple=True, help="Frame of the store; may be repeated."
)
@click.option(
    "--count",
    type=click.IntRange(1, 12),
    default=4,
    show_default=True,
    help="Number of frames, evenly spread, without --frame.",
)
@click.option(
    "--videos",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder that holds the sources, or a few levels above. Default: the current one.",
)
@click.option("--uadd", "preset", default="paper", show_default=True, metavar="PRESET", help="Descriptor to draw.")
@click.option("--weights", metavar="DIR", help="Weights of the depth network, as for auglift-prep.")
@click.option("--no-depth", is_flag=True, help="Draw no depth map, and load no network.")
def picture(
    stores: tuple[str, ...],
    out: Path,
    frames: tuple[int, ...],
    count: int,
    videos: Path | None,
    preset: str,
    weights: str | None,
    no_depth: bool,
) -> None:
    """Draw frames with their joints and disks, the depth map, and the descriptor of every joint.

    A store keeps no depth maps: the depth network runs again for the frames drawn.

    \b
    auglift-store picture walk.zarr --videos footage --out walk.png
    auglift-store picture walk.zarr --frame 40 --frame 80 --out walk.png
    """
    from .prep.depth_pass import require_prep

    require_prep()
    from ..pipeline.pictures.panels import choose_frames, depth_maps, panels
    from ..pipeline.pictures.picture import draw

    if frames and len(stores) > 1:
        raise InvalidValueError("--frame counts the frames of one store; name one, or leave --frame out")
    found = []
    for index, url in enumerate(stores):
        store = FeatureStore.open(url)
        share = count // len(stores) + (index < count % len(stores))
        chosen = list(frames) or choose_frames(store, max(share, 1))
        depth = None if no_depth else depth_maps(store.configuration, weights)
        found += panels(store, chosen, videos, depth, preset)
    draw(found, out, preset)
    stdout.print(f"wrote {out}", soft_wrap=True)
