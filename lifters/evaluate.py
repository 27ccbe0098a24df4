"""How good a trained lifter is on stores: every measure, over all, by action, joint and sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..stores.errors import InvalidValueError
from ..stores.pieces import FRAME
from ..stores.sequences import Sequence as Filmed
from ..stores.skeleton import H36M_17
from ..stores.store import FeatureStore
from .batches import TARGET, causal, examples, loader_for, open_stores, predict
from .checkpoint import Run
from .holdout import chosen
from .inputs import Inputs
from .log import finite
from .metrics import JOINTS_3DHP_14, MEASURES, errors
from .models import Lifter
from .setup import device_of

JOINT_SETS: dict[str, tuple[int, ...] | None] = {"all": None, "3dhp14": JOINTS_3DHP_14}
GROUPS = ("action", "joint", "sequence")


@dataclass(frozen=True)
class Predictions:
    """What a lifter says of a store's chosen sequences, frames one after another.

    pose, target   (F, 17, 3) float32 m, root-relative truth as the store has it; target NaN where there is none
    frame          (F,) int64  on the store's frame axis, ascending
    row            (F,) int32  of `rows`
    rows           the sequences chosen
    left_out       frames of theirs in which nobody was found
    """

    pose: Tensor
    target: Tensor
    frame: np.ndarray
    row: np.ndarray
    rows: tuple[Filmed, ...]
    left_out: int


@dataclass(frozen=True)
class Evaluation:
    """The figures of one store: mm, per cent; `by[group][name][measure]`, NaN where nothing counts."""

    store: str
    dataset: str
    frames: int
    left_out: int
    sequences: int
    measures: Mapping[str, float]
    by: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON: None where nothing counts."""
        plain = {"store": self.store, "dataset": self.dataset, "frames": self.frames, "left_out": self.left_out}
        by = {group: {name: finite(m) for name, m in rows.items()} for group, rows in self.by.items()}
        return {**plain, "sequences": self.sequences, "measures": finite(self.measures), "by": by}


def evaluate(
    run: Run,
    stores: Sequence[str],
    split: str = "test",
    device: str = "auto",
    flip: bool | None = None,
    batch: int = 1024,
    joints: str = "all",
    limit: int | None = None,
    progress: Callable[[str, int, int], None] = lambda store, done, of: None,
) -> Iterator[Evaluation]:
    """One `Evaluation` a store, as each is finished.

    split     of the table of sequences; a store that has none of that name is read whole
    flip      average with the mirror image's answer; None: as the lifter was trained
    joints    "all", or "3dhp14": the 14 that MPI-INF-3DHP's own evaluation counts
    limit     frames a store at most: every n-th; MPJVE, which needs neighbours, is NaN then. Lifters that answer whole
              windows are measured on all frames
    progress  called with the store, frames done and frames there are
    Raises what `open_stores` and `Run.check_store` do, before anything is computed.
    """
    if joints not in JOINT_SETS:
        raise InvalidValueError(f"no set of joints '{joints}'; there are {', '.join(JOINT_SETS)}")
    opened = open_stores(stores, run.inputs)
    for store in opened:
        run.check_store(store)
    where = device_of(device)
    model = run.model(where)
    flip = run.setup.hyperparameters.training.flip if flip is None else flip
    for store in opened:
        found = predictions(model, store, run.inputs, split, flip, batch, limit, where, progress)
        yield _figures(store, found, JOINT_SETS[joints])


