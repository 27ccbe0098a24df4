"""`python -m auglift.cli.tiny`: how the tiny networks that are shipped were trained, measured and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .common import AugliftGroup, echo_json

_DIR = click.Path(file_okay=False, path_type=Path)
_PATH = click.Path(path_type=Path)
_MOCAP = click.option("--mocap", type=_PATH, metavar="DIR", help="Folder of the CMU motion capture archive.")
_WORKERS = click.option("--workers", default=2, show_default=True, help="Processes that draw.")


@click.group(cls=AugliftGroup)
def main() -> None:
    """The tiny networks: trained on rendered people, measured on rendered people they have not seen."""


@main.command()
@click.argument("name", type=click.Choice(["detector", "pose", "depth"]))
@click.option("--out", type=_DIR, required=True, help="Folder for frames, checkpoint, curve and weights.")
@click.option("--minutes", default=60.0, show_default=True, help="How long to train, rendering not counted.")
@click.option(
    "--steps", default=0, help="Train for this many batches instead; then the result depends on the seed alone."
)
@click.option("--seed", default=0, show_default=True)
@click.option("--clips", default=2000, show_default=True, help="Clips to draw, 8 frames each.")
@_MOCAP
@_WORKERS
@click.option("--threads", default=1, show_default=True, help="Threads that train, on a CPU.")
@click.option("--device", help="Device to train on. Default: a GPU if there is one.")
def train(name: str, out: Path, clips: int, workers: int, threads: int, **options: Any) -> None:
    """Train one of the networks; run the same command again to continue."""
    import torch

    from ..pipeline.embedded.cache import CachePlan, render_cache
    from ..pipeline.embedded.train import Run, Trainer

    torch.set_num_threads(threads)
    plan = CachePlan(seed=options["seed"], clips=clips)
    cache = render_cache(out / "frames", plan, options["mocap"], workers)
    run = Run(name, options["minutes"], options["steps"], options["seed"])
    device = options["device"] or ("cuda" if torch.cuda.is_available() else "cpu")
    Trainer(run, cache, plan.per_clip, out, device, click.echo).run()


@main.command()
@click.option("--frames", type=_DIR, required=True, help="Folder to draw into.")
@click.option("--clips", default=240, show_default=True, help="Clips of 8 frames.")
@click.option("--seed", default=1, show_default=True)
@_MOCAP
@click.option("--weights", type=_PATH, help="Folder of weights. Default: those shipped.")
@_WORKERS
@click.option("--threads", default=2, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="For scripts: JSON on stdout.")
def evaluate(
    frames: Path,
    clips: int,
    seed: int,
    mocap: Path | None,
    weights: Path | None,
    workers: int,
    threads: int,
    as_json: bool,
) -> None:
    """Measure them on the test split: the table of docs/tiny-models.md."""
    import torch

    from ..pipeline.embedded.cache import CachePlan, render_cache
    from ..pipeline.embedded.evaluate import by_domain, predict, standard_errors, table

    torch.set_num_threads(threads)
    plan = CachePlan("test", seed, clips)
    cache = render_cache(frames, plan, mocap, workers)
    predictions = predict(cache, weights)
    results, errors = by_domain(cache, predictions), standard_errors(cache, predictions, plan.per_clip)
    if as_json:
        found = results | {"standard_error": errors}
        echo_json({name: {k: None if v != v else v for k, v in each.items()} for name, each in found.items()})
    else:
        click.echo(table(results, errors))


@main.command()
@click.argument("folder", type=_PATH)
@click.argument("out", type=_PATH)
def curves(folder: Path, out: Path) -> None:
    """Draw the curves that `train` wrote into FOLDER."""
    from ..pipeline.embedded.figures import draw_curves

    draw_curves(folder, out)


@main.command()
@click.argument("out", type=_PATH)
@click.argument("videos", type=_PATH, nargs=-1, required=True)
@click.option("--weights", type=_PATH, help="Folder of weights. Default: those shipped.")
def video(out: Path, videos: tuple[Path, ...], weights: Path | None) -> None:
    """Draw a frame of each of the VIDEOS: joints over estimated depth."""
    from ..pipeline.embedded.figures import draw_videos

    for name, share in draw_videos(list(videos), out, weights).items():
        click.echo(f"{name}: a person found in {share:.0%} of the frames tried")


if __name__ == "__main__":
    main()
