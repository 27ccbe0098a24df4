"""A worker: a process with its own networks that does one shard after another and reports its progress.

Nothing here imports torch or Ray: a worker that cannot import what it needs must still be able to report that.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import platform
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..device.device_errors import is_device_lost

if TYPE_CHECKING:
    from ...stores.locations.base import Location
    from ..extract import Extractor
    from ..plan import Plan
    from .calibration import Calibration
    from .results import ShardResult


@dataclass(frozen=True)
class Loaded:
    """What a worker reports when its networks are loaded: their settings, and the versions of the libraries."""

    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    host: str
    pid: int
    seconds: float


@dataclass(frozen=True)
class Failure:
    """What a worker reports when it fails.

    kind     what failed: `shard` (it may be tried again), `worker` (this worker cannot go on) or `store` (no worker
             can go on)
    reason   why, in one line
    """

    kind: str
    reason: str


@dataclass(frozen=True)
class Status:
    """What a worker is doing now.

    shard     None if it is idle
    frames    of that shard that went through the networks
    stalled   seconds since the last progress
    rate      frames a second, over all shards so far
    memory    bytes of GPU memory that it holds
    """

    stage: str
    shard: int | None
    frames: int
    stalled: float
    rate: float
    memory: int


class Heartbeat:
    """What a worker is doing: written by the thread that does it, read by the thread that reports it."""

    def __init__(self) -> None:
        self.stage = "idle"
        self.shard: int | None = None
        self.frames = 0
        self._changed = self._begun = time.monotonic()
        self._total = 0
        self._busy = 0.0

    def begin(self, stage: str, shard: int | None = None) -> None:
        self.shard, self.frames = shard, 0
        self._begun = time.monotonic()
        self.enter(stage)

    def enter(self, stage: str) -> None:
        self.stage = stage
        self._changed = time.monotonic()

    def batch(self, frames: int) -> None:
        self.frames += frames
        self._changed = time.monotonic()

    def end(self) -> None:
        if self.shard is not None:
            self._total += self.frames
            self._busy += time.monotonic() - self._begun
        self.begin("idle")

    def status(self) -> Status:
        now = time.monotonic()
        busy = self._busy + (now - self._begun if self.shard is not None else 0.0)
        rate = (self._total + self.frames) / max(busy, 1e-9)
        stalled = 0.0 if self.stage == "idle" else now - self._changed
        return Status(self.stage, self.shard, self.frames, stalled, rate, _gpu_memory())


class Work(Protocol):
    """What a worker does. The driver makes it and sends it to the worker, which then loads the networks."""

    def load(self) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        """Load the networks and return settings and versions. An exception says why this worker cannot work."""
        ...

    def begin(self, plan: Any, location: Any) -> None:
        """Prepare for a job. An exception says why it cannot be done from this node."""
        ...

    def do(self, shard: int, heartbeat: Heartbeat) -> ShardResult: ...

    def calibrate(self, plan: Any) -> Any:
        """Estimate how long a plan takes. Only `auglift-prep --dry-run --calibrate` calls it."""
        ...


class ExtractorWork:
    """The depth pass: builds the networks once, then writes one shard after another.

    networks   `NetworkOptions`, or an object with the same `build` and `settings`
    """

    def __init__(self, networks: Any):
        self.networks = networks

    def load(self) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        from ..homes import settle
        from .batch_memory import ForwardLimit
        from .shard_job import versions

        settle()  # a node may have no home that can be written where the driver has one
        self.extractor: Extractor = self.networks.build()
        self.limit = ForwardLimit()
        return self.networks.settings(self.extractor), versions()

    def begin(self, plan: Plan, location: Location) -> None:
        from ...stores.writing.shards import ShardWriter
        from .shard_job import require_visible

        require_visible(plan, location)
        self.plan = plan
        self.writer = ShardWriter(location, plan.layout, plan.fingerprint)

    def do(self, shard: int, heartbeat: Heartbeat) -> ShardResult:
        from .shard_job import process_shard, recorded

        # An earlier worker may have been lost after its last write, before the driver had its result.
        there = recorded(self.writer, shard)
        if there is not None:
            return there
        return process_shard(
            self.extractor,
            self.plan,
            self.plan.shards[shard],
            self.writer,
            on_frames=heartbeat.batch,
            on_stage=heartbeat.enter,
            limit=self.limit,
        )

    def calibrate(self, plan: Plan) -> Calibration:
        from .calibration import calibrate

        return calibrate(self.extractor, plan)


class ShardWorker:
    """Runs in the worker's process. No method raises an exception: each returns its result or a `Failure`.

    number        of the worker; part of its log file's name
    pickled_work  a pickled `Work`; `load` unpickles it, so that a failed import is a `Failure` like any other
    folder        the driver's working directory: relative paths start there
    logs          folder for the worker's log file, or None
    """

    def __init__(self, number: int, pickled_work: bytes, folder: str, logs: str | None):
        self.number = number
        self.pickled_work = pickled_work
        self.folder = folder
        self.heartbeat = Heartbeat()
        self.log = _logger(number, logs)

    def load(self) -> Loaded | Failure:
        begin = time.perf_counter()
        with contextlib.suppress(OSError):  # this node does not have it: absolute paths still work
            os.chdir(self.folder)
        self.log.info("process %d on %s, Python %s", os.getpid(), platform.node(), platform.python_version())
        with self._stage("loading"):
            try:
                self.work: Work = pickle.loads(self.pickled_work)
                settings, versions = self.work.load()
            except Exception as error:
                return self._failure("worker", error)
        seconds = time.perf_counter() - begin
        self.log.info("ready after %.1f s; %s", seconds, ", ".join(f"{k} {v}" for k, v in versions.items()))
        return Loaded(settings, versions, platform.node(), os.getpid(), seconds)

    def begin(self, job: bytes) -> Failure | None:
        """Check that the job can be done from this node. job: pickled (plan, location)."""
        try:
            self.work.begin(*pickle.loads(job))
        except Exception as error:
            return self._failure("worker", error)
        return None

    def do(self, shard: int) -> ShardResult | Failure:
        self.log.info("shard %d", shard)
        with self._stage("begin", shard):
            try:
                result = self.work.do(shard, self.heartbeat)
            except Exception as error:
                return self._failure(_kind(error), error)
        spent = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in result.seconds.items())
        self.log.info("shard %d done: %d frames; seconds: %s", shard, result.frames, spent)
        if result.split:
            self.log.warning("the GPU was full: batches go through the networks %d frames at a time", result.split)
        return result

    def calibrate(self, plan: bytes) -> Any:
        """Return a `Calibration`. plan: pickled."""
        try:
            return self.work.calibrate(pickle.loads(plan))
        except Exception as error:
            return self._failure("worker", error)

    def status(self) -> Status:
        return self.heartbeat.status()

    @contextlib.contextmanager
    def _stage(self, stage: str, shard: int | None = None) -> Iterator[None]:
        self.heartbeat.begin(stage, shard)
        try:
            yield
        finally:
            self.heartbeat.end()

    def _failure(self, kind: str, error: Exception) -> Failure:
        self.log.error("%s", "".join(traceback.format_exception(error)).rstrip())
        return Failure(kind, one_line(error))


def one_line(error: BaseException) -> str:
    """Return an error's type and the first line of its message; of an `AugliftError`, the whole message."""
    from ...stores.errors import AugliftError

    if isinstance(error, AugliftError):
        return " ".join(str(error).split())
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}".removesuffix(": ")


def _kind(error: Exception) -> str:
    from ...stores.errors import StoreWriteError

    if isinstance(error, StoreWriteError):
        return "store"
    return "worker" if is_device_lost(error) else "shard"


def _gpu_memory() -> int:
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "cuda") or not torch.cuda.is_initialized():
        return 0
    return int(torch.cuda.memory_reserved())


def _logger(number: int, logs: str | None) -> logging.Logger:
    logger = logging.getLogger(f"auglift.worker.{number}")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    if logs is not None:
        try:
            Path(logs).mkdir(parents=True, exist_ok=True)
            handler: logging.Handler = logging.FileHandler(Path(logs) / f"worker-{number:04d}.log")
        except OSError:  # the folder cannot be written on this node: Ray keeps what goes to stderr
            handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
    return logger
