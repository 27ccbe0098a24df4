"""Analyse runs on stores: all is checked first, then every run predicts every store once."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ...stores.errors import InvalidValueError
from ...stores.format.families import field_of
from ...stores.reading.store import FeatureStore
from ..data.batches import TARGET, open_stores
from ..data.holdout import chosen
from ..data.truth import Truth, check_truth, truth_of
from ..evaluation.evaluate import JOINT_SETS, Predictions, predictions
from ..training.checkpoint import Run
from ..training.setup import device_of, name_of_inputs
from . import detection, novelty, occlusion, sequence_length
from .sequence_length import Lengths, by_window, require_windows
from .tiers import Analysis, by_tier, measured

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Kind:
    """An analysis by tiers: what a frame's value is, its unit, and the tiers' shares of the frames."""

    value: str
    unit: str
    tiers: Mapping[str, float]


KINDS: Mapping[str, Kind] = {
    "novelty": Kind("distance from training poses", "mm", novelty.TIERS),
    "occlusion": Kind("share of hidden joints", "%", occlusion.TIERS),
    "detection": Kind("2D error", "px", detection.TIERS),
}
ANALYSES = (*KINDS, sequence_length.NAME)


@dataclass(frozen=True)
class Findings:
    """tiers: one of each store and analysis by tiers; lengths: where sequence length was wanted."""

    tiers: tuple[Analysis, ...]
    lengths: Lengths | None


@dataclass(frozen=True)
class Prepared:
    """Runs by name, the one that is looked at first, and stores, all checked: nothing is computed yet."""

    runs: Mapping[str, Run]
    stores: Sequence[FeatureStore]
    truths: Sequence[Truth]
    trained_on: Sequence[FeatureStore]
    names: tuple[str, ...]
    joints: tuple[int, ...] | None
    split: str


def names_of(text: str) -> tuple[str, ...]:
    """Return the analyses of a list with commas. InvalidValueError, with the nearest name, for any other word."""
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for name in found:
        if name not in ANALYSES:
            near = difflib.get_close_matches(name, ANALYSES, 1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            raise InvalidValueError(f"no analysis '{name}'; {hint}there are {', '.join(ANALYSES)}")
    return found


def prepare(
    runs: Sequence[Run],
    stores: Sequence[str],
    names: Sequence[str],
    split: str = "test",
    joints: str = "all",
    training_stores: Sequence[str] = (),
) -> Prepared:
    """Open and check everything.

    runs              the one that is looked at, then those that it is compared with
    names             of ANALYSES
    training_stores   where the stores of the first run's training are now, if not where they were
    Raises what `open_stores` and `Run.check_store` do; InvalidValueError for a store without usable truth, for runs of
    one window where sequence length is wanted; MissingFieldError for a store without true 2D joints or a camera where
    occlusion or detection is; MissingFileError where novelty or sequence length needs a training store that is gone.
    """
    if joints not in JOINT_SETS:
        raise InvalidValueError(f"no set of joints '{joints}'; there are {', '.join(JOINT_SETS)}")
    named = _named(runs)
    if sequence_length.NAME in names:
        require_windows({name: int(run.setup.window or 1) for name, run in named.items()})
    opened: list[FeatureStore] = []
    for run in named.values():
        opened = open_stores(stores, run.inputs)
        for store in opened:
            run.check_store(store)
    truths = [truth_of(store, JOINT_SETS[joints]) for store in opened]
    for store, truth in zip(opened, truths, strict=True):
        check_truth(store, chosen(store, split), truth, "measured")
        if {"occlusion", "detection"} & set(names):
            detection.require_places(store)
    needs_training = {"novelty", sequence_length.NAME} & set(names)
    trained_on = novelty.stores_of(runs[0], training_stores) if needs_training else []
    return Prepared(named, opened, truths, trained_on, tuple(names), JOINT_SETS[joints], split)


def analyse(
    given: Prepared,
    device: str = "auto",
    flip: bool | None = None,
    batch: int = 1024,
    limit: int | None = None,
    progress: Progress = lambda what, done, of: None,
) -> Findings:
    """Predict and analyse. Figures of all runs are over the frames that all of them predict and that have truth.

    device, flip, batch, limit   as for `evaluate`
    progress                     called with a step's name, what is done of it and what there is
    """
    where = device_of(device)
    run = next(iter(given.runs.values()))
    centres = None
    if "novelty" in given.names:
        centres = novelty.centres_of_training(run, given.trained_on, progress=progress)
    models = {name: each.model(where) for name, each in given.runs.items()}
    tiers: list[Analysis] = []
    rows: list[dict[str, Any]] = []
    for store, truth in zip(given.stores, given.truths, strict=True):
        found = {}
        for name, each in given.runs.items():
            flips = each.setup.hyperparameters.training.flip if flip is None else flip
            step = f"{name} on {store.url.rstrip('/').rpartition('/')[2]}"
            found[name] = predictions(
                models[name], store, each.inputs, given.split, flips, batch, limit, where,
                lambda _, done, of, step=step: progress(step, done, of),
            )  # fmt: skip
        found = _of_the_same_frames(found, truth)
        tiers += [
            _by_tier(name, given, store, found, centres, run.inputs.joints) for name in given.names if name in KINDS
        ]
        if sequence_length.NAME in given.names:
            rows += _rows(given, store, found)
    return Findings(tuple(tiers), by_window(rows) if rows else None)


def dataset_of(store: FeatureStore) -> str:
    """Return the name of the data set, as `auglift-eval` shows it."""
    return str(store.attributes.get("dataset") or store.sequences[0].dataset)


def _by_tier(
    name: str,
    given: Prepared,
    store: FeatureStore,
    found: Mapping[str, Predictions],
    centres: novelty.Centres | None,
    joints: str,
) -> Analysis:
    kind, frame = KINDS[name], next(iter(found.values())).frame
    pose = store.read(TARGET)[frame]
    about: dict[str, Any] = {}
    if name == "novelty":
        assert centres is not None
        values = novelty.novelty(pose, centres.values)
        about = {"clusters": len(centres.values), "clustered": centres.clustered, "training_poses": centres.poses}
    elif name == "occlusion":
        values = 100 * occlusion.hidden_share(detection.true_places(store, frame), pose[..., 2])
    else:
        detected = store.read(field_of("keypoints", joints) if joints else "keypoints")[frame]
        values = detection.detection_error(detected, detection.true_places(store, frame))
    return Analysis(
        name=name,
        store=store.url,
        dataset=dataset_of(store),
        value=kind.value,
        unit=kind.unit,
        runs=tuple(found),
        tiers=by_tier(found, values, kind.tiers, given.joints),
        left_out=int(np.isnan(values).sum()),
        about=about,
    )


def _rows(given: Prepared, store: FeatureStore, found: Mapping[str, Predictions]) -> list[dict[str, Any]]:
    """A row a run, as a sweep leaves them; its source is the target's name where it was trained on that data set."""
    target = dataset_of(store)
    sources = sorted({dataset_of(each) for each in given.trained_on})
    source = target if target in sources else "+".join(sources)
    out = []
    for name, each in found.items():
        setup = given.runs[name].setup
        figures = measured(each, np.arange(len(each.frame)), given.joints)
        out.append(
            {
                "run": name,
                "lifter": setup.lifter,
                "inputs": name_of_inputs(setup.inputs),
                "window": int(setup.window or 1),
                "source": source,
                "target": target,
                "seed": setup.seed,
                "mpjpe": figures["mpjpe"],
                "p_mpjpe": figures["p_mpjpe"],
                "frames": len(each.frame),
            }
        )
    return out


def _of_the_same_frames(found: Mapping[str, Predictions], truth: Truth) -> dict[str, Predictions]:
    """Only the frames that have usable truth and that every run predicts: with a limit, those differ by lifter."""
    shared = truth.usable.copy()
    for each in found.values():
        there = np.zeros_like(shared)
        there[each.frame] = True
        shared &= there
    if not shared.any():
        raise InvalidValueError("there is no frame that all runs predict; leave out --limit, or raise it")
    out = {}
    for name, each in found.items():
        here = np.flatnonzero(shared[each.frame])
        rows = torch.from_numpy(here)
        out[name] = replace(
            each, pose=each.pose[rows], target=each.target[rows], frame=each.frame[here], row=each.row[here]
        )
    return out


def _named(runs: Sequence[Run]) -> dict[str, Run]:
    """Runs by their folder's name, or by as much of its path as tells them apart."""
    paths = [run.folder.resolve() for run in runs]
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise InvalidValueError(f"{twice} is named twice; name each run once")
    for parts in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-parts:]) for path in paths]
        if len(set(names)) == len(names):
            break
    return dict(zip(names, runs, strict=True))
