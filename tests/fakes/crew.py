"""A crew whose workers are threads of this process: they die, hang and fail on command, and cost nothing to hire."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

from auglift.pipeline.results import ShardResult
from auglift.pipeline.roster import Place
from auglift.pipeline.worker import Pulse, ShardWorker

FRAMES = 4


class Death(BaseException):
    """What a work raises to take its worker with it, as SIGKILL would."""


class Gone(Exception):
    """What calls to a dead worker fail with."""


class ScriptedWork:
    """Does what `script(worker, shard, attempt)` says: `ok`, `fail`, `die`, `die after`, `hang` or `store`.

    log      every (worker, shard) begun, in order
    written  shards that have a record
    loading  what loading does, by worker: `ok`, `fail`, `die` or the settings it says it has
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
        answer = self.shared.loading(self.worker)
        if answer == "die":
            raise Death
        if answer == "fail":
            raise ImportError("No module named 'networks'")
        return (answer if isinstance(answer, dict) else {}), {}

    def begin(self, plan: Any, location: Any) -> None: ...

    def calibrate(self, plan: Any) -> None: ...

    def do(self, shard: int, pulse: Pulse) -> ShardResult:
        from auglift.stores.errors import StoreWriteError

        attempt = sum(done == shard for _, done in self.shared.log)
        self.shared.log.append((self.worker, shard))
        what = self.shared.script(self.worker, shard, attempt)
        pulse.batch(FRAMES - 1)
        if what == "fail":
            raise RuntimeError("no luck\nand a second line")
        if what == "die":
            raise Death
        if what == "hang":
            self.shared.freed.wait(20)
            raise Death
        if what == "store":
            raise StoreWriteError("the disk is full")
        self.shared.written.append(shard)
        if what == "die after":
            raise Death
        return ShardResult(shard, FRAMES, {}, [], {})


class ThreadHandle:
    """A `ShardWorker` in a thread, its status asked in the caller's."""

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

    def _settle(self, future: Future[Any], answer: Any) -> None:
        with self.lock:
            mine = future in self.pending
            if mine:
                self.pending.remove(future)
        if mine:
            future.set_result(answer)

    def _live(self) -> None:
        while not self.dead and (call := self.calls.get()) is not None:
            method, arguments, future = call
            try:
                self._settle(future, self._answer(method, *arguments))
            except Death:
                self.kill()

    def _answer(self, method: str, *arguments: Any) -> Any:
        if method == "load":
            # As the worker itself does, but the work is at hand and need not be unpacked.
            self.worker.sealed = pickle.dumps(None)
            self.worker.work = self.work
            with self.worker._pulse("loading"):
                from auglift.pipeline.worker import Loaded, Trouble, one_line

                try:
                    return Loaded(*self.work.load(), "here", 0, 0.0)
                except Exception as error:
                    return Trouble("worker", one_line(error))
        return getattr(self.worker, method)(*arguments)


class ThreadCrew:
    """Hires threads at the places it is told; `places_now` may change."""

    def __init__(self, work: ScriptedWork, workers: int = 2, nodes: int = 1):
        self.work = work
        self.places_now = [Place(f"n{n}", f"host{n}", i) for i in range(workers) for n in range(nodes)]
        self.hired: dict[int, tuple[Place, ThreadHandle]] = {}

    def places(self) -> Sequence[Place]:
        return self.places_now

    def hire(self, number: int, place: Place) -> ThreadHandle:
        handle = ThreadHandle(number, self.work.of(number))
        self.hired[number] = (place, handle)
        return handle

    def why(self, error: BaseException) -> str:
        return "died"
