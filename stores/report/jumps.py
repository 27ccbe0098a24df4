"""Jumps between people: where a sequence's box leaves one person and is on another in the next frame."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np

from ..reading.by_shard import blocks, read_blocks
from ..reading.store import FeatureStore
from .charts import LONG_NAMES, Row, dots
from .html import GOOD, WARN, Finding, Section, number, paragraph, percent, table

TITLE = "Jumps between people"
_GAP = 3  # frames of the store at most between two boxes that are compared
_LISTED, _SHOWN = 1000, 20


def jumps(store: FeatureStore) -> Section:
    """Count pairs of boxes that do not overlap, one after the other in a sequence; every finished frame is read.

    Two boxes at most 3 frames apart are compared; frames without a person lie between them.
    """
    pairs, found = find_jumps(store)
    if not pairs:
        text = "There are no two frames with a box, one after the other: nothing to compare."
        return Section(TITLE, paragraph(text), {"pairs": 0, "jumps": 0, "sequences": {}, "where": []})
    ids = store.sequences.table["id"]
    by: dict[str, int] = {}
    for one in found:
        by[one["sequence"]] = by.get(one["sequence"], 0) + 1
    by = dict(sorted(by.items(), key=lambda item: (-item[1], item[0])))
    numbers: dict[str, Any] = {"pairs": pairs, "jumps": len(found), "sequences": by, "where": found[:_LISTED]}
    text = "A jump: two boxes, one after the other in a sequence, that do not overlap at all. "
    text += (
        f"Of {number(pairs)} pairs, {number(len(found))} are jumps ({percent(len(found) / pairs)}): there "
        "the detector went from one person to another, or lost the person."
        if found
        else f"There is none in {number(pairs)} pairs."
    )
    if not found:
        finding = Finding(GOOD, f"No box jumps away from its person, in {number(pairs)} pairs of frames")
        return Section(TITLE, paragraph(text), numbers, (finding,))
    rows: list[Row] = [(id, count, np.nan, np.nan) for id, count in list(by.items())[:_SHOWN]]
    chart = dots(f"Jumps, {len(rows)} of {len(by):,} sequences that have some, of {len(ids):,}", rows, "jumps", low=0.0,
                 names=LONG_NAMES)  # fmt: skip
    first: dict[str, dict[str, Any]] = {}
    for one in found:
        first.setdefault(one["sequence"], one)
    cells = [(id, number(first[id]["from"]), number(first[id]["to"])) for id in list(by)[:_SHOWN]]
    listed = table(("sequence", "from frame", "to"), cells, "The first jump of each, by the source's frame numbers")
    finding = Finding(
        WARN,
        f"{number(len(found))} jumps between people in {len(by):,} sequences: a lifter sees two people as one there",
    )
    return Section(
        TITLE, paragraph(text) + f"<div class=tables><div class=beside>{chart}</div>{listed}</div>", numbers, (finding,)
    )


def find_jumps(store: FeatureStore) -> tuple[int, list[dict[str, Any]]]:
    """Return how many pairs were compared, and the jumps: sequence, and the source's frames from and to."""
    finished = store.finished()
    ids = store.sequences.table["id"]
    readable = [block for block in blocks(store, store.sequences) if finished[block.shard]]
    pairs, found = 0, []
    carried = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0, np.int64))
    with closing(read_blocks(store, readable, ("valid", "bbox", "source_frame"))) as read:
        for block, arrays in read:
            rows = block.rows
            row = np.repeat(block.sequence, block.last - block.first)
            box = arrays["bbox"][rows, :4].astype(np.float64)
            known = (arrays["valid"][rows] > 0) & np.isfinite(box).all(1)
            now = (block.start + rows[known], row[known], box[known], arrays["source_frame"][rows][known])
            frame, row, box, source = (np.concatenate(both) for both in zip(carried, now, strict=True))
            follows = (np.diff(row) == 0) & (np.diff(frame) <= _GAP)
            apart = follows & (_overlap(box[:-1], box[1:]) <= 0)
            pairs += int(follows.sum())
            found += [
                {"sequence": ids[int(row[n])].as_py(), "from": int(source[n]), "to": int(source[n + 1])}
                for n in np.flatnonzero(apart).tolist()
            ]
            carried = (frame[-1:], row[-1:], box[-1:], source[-1:])
    return pairs, found


def _overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """px² that two boxes have in common, of (P, 4) each."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    return np.where((sides > 0).all(1), sides.prod(1), 0.0)
