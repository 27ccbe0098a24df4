"""pipeline/pool.py: workers die, hang, fail and differ; the job goes on, and nothing is done twice or lost."""

from __future__ import annotations

import pickle
import random
import threading
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auglift.pipeline import pool as pool_module
from auglift.pipeline import roster
from auglift.pipeline.execute import ATTEMPTS, Silent
from auglift.pipeline.pool import Job, Patience, Pool
from auglift.pipeline.results import ShardFailure, ShardResult
from auglift.stores.errors import InvalidValueError, StoreIncompleteError, StoreWriteError

from ..fakes.crew import FRAMES, ScriptedWork, ThreadCrew


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(pool_module, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(roster, "PLACES_SECONDS", 0.02)


class Watching(Silent):
    def __init__(self):
        self.seen: Counter[int] = Counter()
        self.said: list[str] = []

    def frames(self, shard, count):
        self.seen[shard] += count

    def say(self, message):
        self.said.append(message)


NOTHING = pickle.dumps((None, None))
PATIENCE = Patience(beat=20, loading=20, nodes=0.2)


def run(work: ScriptedWork, shards: int, crew: ThreadCrew | None = None, patience=PATIENCE, progress=None):
    crew = crew or ThreadCrew(work)
    pool = Pool(crew, patience)
    pool.prepare()
    return list(pool.run(Job(NOTHING, work.recorded), range(shards), progress or Silent()))


def test_every_shard_is_done_once():
    work = ScriptedWork(lambda *_: "ok")
    results = run(work, 40, ThreadCrew(work, workers=3, nodes=2))
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
    watching = Watching()
    results = run(work, 24, progress=watching)
    assert begun_after_record == []
    assert sorted(r.shard for r in results) == list(range(24))
    assert Counter(work.written) == Counter(r.shard for r in results if isinstance(r, ShardResult))
    for result in results:
        tries = sum(shard == result.shard for _, shard in work.log)
        assert tries <= ATTEMPTS
        assert tries == ATTEMPTS or isinstance(result, ShardResult)
        assert watching.seen[result.shard] == (FRAMES if isinstance(result, ShardResult) else 0)


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
        while len({worker for worker, _ in work.log}) < 2:  # where only one worker is there, only it can try again
            time.sleep(0.001)
        return "fail" if shard == 3 and attempt == 0 else "ok"

    work = ScriptedWork(script)
    results = run(work, 12)
    assert all(isinstance(r, ShardResult) for r in results)
    first, second = [worker for worker, shard in work.log if shard == 3]
    assert first != second


def test_a_worker_that_hangs_is_killed_and_its_shard_done_by_another():
    work = ScriptedWork(lambda worker, shard, attempt: "hang" if shard == 2 and attempt == 0 else "ok")
    watching = Watching()
    try:
        results = run(work, 8, patience=Patience(beat=0.3, loading=20, nodes=0.2), progress=watching)
    finally:
        work.freed.set()
    assert sorted(r.shard for r in results if isinstance(r, ShardResult)) == list(range(8))
    assert any("gave no sign of life" in message for message in watching.said)


def test_a_worker_that_hangs_while_loading_is_replaced():
    stuck = threading.Event()
    work = ScriptedWork(lambda *_: "ok", lambda worker: stuck.wait(20) and "ok" if worker == 0 else "ok")
    try:
        results = run(work, 4, ThreadCrew(work, workers=1), Patience(beat=20, loading=0.2, nodes=0.2))
    finally:
        stuck.set()
    assert len(results) == 4


def test_a_store_that_cannot_be_written_ends_the_job_and_dismisses_everybody():
    work = ScriptedWork(lambda worker, shard, attempt: "store" if shard == 4 else "ok")
    crew = ThreadCrew(work)
    with pytest.raises(StoreWriteError, match="full"):
        run(work, 20, crew)
    assert all(handle.dead for _, handle in crew.hired.values())


def test_closing_the_results_dismisses_everybody():
    work = ScriptedWork(lambda *_: "ok")
    crew = ThreadCrew(work)
    pool = Pool(crew)
    pool.prepare()
    results = pool.run(Job(NOTHING, work.recorded), range(20), Silent())
    next(results)
    results.close()
    assert all(handle.dead for _, handle in crew.hired.values())
    assert len(work.log) < 20


def test_a_worker_with_other_networks_is_left_out_and_said():
    def shard(*_):  # long enough for the second worker to be hired while there is work
        time.sleep(0.2)
        return "ok"

    work = ScriptedWork(shard, lambda worker: {"depth": "large" if worker == 0 else "small"})
    crew = ThreadCrew(work, workers=1, nodes=2)
    slow = threading.Event()
    real = crew.hire

    def hire(number, place):  # the second node is slower, so that the first one's word counts
        if number == 1:
            slow.wait(0.1)
        return real(number, place)

    crew.hire = hire
    watching = Watching()
    results = run(work, 6, crew, progress=watching)
    assert {worker for worker, _ in work.log} == {0}
    assert len(results) == 6
    assert any("depth is small, not large" in message and "left out" in message for message in watching.said)


def test_workers_that_cannot_load_are_an_error_with_the_reason_and_the_host():
    work = ScriptedWork(lambda *_: "ok", lambda worker: "fail")
    with pytest.raises(InvalidValueError, match=r"no worker could start: ImportError: No module.*host"):
        run(work, 4, ThreadCrew(work, workers=1, nodes=2))


def test_a_node_that_cannot_load_is_left_out_while_the_others_work():
    work = ScriptedWork(lambda *_: "ok", lambda worker: "fail" if worker == 1 else "ok")
    watching = Watching()
    results = run(work, 8, ThreadCrew(work, workers=1, nodes=3), progress=watching)
    assert len(results) == 8
    assert {worker for worker, _ in work.log} <= {0, 2}


def test_a_worker_that_dies_while_loading_is_replaced():
    work = ScriptedWork(lambda *_: "ok", lambda worker: "die" if worker == 0 else "ok")
    assert len(run(work, 4, ThreadCrew(work, workers=1))) == 4


def test_a_lost_node_is_a_lost_set_of_workers_and_the_job_goes_on_elsewhere():
    lost = threading.Event()

    def script(worker, shard, attempt):
        place, _ = crew.hired[worker]
        if len(work.log) > 12 and place.node == "n1":
            crew.places_now = [p for p in crew.places_now if p.node != "n1"]
            lost.set()
        return "die" if lost.is_set() and place.node == "n1" else "ok"

    work = ScriptedWork(script)
    crew = ThreadCrew(work, workers=2, nodes=2)
    results = run(work, 40, crew)
    assert sorted(r.shard for r in results if isinstance(r, ShardResult)) == list(range(40))


def test_when_the_last_node_is_lost_the_job_ends_and_says_that_it_can_go_on():
    def script(worker, shard, attempt):
        crew.places_now = []
        return "die"

    work = ScriptedWork(script)
    crew = ThreadCrew(work)
    with pytest.raises(StoreIncompleteError, match=r"no worker is left.*run the same command again"):
        run(work, 9, crew)


def test_a_node_that_comes_later_gets_work():
    def script(worker, shard, attempt):
        crew.places_now = [*all_places]
        return "ok"

    work = ScriptedWork(script)
    crew = ThreadCrew(work, workers=1, nodes=2)
    all_places, crew.places_now = crew.places_now, crew.places_now[:1]
    work.script = lambda *a: (threading.Event().wait(0.02), script(*a))[1]
    run(work, 30, crew)
    assert {crew.hired[worker][0].node for worker, _ in work.log} == {"n0", "n1"}
