"""stores/writing/lock.py: one job at a time; a second is refused with the holder's name, and a dead one loses it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from auglift.stores.errors import StoreLockedError, StoreWriteError
from auglift.stores.locations.local import LocalLocation
from auglift.stores.writing import lock as module
from auglift.stores.writing.lock import LOCK, Holder, StoreLock

from ...fakes.stores import make_store

HOLD = """
import sys, time
from auglift.stores.locations.local import LocalLocation
from auglift.stores.writing.lock import StoreLock
with StoreLock(LocalLocation(sys.argv[1]), beat=float(sys.argv[2])):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(path: Path, beat: float = 15.0) -> subprocess.Popen:
    """Another process that holds the lock, once this returns."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path), str(beat)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.fixture
def location(tmp_path) -> LocalLocation:
    return LocalLocation(tmp_path / "s.zarr")


def elsewhere(**changes) -> Holder:
    """A holder on another machine, alive a moment ago."""
    return replace(Holder.here(), host="node17", machine="another boot", pid=4711, started=1, **changes)


def test_the_lock_is_there_while_held_and_gone_after(location):
    with StoreLock(location):
        assert location.listing() == [LOCK]
        assert json.loads(location.read(LOCK))["pid"] == os.getpid()
    assert location.listing() == []


def test_the_lock_is_gone_after_an_error_too(location):
    with pytest.raises(ZeroDivisionError), StoreLock(location):
        raise ZeroDivisionError
    assert location.listing() == []


def test_a_second_job_is_refused_with_host_process_and_age_of_the_first(location):
    process = hold(location.path)
    try:
        time.sleep(1)
        with pytest.raises(StoreLockedError) as refused, StoreLock(location):
            pass
        message = str(refused.value)
        assert f"process {process.pid} on {os.uname().nodename}" in message
        assert any(f"begun {age} s ago" in message for age in range(1, 30))
        assert "wait for it" in message
        assert Holder.from_json(location.read(LOCK)).pid == process.pid  # type: ignore[union-attr]
    finally:
        process.kill()
        process.wait()


def test_the_same_process_does_not_get_it_twice(location):
    with StoreLock(location), pytest.raises(StoreLockedError), StoreLock(location):
        pass


def test_a_job_killed_here_loses_its_lock_at_once_even_before_its_parent_noticed(location):
    process = hold(location.path)
    process.send_signal(signal.SIGKILL)
    while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    with StoreLock(location):  # a corpse that was not fetched yet holds nothing
        assert json.loads(location.read(LOCK))["pid"] == os.getpid()
    process.wait()
    assert location.listing() == []


def test_a_stopped_job_is_not_dead(location):
    process = hold(location.path)
    try:
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(StoreLockedError), StoreLock(location, limit=0):
            pass
    finally:
        process.kill()
        process.wait()


def test_a_pid_that_was_given_to_another_process_is_not_the_holder(location):
    ours = Holder.here()
    location.write(LOCK, replace(ours, started=ours.started - 1, nonce="old").to_json())
    with StoreLock(location):
        pass
    assert location.listing() == []


def test_another_machine_that_gave_a_sign_of_life_lately_is_alive(location):
    location.write(LOCK, elsewhere(beat=time.time() - 100, since=time.time() - 7300).to_json())
    begin = time.monotonic()
    with pytest.raises(StoreLockedError, match=r"process 4711 on node17, begun 2 h ago, .* 1\d\d s ago"):
        StoreLock(location).acquire()
    assert time.monotonic() - begin < 5, "it watched, though the result was clear"


def test_another_machine_silent_for_long_is_dead(location):
    location.write(LOCK, elsewhere(beat=time.time() - 1000).to_json())
    with StoreLock(location, beat=0.05):
        pass
    assert location.listing() == []


@pytest.mark.parametrize("hours", [-5, 5])
def test_another_machine_whose_clock_is_wrong_is_alive_while_it_gives_signs(location, hours):
    """Its times say `long ago` or `in the future`; that they change says that it lives."""
    wrong = elsewhere(beat=time.time() + hours * 3600)
    location.write(LOCK, wrong.to_json())
    stop = threading.Event()

    def beat():
        count = 0
        while not stop.wait(0.05):
            count += 1
            location.write(LOCK, replace(wrong, beat=wrong.beat + count).to_json())

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(StoreLockedError, match="node17"):
            StoreLock(location, beat=0.5).acquire()
    finally:
        stop.set()
        thread.join()


def test_a_holder_gives_signs_of_life(location):
    with StoreLock(location, beat=0.05):
        first = Holder.from_json(location.read(LOCK))
        deadline = time.monotonic() + 20
        while (now := Holder.from_json(location.read(LOCK))) == first:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert first is not None
        assert now is not None
        assert now.beat > first.beat
        assert replace(now, beat=0) == replace(first, beat=0)


def test_a_holder_that_was_taken_for_dead_knows_and_leaves_the_others_lock_alone(location):
    lock = StoreLock(location, beat=0.02)
    lock.acquire()
    other = elsewhere().to_json()
    deadline = time.monotonic() + 20
    while not lock.lost:  # a beat that was under way may write once more
        location.write(LOCK, other)
        assert time.monotonic() < deadline
        time.sleep(0.02)
    location.write(LOCK, other)
    with pytest.raises(StoreLockedError, match="was taken over by process"):
        lock.require()
    lock.release()
    assert location.read(LOCK) == other


def test_a_beat_that_cannot_be_written_ends_nothing(location, monkeypatch):
    with StoreLock(location, beat=0.02) as lock:
        monkeypatch.setattr(location, "write", lambda *_: (_ for _ in ()).throw(StoreWriteError("full")))
        time.sleep(0.2)
        monkeypatch.undo()
        assert not lock.lost
        before = location.read(LOCK)
        deadline = time.monotonic() + 20
        while location.read(LOCK) == before:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b'{"pid": 1}', b"\xff", b"null"])
def test_garbage_is_nobodys_lock(location, garbage, monkeypatch):
    monkeypatch.setattr(module, "GARBAGE_SECONDS", 0.05)
    location.write(LOCK, garbage)
    with StoreLock(location):
        pass
    assert location.listing() == []


def test_a_lock_that_is_not_whole_yet_is_waited_for(location, monkeypatch):
    """Without hard links a lock appears empty and is filled a moment later."""
    monkeypatch.setattr(module, "GARBAGE_SECONDS", 2.0)
    location.write(LOCK, b"")
    timer = threading.Timer(0.2, lambda: location.write(LOCK, elsewhere().to_json()))
    timer.start()
    with pytest.raises(StoreLockedError, match="node17"):
        StoreLock(location).acquire()
    timer.join()


def test_a_lock_that_can_be_neither_read_nor_made_is_an_error(location, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: None)
    (location.path / LOCK).mkdir(parents=True)
    with pytest.raises(StoreWriteError, match="delete it"):
        StoreLock(location).acquire()


@pytest.mark.parametrize("before", [None, "dead", "claimed by the dead"])
def test_of_many_jobs_that_start_together_exactly_one_gets_it(location, before):
    if before:
        dead = replace(Holder.here(), started=0, nonce="dead").to_json()
        location.write(LOCK, dead)
        if before != "dead":
            location.write(module._claim(dead), replace(Holder.here(), started=0, nonce="dead too").to_json())
    barrier = threading.Barrier(12)

    def attempt(_) -> StoreLock | None:
        lock = StoreLock(location)
        barrier.wait()
        try:
            lock.acquire()
        except StoreLockedError:
            return None
        return lock

    with ThreadPoolExecutor(12) as pool:
        holders = [lock for lock in pool.map(attempt, range(12)) if lock is not None]
    assert len(holders) == 1
    holders[0].release()
    assert location.listing() == []


def test_jobs_that_come_and_go_never_hold_it_together(location):
    """Each takes the lock, looks whether it is alone, and dies every third time: its lock stays behind."""
    inside, errors, taken = [], [], []

    def work(number: int) -> None:
        while len(taken) < 40:
            lock = StoreLock(location)
            try:
                lock.acquire()
            except StoreLockedError:
                time.sleep(0.001)
                continue
            inside.append(number)
            taken.append(number)
            if inside != [number]:
                errors.append(list(inside))
            time.sleep(0.001)
            inside.remove(number)
            if len(taken) % 3 == 0:
                lock._stop.set()
                location.write(LOCK, replace(lock._mine, started=0).to_json())  # type: ignore[type-var]
            else:
                lock.release()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(set(taken)) > 1


def test_readers_take_no_notice(tmp_path):
    store = make_store(tmp_path / "s")
    with StoreLock(store.location):
        assert type(store).open(tmp_path / "s").read("valid").shape == (50,)
