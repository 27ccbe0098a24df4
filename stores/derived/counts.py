"""What a ledger record counts and names, of a part of a shard: frames, valid, nobody, unreadable, problems."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..format.record import ShardRecord
from .plan import DerivedPlan, Run
from .sources import Source

# As the depth pass does: unreadable frames named in a shard's record; the rest are only counted.
PROBLEMS_LISTED = 100


def counted(plan: DerivedPlan, runs: list[Run]) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """Counts and problems of a shard that is made of these runs, under the ids of the derived store.

    A record names its first 100 unreadable frames and counts the others, which look as frames without anybody do.
    Those that are not named are taken to be the next ones without anybody, so that over a whole store the counts are
    those of the sources.
    """
    counts: dict[str, int] = dict.fromkeys(("frames", "valid", "nobody", "unreadable"), 0)
    problems: list[dict[str, Any]] = []
    for run in runs:
        source = plan.sources[run.source]
        for record, start, stop in _pieces(source, run):
            whole = (start, stop) == (record.start, record.stop)
            own, named = (record.counts, record.problems) if whole else _of_part(source, record, start, stop)
            for name, count in own.items():
                counts[name] = counts.get(name, 0) + count
            problems += [{**p, "sequence": plan.renamed.get((run.source, p["sequence"]), p["sequence"])} for p in named]
    return counts, problems[:PROBLEMS_LISTED]


def records_of(plan: DerivedPlan, runs: list[Run]) -> list[ShardRecord]:
    """The records of the sources' shards that these runs lie in."""
    return [record for run in runs for record, _, _ in _pieces(plan.sources[run.source], run)]


def _pieces(source: Source, run: Run) -> Iterator[tuple[ShardRecord, int, int]]:
    """The shards of the source that a run lies in, and which of its frames lie in each."""
    layout = source.layout
    for shard in range(run.start // layout.shard_frames, (run.stop - 1) // layout.shard_frames + 1):
        low, high = layout.bounds(shard)
        yield source.record(shard), max(run.start, low), min(run.stop, high)


def _of_part(source: Source, record: ShardRecord, start: int, stop: int) -> tuple[dict[str, int], list[dict[str, Any]]]:
    valid = source.root.read("valid", record.start, record.stop) > 0
    reason = _unreadable(source, record, valid)
    part = slice(start - record.start, stop - record.start)
    unreadable = sum(problem is not None for problem in reason[part])
    found = int(valid[part].sum())
    frames = stop - start
    counts = {"frames": frames, "valid": found, "nobody": frames - found - unreadable, "unreadable": unreadable}
    return counts, [problem for problem in reason[part] if problem]


def _unreadable(source: Source, record: ShardRecord, valid: np.ndarray) -> list[dict[str, Any] | None]:
    """By frame of the shard: its problem, {} where it has one that is not named, None where it has none."""
    count = record.counts.get("unreadable", 0)
    found: list[dict[str, Any] | None] = [None] * len(valid)
    if not count:
        return found
    bounds = _bounds(source, record)
    known = "source_frame" in source.root.own_fields
    numbers = source.root.read("source_frame", record.start, record.stop) if known else None
    free = np.flatnonzero(~valid).tolist()
    for problem in record.problems:
        low, high = bounds.get(str(problem.get("sequence")), (0, len(valid)))
        fits = (
            row
            for row in free
            if low <= row < high and (numbers is None or int(numbers[row]) == problem.get("source_frame"))
        )
        row = next(fits, None)
        if row is not None:
            found[row] = problem
            free.remove(row)
    last = max((row for row, problem in enumerate(found) if problem is not None), default=-1)
    unnamed = count - sum(problem is not None for problem in found)
    for row in [*(r for r in free if r > last), *(r for r in free if r < last)][:unnamed]:
        found[row] = {}
    return found


def _bounds(source: Source, record: ShardRecord) -> dict[str, tuple[int, int]]:
    """Rows of the shard by sequence, of those that lie in it."""
    table = source.store.sequences
    first = int(np.searchsorted(table.starts, record.start, side="right")) - 1
    last = int(np.searchsorted(table.starts, record.stop, side="left"))
    return {
        row.id: (max(0, row.start - record.start), row.stop - record.start)
        for row in type(table)(table.table.slice(first, last - first))
    }
