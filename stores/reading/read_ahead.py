"""Read ahead: run an iterator in a thread of its own, a few items ahead of the loop that consumes it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

_END = object()
_here = threading.local()


class Abandoned(BaseException):
    """The loop that this thread reads ahead for was left. A BaseException: nothing may take it for a failure."""


def require_consumer() -> None:
    """Raise Abandoned in a thread that reads ahead for a loop that was left; elsewhere do nothing.

    For code that can be busy for long between two items: a loop that is left waits for it.
    """
    stop = getattr(_here, "stop", None)
    if stop is not None and stop.is_set():
        raise Abandoned


def read_ahead(items: Iterable[T], depth: int = 2) -> Generator[T, None, None]:
    """Yield the same items in the same order, with at most `depth` of them waiting.

    An error in `items` is raised where its item would have come. Leaving the loop early, or dropping the generator,
    ends the thread and closes `items`: between two items, or where `items` calls `require_consumer`.
    """
    ready: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(maxsize=max(1, depth))
    stop = threading.Event()

    def put(item: Any, error: BaseException | None = None) -> bool:
        while not stop.is_set():
            try:
                ready.put((item, error), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def run() -> None:
        _here.stop = stop
        iterator = iter(items)
        try:
            for item in iterator:
                if not put(item):
                    return
            put(_END)
        except BaseException as error:
            put(_END, error)
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    thread = threading.Thread(target=run, name="read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stop.set()
        thread.join()
