"""What the scheduler needs of a backend: where workers can run, and how one is started, called and killed."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from .placement import Place


class WorkerHandle(Protocol):
    """A worker process, alive or dead."""

    def call(self, method: str, *arguments: Any) -> Future[Any]:
        """Call a method of the worker's `ShardWorker`. The future fails if the worker is dead or dies."""
        ...

    def kill(self) -> None: ...


class Backend(Protocol):
    """Starts workers. `ray_executor.py` uses one on Ray (`ray_cluster.py`), the tests one on threads."""

    def places(self) -> Sequence[Place]:
        """List the places where a worker can run now; on every node, lower indices come first."""
        ...

    def start(self, number: int, place: Place) -> WorkerHandle:
        """Start worker `number` at a place. Returns at once; the worker loads nothing yet."""
        ...

    def explain(self, error: BaseException) -> str:
        """Say in one line why a call failed, as the end of a sentence that begins with the worker's name."""
        ...
