"""scheduler.py: workers die, hang, fail and differ; the job goes on, and no shard is done twice or lost."""

from __future__ import annotations

import pickle
import random
import threading
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auglift.pipeline.execution.results import ShardFailure, ShardResult
from auglift.pipeline.execution.scheduling import placement as placement_module
from auglift.pipeline.execution.scheduling import scheduler as scheduler_module
from auglift.pipeline.execution.scheduling.scheduler import Job, Scheduler, Timeouts
from auglift.pipeline.execution.serial import ATTEMPTS, NoProgress
from auglift.stores.errors import InvalidValueError, StoreIncompleteError, StoreWriteError

from ....fakes.thread_backend import FRAMES, ScriptedWork, ThreadBackend


@pytest.fixture(autouse=True)
def short_ticks(monkeypatch):
    monkeypatch.setattr(scheduler_module, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(placement_module, "REFRESH_SECONDS", 0.02)


class RecordingProgress(NoProgress):
    def __init__(self):
        self.counted: Counter[int] = Counter()
        self.messages: list[str] = []

    def frames(self, shard, count):
        self.counted[shard] += count

    def message(self, message):
        self.messages.append(message)


NOTHING = pickle.dumps((None, None))
TIMEOUTS = Timeouts(heartbeat=20, loading=20, nodes=0.2)


def run(work: ScriptedWork, shards: int, backend: ThreadBackend | None = None, timeouts=TIMEOUTS, progress=None):
    scheduler = Scheduler(backend or ThreadBackend(work), timeouts)
    scheduler.start()
    return list(scheduler.run(Job(NOTHING, work.recorded), range(shards), progress or NoProgress()))


def test_every_shard_is_done_once():
    work = ScriptedWork(lambda *_: "ok")
    results = run(work, 40, ThreadBackend(work, workers=3, nodes=2))
    assert sorted(r.shard for r in results) == list(range(40))
    assert Counter(shard for _, shard in work.log) == Counter(range(40))


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_whatever_workers_do_no_shard_is_lost_and_none_is_begun_again_once_it_has_a_record(seed):
    chance = random.Random(seed)
    begun_after_record = []

    def script(worker, shard, attempt):
        if shard in work.written:
            begun_after_record.append(shard)
        return chance.choice(["ok"] * 6 + ["fail", "die", "die after"])

    work = ScriptedWork(script)
    progress = RecordingProgress()
    results = run(work, 24, progress=progress)
    assert begun_after_record == []
    assert sorted(r.shard for r in results) == list(range(24))
    assert Counter(work.written) == Counter(r.shard for r in results if isinstance(r, ShardResult))
    for result in results:
        tries = sum(shard == result.shard for _, shard in work.log)
        assert tries <= ATTEMPTS
        assert tries == ATTEMPTS or isinstance(result, ShardResult)
        assert progress.counted[result.shard] == (FRAMES if isinstance(result, ShardResult) else 0)


def test_a_shard_that_kills_its_workers_is_given_up_and_the_others_are_done():
    work = ScriptedWork(lambda worker, shard, attempt: "die" if shard == 5 else "ok")
    results = run(work, 12)
    (failure,) = [r for r in results if isinstance(r, ShardFailure)]
    assert (failure.shard, failure.attempts) == (5, ATTEMPTS)
    assert "its worker died" in failure.reason
    assert len(set(failure.workers)) == ATTEMPTS
    assert len(results) == 12


def test_a_shard_that_fails_goes_to_another_worker():
    def script(worker, shard, attempt):
        while len({worker for worker, _ in work.log}) < 2:  # a single worker would try again itself
            time.sleep(0.001)
        return "fail" if shard == 3 and attempt == 0 else "ok"

    work = ScriptedWork(script)
    results = run(work, 12)
    assert all(isinstance(r, ShardResult) for r in results)
    first, second = [worker for worker, shard in work.log if shard == 3]
    assert first != second


def test_a_worker_that_hangs_is_killed_and_its_shard_done_by_another():
    work = ScriptedWork(lambda worker, shard, attempt: "hang" if shard == 2 and attempt == 0 else "ok")
    progress = RecordingProgress()
    try:
        results = run(work, 8, timeouts=Timeouts(heartbeat=0.3, loading=20, nodes=0.2), progress=progress)
    finally:
        work.freed.set()
    assert sorted(r.shard for r in results if isinstance(r, ShardResult)) == list(range(8))
    assert any("made no progress" in message for message in progress.messages)


def test_a_worker_that_hangs_while_loading_is_replaced():
    stuck = threading.Event()
    work = ScriptedWork(lambda *_: "ok", lambda worker: stuck.wait(20) and "ok" if worker == 0 else "ok")
    try:
        results = run(work, 4, ThreadBackend(work, workers=1), Timeouts(heartbeat=20, loading=0.2, nodes=0.2))
    finally:
        stuck.set()
    assert len(results) == 4


def test_a_store_that_cannot_be_written_ends_the_job_and_stops_every_worker():
    work = ScriptedWork(lambda worker, shard, attempt: "store" if shard == 4 else "ok")
    backend = ThreadBackend(work)
    with pytest.raises(StoreWriteError, match="full"):
        run(work, 20, backend)
    assert all(handle.dead for _, handle in backend.started.values())


def test_closing_the_results_stops_every_worker():
    work = ScriptedWork(lambda *_: "ok")
    backend = ThreadBackend(work)
    scheduler = Scheduler(backend)
    scheduler.start()
    results = scheduler.run(Job(NOTHING, work.recorded), range(20), NoProgress())
    next(results)
    results.close()
    assert all(handle.dead for _, handle in backend.started.values())
    assert len(work.log) < 20


def test_a_worker_with_other_networks_is_left_out_and_reported():
    def shard(*_):  # long enough for the second worker to start while there is work
        time.sleep(0.2)
        return "ok"

    work = ScriptedWork(shard, lambda worker: {"depth": "large" if worker == 0 else "small"})
    backend = ThreadBackend(work, workers=1, nodes=2)
    slow = threading.Event()
    real = backend.start

    def start(number, place):  # the second node is slower, so that the first one's networks count
        if number == 1:
            slow.wait(0.1)
        return real(number, place)

    backend.start = start
    progress = RecordingProgress()
    results = run(work, 6, backend, progress=progress)
    assert {worker for worker, _ in work.log} == {0}
    assert len(results) == 6
    assert any("depth is small, not large" in message and "left out" in message for message in progress.messages)


def test_workers_that_cannot_load_are_an_error_with_the_reason_and_the_host():
    work = ScriptedWork(lambda *_: "ok", lambda worker: "fail")
    with pytest.raises(InvalidValueError, match=r"no worker could start: ImportError: No module.*host"):
        run(work, 4, ThreadBackend(work, workers=1, nodes=2))


def test_a_node_that_cannot_load_is_left_out_while_the_others_work():
    work = ScriptedWork(lambda *_: "ok", lambda worker: "fail" if worker == 1 else "ok")
    progress = RecordingProgress()
    results = run(work, 8, ThreadBackend(work, workers=1, nodes=3), progress=progress)
    assert len(results) == 8
    assert {worker for worker, _ in work.log} <= {0, 2}


def test_a_worker_that_dies_while_loading_is_replaced():
    work = ScriptedWork(lambda *_: "ok", lambda worker: "die" if worker == 0 else "ok")
    assert len(run(work, 4, ThreadBackend(work, workers=1))) == 4


def test_a_lost_node_costs_its_workers_and_the_job_goes_on_with_the_others():
    lost = threading.Event()

    def script(worker, shard, attempt):
        place, _ = backend.started[worker]
        if len(work.log) > 12 and place.node == "n1":
            backend.places_now = [p for p in backend.places_now if p.node != "n1"]
            lost.set()
        return "die" if lost.is_set() and place.node == "n1" else "ok"

    work = ScriptedWork(script)
    backend = ThreadBackend(work, workers=2, nodes=2)
    results = run(work, 40, backend)
    assert sorted(r.shard for r in results if isinstance(r, ShardResult)) == list(range(40))


def test_when_the_last_node_is_lost_the_job_ends_and_says_how_to_go_on():
    def script(worker, shard, attempt):
        backend.places_now = []
        return "die"

    work = ScriptedWork(script)
    backend = ThreadBackend(work)
    with pytest.raises(StoreIncompleteError, match=r"no worker is left.*run the same command again"):
        run(work, 9, backend)


def test_a_node_that_comes_later_gets_work():
    def script(worker, shard, attempt):
        backend.places_now = [*all_places]
        return "ok"

    work = ScriptedWork(script)
    backend = ThreadBackend(work, workers=1, nodes=2)
    all_places, backend.places_now = backend.places_now, backend.places_now[:1]
    work.script = lambda *a: (threading.Event().wait(0.02), script(*a))[1]
    run(work, 30, backend)
    assert {backend.started[worker][0].node for worker, _ in work.log} == {"n0", "n1"}
