"""Run a job on workers that may die, hang, come late or be lost with their machine. The driver's one loop; no Ray.

What a worker is and where it runs is the crew's business (`ray_executor.py`). Here: who is hired, who gets which
shard, who is given up. Every answer of a worker arrives as an event in one queue, so what an answer costs does not
depend on how many workers there are.
"""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ..stores.errors import InvalidValueError, StoreIncompleteError, StoreWriteError
from ..stores.fingerprint import differing_keys
from .assignment import Assignment
from .results import ATTEMPTS, Progress, Results, ShardFailure, ShardResult, Silent, WorkerView
from .roster import Place, Roster
from .worker import Loaded, Status, Trouble

TICK_SECONDS = 1.0
# Workers are asked how they are at most so often together, so that a thousand of them cost the driver no more.
QUESTIONS_A_SECOND = 50


class Handle(Protocol):
    """A worker somewhere, alive or not."""

    def call(self, method: str, *arguments: Any) -> Future[Any]:
        """Call a method of its `ShardWorker`. The future fails where the worker is gone."""
        ...

    def kill(self) -> None: ...


class Crew(Protocol):
    """Where workers come from."""

    def places(self) -> Sequence[Place]:
        """Where workers can be, as things are now; of every node the lower indices first."""
        ...

    def hire(self, number: int, place: Place) -> Handle: ...

    def why(self, error: BaseException) -> str:
        """In a line, why a call failed."""
        ...


@dataclass(frozen=True)
class Patience:
    """Seconds to wait.

    beat      for a sign of life of a worker that does a shard
    loading   for one that loads its networks, which may be fetched first
    nodes     for new nodes, where every worker was lost
    """

    beat: float = 600.0
    loading: float = 1800.0
    nodes: float = 60.0


@dataclass
class _Member:
    """A worker as the driver knows it. `state`: loading, loaded, checking, working."""

    number: int
    place: Place
    handle: Handle
    sign: float
    state: str = "loading"
    pid: int | None = None
    status: Status | None = None
    asked: bool = False
    next_question: float = 0.0
    finished: int = 0
    seen: int = 0
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = f"worker {self.number} on {self.place.host}"


@dataclass(frozen=True)
class Job:
    """What the workers are told once.

    parcel     what `ShardWorker.begin` gets
    recorded   the result of a shard whose record exists, whoever wrote it
    """

    parcel: Any
    recorded: Callable[[int], ShardResult | None]


