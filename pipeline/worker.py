"""One worker: a process with networks of its own that does the shards it is given and can be asked how it goes.

Nothing here imports torch or Ray: a worker that cannot import what it needs must still be able to say so.
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

from .device_errors import is_device_lost

if TYPE_CHECKING:
    from ..stores.location import Location
    from .calibrate import Calibration
    from .extract import Extractor
    from .plan import Plan
    from .results import ShardResult


@dataclass(frozen=True)
class Loaded:
    """A worker that has its networks: what they are, and the versions of what computes."""

    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    host: str
    pid: int
    seconds: float


@dataclass(frozen=True)
class Trouble:
    """What went wrong in a worker, in one line.

    kind   `shard`: this shard, this time; `worker`: nothing will go well with this worker; `store`: nothing will
           go well anywhere
    """

    kind: str
    reason: str


@dataclass(frozen=True)
class Status:
    """What a worker is doing now.

    shard    None where it does none
    frames   of that shard that went through the networks
    still    seconds since something last changed
    rate     frames a second, over all that it did so far
    memory   bytes of GPU memory it holds
    """

    stage: str
    shard: int | None
    frames: int
    still: float
    rate: float
    memory: int


class Pulse:
    """What a worker is doing, kept up to date by the thread that does it and read by another."""

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
        still = 0.0 if self.stage == "idle" else now - self._changed
        return Status(self.stage, self.shard, self.frames, still, rate, _gpu_memory())


class Work(Protocol):
    """What a worker does. It is made by the driver and travels to the worker before anything is loaded."""

    def load(self) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        """Settings and versions. Takes long; an exception says why this worker cannot work."""
        ...

    def begin(self, plan: Any, location: Any) -> None:
        """Be told the job. An exception says why it cannot be done from here."""
        ...

    def do(self, shard: int, pulse: Pulse) -> ShardResult: ...

    def calibrate(self, plan: Any) -> Any:
        """How long a plan will take. Optional: only `auglift-prep --dry-run --calibrate` asks."""
        ...


class ExtractorWork:
    """The depth pass: networks built once, then shard after shard into the store.

    networks   `NetworkOptions`, or anything with its `build` and `settings`
    """

    def __init__(self, networks: Any):
        self.networks = networks

    def load(self) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        from .memory import ForwardLimit
        from .work import versions

        self.extractor: Extractor = self.networks.build()
        self.limit = ForwardLimit()
        return self.networks.settings(self.extractor), versions()

    def begin(self, plan: Plan, location: Location) -> None:
        from ..stores.shards import ShardWriter
        from .work import require_visible

        require_visible(plan, location)
        self.plan = plan
        self.writer = ShardWriter(location, plan.layout, plan.fingerprint)

    def do(self, shard: int, pulse: Pulse) -> ShardResult:
        from .work import process_shard, recorded

        # Who had it before may have died, or seemed to, between its last write and its answer.
        there = recorded(self.writer, shard)
        if there is not None:
            return there
        return process_shard(
            self.extractor,
            self.plan,
            self.plan.shards[shard],
            self.writer,
            on_frames=pulse.batch,
            on_stage=pulse.enter,
            limit=self.limit,
        )

    def calibrate(self, plan: Plan) -> Calibration:
        from .calibrate import calibrate

        return calibrate(self.extractor, plan)


class ShardWorker:
    """What runs in the worker's process. Every method answers; none raises what the driver could not read.

    number   of the worker, in its log's name
    sealed   a pickled `Work`: opened by `load`, so that what cannot be imported here is an answer like any other
    folder   the driver's working directory, which relative paths are meant from
    logs     folder for the worker's log file, or None
    """

    def __init__(self, number: int, sealed: bytes, folder: str, logs: str | None):
        self.number = number
        self.sealed = sealed
        self.folder = folder
        self.pulse = Pulse()
        self.log = _logger(number, logs)

    def load(self) -> Loaded | Trouble:
        begin = time.perf_counter()
        with contextlib.suppress(OSError):  # not there on this node: absolute paths still work
            os.chdir(self.folder)
        self.log.info("process %d on %s, Python %s", os.getpid(), platform.node(), platform.python_version())
        with self._pulse("loading"):
            try:
                self.work: Work = pickle.loads(self.sealed)
                settings, versions = self.work.load()
            except Exception as error:
                return self._trouble("worker", error)
        seconds = time.perf_counter() - begin
        self.log.info("ready after %.1f s; %s", seconds, ", ".join(f"{k} {v}" for k, v in versions.items()))
        return Loaded(settings, versions, platform.node(), os.getpid(), seconds)

    def begin(self, job: bytes) -> Trouble | None:
        """job   pickled (plan, location)"""
        try:
            self.work.begin(*pickle.loads(job))
        except Exception as error:
            return self._trouble("worker", error)
        return None

    def do(self, shard: int) -> ShardResult | Trouble:
        self.log.info("shard %d", shard)
        with self._pulse("begin", shard):
            try:
                result = self.work.do(shard, self.pulse)
            except Exception as error:
                return self._trouble(_kind(error), error)
        spent = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in result.seconds.items())
        self.log.info("shard %d done: %d frames; seconds: %s", shard, result.frames, spent)
        if result.split:
            self.log.warning("the GPU was full: batches go through the networks %d frames at a time", result.split)
        return result

    def calibrate(self, plan: bytes) -> Any:
        """plan   pickled; a `Calibration` comes back, or what went wrong"""
        try:
            return self.work.calibrate(pickle.loads(plan))
        except Exception as error:
            return self._trouble("worker", error)

    def status(self) -> Status:
        return self.pulse.status()

    @contextlib.contextmanager
    def _pulse(self, stage: str, shard: int | None = None) -> Iterator[None]:
        self.pulse.begin(stage, shard)
        try:
            yield
        finally:
            self.pulse.end()

    def _trouble(self, kind: str, error: Exception) -> Trouble:
        self.log.error("%s", "".join(traceback.format_exception(error)).rstrip())
        return Trouble(kind, one_line(error))


def one_line(error: BaseException) -> str:
    """An error's kind and the first line of what it says; of our own errors, all that they say."""
    from ..stores.errors import AugliftError

    if isinstance(error, AugliftError):
        return " ".join(str(error).split())
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}".removesuffix(": ")


def _kind(error: Exception) -> str:
    from ..stores.errors import StoreWriteError

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
