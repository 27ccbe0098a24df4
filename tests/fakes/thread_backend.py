"""A backend whose workers are threads of this process: they die, hang and fail on command, and start at once."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

from auglift.pipeline.execution.results import ShardResult
from auglift.pipeline.execution.scheduling.placement import Place
from auglift.pipeline.execution.worker import Heartbeat, ShardWorker

FRAMES = 4


class Death(BaseException):
    """Raised by a work to end its worker, as SIGKILL would."""


class Gone(Exception):
    """The error of calls to a dead worker."""


class ScriptedWork:
    """Does what `script(worker, shard, attempt)` says: `ok`, `fail`, `die`, `die after`, `hang` or `store`.

    log      every (worker, shard) begun, in order
    written  shards that have a record
    loading  what loading does, by worker: `ok`, `fail`, `die`, or a dict of settings to return
    """

    def __init__(self, script: Callable[[int, int, int], str], loading: Callable[[int], Any] = lambda worker: "ok"):
        self.script = script
        self.loading = loading
        self.log: list[tuple[int, int]] = []
        self.written: list[int] = []
        self.freed = threading.Event()

    def recorded(self, shard: int) -> ShardResult | None:
        return ShardResult(shard, FRAMES, {}, [], {}) if shard in self.written else None

    def of(self, worker: int) -> _WorkOf:
        return _WorkOf(self, worker)


class _WorkOf:
    def __init__(self, shared: ScriptedWork, worker: int):
        self.shared, self.worker = shared, worker

    def load(self):
        outcome = self.shared.loading(self.worker)
        if outcome == "die":
            raise Death
        if outcome == "fail":
            raise ImportError("No module named 'networks'")
        return (outcome if isinstance(outcome, dict) else {}), {}

    def begin(self, plan: Any, location: Any) -> None: ...

    def calibrate(self, plan: Any) -> None: ...

    def do(self, shard: int, heartbeat: Heartbeat) -> ShardResult:
        from auglift.stores.errors import StoreWriteError

        attempt = sum(done == shard for _, done in self.shared.log)
        self.shared.log.append((self.worker, shard))
        outcome = self.shared.script(self.worker, shard, attempt)
        heartbeat.batch(FRAMES - 1)
        if outcome == "fail":
            raise RuntimeError("no luck\nand a second line")
        if outcome == "die":
            raise Death
        if outcome == "hang":
            self.shared.freed.wait(20)
            raise Death
        if outcome == "store":
            raise StoreWriteError("the disk is full")
        self.shared.written.append(shard)
        if outcome == "die after":
            raise Death
        return ShardResult(shard, FRAMES, {}, [], {})


class ThreadHandle:
    """A `ShardWorker` in a thread. Its status is read in the thread of the caller."""

    def __init__(self, number: int, work: _WorkOf):
        self.worker = ShardWorker(number, b"", ".", None)
        self.work = work
        self.dead = False
        self.lock = threading.Lock()
        self.pending: list[Future[Any]] = []
        self.calls: SimpleQueue[tuple[str, tuple[Any, ...], Future[Any]] | None] = SimpleQueue()
        threading.Thread(target=self._live, daemon=True).start()

    def call(self, method: str, *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        with self.lock:
            if not self.dead:
                self.pending.append(future)
        if self.dead:
            future.set_exception(Gone("dead"))
        elif method == "status":
            self._settle(future, self.worker.status())
        else:
            self.calls.put((method, arguments, future))
        return future

    def kill(self) -> None:
        with self.lock:
            self.dead = True
            pending, self.pending = self.pending, []
        self.calls.put(None)
        for future in pending:
            future.set_exception(Gone("killed"))

    def _settle(self, future: Future[Any], result: Any) -> None:
        with self.lock:
            open_call = future in self.pending
            if open_call:
                self.pending.remove(future)
        if open_call:
            future.set_result(result)

    def _live(self) -> None:
        while not self.dead and (call := self.calls.get()) is not None:
            method, arguments, future = call
            try:
                self._settle(future, self._run(method, *arguments))
            except Death:
                self.kill()

    def _run(self, method: str, *arguments: Any) -> Any:
        if method == "load":
            # As `ShardWorker.load` does, but without unpickling: the work is an object of this process.
            self.worker.pickled_work = pickle.dumps(None)
            self.worker.work = self.work
            with self.worker._stage("loading"):
                from auglift.pipeline.execution.worker import Failure, Loaded, one_line

                try:
                    return Loaded(*self.work.load(), "here", 0, 0.0)
                except Exception as error:
                    return Failure("worker", one_line(error))
        return getattr(self.worker, method)(*arguments)


class ThreadBackend:
    """Starts threads as workers. A test may change `places_now`."""

    def __init__(self, work: ScriptedWork, workers: int = 2, nodes: int = 1):
        self.work = work
        self.places_now = [Place(f"n{n}", f"host{n}", i) for i in range(workers) for n in range(nodes)]
        self.started: dict[int, tuple[Place, ThreadHandle]] = {}

    def places(self) -> Sequence[Place]:
        return self.places_now

    def start(self, number: int, place: Place) -> ThreadHandle:
        handle = ThreadHandle(number, self.work.of(number))
        self.started[number] = (place, handle)
        return handle

    def explain(self, error: BaseException) -> str:
        return "died"
