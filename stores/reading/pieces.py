"""Pieces: an order cut into equal parts of one or several batches, each gathered from frames in memory at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .order import Order
from .records import Buffers, Record, gather
from .window_table import WindowShape, WindowTable

Batch = dict[str, np.ndarray]

# What a batch carries beside fields of the store.
FRAME_SIZE, FPS, STORE, SEQUENCE, FRAME, INSIDE = "frame_size", "fps", "store", "sequence", "frame", "inside"
CARRIED = (INSIDE, FRAME_SIZE, FPS, STORE, SEQUENCE, FRAME)


class Source(Protocol):
    """Frames in memory, one column a record; None for a record that is read straight into the pieces."""

    columns: list[np.ndarray | None]

    def step(self, step: int) -> None:
        """Load what a step of the order needs."""
        ...

    def shift(self, windows: np.ndarray, sequence: np.ndarray) -> np.ndarray:
        """Return (n,) int64: what to add to a frame of its store to have its row in the columns.

        windows, sequence   (n,) indices of windows, and of their sequences in the table
        """
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Part:
    """What is wanted of an order: windows [first, end), `size` of them a piece."""

    first: int
    end: int
    size: int


class Pieces:
    """The memory of pieces, and how they are filled.

    scattered   by record: it is one frame a window and wide, and blocks put each frame into its place in a piece; every
                other record waits in columns and is gathered
    """

    def __init__(
        self,
        table: WindowTable,
        shape: WindowShape,
        records: tuple[Record, ...],
        scattered: tuple[bool, ...],
        order: Order,
        part: Part,
        buffers: tuple[Buffers, Buffers],
    ):
        self.table, self.shape, self.records, self.scattered = table, shape, records, scattered
        self.order, self.part = order, part
        self._early, self._late = buffers
        self._open: dict[int, list[np.ndarray]] = {}

    def _shapes(self, scattered: bool) -> list[tuple[np.dtype, tuple[int, ...]]]:
        return [
            (record.dtype, (self.part.size, record.frames(self.shape.window)))
            for record, flag in zip(self.records, self.scattered, strict=True)
            if flag == scattered
        ]

    def _opened(self, number: int) -> list[np.ndarray]:
        """Memory of a piece's scattered records."""
        if number not in self._open:
            self._open[number] = self._early.lend(self._shapes(True)) if any(self.scattered) else []
        return self._open[number]

    def places(self, positions: np.ndarray, nth: int) -> list[np.ndarray]:
        """Return where the frames of the windows at these positions of the order belong, as bytes.

        nth   of the scattered records
        """
        number, row = np.divmod(positions - self.part.first, self.part.size)
        rows = {
            piece: list(memory.reshape(-1).view(np.uint8).reshape(len(memory), -1))
            for piece in np.unique(number).tolist()
            for memory in (self._opened(piece)[nth],)
        }
        return [rows[piece][at] for piece, at in zip(number.tolist(), row.tolist(), strict=True)]

    def gather(self, number: int, source: Source) -> Batch:
        """Gather a piece, as one large batch."""
        start = self.part.first + number * self.part.size
        stop = min(start + self.part.size, self.part.end)
        window = self.shape.window
        *gathered, inside = self._late.lend([*self._shapes(False), (np.dtype(bool), (self.part.size, window))])
        windows = self.order.windows[start:stop]
        centre = np.take(self.table.centre, windows, mode="clip").astype(np.int64)
        sequence = np.take(self.table.sequence, windows, mode="clip")
        info = np.take(self.table.sequences, sequence, mode="clip")
        columns = [column for column, flag in zip(source.columns, self.scattered, strict=True) if not flag]
        records = [record for record, flag in zip(self.records, self.scattered, strict=True) if not flag]
        step = int(np.searchsorted(self.order.steps, start, side="right")) - 1
        at = start
        while at < stop:
            upto = min(stop, int(self.order.steps[step + 1]))
            source.step(step)
            here = slice(at - start, upto - start)
            shift = source.shift(windows[here], sequence[here])
            rows = self._rows(centre[here], info[here], shift, inside[here])
            for record, column, out in zip(records, columns, gathered, strict=True):
                if column is not None:
                    gather(column, (centre[here] + shift)[:, None] if record.centre else rows, out[here])
            at, step = upto, step + 1
        early = self._opened(number)
        del self._open[number]
        fields: Batch = {}
        waiting = {True: iter(early), False: iter(gathered)}
        for record, flag in zip(self.records, self.scattered, strict=True):
            out = next(waiting[flag])[: stop - start]
            fields |= {field.name: out[field.name] for field in record.fields}
        return {
            **fields,
            INSIDE: inside[: stop - start],
            **{name: info[name] for name in (FRAME_SIZE, FPS, STORE, SEQUENCE)},
            FRAME: centre,
        }

    def _rows(self, centre: np.ndarray, info: np.ndarray, shift: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """(n, T) int64: rows of the windows' frames in the columns. Edges are replicated, and `inside` says where."""
        middle = (centre + shift)[:, None]
        if self.shape.window == 1:
            inside[...] = True
            return middle
        wanted = middle + self.shape.offsets
        rows = np.maximum(wanted, (info["start"] + shift)[:, None])
        np.minimum(rows, (info["stop"] + shift - 1)[:, None], out=rows)
        np.equal(rows, wanted, out=inside)
        return rows
