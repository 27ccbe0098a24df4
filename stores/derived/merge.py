"""Several stores as one: all sequences of all of them, in the order in which they are given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ..errors import InvalidValueError
from ..locations.base import Location
from .compatible import fields_of_all, require_mergeable
from .plan import DerivedPlan, shard_length
from .sources import Source


def merge_plan(stores: Sequence[str | Path | Location], shard_frames: int | None = None) -> DerivedPlan:
    """The plan of the merged store.

    shard_frames   frames a shard; by default the longest that a store of several shards has
    An id that an earlier store has gets a number: `walk`, `walk (2)`. Raises InvalidValueError where there are fewer
    than two stores, or they differ in skeleton, configuration or fields; StoreIncompleteError where one is being
    written.
    """
    if len(stores) < 2:
        raise InvalidValueError("merge takes at least two stores; auglift-store select copies one")
    sources = tuple(Source.open(store) for store in stores)
    require_mergeable(sources)
    ids = [source.store.sequences.table["id"].to_pylist() for source in sources]
    return DerivedPlan(
        "merge",
        sources,
        tuple(np.arange(len(source.store.sequences)) for source in sources),
        tuple(_unique(ids)),
        fields_of_all(sources),
        shard_length(sources, shard_frames),
        {"shard_frames": shard_frames} if shard_frames else {},
        _twice(sources, _unique(ids)),
        {name: fields_of_all([s.families[name] for s in sources]) for name in sources[0].families},
    )


def _unique(ids: Sequence[Sequence[str]]) -> list[str]:
    """All ids, each once: those that an earlier store has get the first number that no store has."""
    everywhere = {id for store in ids for id in store}
    taken: set[str] = set()
    found = []
    for id in (id for store in ids for id in store):
        new, number = id, 2
        while new in taken or (new != id and new in everywhere):
            new, number = f"{id} ({number})", number + 1
        taken.add(new)
        found.append(new)
    return found


def _twice(sources: Iterable[Source], ids: Iterable[str]) -> dict[str, str]:
    """Sequences whose source is also that of an earlier one, by the digests in the plans: a split that leaks."""
    new = iter(ids)
    seen: dict[str, str] = {}
    notes = {}
    for source in sources:
        for old in source.store.sequences.table["id"].to_pylist():
            id, digest = next(new), source.described(old).get("digest")
            if isinstance(digest, str) and digest in seen:
                notes[id] = f"the same source as {seen[digest]}, so its frames are in the store twice"
            elif isinstance(digest, str):
                seen[digest] = id
    return notes