class Pool:
    """The workers of one job, from the first that is hired to the last that is dismissed."""

    def __init__(self, crew: Crew, patience: Patience | None = None, clock: Callable[[], float] = time.monotonic):
        self.crew = crew
        self.patience = patience or Patience()
        self.clock = clock
        self.members: dict[int, _Member] = {}
        self.first: Loaded | None = None
        self.roster = Roster(crew.places, self.patience.nodes)
        self._events: queue.SimpleQueue[tuple[int, str, int | None, Future[Any]]] = queue.SimpleQueue()
        self._hired = 0
        self._working: set[int] = set()
        self._next_tick = 0.0
        self._last_loss = ""
        self._job: Job | None = None
        self._assignment = Assignment((), ATTEMPTS)
        self._losers: dict[int, list[str]] = {}
        self._out: deque[ShardResult | ShardFailure] = deque()
        self._progress: Progress = Silent()
        self._unsaid: list[str] = []

    # What the driver calls ------------------------------------------------------------------------------------------

    def prepare(self) -> Loaded:
        """Hire, and wait for the first worker that is ready: all others must be like it."""
        while self.first is None:
            self._turn()
        return self.first

    def run(self, job: Job, shards: Sequence[int], progress: Progress) -> Results:
        """Do the shards and yield each as it ends, in any order. Closing the generator dismisses the workers."""
        self._job, self._progress = job, progress
        self._assignment = Assignment(shards, ATTEMPTS)
        for message in self._unsaid:
            progress.say(message)
        try:
            for member in list(self.members.values()):
                self._tell(member)
            while self._assignment.unfinished:
                self._turn()
                while self._out:
                    yield self._out.popleft()
        finally:
            self.dismiss()

    def dismiss(self, seconds: float = 5.0) -> None:
        """Kill every worker, and wait until those that were at a shard are known to be dead."""
        pending = set()
        for member in self.members.values():
            pending |= {(member.number, shard) for shard in self._assignment.flying.get(member.number, [])}
            member.handle.kill()
        self.members.clear()
        end = time.monotonic() + seconds
        while pending and time.monotonic() < end:
            try:
                number, _, shard, _ = self._events.get(timeout=0.1)
            except queue.Empty:
                continue
            pending.discard((number, shard))

    # The loop -------------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Whatever is due, then one event and all that came with it."""
        now = self.clock()
        if now >= self._next_tick:
            self._next_tick = now + TICK_SECONDS
            self._tick(now)
        try:
            event = self._events.get(timeout=max(0.0, min(TICK_SECONDS, self._next_tick - self.clock())))
        except queue.Empty:
            return
        while True:
            self._hear(*event)
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                return

    def _tick(self, now: float) -> None:
        for member in list(self.members.values()):
            limit = self.patience.loading if member.state == "loading" else self.patience.beat
            if now - member.sign > limit:
                self._lose(member, f"gave no sign of life for {limit:.0f} s and was killed")
            elif not member.asked and now >= member.next_question:
                member.asked = True
                member.next_question = now + max(TICK_SECONDS, len(self.members) / QUESTIONS_A_SECOND)
                self._ask(member, "status")
        self._fill(now)
        self._progress.workers([_view(member) for member in self.members.values()])

    def _ask(self, member: _Member, method: str, *arguments: Any, shard: int | None = None) -> None:
        number = member.number
        future = member.handle.call(method, *arguments)
        future.add_done_callback(lambda done: self._events.put((number, method, shard, done)))

    def _hear(self, number: int, method: str, shard: int | None, future: Future[Any]) -> None:
        member = self.members.get(number)
        if member is None:
            return  # it was given up before it answered
        try:
            answer = future.result()
        except Exception as error:
            self._lose(member, self.crew.why(error))
            return
        if method != "status":
            member.sign = self.clock()
        if method == "load":
            self._loaded(member, answer)
        elif method == "begin":
            self._began(member, answer)
        elif method == "status":
            self._said(member, answer)
        elif shard is not None:
            self._ended(member, shard, answer)

    # Hiring ---------------------------------------------------------------------------------------------------------

    def _fill(self, now: float) -> None:
        for place in self.roster.hire(self._taken(), now):
            member = _Member(self._hired, place, self.crew.hire(self._hired, place), now)
            self._hired += 1
            self.members[member.number] = member
            self._ask(member, "load")
        if self.roster.hopeless(self._taken(), now):
            reason = next(iter(self.roster.left_out.values()), self._last_loss or "no node has a place for one")
            if self._job is None:
                raise InvalidValueError(f"no worker could start: {reason}")
            raise StoreIncompleteError(
                f"no worker is left ({reason}); what is finished is kept: run the same command again"
            )

    def _taken(self) -> set[Place]:
        return {member.place for member in self.members.values()}

    def _loaded(self, member: _Member, answer: Loaded | Trouble) -> None:
        if isinstance(answer, Loaded):
            misfit = None if self.first is None else _misfit(self.first, answer)
            if misfit is None:
                self.first = self.first or answer
                self.roster.loaded(member.place)
                self._next_tick = 0.0  # the node's other workers need not wait
                member.state, member.pid = "loaded", answer.pid
                self._tell(member)
                return
            answer = Trouble("worker", misfit)
        self._leave_out(member, answer.reason)

    def _tell(self, member: _Member) -> None:
        if self._job is not None and member.state == "loaded":
            member.state = "checking"
            self._ask(member, "begin", self._job.parcel)

    def _began(self, member: _Member, answer: Trouble | None) -> None:
        if answer is not None:
            self._leave_out(member, answer.reason)
            return
        member.state = "working"
        self._working.add(member.number)
        self._give(member)

    def _leave_out(self, member: _Member, reason: str) -> None:
        if self.roster.leave_out(member.place, reason):
            self._say(f"{member.place.host} is left out: {reason}")
        self._remove(member)

    # Shards ---------------------------------------------------------------------------------------------------------

    def _give(self, member: _Member) -> None:
        while (shard := self._assignment.next_for(member.number, len(self._working))) is not None:
            self._ask(member, "do", shard, shard=shard)

    def _give_all(self) -> None:
        """After shards came back: somebody may be idle."""
        for number in self._working:
            self._give(self.members[number])

    def _said(self, member: _Member, status: Status) -> None:
        member.asked = False
        member.status = status
        member.sign = max(member.sign, self.clock() - status.still)
        if status.shard is not None and status.shard == self._assignment.running(member.number):
            self._progress.frames(status.shard, status.frames - member.seen)
            member.seen = status.frames

    def _ended(self, member: _Member, shard: int, answer: ShardResult | Trouble) -> None:
        if isinstance(answer, ShardResult):
            self._finished(member, shard, answer)
            self._give(member)
            return
        if answer.kind == "store":
            self._assignment.done(member.number, shard)
            raise StoreWriteError(answer.reason)
        self._failed(member, shard, answer.reason)
        if answer.kind == "worker":
            self._lose(member, f"cannot go on: {answer.reason}", settled=True)
        self._give_all()

    def _finished(self, member: _Member, shard: int, result: ShardResult) -> None:
        self._progress.frames(shard, result.frames - member.seen)
        member.seen = 0
        member.finished += 1
        self.roster.finished(member.place)
        self._assignment.done(member.number, shard)
        self._out.append(replace(result, worker=member.number))

    def _failed(self, member: _Member, shard: int, reason: str) -> None:
        self._progress.frames(shard, -member.seen)
        member.seen = 0
        self._losers.setdefault(shard, []).append(member.name)
        given_up = self._assignment.failed(member.number, shard)
        if given_up is None:
            self._say(f"shard {shard} failed with {member.name} and will be tried again: {reason}")
        else:
            self._out.append(ShardFailure(shard, reason, given_up, tuple(self._losers[shard])))

    def _lose(self, member: _Member, reason: str, settled: bool = False) -> None:
        """A worker is gone, or as good as gone: another one takes its place, and others its shards.

        settled   what it was at has been accounted for
        """
        running = None if settled else self._assignment.running(member.number)
        if running is not None and self._job is not None:
            result = self._job.recorded(running)
            if result is not None:  # it died between its last write and its answer
                self._finished(member, running, result)
            else:
                self._failed(member, running, f"its worker {reason}")
        self._last_loss = f"{member.name} {reason}"
        self._say(self._last_loss)
        self._remove(member)
        self.roster.died(member.place, self.clock())
        self._next_tick = 0.0
        self._give_all()

    def _remove(self, member: _Member) -> None:
        member.handle.kill()
        self.members.pop(member.number, None)
        self._working.discard(member.number)
        self._assignment.lost(member.number)

    def _say(self, message: str) -> None:
        if self._job is None:
            self._unsaid.append(message)
        self._progress.say(message)


def _view(member: _Member) -> WorkerView:
    status = member.status
    stage = status.stage if status is not None and member.state == "working" else member.state
    shard, rate, memory = (status.shard, status.rate, status.memory) if status else (None, 0.0, 0)
    return WorkerView(member.number, member.place.host, stage, shard, rate, memory)


def _misfit(first: Loaded, other: Loaded) -> str | None:
    """Why what this worker computes would not be what the first one computes; None where it would be."""
    for what, ours, theirs in (
        ("networks", first.settings, other.settings),
        ("versions", first.versions, other.versions),
    ):
        found = next(differing_keys(theirs, ours), None)
        if found is not None:
            key, here, there = found
            return f"its {what} differ from those on {first.host}: {key} is {here}, not {there}"
    return None
