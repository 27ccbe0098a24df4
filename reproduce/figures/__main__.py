"""Draw the paper's figures from a store, its video and two runs, as PNG and SVG.

    python -m reproduce.figures --out build/figures

Without options it takes the store and the runs of the demo (`make figures` makes them). Figure 4, the sampled features,
has its place in FIGURES and comes with stores that hold them.
"""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np

from auglift.lifters.analysis.plots import draw_lengths
from auglift.lifters.analysis.sequence_length import by_window
from auglift.lifters.evaluation.evaluate import predictions
from auglift.lifters.training.checkpoint import Run
from auglift.lifters.training.setup import name_of_inputs
from auglift.pipeline.pictures.panels import choose_frames, depth_maps, panels
from auglift.stores.reading.store import FeatureStore

from ..experiment import ROOT, Failed
from .method import draw_descriptor, draw_method
from .poses import draw_poses

# The paper's number of each figure, and its file.
FIGURES = {1: "1-method", 2: "2-descriptor", 3: "3-poses", 4: "4-features", 5: "5-sequence-length"}
DEMO = "runs/reproduce/demo"


@click.command(help=__doc__)
@click.option("--store", default=f"{DEMO}/studio-test.zarr", show_default=True, help="A store with ground truth.")
@click.option("--videos", type=click.Path(path_type=Path), help="Folder of its videos. Default: the cache.")
@click.option("--run", "runs", multiple=True, help="Runs to compare; may be repeated. Default: the demo's.")
@click.option("--lengths", default="runs/reproduce/sequence_length/results.json", show_default=True, help="Figure 5.")
@click.option("--frames", type=click.IntRange(1, 8), default=3, show_default=True, help="Frames of figure 3.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/figures"), show_default=True)
def main(store: str, videos: Path | None, runs: tuple[str, ...], lengths: str, frames: int, out: Path) -> None:
    from auglift.pipeline.datasets.synth import cache_folder

    opened = FeatureStore.open(str(ROOT / store))
    paths = runs or tuple(f"{DEMO}/studio-simple_baseline-{inputs}-1-0" for inputs in ("xy", "uadd"))
    found = [Run(ROOT / path) for path in paths]
    out.mkdir(parents=True, exist_ok=True)
    videos = videos or cache_folder(None)
    chosen = choose_frames(opened, frames)
    shown = panels(opened, chosen, videos, depth_maps(opened.configuration, None))
    done = [*draw_method(out / FIGURES[1], shown[0]), *draw_descriptor(out / FIGURES[2], shown[0])]
    poses, true = {}, np.empty(0)
    for run in found:
        said = predictions(run.model(), opened, run.inputs)
        rows = np.searchsorted(said.frame, chosen)
        poses[name_of_inputs(run.setup.inputs)], true = said.pose.numpy()[rows], said.target.numpy()[rows]
    done += draw_poses(out / FIGURES[3], [panel.image for panel in shown], true, poses)
    click.echo(f"figure 4 ({FIGURES[4]}) is not drawn: it needs a store with sampled features", err=True)
    results = ROOT / lengths
    if results.is_file():
        done += draw_lengths(out / FIGURES[5], by_window(json.loads(results.read_text())))
    else:
        click.echo(f"figure 5 is not drawn: {lengths} is not there; make reproduce-sequence-length makes it", err=True)
    if not done:
        raise Failed("nothing was drawn")
    for path in done:
        click.echo(f"{path} written")


if __name__ == "__main__":
    main()
