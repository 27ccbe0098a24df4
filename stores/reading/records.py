"""Records: the fields of a frame side by side in memory, so that a window is gathered in one operation.

All narrow fields of a frame lie together, a few hundred bytes; picking frames at random then costs one memory access
a frame and not one a field. A wide field is a record of its own: its frames are large enough, and are read in place.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..format.schema import Field
from .shardfile import ShardReader

_ALIGNED = 64


@dataclass(frozen=True)
class Record:
    """Some fields of a frame.

    fields   in the order in which they lie: large items first, so that all are aligned
    centre   wanted at the centre of a window alone
    """

    fields: tuple[Field, ...]
    centre: bool = False

    @cached_property
    def dtype(self) -> np.dtype:
        formats = [(_item(field), field.shape) for field in self.fields]
        sizes = [np.dtype(format).itemsize for format in formats]
        largest = max(_item(field).itemsize for field in self.fields)
        return np.dtype(
            {
                "names": [field.name for field in self.fields],
                "formats": formats,
                "offsets": [sum(sizes[:index]) for index in range(len(sizes))],
                "itemsize": -(-sum(sizes) // largest) * largest,
            }
        )

    def frames(self, window: int) -> int:
        """Return how many frames of a window are wanted."""
        return 1 if self.centre else window


def _item(field: Field) -> np.dtype:
    return np.dtype(bool) if field.name == "valid" else np.dtype(field.dtype)


def records_of(fields: Iterable[Field], centre: Iterable[str] = ()) -> tuple[Record, ...]:
    """Return the records that hold these fields, those in `centre` apart."""
    at_centre = set(centre)
    ordered = sorted(fields, key=lambda field: -_item(field).itemsize)
    wide = [Record((field,), field.name in at_centre) for field in ordered if field.wide]
    narrow = [
        Record(some, flag)
        for flag in (False, True)
        if (some := tuple(f for f in ordered if not f.wide and (f.name in at_centre) == flag))
    ]
    return (*narrow, *wide)


def load(reader: ShardReader, record: Record, start: int, stop: int, column: np.ndarray) -> None:
    """Read frames [start, stop) of a store into a column (stop - start,) of records. Raises as `FeatureStore.read`."""
    for field in record.fields:
        if field.name == "valid":
            numbers = column["valid"].view(np.uint8)
            reader.read("valid", start, stop, numbers)
            # A bool is 0 or 1 in memory and nothing else.
            np.minimum(numbers, 1, out=numbers)
        else:
            reader.read(field.name, start, stop, column[field.name])


def gather(column: np.ndarray, rows: np.ndarray, out: np.ndarray) -> None:
    """Set out[...] = column[rows] without a new array and without looking at what is inside a record."""
    opaque = np.dtype((np.void, column.dtype.itemsize))
    # Any mode but "clip" makes NumPy write to a copy of `out` first. Rows are within bounds.
    np.take(column.view(opaque), rows, out=out.view(opaque), mode="clip")


class Buffers:
    """Memory for batches, used again when nothing points into it any more.

    Fresh memory costs as much as the copy into it: the system clears every page before it gives it out.
    """

    def __init__(self) -> None:
        self._free: list[np.ndarray] = []

    def lend(self, shapes: Sequence[tuple[np.dtype, tuple[int, ...]]]) -> list[np.ndarray]:
        """Return arrays of these dtypes and shapes. Their memory is used again when they and all views are gone."""
        sizes = [dtype.itemsize * int(np.prod(shape, dtype=np.int64)) for dtype, shape in shapes]
        edges = np.cumsum([0, *(-(-size // _ALIGNED) * _ALIGNED for size in sizes)]).tolist()
        memory = self._take(edges[-1])
        # A buffer between the memory and its views: views of an array point to the array that owns its memory, and
        # would outlive this one.
        lent = np.frombuffer(memory.data, dtype=np.uint8)
        weakref.finalize(lent, self._free.append, memory).atexit = False
        return [
            lent[edge : edge + size].view(dtype).reshape(shape)
            for edge, size, (dtype, shape) in zip(edges, sizes, shapes, strict=False)
        ]

    def _take(self, size: int) -> np.ndarray:
        try:
            memory = self._free.pop()
        except IndexError:
            return np.empty(size, dtype=np.uint8)
        return memory if len(memory) == size else np.empty(size, dtype=np.uint8)
