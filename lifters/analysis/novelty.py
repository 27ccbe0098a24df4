"""Novelty: how far a true pose is from the poses of the training set, by the centres of their clusters."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...stores.errors import InvalidValueError, MissingFileError
from ...stores.reading.store import FeatureStore
from ..data.holdout import chosen, hold_out
from ..data.truth import TARGET, truth_of
from ..metrics import MM, ROOT
from ..training.checkpoint import RUN, Run

CLUSTERS = 100
MOST = 100_000  # training poses that are clustered: every n-th
ROUNDS = 100

TIERS: Mapping[str, float] = {"familiar": 0.2, "in between": 0.6, "novel": 0.2}

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Centres:
    """K-means' centres (K, 51), m, of the poses trained on; of how many of them, and how many there are."""

    values: np.ndarray
    clustered: int
    poses: int


def flat(pose: np.ndarray) -> np.ndarray:
    """Return (F, 51) float64, m: poses (F, 17, 3) less their pelvis; NaN where a joint is not known."""
    pose = pose.astype(np.float64)
    return (pose - pose[:, ROOT, None]).reshape(len(pose), -1)


def novelty(pose: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return (F,) mm: the distance of each pose (F, 17, 3) m, all 51 numbers of it, to the nearest centre (K, 51) m.

    NaN where a joint is not known.
    """
    values = flat(pose)
    known = np.isfinite(values).all(1)
    out = np.full(len(values), np.nan)
    out[known] = MM * np.sqrt(nearest(values[known], centres)[1])
    return out


def stores_of(run: Run, urls: Sequence[str] = ()) -> list[FeatureStore]:
    """Open the stores that a run was trained on.

    urls   where they are now, in the order of the training; none: where they were
    Raises MissingFileError, or InvalidValueError where one is not what it was in training.
    """
    where = list(urls) or list(run.setup.stores)
    if len(where) != len(run.setup.stores):
        raise InvalidValueError(
            f"{run.folder} was trained on {len(run.setup.stores)} stores, and --training-store names {len(where)}: "
            "name all of them, in the order of the training"
        )
    try:
        stores = [FeatureStore.open(url, run.setup.allow_incomplete) for url in where]
    except MissingFileError as error:
        raise MissingFileError(
            f"the store that {run.folder} was trained on is not where it was ({error}); say where it is with "
            "--training-store STORE"
        ) from error
    then = json.loads((run.folder / RUN).read_text(encoding="utf-8"))["data"]["stores"]
    for store, fingerprint in zip(stores, then, strict=True):
        if store.fingerprint != fingerprint:
            raise InvalidValueError(
                f"{store.url} is not the store that {run.folder} was trained on (another fingerprint); name the right "
                "one with --training-store STORE"
            )
    return stores


def training_poses(run: Run, stores: Sequence[FeatureStore]) -> np.ndarray:
    """Return (N, 17, 3) m: every pose that the run was trained on, without the subjects that it kept aside."""
    truths = [truth_of(store) for store in stores]
    held = hold_out(stores, run.setup.split, run.setup.held_out, truths)
    poses = []
    for store, ids, truth in zip(stores, held.train, truths, strict=True):
        pose, wanted = store.read(TARGET), set(ids)
        for row in chosen(store, run.setup.split):
            if row.id in wanted:
                here = np.flatnonzero(truth.usable[row.start : row.stop]) + row.start
                poses.append(pose[here])
    return np.concatenate(poses)


def centres_of_training(
    run: Run, stores: Sequence[FeatureStore], seed: int = 0, progress: Progress = lambda what, done, of: None
) -> Centres:
    """Cluster the poses of a run's training set. InvalidValueError where no pose of it has all its joints."""
    poses = flat(training_poses(run, stores))
    poses = poses[np.isfinite(poses).all(1)]
    if not len(poses):
        raise InvalidValueError(
            f"no pose that {run.folder} was trained on has all 17 joints: novelty cannot be analysed; leave it out of "
            "--analysis"
        )
    some = poses[:: -(-len(poses) // MOST)]
    return Centres(k_means(some, CLUSTERS, seed, progress), len(some), len(poses))


def k_means(
    values: np.ndarray, clusters: int, seed: int = 0, progress: Progress = lambda what, done, of: None
) -> np.ndarray:
    """Return (K, D) centres of values (N, D): Lloyd's algorithm until nothing moves, begun as k-means++.

    K is `clusters`, or the number of different values where there are fewer. A cluster that loses all its values begins
    again at the value that is farthest from its centre. The same values and seed give the same centres.
    """
    rng = np.random.default_rng(seed)
    clusters = min(clusters, len(np.unique(values, axis=0)))
    centres = np.empty((clusters, values.shape[1]))
    far = np.full(len(values), np.inf)
    for k in range(clusters):
        chance = None if k == 0 else far / far.sum()
        centres[k] = values[rng.choice(len(values), p=chance)]
        far = np.minimum(far, ((values - centres[k]) ** 2).sum(1))
    before = None
    for done in range(ROUNDS):
        which, far = nearest(values, centres)
        progress("clustering training poses", done, ROUNDS)
        if before is not None and (which == before).all():
            break
        before = which
        count = np.bincount(which, minlength=clusters)
        order = np.argsort(which, kind="stable")
        there = np.flatnonzero(count)
        starts = (np.cumsum(count) - count)[there]
        centres[there] = np.add.reduceat(values[order], starts, axis=0) / count[there, None]
        farthest = np.argsort(far, kind="stable")[::-1]
        for k, value in zip(np.flatnonzero(count == 0), farthest, strict=False):
            centres[k] = values[value]
    progress("clustering training poses", ROUNDS, ROUNDS)
    return centres


def nearest(values: np.ndarray, centres: np.ndarray, block: int = 8192) -> tuple[np.ndarray, np.ndarray]:
    """Return which of the centres (K, D) is nearest to each value (N, D), and the square of its distance."""
    which, square = np.empty(len(values), dtype=np.int64), np.empty(len(values))
    own = (centres**2).sum(1)
    for start in range(0, len(values), block):
        here = values[start : start + block]
        which[start : start + block] = (own - 2 * here @ centres.T).argmin(1)
        # Taken from the difference itself: the sum of squares loses digits where both are far from 0.
        square[start : start + block] = ((here - centres[which[start : start + block]]) ** 2).sum(1)
    return which, square
