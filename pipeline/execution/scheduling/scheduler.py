"""The scheduler: gives the shards of a job to workers that may die, hang or disappear together with their node.

It runs in the driver and knows no Ray: a backend (`backend.py`) starts the workers. Every result of a call arrives as
an event in one queue, so what a result costs does not depend on the number of workers.

Why Ray does not do this for us (compared with Ray 2.60). `max_restarts` and `max_task_retries` repeat a failed call on
the actor that it killed, even if another one is idle; here the shard goes to another worker, and after three failures
the job goes on without it. Ray notices processes and nodes that die, but not a process that hangs: a call to a stopped
actor was still pending after 90 s, without an error. Ray's placement (SPREAD, placement groups) goes by free resources:
it would choose a broken GPU or a node with other libraries again, cannot let one worker of a node load the weights
before the others, and leaves an actor that fits nowhere pending without an error. `ray.wait` looks at all pending calls
each time; callbacks of futures do not. Ray Serve came to the same end: its deployment actors have `max_restarts=0`, and
its controller checks and recreates them. What Ray does as well is left to it: processes on other nodes with a GPU each,
calls and their queues, news of dead processes and nodes, and the end of all workers when the driver dies.
"""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from ....stores.errors import InvalidValueError, StoreIncompleteError, StoreWriteError
from ..results import ATTEMPTS, NoProgress, Progress, Results, ShardFailure, ShardResult
from ..worker import Failure, Loaded, Status
from .backend import Backend
from .placement import Place, Placement
from .shard_queue import ShardQueue
from .worker_state import WorkerState, incompatibility

TICK_SECONDS = 1.0
# Of all workers together. With many workers each is queried less often, so that the driver's load stays the same.
QUERIES_PER_SECOND = 50


@dataclass(frozen=True)
class Timeouts:
    """Seconds to wait.

    heartbeat   for progress of a worker that does a shard
    loading     for a worker that loads its networks, whose weights may have to be fetched first
    nodes       for new nodes, after every worker was lost
    """

    heartbeat: float = 600.0
    loading: float = 1800.0
    nodes: float = 60.0


@dataclass(frozen=True)
class Job:
    """What the scheduler and the workers need to know about a job.

    payload    the argument of `ShardWorker.begin`
    recorded   returns the result of a shard that has a record, of any worker, else None
    """

    payload: Any
    recorded: Callable[[int], ShardResult | None]


