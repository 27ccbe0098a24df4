"""Real processes are killed, at random and at the worst moments: the bytes do not change, no shard is done twice."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ...fakes.folders import digest_of_folder
from ...fakes.made_job import run_made
from ...fakes.made_work import MadeWork, SlowRecords
from ...fakes.stores import MadeStore

ROOT = Path(__file__).resolve().parents[3]


class LedgerWatch:
    """Notes every record when it appears. A shard that is done again has a new file under the same name."""

    def __init__(self, store: Path):
        self.folder = store / "ledger"
        self.first: dict[str, tuple[int, int]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> LedgerWatch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._stop.wait(0.002):
            self._look()

    def _look(self) -> None:
        for name, seen in self.now().items():
            self.first.setdefault(name, seen)

    def now(self) -> dict[str, tuple[int, int]]:
        found = {}
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self.folder):
                if entry.name.endswith(".json"):
                    with contextlib.suppress(FileNotFoundError):
                        stat = entry.stat()
                        found[entry.name] = (stat.st_ino, stat.st_mtime_ns)
        return found

    @property
    def done_again(self) -> set[str]:
        return {name for name, seen in self.now().items() if self.first[name] != seen}


class Killer(threading.Thread):
    """Kills workers of a scheduler with SIGKILL: some between arrays and record, the others at random moments.

    notes   folder where `SlowRecords` writes which worker is between arrays and record
    """

    def __init__(self, scheduler, notes: Path, in_the_gap: int, at_random: int, seed: int = 0, pause: float = 0.3):
        super().__init__(daemon=True)
        self.scheduler, self.notes = scheduler, notes
        self.in_the_gap, self.at_random = in_the_gap, at_random
        self.random, self.pause = random.Random(seed), pause
        self.killed: list[str] = []

    def run(self) -> None:
        seen: set[str] = set()
        next_kill = time.monotonic() + self.random.uniform(0, self.pause)
        while self.in_the_gap or self.at_random:
            time.sleep(0.002)
            notes = {note.name for note in self.notes.iterdir()}
            for note in sorted(notes - seen)[: self.in_the_gap]:
                with contextlib.suppress(ProcessLookupError, ValueError):
                    os.kill(int((self.notes / note).read_text()), signal.SIGKILL)
                    self.in_the_gap -= 1
                    self.killed.append(f"gap {note}")
            seen |= notes
            if self.at_random and time.monotonic() > next_kill:
                next_kill = time.monotonic() + self.random.uniform(0, self.pause)
                pids = [w.pid for w in list(self.scheduler.workers.values()) if w.pid and w.state == "working"]
                if pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(self.random.choice(pids), signal.SIGKILL)
                        self.at_random -= 1
                        self.killed.append("random")


def driver(module: str, cluster, *arguments: object) -> subprocess.Popen:
    address = cluster.ray.get_runtime_context().gcs_address
    command = [sys.executable, "-m", f"tests.fakes.{module}", address, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for_records(job: subprocess.Popen, store: Path, count: int) -> None:
    while len(list((store / "ledger").glob("*.json"))) < count:
        assert job.poll() is None, "the driver ended before it was killed"
        time.sleep(0.002)


def alive(notes: Path) -> list[str]:
    """Return the process ids of workers that wrote a shard and still run."""
    return [pid for pid in {note.read_text() for note in notes.iterdir()} if Path("/proc", pid).exists()]


def test_workers_killed_at_random_and_between_arrays_and_ledger_cost_nothing_but_time(cluster, tmp_path):
    made = MadeStore((24 * 16,))
    made.run(tmp_path / "undisturbed.zarr")
    out, notes = tmp_path / "killed.zarr", tmp_path / "notes"
    notes.mkdir()
    killers: list[Killer] = []

    def watch(scheduler):
        killers.append(Killer(scheduler, notes, in_the_gap=1, at_random=1))
        killers[0].start()

    with LedgerWatch(out) as ledger:
        outcome = run_made(cluster, SlowRecords(out, 0.05, notes), MadeWork(made, 0.1), watch=watch)
    assert sorted(kill.split()[0] for kill in killers[0].killed) == ["gap", "random"]
    assert outcome.failures == []
    assert ledger.done_again == set()
    assert digest_of_folder(out) == digest_of_folder(tmp_path / "undisturbed.zarr")


def test_a_driver_killed_then_interrupted_leaves_a_store_that_goes_on_and_no_workers(cluster, tmp_path):
    made = MadeStore((24 * 16,))
    made.run(tmp_path / "undisturbed.zarr")
    out, notes = tmp_path / "killed.zarr", tmp_path / "notes"
    notes.mkdir()
    with LedgerWatch(out) as ledger:
        job = driver("made_job", cluster, out, notes, 24, 0.2)
        wait_for_records(job, out, 3)
        job.kill()
        job.wait()
        job = driver("made_job", cluster, out, notes, 24, 0.2)
        wait_for_records(job, out, 8)
        job.send_signal(signal.SIGTERM)
        assert job.wait(timeout=30) == 130
        end = time.monotonic() + 30
        while alive(notes):
            assert time.monotonic() < end, "workers outlived their driver"
            time.sleep(0.05)
        outcome = run_made(cluster, SlowRecords(out), MadeWork(made))
    assert outcome.resumed >= 8
    assert ledger.done_again == set()
    assert digest_of_folder(out) == digest_of_folder(tmp_path / "undisturbed.zarr")


@pytest.fixture
def two_nodes(monkeypatch):
    """A Ray cluster of two nodes on this machine, connected, and a function that takes its second node away."""
    if (Path.home() / ".ray" / "auth_token").is_file():  # nodes with a token, as `ray start` would start them
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster as Nodes

    from auglift.pipeline.execution.authentication import refresh
    from auglift.pipeline.execution.ray_cluster import Cluster

    ray.shutdown()  # one of another test may still run
    refresh()  # Ray read the mode when another test imported it
    nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    second = nodes.add_node(num_cpus=2)
    try:
        with Cluster(nodes.address) as cluster:
            yield cluster, lambda: nodes.remove_node(second, allow_graceful=False)
    finally:
        nodes.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_workers_a_driver_and_a_node_killed_in_one_job_of_forty_shards(two_nodes, tmp_path):
    cluster, lose_node = two_nodes
    made = MadeStore((40 * 16,))
    made.run(tmp_path / "undisturbed.zarr")
    out, notes = tmp_path / "killed.zarr", tmp_path / "notes"
    notes.mkdir()
    killers: list[Killer] = []

    def watch(scheduler):
        killers.append(Killer(scheduler, notes, in_the_gap=4, at_random=6, seed=1, pause=0.8))
        killers[0].start()

    def lose_the_node_later():
        while len(list((out / "ledger").glob("*.json"))) < 16:
            time.sleep(0.01)
        lose_node()
        lost.set()

    lost = threading.Event()
    remover = threading.Thread(target=lose_the_node_later, daemon=True)
    with LedgerWatch(out) as ledger:
        job = driver("made_job", cluster, out, notes, 40, 0.4)
        wait_for_records(job, out, 5)
        job.kill()
        job.wait()
        assert len(list((out / "ledger").glob("*.json"))) < 40
        remover.start()
        outcome = run_made(cluster, SlowRecords(out, 0.1, notes), MadeWork(made, 0.4), workers=4, watch=watch)
        while outcome.failures:  # a shard may have lost its worker three times
            outcome = run_made(cluster, SlowRecords(out), MadeWork(made), workers=2)
    killers[0].join(1)
    remover.join(60)
    assert lost.is_set()
    end = time.monotonic() + 60
    while len(cluster.nodes()) > 1:
        assert time.monotonic() < end, "the node is still there"
        time.sleep(0.1)
    assert len(killers[0].killed) == 10
    assert outcome.resumed >= 5
    assert ledger.done_again == set()
    assert digest_of_folder(out) == digest_of_folder(tmp_path / "undisturbed.zarr")
