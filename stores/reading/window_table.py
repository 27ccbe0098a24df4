"""Which windows there are: every centre of the sequences chosen, in the order of stores and of their frame axes."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow.compute as pc

from ..errors import InvalidValueError
from ..format.sequences import SequenceTable
from .shardfile import ShardReader

LONGEST_WINDOW = 351


@dataclass(frozen=True)
class WindowShape:
    """Frames of a window about its centre, and how far apart centres are.

    window   frames, odd
    stride   frames from one centre of a sequence to the next; the first is its first frame
    causal   the centre is the window's last frame, not its middle one
    """

    window: int
    stride: int = 1
    causal: bool = False

    def __post_init__(self):
        if not 1 <= self.window <= LONGEST_WINDOW or self.window % 2 == 0:
            raise InvalidValueError(f"window {self.window}: must be odd, 1 to {LONGEST_WINDOW} frames")
        if self.stride < 1:
            raise InvalidValueError(f"stride {self.stride}: centres must be at least 1 frame apart")

    @property
    def left(self) -> int:
        """Return the number of frames before the centre."""
        return self.window - 1 if self.causal else self.window // 2

    @property
    def right(self) -> int:
        return self.window - 1 - self.left

    @property
    def offsets(self) -> np.ndarray:
        """Return (T,) int64: frames of a window, from its centre."""
        return np.arange(-self.left, self.right + 1)


# A sequence chosen: its frames in its store, and what a batch carries of it: which store, row in that store's table of
# sequences, width and height in px.
SEQUENCE = np.dtype(
    [
        ("start", "i8"),
        ("stop", "i8"),
        ("store", "i4"),
        ("sequence", "i4"),
        ("frame_size", "f4", (2,)),
        ("fps", "f4"),
        ("unused", "f4"),
    ]
)


@dataclass(frozen=True)
class WindowTable:
    """All windows, ascending by store and frame.

    centre     (N,) int32  frame of its store
    sequence   (N,) int32  index into `sequences`
    sequences  (S,) SEQUENCE  those chosen, of all stores
    counts     windows by store
    finished   shards by store: how many can be read, how many there will be
    """

    centre: np.ndarray
    sequence: np.ndarray
    sequences: np.ndarray
    counts: tuple[int, ...]
    finished: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.centre)

    @cached_property
    def digest(self) -> str:
        """Return the sha256 of the choice of windows, whatever the stores are called."""
        digest = hashlib.sha256(str(self.counts).encode())
        digest.update(self.centre.tobytes())
        digest.update(self.sequences["sequence"][self.sequence].tobytes())
        return digest.hexdigest()


def window_table(
    readers: Sequence[ShardReader],
    shape: WindowShape,
    select: Mapping[str, Any] | None = None,
    where: pc.Expression | None = None,
    keep_invalid: bool = False,
    centres: Sequence[np.ndarray | None] | None = None,
) -> WindowTable:
    """List the windows of the sequences chosen.

    select, where   as `SequenceTable.select`; every store must have something to give
    keep_invalid    also windows whose centre is not valid
    centres         by store, (frames,) bool: which frames may be centres; None: any
    A store that is still being written gives the windows whose frames are all in finished shards, and a warning says
    how many those are. InvalidValueError where nothing is left.
    """
    sequences = _columns([_chosen(reader, select, where) for reader in readers])
    allowed = _allowed(readers, centres)
    parts, finished, dropped = [], [], np.zeros(3, dtype=np.int64)
    for index, reader in enumerate(readers):
        store = reader.store
        mine = np.flatnonzero(sequences["store"] == index)
        centre, sequence = _centres(sequences["start"][mine], sequences["stop"][mine], shape.stride)
        sequence = mine[sequence]
        done = store.finished()
        finished.append((int(done.sum()), len(done)))
        keep = np.ones(len(centre), dtype=bool)
        if not done.all():
            warnings.warn(
                f"{store.url} is still being written: windows come from the {finished[-1][0]} of {len(done)} shards "
                "that are finished",
                stacklevel=3,
            )
            first = np.maximum(centre - shape.left, sequences["start"][sequence])
            last = np.minimum(centre + shape.right, sequences["stop"][sequence] - 1)
            keep = _inside(first, last, done, store.layout.shard_frames)
        left = [len(centre), int(keep.sum())]
        mask = allowed[index]
        if mask is not None:
            keep[keep] = mask[centre[keep]]
        left.append(int(keep.sum()))
        if not keep_invalid:
            needed = np.bincount(centre[keep] // store.layout.shard_frames, minlength=len(done)) > 0
            keep[keep] = valid_frames(reader, needed)[centre[keep]]
        dropped -= np.diff([*left, int(keep.sum())])
        parts.append((centre[keep].astype(np.int32), sequence[keep].astype(np.int32)))
    counts = tuple(len(centre) for centre, _ in parts)
    if not sum(counts):
        raise InvalidValueError(_nothing_left(int(dropped.sum()), dropped.tolist(), finished))
    centre, sequence = (np.concatenate(column) for column in zip(*parts, strict=True))
    return WindowTable(centre, sequence, sequences, counts, tuple(finished))


def valid_frames(reader: ShardReader, shards: np.ndarray) -> np.ndarray:
    """Return (frames,) bool: which frames are valid; False in shards that are not wanted.

    shards   (shards,) bool: those to read
    """
    store = reader.store
    valid = np.zeros(store.frames, dtype=np.uint8)
    for shard in np.flatnonzero(shards):
        low, high = store.layout.bounds(int(shard))
        reader.read("valid", low, high, valid[low:high])
    return valid > 0


def _allowed(
    readers: Sequence[ShardReader], centres: Sequence[np.ndarray | None] | None
) -> Sequence[np.ndarray | None]:
    if centres is None:
        return [None] * len(readers)
    shapes = [None if mask is None else (mask.dtype, mask.shape) for mask in centres]
    wanted = [(np.dtype(bool), (reader.store.frames,)) for reader in readers]
    if len(shapes) != len(wanted) or any(s not in (None, w) for s, w in zip(shapes, wanted, strict=True)):
        frames = ", ".join(str(reader.store.frames) for reader in readers)
        raise InvalidValueError(f"centres: must be an array of booleans a store, one a frame ({frames}), or None")
    return centres


def _nothing_left(centres: int, dropped: Sequence[int], finished: Sequence[tuple[int, int]]) -> str:
    shards = ", ".join(f"{done} of {there}" for done, there in finished)
    reasons = ("need unfinished shards", "were not among the centres given", "are not valid")
    why = ", ".join(f"{count} {reason}" for count, reason in zip(dropped, reasons, strict=True) if count)
    hint = "; keep_invalid keeps those" if dropped[2] else ""
    return f"no window is left of {centres} centres (shards finished: {shards}): {why}{hint}"


def _chosen(reader: ShardReader, select: Mapping[str, Any] | None, where: Any) -> tuple[SequenceTable, np.ndarray]:
    """The sequences chosen, and their rows in the store's table."""
    try:
        table = reader.store.sequences.select(where, **(select or {}))
    except InvalidValueError as error:
        raise InvalidValueError(f"{reader.store.url}: {error}") from error
    # Starts ascend and do not repeat: they find the rows again.
    return table, np.searchsorted(reader.store.sequences.starts, table.starts)


