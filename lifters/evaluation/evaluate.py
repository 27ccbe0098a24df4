"""Measure a trained lifter on stores: every figure, over all, by action, joint and sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...stores.errors import AugliftError, InvalidValueError
from ...stores.format.schema import FIELDS
from ...stores.format.sequences import SequenceTable
from ...stores.format.skeleton import H36M_17
from ...stores.reading.pieces import FRAME
from ...stores.reading.shardfile import ShardReader
from ...stores.reading.store import FeatureStore
from ...stores.reading.windows import WindowLoader
from ..data.batches import TARGET, causal, centres_of, loader_for, open_stores, predict, thinned
from ..data.holdout import chosen
from ..data.truth import Truth, check_truth, per_sequence, truth_of
from ..inputs import Inputs
from ..metrics import JOINTS_3DHP_14, MEASURES
from ..models import Lifter
from ..training.checkpoint import Run
from ..training.log import finite
from ..training.setup import device_of
from .figures import tally

JOINT_SETS: dict[str, tuple[int, ...] | None] = {"all": None, "3dhp14": JOINTS_3DHP_14}
GROUPS = ("action", "joint", "sequence")

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Predictions:
    """What a lifter says of a store's chosen sequences, frames one after another.

    pose, target   (F, 17, 3) float32 m, root-relative truth as the store has it; target NaN where there is none
    frame          (F,) int64  on the store's frame axis, ascending
    row            (F,) int64  of `rows`
    rows           the sequences chosen
    left_out       frames of theirs in which nobody was found
    """

    pose: Tensor
    target: Tensor
    frame: np.ndarray
    row: np.ndarray
    rows: SequenceTable
    left_out: int


@dataclass(frozen=True)
class Evaluation:
    """The figures of one store: mm, per cent; `by[group][name][measure]`, NaN where nothing counts.

    frames          that were measured
    left_out        frames in which nobody was found
    without_truth   frames with a person, but without ground truth
    """

    store: str
    dataset: str
    frames: int
    left_out: int
    without_truth: int
    sequences: int
    measures: Mapping[str, float]
    by: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: None where nothing counts."""
        counts = {name: getattr(self, name) for name in ("frames", "left_out", "without_truth", "sequences")}
        by = {group: {name: finite(m) for name, m in rows.items()} for group, rows in self.by.items()}
        return {"store": self.store, "dataset": self.dataset, **counts, "measures": finite(self.measures), "by": by}


@dataclass(frozen=True)
class _Task:
    """A store to be measured, everything about it checked."""

    store: FeatureStore
    rows: SequenceTable
    truth: Truth
    loader: WindowLoader


def evaluate(
    run: Run,
    stores: Sequence[str],
    split: str = "test",
    device: str = "auto",
    flip: bool | None = None,
    batch: int = 1024,
    joints: str = "all",
    limit: int | None = None,
    progress: Progress = lambda store, done, of: None,
    failed: Callable[[str, AugliftError], None] | None = None,
) -> Iterator[Evaluation]:
    """Yield one `Evaluation` a store, as each is finished; frames without ground truth are left out, and counted.

    split     of the table of sequences; a store that has none of that name is read whole
    flip      average with the prediction of the mirror image; None: as the lifter was trained
    joints    "all", or "3dhp14": the 14 that MPI-INF-3DHP's own evaluation counts
    limit     frames a store at most: every n-th; MPJVE, which needs neighbours, is NaN then. Lifters that predict
              whole windows are measured on all frames
    progress  called with the store, frames done and frames there are
    failed    called with a store that turns out to be damaged while it is read, and the error; the others are measured.
              None: the error is raised
    All stores are checked before anything is computed. Raises what `open_stores` and `Run.check_store` do, and
    InvalidValueError for a store without a frame to be measured on.
    """
    if joints not in JOINT_SETS:
        raise InvalidValueError(f"no set of joints '{joints}'; there are {', '.join(JOINT_SETS)}")
    opened = open_stores(stores, run.inputs)
    for store in opened:
        run.check_store(store)
    where = device_of(device)
    model = run.model(where)
    tasks = []
    for store in opened:
        rows, truth = chosen(store, split), truth_of(store, JOINT_SETS[joints])
        check_truth(store, rows, truth, "measured")
        loader = _loader(model, store, rows, run.inputs, batch, limit, centres_of(model, store, truth.usable))
        tasks.append(_Task(store, rows, truth, loader))
    flip = run.setup.hyperparameters.training.flip if flip is None else flip
    return _evaluations(model, tasks, run.inputs, flip, where, JOINT_SETS[joints], progress, failed)


def _evaluations(
    model: Lifter,
    tasks: list[_Task],
    inputs: Inputs,
    flip: bool,
    device: torch.device,
    joints: Sequence[int] | None,
    progress: Progress,
    failed: Callable[[str, AugliftError], None] | None,
) -> Iterator[Evaluation]:
    while tasks:
        task = tasks.pop(0)  # frees what the store has in memory
        try:
            found = _predict_all(model, task.store, task.rows, task.loader, inputs, flip, device, progress, task.truth)
            one = _figures(task, found, joints)
        except AugliftError as error:
            if failed is None:
                raise
            failed(task.store.url, error)
            continue
        yield one


