"""Estimate how much depth could add to what a lifter knows, from the `xy` trainings of an experiment.

    python -m reproduce.explain quick

For every target: what a lifter without depth errs by along the camera's axis, what the descriptor's d errs by (both
less the pelvis's), and how much of MPJPE a correction of depth would take away that is fitted to the target itself, on
every other sequence, and tried on the rest: an offset a joint, and least squares on the descriptor beside it. No
training on the source can know the target as well: the difference of the two is about the most that is to be had. With
true depth only the errors across the picture are left.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import click
import numpy as np

from auglift.lifters.evaluation.evaluate import predictions
from auglift.lifters.metrics import MM, position_error
from auglift.lifters.sweeps.grid import Grid, read_grid
from auglift.lifters.sweeps.sweep import finished
from auglift.lifters.training.checkpoint import Run
from auglift.stores.format.skeleton import H36M_17
from auglift.stores.reading.store import FeatureStore

from .experiment import ROOT, Failed, experiment

PELVIS = H36M_17.index("pelvis")
LIMIT = 1.0  # m, of what a descriptor may say, as in the representations
HEADER = (
    "target",
    "lifter",
    "depth error of `xy`, mm",
    "of d, mm",
    "MPJPE of `xy`, mm",
    "with an offset",
    "with depth",
    "with true depth",
)


@click.command(help=__doc__)
@click.argument("name")
@click.option("--preset", default="paper", show_default=True, help="The UADD preset of the stores.")
def main(name: str, preset: str) -> None:
    grid = read_grid(experiment(name))
    click.echo(_line(HEADER) + "\n" + _line(["---"] * len(HEADER)))
    for line in table(grid, preset):
        click.echo(line)


def table(grid: Grid, preset: str) -> Iterator[str]:
    """Return a line for each target and lifter; the first seed of each."""
    out = ROOT / grid.out
    jobs = {job.setup.lifter: job for job in reversed(grid.jobs) if job.setup.inputs.name == "xy"}
    if not jobs or not all(finished(job, str(out)) for job in jobs.values()):
        raise Failed(f"the `xy` trainings in {grid.out} are not all there: python -m reproduce.run makes them")
    for lifter, job in sorted(jobs.items()):
        run = Run(out / job.name)
        model = run.model("cpu")
        for target, url in job.targets.items():
            store = FeatureStore.open(ROOT / url)
            found = predictions(model, store, run.inputs)
            pose, true = found.pose.numpy(), found.target.numpy()
            true = true - true[:, :1]
            uadd = store.read(f"uadd/{preset}", 0, store.frames)[found.frame]
            score = store.read("score", 0, store.frames)[found.frame]
            figures = gains(pose, true, uadd, score, found.row)
            cells = [f"{figure:.0f}" for figure in figures[:3]]
            cells += [f"{figure:.0f} ({100 * (figure / figures[2] - 1):+.1f} %)" for figure in figures[3:]]
            yield _line([target, lifter, *cells])


def gains(
    pose: np.ndarray, true: np.ndarray, uadd: np.ndarray, score: np.ndarray, sequence: np.ndarray
) -> tuple[float, float, float, float, float, float]:
    """Return median errors of depth of pose and descriptor; MPJPE, with an offset a joint, with depth, with true depth.

    All in mm.

    pose, true   (F, 17, 3) m, less the pelvis
    uadd         (F, 17, 3) d, d_min, d_max, m
    score        (F, 17)
    sequence     (F,) those of even number are fitted to, the others tried on
    """
    depth = uadd[..., 0] - uadd[:, PELVIS, None, 0]
    said = np.clip(depth - pose[..., 2], -LIMIT, LIMIT)
    extent = np.clip(uadd[..., 1:] - uadd[..., :1], -LIMIT, LIMIT)
    features = np.concatenate([said[..., None], extent, np.clip(score, 0, 1)[..., None]], axis=-1)
    known = np.isfinite(true).all((1, 2))
    features = np.nan_to_num(features)  # a joint without depth says nothing
    left = true[..., 2] - pose[..., 2]
    fitted, tried = known & (sequence % 2 == 0), known & (sequence % 2 == 1)
    others = [joint for joint in range(true.shape[1]) if joint != PELVIS]
    corrected = {}
    for columns in (0, features.shape[-1]):
        moved = pose.copy()
        for joint in others:
            given = np.concatenate([np.ones((len(pose), 1)), features[:, joint, :columns]], axis=1)
            weights = np.linalg.lstsq(given[fitted], left[fitted, joint], rcond=None)[0]
            moved[:, joint, 2] += given @ weights
        corrected[columns] = _mpjpe(moved[tried], true[tried])
    across = np.concatenate([pose[..., :2], true[..., 2:]], axis=-1)
    ours, of_depth = np.abs(left[tried][:, others]), np.abs((depth - true[..., 2])[tried][:, others])
    return (
        MM * float(np.median(ours)),
        MM * float(np.median(of_depth[np.isfinite(of_depth)])) if np.isfinite(of_depth).any() else math.nan,
        _mpjpe(pose[tried], true[tried]),
        *corrected.values(),
        _mpjpe(across[tried], true[tried]),
    )


def _mpjpe(pose: np.ndarray, true: np.ndarray) -> float:
    return float(position_error(pose, true, root=None).mean())


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
