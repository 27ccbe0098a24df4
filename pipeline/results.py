"""What comes of a shard, and who is told. Plain data that crosses process borders, and no torch."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

# A shard that failed so often is given up.
ATTEMPTS = 3


@dataclass(frozen=True)
class ShardResult:
    """A shard that is in the store.

    seconds   by stage, and `total`; empty where the shard was there already
    split     0, or how many frames fitted on the GPU where a whole batch did not (memory.py)
    worker    who did it, where there are several
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
    """A shard that could not be done: why, in one line, after how many attempts, with which workers."""

    shard: int
    reason: str
    attempts: int
    workers: tuple[str, ...] = ()


@dataclass(frozen=True)
class WorkerView:
    """What is shown of a worker: `memory` is bytes of its GPU, `rate` frames a second."""

    number: int
    host: str
    stage: str
    shard: int | None
    rate: float
    memory: int


class Progress(Protocol):
    """Whoever wants to know how a job goes."""

    def begin(self, frames: int, finished: int) -> None:
        """The job has so many frames, and so many are in the store from an earlier run."""
        ...

    def frames(self, shard: int, count: int) -> None:
        """So many more frames of a shard went through the networks; fewer than none where they must be done again."""
        ...

    def done(self, result: ShardResult | ShardFailure) -> None: ...

    def say(self, message: str) -> None:
        """Something happened that whoever watches should know."""
        ...

    def workers(self, workers: Sequence[WorkerView]) -> None:
        """How the workers are, about once a second, where there are several."""
        ...


class Silent:
    """No progress shown."""

    def begin(self, frames: int, finished: int) -> None: ...

    def frames(self, shard: int, count: int) -> None: ...

    def done(self, result: ShardResult | ShardFailure) -> None: ...

    def say(self, message: str) -> None: ...

    def workers(self, workers: Sequence[WorkerView]) -> None: ...


Results = Generator[ShardResult | ShardFailure, None, None]
