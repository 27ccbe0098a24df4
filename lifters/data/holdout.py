"""Hold out subjects, or sequences, of the TRAINING data: they choose the best checkpoint and are not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...stores.format.sequences import SequenceTable
from ...stores.reading.store import FeatureStore
from .truth import Truth, per_sequence, truth_of


@dataclass(frozen=True)
class HeldOut:
    """Which sequences of each store are trained on, and which are validated on, by id; `rule` says so in words."""

    train: tuple[tuple[str, ...], ...]
    held_out: tuple[tuple[str, ...], ...]
    rule: str


def chosen(store: FeatureStore, split: str) -> SequenceTable:
    """Return the sequences of this split; all of them where the store has none of it."""
    some = store.sequences.table.filter(pc.field("split") == split)
    return SequenceTable(some) if some.num_rows else store.sequences


def hold_out(
    stores: Sequence[FeatureStore], split: str, share: float, truths: Sequence[Truth] | None = None
) -> HeldOut:
    """Hold out `share` of each data set's frames that have ground truth, at least one subject of it and never all.

    Subjects go by name, and the last ones are held out: as many as the share needs. Only subjects count that have a
    frame to be measured on. A data set with one of these gives up its last sequences instead, one with a single
    such sequence nothing. The same stores always give the same result.
    truths   by store; None: read here
    """
    truths = [truth_of(store) for store in stores] if truths is None else truths
    tables = [chosen(store, split) for store in stores]
    rows = pa.concat_tables([table.table.select(["dataset", "subject", "id"]) for table in tables])
    columns = {name: rows[name].to_numpy() for name in rows.column_names}
    known, usable = (
        np.concatenate([per_sequence(table, getattr(truth, name)) for table, truth in zip(tables, truths, strict=True)])
        for name in ("known", "usable")
    )
    out = np.zeros(len(known), dtype=bool)
    words = []
    for dataset in sorted(set(columns["dataset"])):
        mine = np.flatnonzero(columns["dataset"] == dataset)
        kind = "subjects"
        names, group = _groups(columns["subject"][mine], usable[mine])
        if len(names) < 2:
            one = "there is one subject" if len(set(columns["subject"][mine])) == 1 else "of one subject there is truth"
            kind = f"sequences ({one})"
            names, group = _groups(columns["id"][mine], usable[mine])
        if share == 0 or len(names) < 2:
            single = "it has a single sequence" if len(mine) == 1 else "a single sequence of it has ground truth"
            why = "as chosen" if share == 0 else single
            words.append(f"{dataset}: nothing held out, {why}")
            continue
        frames = np.bincount(group[group >= 0], known[mine][group >= 0], len(names))
        held = _last(frames, share * known[mine].sum())
        out[mine] = group >= len(names) - held
        words.append(f"{dataset}: validates on held-out {kind} {_listed(names[-held:])} (there are {len(names)})")
    edges = np.cumsum([len(table) for table in tables])[:-1]
    ids, outs = np.split(columns["id"], edges), np.split(out, edges)
    train, held_out = (
        tuple(tuple(names[flags == is_out].tolist()) for names, flags in zip(ids, outs, strict=True))
        for is_out in (False, True)
    )
    return HeldOut(train, held_out, "; ".join(words))


def only(ids: Sequence[str]) -> pc.Expression:
    """Return the Arrow expression over a table of sequences that is true of these."""
    return pc.field("id").isin(list(ids))


def _groups(values: np.ndarray, usable: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The names, sorted, of those that have a usable frame; and which of them each row is of, -1: none."""
    names, group = np.unique(values, return_inverse=True)
    some = np.bincount(group, usable, len(names)) > 0
    place = np.where(some, np.cumsum(some) - 1, -1)
    return names[some].tolist(), place[group]


def _last(frames: np.ndarray, wanted: float) -> int:
    """How many of these groups, from the last one, it takes for so many frames; one at least and never all."""
    enough = np.cumsum(frames[::-1]) >= wanted
    return int(np.argmax(enough[:-1])) + 1 if enough[:-1].any() else len(frames) - 1


def _listed(names: Sequence[str], limit: int = 6) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