def predictions(
    model: Lifter,
    store: FeatureStore,
    inputs: Inputs,
    split: str = "test",
    flip: bool = True,
    batch: int = 1024,
    limit: int | None = None,
    device: torch.device | str = "cpu",
    progress: Progress = lambda store, done, of: None,
    rows: SequenceTable | None = None,
) -> Predictions:
    """Predict every valid frame of the sequences chosen, whether it has ground truth or not.

    rows   of the table of sequences, in the place of a split
    A lifter that predicts whole windows sees windows that overlap by half, and a frame's pose is the mean of its
    predictions. See `evaluate` for the other arguments.
    """
    rows = chosen(store, split) if rows is None else rows
    loader = _loader(model, store, rows, inputs, batch, limit)
    return _predict_all(model, store, rows, loader, inputs, flip, torch.device(device), progress)


def _loader(
    model: Lifter,
    store: FeatureStore,
    rows: SequenceTable,
    inputs: Inputs,
    batch: int,
    limit: int | None,
    centres: np.ndarray | None = None,
) -> WindowLoader:
    many = model.many_to_many
    stride = (model.window + 1) // 2 if many else 1
    options = {"batch_size": max(1, batch // (model.window if many else 1)), "shuffle": False, "keep_invalid": many}
    ids = [rows.table["id"].to_pylist()]
    loader = loader_for([store], ids, inputs, model, [centres], stride=stride, **options)
    if limit is not None and not many and loader.windows > limit:
        loader = loader_for([store], ids, inputs, model, thinned(loader, stride, limit), stride=stride, **options)
    return loader


@torch.no_grad()
def _predict_all(
    model: Lifter,
    store: FeatureStore,
    rows: SequenceTable,
    loader: WindowLoader,
    inputs: Inputs,
    flip: bool,
    device: torch.device,
    progress: Progress,
    truth: Truth | None = None,
) -> Predictions:
    """truth   frames that are wanted; None: all that are valid"""
    many = model.many_to_many
    total = torch.zeros(store.frames, 17, 3)
    predictions_of = torch.zeros(store.frames)
    before = model.window - 1 if causal(model) else model.window // 2
    offsets = np.arange(model.window) - before if many else np.zeros(1, dtype=np.int64)
    done = 0
    for given in loader:
        predicted = predict(model, inputs.without_mask(given, device), inputs, flip).cpu()
        frames = torch.as_tensor(given[FRAME][:, None] + offsets)
        counts = given["valid"] & given["inside"] if many else np.ones((len(frames), 1), dtype=bool)
        counts = torch.as_tensor(counts)
        total.index_add_(0, frames[counts], predicted[counts])
        predictions_of.index_add_(0, frames[counts], torch.ones(int(counts.sum())))
        done += len(frames)
        progress(store.url, done, loader.windows)
        del given
    # A window without a single person in it is predicted, too: no frame of it counts.
    wanted = predictions_of > 0 if truth is None else (predictions_of > 0) & torch.from_numpy(truth.usable)
    frame = torch.nonzero(wanted).flatten()
    order = np.argsort(rows.starts)
    row = order[np.searchsorted(rows.starts[order], frame.numpy(), side="right") - 1]
    reader = ShardReader(store)
    target = FIELDS[TARGET].empty(store.frames)
    if TARGET in store.fields:
        reader.read(TARGET, 0, store.frames, target)
    valid = store.fields["valid"].empty(store.frames)
    reader.read("valid", 0, store.frames, valid)
    return Predictions(
        total[frame] / predictions_of[frame, None, None],
        torch.from_numpy(target)[frame].float(),
        frame.numpy(),
        row,
        rows,
        int(per_sequence(rows, valid == 0).sum()),
    )


def _figures(task: _Task, found: Predictions, joints: Sequence[int] | None) -> Evaluation:
    tallied = tally(found.pose, found.target, found.frame, found.row, len(found.rows), joints)
    by: dict[str, dict[str, dict[str, float]]] = {group: {} for group in GROUPS}
    for group, column in (("action", "action"), ("sequence", "id")):
        names, of = np.unique(found.rows.table[column].to_numpy(), return_inverse=True)
        there = np.bincount(of, tallied.frames, len(names)) > 0
        figures = tallied.by_sequence(of, len(names))
        by[group] = {name: values for name, values, some in zip(names.tolist(), figures, there, strict=True) if some}
    for joint, name in enumerate(H36M_17.joints):
        if joints is None or joint in joints:
            by["joint"][name] = tallied.by_joint(joint)
    usable = int(per_sequence(found.rows, task.truth.usable).sum())
    return Evaluation(
        store=task.store.url,
        dataset=str(task.store.attributes.get("dataset") or found.rows[0].dataset),
        frames=len(found.frame),
        left_out=found.left_out,
        without_truth=found.rows.frames - found.left_out - usable,
        sequences=len(found.rows),
        measures=tallied.overall(),
        by=by,
    )


def csv_rows(found: Sequence[Evaluation]) -> list[list[Any]]:
    """Yield a line for each store and group, names first: store, group, name, and the measures."""
    lines: list[list[Any]] = [["store", "group", "name", *MEASURES]]
    for one in found:
        groups = {"all": {"": one.measures}, **one.by}
        for group, rows in groups.items():
            for name, values in rows.items():
                lines.append([one.store, group, name, *(values.get(measure, "") for measure in MEASURES)])
    return lines
