"""Streams and events of the GPU that is not there: what was ordered after what, and which copies have ended."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch


class StreamError(RuntimeError):
    """Work that may run before what it needs, or while it is taken away."""


class PretendedStream:
    """A queue of work. A ticket is a place in it.

    seen   of other streams, up to which ticket this one's next work comes after theirs
    """

    _stack: list[PretendedStream]
    _wait: Callable[[str], None]

    def __init__(self, *_: Any, **__: Any) -> None:
        self._tickets = 0
        self._finished = 0
        self.seen: dict[PretendedStream, int] = {}
        self._later: list[tuple[int, Callable[[], object]]] = []
        self.cuda_stream = id(self)

    def __deepcopy__(self, _: Any) -> PretendedStream:
        """A copied tensor is of the same stream."""
        return self

    @classmethod
    def current(cls) -> PretendedStream:
        return cls._stack[-1]

    def enqueue(self) -> int:
        self._tickets += 1
        return self._tickets

    def later(self, end: Callable[[], object]) -> None:
        """`end` happens as late as a GPU may do it: when the host waits for what comes after."""
        self._later.append((self.enqueue(), end))

    def require(self, other: PretendedStream, ticket: int, what: str) -> None:
        if other is not self and ticket > max(self.seen.get(other, 0), other._finished):
            raise StreamError(f"{what} reads what another stream may not have made yet: wait_event or wait_stream")

    def finish(self, ticket: int | None = None) -> None:
        """All up to the ticket has been done, and so has what it waited for."""
        ticket = self._tickets if ticket is None else ticket
        self._finished = max(self._finished, ticket)
        due = [end for place, end in self._later if place <= ticket]
        self._later = [(place, end) for place, end in self._later if place > ticket]
        for end in due:
            end()
        for other, seen in self.seen.items():
            if other._finished < seen:
                other.finish(seen)

    # What torch.cuda.Stream has ---------------------------------------------------------------------------------------

    def wait_stream(self, other: PretendedStream) -> None:
        self._see(other, other._tickets)

    def wait_event(self, event: PretendedEvent) -> None:
        if event.stream is not None:
            self._see(event.stream, event.ticket)

    def _see(self, other: PretendedStream, ticket: int) -> None:
        if other is not self:
            self.seen[other] = max(self.seen.get(other, 0), ticket)
            for third, seen in other.seen.items():
                if third is not self:
                    self.seen[third] = max(self.seen.get(third, 0), seen)

    def record_event(self, event: PretendedEvent | None = None) -> PretendedEvent:
        event = event or PretendedEvent()
        event.record(self)
        return event

    def synchronize(self) -> None:
        self._wait("synchronize")
        self.finish()

    def query(self) -> bool:
        return self._finished >= self._tickets


class PretendedEvent:
    """What torch.cuda.Event has. Nothing takes any time."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.stream: PretendedStream | None = None
        self.ticket = 0

    def record(self, stream: PretendedStream | None = None) -> None:
        self.stream = stream or PretendedStream.current()
        self.ticket = self.stream.enqueue()

    def wait(self, stream: PretendedStream | None = None) -> None:
        (stream or PretendedStream.current()).wait_event(self)

    def query(self) -> bool:
        return self.stream is None or self.stream._finished >= self.ticket

    def synchronize(self) -> None:
        PretendedStream._wait("event")
        if self.stream is not None:
            self.stream.finish(self.ticket)

    def elapsed_time(self, end: PretendedEvent) -> float:
        if not (self.query() and end.query()):
            raise StreamError("elapsed_time of an event that may not have happened yet")
        return float(end.ticket - self.ticket)


@contextlib.contextmanager
def pretend_streams(wait: Callable[[str], None]) -> Iterator[None]:
    """torch.cuda as it looks where there is one GPU; `wait` hears of everything that the host waits for."""
    PretendedStream._stack = [PretendedStream()]
    PretendedStream._wait = staticmethod(wait)

    @contextlib.contextmanager
    def stream(chosen: PretendedStream | None) -> Iterator[None]:
        PretendedStream._stack.append(chosen or PretendedStream.current())
        try:
            yield
        finally:
            PretendedStream._stack.pop()

    replaced = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "is_initialized": lambda: False,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "is_bf16_supported": lambda *_, **__: True,
        "get_device_capability": lambda *_: (9, 0),
        "empty_cache": lambda: None,
        "synchronize": lambda *_: PretendedStream.current().synchronize(),
        "Stream": PretendedStream,
        "Event": PretendedEvent,
        "stream": stream,
        "current_stream": lambda *_: PretendedStream.current(),
    }
    with contextlib.ExitStack() as stack:
        for name, value in replaced.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, value))
        yield
