"""Who chooses the best checkpoint: subjects, or sequences, of the TRAINING data that are not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow.compute as pc

from ..stores.sequences import Sequence as Filmed
from ..stores.store import FeatureStore


@dataclass(frozen=True)
class HeldOut:
    """Which sequences of each store are trained on, and which are validated on, by id; `rule` says so in words."""

    train: tuple[tuple[str, ...], ...]
    held_out: tuple[tuple[str, ...], ...]
    rule: str


def chosen(store: FeatureStore, split: str) -> list[Filmed]:
    """The sequences of this split; all of them where the store has none of it."""
    rows = list(store.sequences)
    return [row for row in rows if row.split == split] or rows


def hold_out(stores: Sequence[FeatureStore], split: str, share: float) -> HeldOut:
    """Hold out `share` of each data set's frames, at least one subject of it and never all.

    Subjects go by name, and the last ones are held out: as many as the share needs. A data set with one subject gives
    up its last sequences instead, one with a single sequence nothing. The same stores always give the same answer.
    """
    rows = [chosen(store, split) for store in stores]
    out: set[tuple[str, str]] = set()
    words = []
    for dataset in sorted({row.dataset for store in rows for row in store}):
        mine = [row for store in rows for row in store if row.dataset == dataset]
        subjects = {row.subject for row in mine}
        by = "subject" if len(subjects) > 1 else "id"
        groups = sorted({getattr(row, by) for row in mine})
        if share == 0 or len(groups) < 2:
            why = "as asked" if share == 0 else "it has a single sequence"
            words.append(f"{dataset}: nothing held out, {why}")
            continue
        wanted = share * sum(row.length for row in mine)
        held: list[str] = []
        while len(held) < len(groups) - 1 and (not held or _frames(mine, by, held) < wanted):
            held.append(groups[len(groups) - 1 - len(held)])
        out |= {(dataset, row.id) for row in mine if getattr(row, by) in held}
        kind = "subjects" if by == "subject" else "sequences (there is one subject)"
        words.append(f"{dataset}: validates on held-out {kind} {_listed(sorted(held))} (there are {len(groups)})")
    train, held_out = (
        tuple(tuple(r.id for r in store if ((r.dataset, r.id) in out) == is_out) for store in rows)
        for is_out in (False, True)
    )
    return HeldOut(train, held_out, "; ".join(words))


def only(ids: Sequence[str]) -> pc.Expression:
    """The Arrow expression over a table of sequences that is true of these."""
    return pc.field("id").isin(list(ids))


def _frames(rows: Sequence[Filmed], by: str, held: Sequence[str]) -> int:
    return sum(row.length for row in rows if getattr(row, by) in held)


def _listed(names: Sequence[str], limit: int = 6) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
