"""What the scheduler knows of one worker, and what it shows of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from ....stores.format.fingerprint import differing_keys
from ..results import WorkerView
from ..worker import Loaded, Status
from .backend import WorkerHandle
from .placement import Place


@dataclass
class WorkerState:
    """One worker, from its start to its end.

    state           loading, loaded, checking (whether it can do the job from its node) or working
    last_progress   when it last made progress, by the scheduler's clock
    pid             process id on its node, once it has loaded
    status          its last report, or None
    query_pending   a status query is under way
    next_query      when the next one is due
    frames_shown    frames of its present shard that the progress display has counted
    """

    number: int
    place: Place
    handle: WorkerHandle
    last_progress: float
    state: str = "loading"
    pid: int | None = None
    status: Status | None = None
    query_pending: bool = False
    next_query: float = 0.0
    frames_shown: int = 0
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = f"worker {self.number} on {self.place.host}"

    def view(self) -> WorkerView:
        """Return what a progress display shows."""
        status = self.status
        stage = status.stage if status is not None and self.state == "working" else self.state
        shard, rate, memory = (status.shard, status.rate, status.memory) if status else (None, 0.0, 0)
        return WorkerView(self.number, self.place.host, stage, shard, rate, memory)


def incompatibility(first: Loaded, other: Loaded) -> str | None:
    """Say why `other` would not compute what `first` computes; None if it would."""
    for what, expected, found in (
        ("networks", first.settings, other.settings),
        ("versions", first.versions, other.versions),
    ):
        difference = next(differing_keys(found, expected), None)
        if difference is not None:
            key, here, there = difference
            return f"its {what} differ from those on {first.host}: {key} is {here}, not {there}"
    return None
