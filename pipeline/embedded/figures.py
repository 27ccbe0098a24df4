"""Figures of docs/tiny-models.md: the loss in training, and joints and depth on a real video.

`python -m auglift.cli.tiny curves DIR OUT.svg` draws the losses that `train` wrote into DIR;
`... tiny video OUT.png VIDEO...` shows joints over estimated depth, without the video's own frames.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...stores.errors import MissingExtraError, MissingFileError
from ...stores.format.skeleton import H36M_17
from ..build import NetworkOptions
from ..frames.sources import probe, read
from ..networks.depth import DepthAnything
from .tasks import TASKS
from .train import curves


def _pyplot() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        raise MissingExtraError("figures need matplotlib: pip install matplotlib") from error
    matplotlib.use("agg")
    import matplotlib.pyplot as pyplot

    matplotlib.rcParams["svg.hashsalt"] = "auglift"
    return pyplot


def draw_curves(folder: Path, out: Path) -> None:
    """Draw the loss in training and on the validation clips over minutes, in one panel for each network."""
    pyplot = _pyplot()
    figure, panels = pyplot.subplots(1, len(TASKS), figsize=(9, 2.4), layout="constrained")
    for panel, name in zip(panels, TASKS, strict=True):
        file = folder / f"{name}.jsonl"
        if not file.is_file():
            raise MissingFileError(f"no curves {file}: give the --out folder of a training")
        lines = curves(file)
        for key, label in (("loss", "training"), ("validation", "clips kept aside")):
            points = [(line["seconds"] / 60, line[key]) for line in lines if key in line]
            # The first averages still have much of the random weights.
            panel.plot(*zip(*points[2 if key == "validation" else 0 :], strict=True), label=label)
        panel.set(title=f"{name}, {int(lines[-1]['step']):,} steps", xlabel="minutes", yscale="log")
    panels[0].legend(frameon=False)
    figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None)
    pyplot.close(figure)


def draw_videos(videos: list[Path], out: Path, weights: Path | None = None, frame: int = 50) -> dict[str, float]:
    """Draw one frame of each video: its depth, and joints coloured by confidence.

    Returns, for each video, the share of about 20 of its frames in which a person was found.
    """
    pyplot = _pyplot()
    extractor = NetworkOptions("tiny", "tiny", "tiny", weights, device="cpu", batch=4, threads=2).build()
    assert isinstance(extractor.depth, DepthAnything)
    figure, panels = pyplot.subplots(1, len(videos), figsize=(2.2 * len(videos) + 1, 3.6), layout="constrained")
    shares, scatter, shades = {}, None, None
    for panel, video in zip(np.atleast_1d(panels), videos, strict=True):
        count = probe(video).frame_count
        shown = min(frame, count - 1)
        indices = np.unique(np.append(np.arange(0, count, max(1, count // 20)), shown))
        found = []
        for batch in read(video, indices, 4, 2):
            features = extractor.extract(batch.frames, batch.ok)
            found += features["valid"].tolist()
            if shown in batch.indices:
                at = int(np.flatnonzero(batch.indices == shown)[0])
                image = batch.frames[at : at + 1]
                depth = extractor.depth.estimate(torch.from_numpy(image))[0].numpy()
                shades = panel.imshow(
                    depth, cmap="gray", extent=(-0.5, image.shape[2] - 0.5, image.shape[1] - 0.5, -0.5)
                )
                if features["valid"][at]:
                    xy, score = features["keypoints"][at], features["score"][at].clip(0, 1)
                    for a, b in H36M_17.bones:
                        panel.plot(*xy[[a, b]].T, color="tab:cyan", linewidth=0.8)
                    scatter = panel.scatter(*xy.T, c=score, cmap="RdYlGn", vmin=0, vmax=1, s=14, zorder=3)
        shares[video.name] = float(np.mean(found))
        panel.set_title(f"{video.stem}: {shares[video.name]:.0%}", fontsize=9)
        panel.axis("off")
    if shades is not None:
        figure.colorbar(shades, ax=panels, shrink=0.6, label="estimated depth, m (last)")
    if scatter is not None:
        figure.colorbar(scatter, ax=panels, shrink=0.6, label="confidence")
    figure.savefig(out, dpi=90)
    pyplot.close(figure)
    return shares
