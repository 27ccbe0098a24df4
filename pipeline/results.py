"""What comes of a shard, and what is shown of those who do it. Plain data that crosses process borders; no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


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
