"""ray_executor.py and ray_cluster.py: real workers write the serial executor's bytes; what is missing is named."""

from __future__ import annotations

import json
import socket
import sys
import time
from pathlib import Path

import pytest

from auglift.pipeline.execution import ray_cluster as cluster_module
from auglift.pipeline.execution.ray_cluster import Cluster, ray_module
from auglift.pipeline.execution.ray_executor import RayExecutor
from auglift.pipeline.execution.resources import WorkerGroup
from auglift.pipeline.execution.results import ShardFailure, ShardResult
from auglift.pipeline.execution.scheduling.scheduler import Job, Scheduler, Timeouts
from auglift.pipeline.execution.serial import NoProgress
from auglift.pipeline.execution.worker import Loaded
from auglift.stores.errors import InvalidValueError, MissingExtraError
from auglift.stores.locations.choose import locate
from auglift.stores.locations.local import LocalLocation

from ...fakes.folders import digest_of_folder
from ...fakes.job import fake_plan, run_fake
from ...fakes.networks import fake_extractor
from ...fakes.ray_job import run_ray
from ...fakes.video import number_frames, write_video
from ...fakes.waiting_work import BrokenWork, WaitingWork


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("sources")
    write_video(folder / "a.mp4", number_frames(30, width=96, height=64), fps=30)
    write_video(folder / "b.mp4", number_frames(21, width=64, height=96), fps=30)
    return [folder / "a.mp4", folder / "b.mp4"]


class RecordingProgress(NoProgress):
    def __init__(self):
        self.messages: list[str] = []
        self.views: list = []
        self.counted = 0

    def frames(self, shard, count):
        self.counted += count

    def message(self, message):
        self.messages.append(message)

    def workers(self, workers):
        self.views.append(list(workers))


def test_the_bytes_are_those_of_the_serial_executor(cluster, sources, tmp_path):
    run_fake(tmp_path / "serial.zarr", sources)
    progress = RecordingProgress()
    outcome = run_ray(cluster, LocalLocation(tmp_path / "ray.zarr"), sources, progress=progress, logs=tmp_path / "logs")
    assert digest_of_folder(tmp_path / "ray.zarr") == digest_of_folder(tmp_path / "serial.zarr")
    assert outcome.counts["frames"] == progress.counted == 51
    assert outcome.seconds["depth"] > 0
    assert progress.views[-1][0].host == socket.gethostname()
    logs = sorted((tmp_path / "logs").glob("worker-*.log"))
    assert sum(log.read_text().count("done: ") for log in logs) == 7


def scheduler_of(cluster, work, workers: int = 2, logs: Path | None = None, heartbeat: float = 60) -> Scheduler:
    timeouts = Timeouts(heartbeat=heartbeat, loading=60, nodes=1)
    return RayExecutor(cluster, WorkerGroup(workers, 0.0, 1), work, logs, timeouts).scheduler


def run_scheduler(cluster, scheduler: Scheduler, shards: int, progress=None) -> list:
    import pickle

    scheduler.start()
    job = Job(cluster.ray.put(pickle.dumps((None, None))), lambda shard: None)
    return list(scheduler.run(job, range(shards), progress or NoProgress()))


def test_a_worker_that_hangs_is_killed_and_its_shard_done_by_another(cluster, tmp_path):
    scheduler = scheduler_of(cluster, WaitingWork(0.01, stopping=tmp_path / "pid"), heartbeat=3)
    progress = RecordingProgress()
    results = run_scheduler(cluster, scheduler, 4, progress)
    assert sorted(r.shard for r in results if isinstance(r, ShardResult)) == list(range(4))
    assert any("made no progress for 3 s" in message for message in progress.messages)
    pid = (tmp_path / "pid").read_text()
    wait_until(lambda: not Path("/proc", pid).exists())


def wait_until(condition, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come true"
        time.sleep(0.05)


def test_a_shard_that_always_kills_its_worker_is_given_up_with_a_record(cluster, tmp_path):
    work = WaitingWork(0.01, deadly=2)
    executor = RayExecutor(cluster, WorkerGroup(2, 0.0, 1), work, tmp_path)
    results = run_scheduler(cluster, executor.scheduler, 5)
    (failure,) = [r for r in results if isinstance(r, ShardFailure)]
    assert (failure.shard, failure.attempts, failure.reason) == (2, 3, "its worker died")
    assert sorted(r.shard for r in results if isinstance(r, ShardResult)) == [0, 1, 3, 4]
    executor._record(failure)
    assert json.loads((tmp_path / "failed-00000002.json").read_text())["attempts"] == 3


def test_a_worker_that_cannot_import_a_model_says_which_and_where(cluster):
    with pytest.raises(InvalidValueError, match=rf"No module named 'networks_that_are_not'.*{socket.gethostname()}"):
        scheduler_of(cluster, BrokenWork()).start()


def test_a_plan_of_other_networks_is_refused(cluster, sources, tmp_path):
    executor = RayExecutor(cluster, WorkerGroup(1, 0.0, 1), WaitingWork())
    executor.scheduler.first = Loaded({"batch": 5}, {}, "here", 0, 0.0)
    plan = fake_plan(sources, fake_extractor())
    with pytest.raises(InvalidValueError, match="batch: 4 here, 5"):
        list(executor.run(plan, locate(tmp_path / "s.zarr"), [0], NoProgress()))


# Errors before anything is started ---------------------------------------------------------------------------


def test_an_address_without_a_cluster_is_an_error_at_once(cluster, monkeypatch):
    monkeypatch.setattr(cluster.ray, "is_initialized", lambda: False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with (
            pytest.raises(InvalidValueError, match=f"no Ray cluster responds at --address {address}"),
            Cluster(address),
        ):
            pass


@pytest.mark.parametrize(("address", "said"), [("ray://head:10001", "ray job submit"), ("head", "neither host:port")])
def test_an_address_of_another_kind_is_explained(monkeypatch, address, said):
    monkeypatch.setattr(ray_module(), "is_initialized", lambda: False)
    with pytest.raises(InvalidValueError, match=said), Cluster(address):
        pass


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr(cluster_module, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"auglift\[prep\].*--executor serial"):
        Cluster()


def test_too_little_shared_memory_says_how_to_get_more(monkeypatch):
    monkeypatch.setattr(ray_module(), "is_initialized", lambda: False)
    monkeypatch.setattr(cluster_module.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 64 << 20})())
    with pytest.raises(InvalidValueError, match=r"64 MB free.*--shm-size"), Cluster():
        pass