class Scheduler:
    """Starts the workers of one job, gives them shards, replaces those that fail, and stops all at the end."""

    def __init__(self, backend: Backend, timeouts: Timeouts | None = None, clock: Callable[[], float] = time.monotonic):
        self.backend = backend
        self.timeouts = timeouts or Timeouts()
        self.clock = clock
        self.workers: dict[int, WorkerState] = {}
        self.first: Loaded | None = None
        self.placement = Placement(backend.places, self.timeouts.nodes)
        self._events: queue.SimpleQueue[tuple[int, str, int | None, Future[Any]]] = queue.SimpleQueue()
        self._started = 0
        self._working: set[int] = set()
        self._next_tick = 0.0
        self._last_loss = ""
        self._job: Job | None = None
        self._queue = ShardQueue((), ATTEMPTS)
        self._failed_on: dict[int, list[str]] = {}
        self._results: deque[ShardResult | ShardFailure] = deque()
        self._progress: Progress = NoProgress()
        self._early_messages: list[str] = []

    # What the executor calls ----------------------------------------------------------------------------------------

    def start(self) -> Loaded:
        """Start workers and wait for the first that has loaded its networks: all others must have the same ones."""
        while self.first is None:
            self._step()
        return self.first

    def run(self, job: Job, shards: Sequence[int], progress: Progress) -> Results:
        """Do the shards and yield each result, in the order in which they end. Closing the generator stops all."""
        self._job, self._progress = job, progress
        self._queue = ShardQueue(shards, ATTEMPTS)
        for message in self._early_messages:
            progress.message(message)
        try:
            for worker in list(self.workers.values()):
                self._send_job(worker)
            while self._queue.unfinished:
                self._step()
                while self._results:
                    yield self._results.popleft()
        finally:
            self.stop()

    def stop(self, seconds: float = 5.0) -> None:
        """Kill every worker, and wait until those that were doing a shard are known to be dead."""
        pending = set()
        for worker in self.workers.values():
            pending |= {(worker.number, shard) for shard in self._queue.in_flight.get(worker.number, [])}
            worker.handle.kill()
        self.workers.clear()
        end = time.monotonic() + seconds
        while pending and time.monotonic() < end:
            try:
                number, _, shard, _ = self._events.get(timeout=0.1)
            except queue.Empty:
                continue
            pending.discard((number, shard))

    # The loop -------------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        """Do what is due, then handle one event and all others that have arrived."""
        now = self.clock()
        if now >= self._next_tick:
            self._next_tick = now + TICK_SECONDS
            self._tick(now)
        try:
            event = self._events.get(timeout=max(0.0, min(TICK_SECONDS, self._next_tick - self.clock())))
        except queue.Empty:
            return
        while True:
            self._handle(*event)
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                return

    def _tick(self, now: float) -> None:
        for worker in list(self.workers.values()):
            limit = self.timeouts.loading if worker.state == "loading" else self.timeouts.heartbeat
            if now - worker.last_progress > limit:
                self._lose(worker, f"made no progress for {limit:.0f} s and was killed")
            elif not worker.query_pending and now >= worker.next_query:
                worker.query_pending = True
                worker.next_query = now + max(TICK_SECONDS, len(self.workers) / QUERIES_PER_SECOND)
                self._call(worker, "status")
        self._start_workers(now)
        self._progress.workers([worker.view() for worker in self.workers.values()])

    def _call(self, worker: WorkerState, method: str, *arguments: Any, shard: int | None = None) -> None:
        number = worker.number
        future = worker.handle.call(method, *arguments)
        future.add_done_callback(lambda done: self._events.put((number, method, shard, done)))

    def _handle(self, number: int, method: str, shard: int | None, future: Future[Any]) -> None:
        worker = self.workers.get(number)
        if worker is None:
            return  # it was lost before this result arrived
        try:
            result = future.result()
        except Exception as error:
            self._lose(worker, self.backend.explain(error))
            return
        if method != "status":
            worker.last_progress = self.clock()
        if method == "load":
            self._on_loaded(worker, result)
        elif method == "begin":
            self._on_begun(worker, result)
        elif method == "status":
            self._on_status(worker, result)
        elif shard is not None:
            self._on_shard(worker, shard, result)

    # Starting workers -----------------------------------------------------------------------------------------------

    def _start_workers(self, now: float) -> None:
        for place in self.placement.startable(self._occupied(), now):
            worker = WorkerState(self._started, place, self.backend.start(self._started, place), now)
            self._started += 1
            self.workers[worker.number] = worker
            self._call(worker, "load")
        if self.placement.exhausted(self._occupied(), now):
            reason = next(iter(self.placement.excluded.values()), self._last_loss or "no node has a place for one")
            if self._job is None:
                raise InvalidValueError(f"no worker could start: {reason}")
            raise StoreIncompleteError(
                f"no worker is left ({reason}); what is finished is kept: run the same command again"
            )

    def _occupied(self) -> set[Place]:
        return {worker.place for worker in self.workers.values()}

    def _on_loaded(self, worker: WorkerState, result: Loaded | Failure) -> None:
        if isinstance(result, Loaded):
            reason = None if self.first is None else incompatibility(self.first, result)
            if reason is None:
                self.first = self.first or result
                self.placement.loaded(worker.place)
                self._next_tick = 0.0  # the node's other workers start at once
                worker.state, worker.pid = "loaded", result.pid
                self._send_job(worker)
                return
            result = Failure("worker", reason)
        self._exclude(worker, result.reason)

    def _send_job(self, worker: WorkerState) -> None:
        if self._job is not None and worker.state == "loaded":
            worker.state = "checking"
            self._call(worker, "begin", self._job.payload)

    def _on_begun(self, worker: WorkerState, result: Failure | None) -> None:
        if result is not None:
            self._exclude(worker, result.reason)
            return
        worker.state = "working"
        self._working.add(worker.number)
        self._assign(worker)

    def _exclude(self, worker: WorkerState, reason: str) -> None:
        if self.placement.exclude(worker.place, reason):
            self._say(f"{worker.place.host} is left out: {reason}")
        self._remove(worker)

    # Shards ---------------------------------------------------------------------------------------------------------

    def _assign(self, worker: WorkerState) -> None:
        while (shard := self._queue.next_for(worker.number, len(self._working))) is not None:
            self._call(worker, "do", shard, shard=shard)

    def _assign_all(self) -> None:
        """Assign shards that came back to workers that may be idle."""
        for number in self._working:
            self._assign(self.workers[number])

    def _on_status(self, worker: WorkerState, status: Status) -> None:
        worker.query_pending = False
        worker.status = status
        worker.last_progress = max(worker.last_progress, self.clock() - status.stalled)
        if status.shard is not None and status.shard == self._queue.running(worker.number):
            self._progress.frames(status.shard, status.frames - worker.frames_shown)
            worker.frames_shown = status.frames

    def _on_shard(self, worker: WorkerState, shard: int, result: ShardResult | Failure) -> None:
        if isinstance(result, ShardResult):
            self._finish(worker, shard, result)
            self._assign(worker)
            return
        if result.kind == "store":
            self._queue.done(worker.number, shard)
            raise StoreWriteError(result.reason)
        self._fail(worker, shard, result.reason)
        if result.kind == "worker":
            self._lose(worker, f"cannot go on: {result.reason}", settled=True)
        self._assign_all()

    def _finish(self, worker: WorkerState, shard: int, result: ShardResult) -> None:
        self._progress.frames(shard, result.frames - worker.frames_shown)
        worker.frames_shown = 0
        self.placement.finished(worker.place)
        self._queue.done(worker.number, shard)
        self._results.append(replace(result, worker=worker.number))

    def _fail(self, worker: WorkerState, shard: int, reason: str) -> None:
        self._progress.frames(shard, -worker.frames_shown)
        worker.frames_shown = 0
        self._failed_on.setdefault(shard, []).append(worker.name)
        attempts = self._queue.failed(worker.number, shard)
        if attempts is None:
            self._say(f"shard {shard} failed with {worker.name} and will be tried again: {reason}")
        else:
            self._results.append(ShardFailure(shard, reason, attempts, tuple(self._failed_on[shard])))

    def _lose(self, worker: WorkerState, reason: str, settled: bool = False) -> None:
        """Give up a worker: a new one takes its place, and its shards go to others.

        settled   the shard that it was doing has been counted as failed already
        """
        running = None if settled else self._queue.running(worker.number)
        if running is not None and self._job is not None:
            result = self._job.recorded(running)
            if result is not None:  # it died after its last write, before the driver had its result
                self._finish(worker, running, result)
            else:
                self._fail(worker, running, f"its worker {reason}")
        self._last_loss = f"{worker.name} {reason}"
        self._say(self._last_loss)
        self._remove(worker)
        self.placement.died(worker.place, self.clock())
        self._next_tick = 0.0
        self._assign_all()

    def _remove(self, worker: WorkerState) -> None:
        worker.handle.kill()
        self.workers.pop(worker.number, None)
        self._working.discard(worker.number)
        self._queue.lost(worker.number)

    def _say(self, message: str) -> None:
        if self._job is None:
            self._early_messages.append(message)
        self._progress.message(message)
