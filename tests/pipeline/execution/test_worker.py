"""pipeline/execution/worker.py: whatever happens in a worker is returned as plain data, a line in its log, or both."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest

from auglift.pipeline.execution.results import ShardResult
from auglift.pipeline.execution.worker import Failure, Heartbeat, Loaded, ShardWorker
from auglift.stores.errors import InvalidValueError, StoreWriteError

from ...fakes.waiting_work import BrokenWork, WaitingWork


class Failing(WaitingWork):
    """Raises a given error."""

    def __init__(self, error: Exception):
        super().__init__()
        self.error = error

    def do(self, shard, heartbeat):
        raise self.error


def loaded(work, logs: Path | None = None) -> ShardWorker:
    worker = ShardWorker(3, pickle.dumps(work), ".", None if logs is None else str(logs))
    assert isinstance(worker.load(), Loaded)
    return worker


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (RuntimeError("no luck\nline 2"), "shard", "RuntimeError: no luck"),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), "worker", "RuntimeError: CUDA error:"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "shard", "RuntimeError: CUDA out of memory."),
        (StoreWriteError("the disk is full"), "store", "the disk is full"),
        (KeyError(), "shard", "KeyError"),
    ],
)
def test_a_failure_says_whether_shard_worker_or_store_failed(error, kind, reason):
    failure = loaded(Failing(error)).do(0)
    assert isinstance(failure, Failure)
    assert failure.kind == kind
    assert failure.reason.startswith(reason)
    assert "\n" not in failure.reason


def test_work_that_cannot_be_unpickled_is_a_failure():
    result = ShardWorker(0, pickle.dumps(BrokenWork()), ".", None).load()
    assert result == Failure("worker", "ModuleNotFoundError: No module named 'networks_that_are_not'")


def test_the_log_has_shards_and_whole_tracebacks(tmp_path):
    loaded(WaitingWork(), tmp_path).do(7)
    loaded(Failing(InvalidValueError("bad clip")), tmp_path).do(8)
    text = (tmp_path / "worker-0003.log").read_text()
    assert "shard 7 done: 8 frames" in text
    assert "Traceback" in text
    assert "InvalidValueError: bad clip" in text


def test_a_log_folder_that_cannot_be_made_does_not_stop_the_worker(tmp_path):
    (tmp_path / "file").write_text("")
    assert isinstance(loaded(WaitingWork(), tmp_path / "file" / "logs").do(0), ShardResult)


def test_relative_paths_start_at_the_drivers_folder(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    ShardWorker(0, pickle.dumps(WaitingWork()), str(tmp_path), None).load()
    assert Path.cwd() == tmp_path


def test_a_heartbeat_stalls_only_while_a_stage_runs():
    heartbeat = Heartbeat()
    time.sleep(0.02)
    assert heartbeat.status().stalled == 0
    heartbeat.begin("begin", 4)
    heartbeat.enter("depth")
    time.sleep(0.02)
    status = heartbeat.status()
    assert (status.stage, status.shard) == ("depth", 4)
    assert status.stalled >= 0.02
    heartbeat.batch(8)
    status = heartbeat.status()
    assert status.stalled < 0.02
    assert (status.frames, status.rate > 0) == (8, True)
    heartbeat.end()
    assert heartbeat.status().shard is None


def test_a_worker_needs_no_torch_to_report_what_is_missing():
    execution = "auglift.pipeline.execution"
    code = f"import sys, {execution}.worker, {execution}.ray_cluster, {execution}.ray_executor"
    code += "; sys.exit(any(name in sys.modules for name in ('torch', 'mmpose', 'transformers', 'av')))"
    root = Path(__file__).resolve().parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