@torch.no_grad()
def predictions(
    model: Lifter,
    store: FeatureStore,
    inputs: Inputs,
    split: str = "test",
    flip: bool = True,
    batch: int = 1024,
    limit: int | None = None,
    device: torch.device | str = "cpu",
    progress: Callable[[str, int, int], None] = lambda store, done, of: None,
) -> Predictions:
    """The lifter's answer for every valid frame of the sequences chosen.

    A lifter that answers whole windows sees windows that overlap by half, and a frame's answer is the mean of those it
    got. See `evaluate` for the arguments.
    """
    device = torch.device(device)
    rows = chosen(store, split)
    ids = [[row.id for row in rows]]
    many = model.many_to_many
    stride = (model.window + 1) // 2 if many else 1
    options = {"batch_size": max(1, batch // (model.window if many else 1)), "shuffle": False, "keep_invalid": many}
    loader = loader_for([store], ids, inputs, model, stride=stride, **options)
    if limit is not None and not many and loader.windows > limit:
        stride = -(-loader.windows // limit)
        loader = loader_for([store], ids, inputs, model, stride=stride, **options)
    total = torch.zeros(store.frames, 17, 3)
    answers = torch.zeros(store.frames)
    before = model.window - 1 if causal(model) else model.window // 2
    offsets = np.arange(model.window) - before if many else np.zeros(1, dtype=np.int64)
    done = 0
    for given in loader:
        found = examples(given, inputs, many, device)
        predicted = predict(model, found.inputs, inputs, flip).cpu()
        frames = torch.as_tensor(given[FRAME][:, None] + offsets)
        counts = given["valid"] & given["inside"] if many else np.ones((len(frames), 1), dtype=bool)
        counts = torch.as_tensor(counts)
        total.index_add_(0, frames[counts], predicted[counts])
        answers.index_add_(0, frames[counts], torch.ones(int(counts.sum())))
        done += len(frames)
        progress(store.url, done, loader.windows)
        del given
    frame = torch.nonzero(answers).flatten()
    # A window without a single person in it was answered, too: no frame of it counts.
    starts = np.array([row.start for row in rows])
    order = np.argsort(starts)
    row = order[np.searchsorted(starts[order], frame.numpy(), side="right") - 1].astype(np.int32)
    target = torch.from_numpy(store.read(TARGET))[frame].float()
    valid = store.read("valid")
    left_out = sum(int((valid[r.start : r.stop] == 0).sum()) for r in rows)
    return Predictions(total[frame] / answers[frame, None, None], target, frame.numpy(), row, tuple(rows), left_out)


def _figures(store: FeatureStore, found: Predictions, joints: Sequence[int] | None) -> Evaluation:
    # A step is one between neighbours: where frames are missing, another piece begins.
    gap = (np.diff(found.frame, prepend=found.frame[:1]) != 1) | (np.diff(found.row, prepend=found.row[:1]) != 0)
    all_errors = errors(found.pose, found.target, joints=joints, sequence=np.cumsum(gap))
    names = list(H36M_17.joints)
    by: dict[str, dict[str, dict[str, float]]] = {"action": {}, "joint": {}, "sequence": {}}
    for group, label in (("action", lambda r: r.action), ("sequence", lambda r: r.id)):
        of = np.array([label(found.rows[row]) for row in found.row])
        for name in sorted(set(of.tolist())):
            chosen_frames = torch.from_numpy(of == name)
            by[group][name] = _measures(all_errors, lambda e, w=chosen_frames: e[w])
    for joint, name in enumerate(names):
        if joints is None or joint in joints:
            by["joint"][name] = _measures(all_errors, lambda e, j=joint: e[:, j], without=("ordinal",))
    dataset = str(store.attributes.get("dataset") or found.rows[0].dataset)
    return Evaluation(
        store.url, dataset, len(found.frame), found.left_out, len(found.rows), _measures(all_errors, lambda e: e), by
    )


def _measures(
    found: Mapping[str, Tensor], part: Callable[[Tensor], Tensor], without: Sequence[str] = ()
) -> dict[str, float]:
    return {name: m.reduce(part(found[m.of])) for name, m in MEASURES.items() if m.of not in without}


def csv_rows(found: Sequence[Evaluation]) -> list[list[Any]]:
    """A line a store and group, the first of them names: store, group, name, and the measures."""
    lines: list[list[Any]] = [["store", "group", "name", *MEASURES]]
    for one in found:
        groups = {"all": {"": one.measures}, **one.by}
        for group, rows in groups.items():
            for name, values in rows.items():
                lines.append([one.store, group, name, *(values.get(measure, "") for measure in MEASURES)])
    return lines
