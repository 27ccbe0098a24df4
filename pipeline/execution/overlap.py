"""Run batches through an extractor, two at a time, so that a GPU always has the next one's work.

While it computes the depth of one batch, the frames of the next go up, people are looked for in them, and what came of
the batch before is yielded. On a CPU the same steps happen in the same order, one at a time.

A batch that does not fit the device's memory goes through in parts (`batch_memory.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..device.device_errors import is_out_of_memory
from ..extract import Batch, Extractor, StageTimes
from .batch_memory import ForwardLimit

T = TypeVar("T")
Features = dict[str, np.ndarray]


@dataclass
class Given(Generic[T]):
    """A batch as it comes, with a note of the caller's that comes back with its features.

    frames, readable, truth   as `Extractor.extract` takes them
    """

    note: T
    frames: np.ndarray | Tensor
    readable: np.ndarray
    truth: Mapping[str, np.ndarray] | None
    parts: list[Features] = field(default_factory=list, init=False)


@dataclass
class _Part(Generic[T]):
    """Frames [start, stop) of a batch, and how far they have come."""

    given: Given[T]
    start: int
    stop: int
    batch: Batch | None = None


def run(
    extractor: Extractor, batches: Iterable[Given[T]], limit: ForwardLimit, times: StageTimes
) -> Iterator[tuple[T, Features]]:
    """Yield the notes and features of all batches, in order.

    Raises what the networks raise; a full memory only where a single frame does not fit.
    """
    source = iter(batches)
    line: _Line[T] = _Line(extractor, limit, times)
    while True:
        given = next(source, None)
        if given is None:
            break
        line.add(given)
        yield from line.advance()
    yield from line.drain()


def extract(
    extractor: Extractor,
    frames: np.ndarray | Tensor,
    readable: np.ndarray,
    truth: Mapping[str, np.ndarray] | None,
    limit: ForwardLimit,
    times: StageTimes,
) -> Features:
    """Extract as `Extractor.extract`, in parts where the whole does not fit."""
    return next(features for _, features in run(extractor, [Given(None, frames, readable, truth)], limit, times))


class _Line(Generic[T]):
    """The batches under way: those that wait, one whose people are looked for, and those whose features arrive."""

    def __init__(self, extractor: Extractor, limit: ForwardLimit, times: StageTimes):
        self.extractor, self.limit, self.times = extractor, limit, times
        self.waiting: deque[_Part[T]] = deque()
        self.looked: _Part[T] | None = None
        self.arriving: deque[_Part[T]] = deque()

    def add(self, given: Given[T]) -> None:
        self.waiting.append(_Part(given, 0, len(given.frames)))

    def advance(self) -> Iterator[tuple[T, Features]]:
        """Begin what waits, and hand over what has arrived."""
        while self.waiting:
            self._step(self.waiting.popleft())
            # The last one's features may still be on their way; on a CPU nothing ever is.
            while len(self.arriving) > (self.extractor.device.type == "cuda"):
                yield from self._hand_over()

    def drain(self) -> Iterator[tuple[T, Features]]:
        """All that is left."""
        while self.looked is not None:
            self._step(None)
            yield from self.advance()
        while self.arriving:
            yield from self._hand_over()

    def _step(self, new: _Part[T] | None) -> None:
        """One batch further: the new one begins, the one before goes on to its depth, the new one's people follow.

        In this order the GPU has the depth of the one before to compute while the host waits to hear how many people
        there are.
        """
        before, self.looked = self.looked, None
        if new is not None:
            new = self._fitting(new)
        trying = new or before
        try:
            if new is not None:
                given, part = new.given, slice(new.start, new.stop)
                truth = {name: values[part] for name, values in (given.truth or {}).items()}
                new.batch = self.extractor.begin(given.frames[part], given.readable[part], truth, self.times)
            if before is not None and before.batch is not None:
                trying = before
                self.extractor.describe_people(before.batch, self.times)
                self.arriving.append(before)
                before = None
            if new is not None and new.batch is not None:
                trying = new
                self.extractor.find_people(new.batch, self.times)
                self.looked = new
            return
        except Exception as error:
            size = 0 if trying is None else trying.stop - trying.start
            if size <= 1 or not is_out_of_memory(error):
                raise
        # Here the exception is gone, and with it the frames of the stack that held the device's memory.
        for part in (new, before):
            if part is not None:
                part.batch = None
                self.waiting.appendleft(part)
        self.limit.did_not_fit(size)
        if self.extractor.device.type == "cuda":
            torch.cuda.empty_cache()

    def _fitting(self, part: _Part[T]) -> _Part[T]:
        """The part as far as it fits; the rest waits."""
        end = part.start + self.limit.fitting(part.stop - part.start)
        if end < part.stop:
            self.waiting.appendleft(_Part(part.given, end, part.stop))
        return _Part(part.given, part.start, end)

    def _hand_over(self) -> Iterator[tuple[T, Features]]:
        part = self.arriving.popleft()
        assert part.batch is not None
        given = part.given
        given.parts.append(self.extractor.end(part.batch))
        if part.stop == len(given.frames):
            yield given.note, given.parts[0] if len(given.parts) == 1 else _joined(given.parts)


def _joined(parts: list[Features]) -> Features:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