def _columns(chosen: list[tuple[SequenceTable, np.ndarray]]) -> np.ndarray:
    """(S,) SEQUENCE"""
    parts = []
    for store, (table, rows) in enumerate(chosen):
        part = np.zeros(len(rows), dtype=SEQUENCE)
        part["store"], part["sequence"] = store, rows
        part["start"], part["stop"] = table.starts, table.starts + table.lengths
        for axis, name in enumerate(("width", "height")):
            part["frame_size"][:, axis] = table.table[name].to_numpy()
        part["fps"] = table.table["fps"].to_numpy()
        parts.append(part)
    return np.concatenate(parts)


def _centres(start: np.ndarray, stop: np.ndarray, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Every stride-th frame of each sequence, and which sequence it is of."""
    counts = -(-(stop - start) // stride)
    sequence = np.repeat(np.arange(len(start)), counts)
    nth = np.arange(len(sequence)) - np.repeat(np.cumsum(counts) - counts, counts)
    return start[sequence] + nth * stride, sequence


def _inside(first: np.ndarray, last: np.ndarray, finished: np.ndarray, shard_frames: int) -> np.ndarray:
    """Which of the frame ranges [first, last] lie in finished shards altogether."""
    unfinished = np.concatenate([[0], np.cumsum(~finished)])
    return unfinished[last // shard_frames + 1] == unfinished[first // shard_frames]
