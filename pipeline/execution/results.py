"""The result of a shard, and the interface of a progress display. Plain data for other processes; no torch."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

# A shard that failed so often is given up.
ATTEMPTS = 3


@dataclass(frozen=True)
class ShardResult:
    """A shard that is in the store.

    seconds   by stage, and `total`; empty if the shard was there already
    split     0, or how many frames fitted on the GPU when a whole batch did not (batch_memory.py)
    worker    number of the worker that did it, or None if there is only one
    """

    shard: int
    frames: int
    counts: dict[str, int]
    problems: list[dict[str, Any]]
    seconds: dict[str, float]
    split: int = 0
    worker: int | None = None


@dataclass(frozen=True)
class ShardFailure:
    """A shard that failed in every attempt: why, in one line, how often, and with which workers."""

    shard: int
    reason: str
    attempts: int
    workers: tuple[str, ...] = ()


@dataclass(frozen=True)
class WorkerView:
    """What a display shows of a worker: `memory` is bytes of its GPU, `rate` frames a second."""

    number: int
    host: str
    stage: str
    shard: int | None
    rate: float
    memory: int


class Progress(Protocol):
    """Shows how a job goes."""

    def begin(self, frames: int, finished: int) -> None:
        """Begin to show a job of so many frames, of which `finished` are in the store from an earlier run."""
        ...

    def frames(self, shard: int, count: int) -> None:
        """Count frames of a shard that went through the networks; a negative count, if they must be done again."""
        ...

    def done(self, result: ShardResult | ShardFailure) -> None: ...

    def message(self, message: str) -> None:
        """Show a message: something happened that the user should know."""
        ...

    def workers(self, workers: Sequence[WorkerView]) -> None:
        """Show the state of the workers; called about once a second if there are several."""
        ...


class NoProgress:
    """Shows nothing."""

    def begin(self, frames: int, finished: int) -> None: ...

    def frames(self, shard: int, count: int) -> None: ...

    def done(self, result: ShardResult | ShardFailure) -> None: ...

    def message(self, message: str) -> None: ...

    def workers(self, workers: Sequence[WorkerView]) -> None: ...


Results = Generator[ShardResult | ShardFailure, None, None]
