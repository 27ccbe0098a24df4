"""Ray: starts it on this machine or connects to a running cluster, lists its nodes and starts workers on them."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...stores.errors import InvalidValueError, MissingExtraError
from ..device.cores import usable_cores
from . import authentication
from .address import reachable
from .resources import Node, WorkerGroup, describe_node
from .scheduling.placement import Place
from .worker import ShardWorker

# Only a plan and small results pass through Ray's memory; this is about the least it accepts.
OBJECT_STORE_BYTES = 80 << 20
SHARED_MEMORY = Path("/dev/shm")
STARTS = 3
_SETTINGS = {
    # How long Ray waits for its own node. A node that has not come up by then has given up itself (see `_start`).
    "RAY_raylet_start_wait_time_s": "40",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray would print a paragraph for each dead worker to stdout, where our JSON may go. The scheduler prints a line.
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
}


def ray_module() -> Any:
    """The module `ray`; MissingExtraError where it is not installed."""
    if find_spec("ray") is None:
        raise MissingExtraError(
            "more than one worker needs Ray, not here: pip install 'auglift[prep]'; --executor serial does without"
        )
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    import ray

    return ray


class Cluster:
    """A connection to Ray, for the length of a `with`.

    address      `auto`, or the host:port of a running cluster; None starts Ray on this machine and ends it again
    cpus, gpus   what a Ray that we start may use; None for all that the machine has
    If this process is connected to Ray already, that connection is used, whatever the arguments are.
    """

    def __init__(self, address: str | None = None, cpus: int | None = None, gpus: int | None = None):
        self.address = address
        self.cpus, self.gpus = cpus, gpus
        self.ray = ray_module()
        self._before: dict[str, str | None] | None = None  # the environment, where this connection is ours

    def __enter__(self) -> Cluster:
        if self.ray.is_initialized():
            return self
        before = authentication.environment()
        try:
            with _our_signals():
                if self.address is None:
                    _start(self.ray, self.cpus, self.gpus)
                else:
                    _connect(self.ray, self.address)
        except BaseException:
            authentication.restore(before)
            raise
        self._before = before
        return self

    def __exit__(self, *error: object) -> None:
        if self._before is not None:
            with _our_signals():
                self.ray.shutdown()
            authentication.restore(self._before)

    def nodes(self) -> list[Node]:
        """Return the nodes that are alive, in a fixed order."""
        alive = [describe_node(node) for node in self.ray.nodes() if node["Alive"]]
        return sorted(alive, key=lambda node: (node.host, node.id))


class RayHandle:
    """A worker that is a Ray actor."""

    def __init__(self, ray: Any, actor: Any):
        self.ray = ray
        self.actor = actor

    def call(self, method: str, *arguments: Any) -> Future[Any]:
        remote = getattr(self.actor, method)
        # It runs in a thread of its own, so that it returns while the worker does a shard.
        remote = remote.options(concurrency_group="status") if method == "status" else remote
        return remote.remote(*arguments).future()

    def kill(self) -> None:
        with contextlib.suppress(Exception):  # it is dead already
            self.ray.kill(self.actor)


class RayBackend:
    """Workers in a Ray cluster: actors, each bound to one node.

    pickled_work  the pickled `Work` of each
    logs          folder for their log files
    """

    def __init__(self, cluster: Cluster, group: WorkerGroup, pickled_work: bytes, logs: str | None):
        self.cluster = cluster
        self.group = group
        self.logs = logs
        ray = cluster.ray
        self._pickled_work = ray.put(pickled_work)
        # Ray must not restart a dead actor or repeat its shard: the scheduler decides that.
        self._actor = ray.remote(max_restarts=0, max_task_retries=0, concurrency_groups={"status": 1})(ShardWorker)

    def places(self) -> Sequence[Place]:
        return self.group.places(self.cluster.nodes())

    def start(self, number: int, place: Place) -> RayHandle:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        options = self._actor.options(
            num_cpus=self.group.cpus,
            num_gpus=self.group.gpus,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=place.node, soft=False),
        )
        return RayHandle(self.cluster.ray, options.remote(number, self._pickled_work, str(Path.cwd()), self.logs))

    def explain(self, error: BaseException) -> str:
        """Shorten one of Ray's errors, which fill a page, to one line with the reason."""
        from ray import exceptions

        text = str(error)
        for kind, meaning in (
            (exceptions.OutOfMemoryError, "was killed by Ray, since its node's memory was full"),
            (exceptions.ActorUnschedulableError, "could not be placed: its node is gone"),
            (exceptions.ActorUnavailableError, "is unavailable"),
        ):
            if isinstance(error, kind):
                return meaning
        for line in text.splitlines():
            if "No module named" in line:
                return f"cannot import what it needs: {line.strip()}"
        if isinstance(error, exceptions.RayActorError):
            return "lost its node" if "node" in text and "died" in text.split("node", 1)[1][:80] else "died"
        return f"failed: {text.strip().splitlines()[0] if text.strip() else type(error).__name__}"


def _start(ray: Any, cpus: int | None, gpus: int | None) -> None:
    """Start Ray on this machine. Its processes end with this one, however it ends."""
    if SHARED_MEMORY.is_dir():
        free = shutil.disk_usage(SHARED_MEMORY).free
        if free < OBJECT_STORE_BYTES:
            raise InvalidValueError(
                f"{SHARED_MEMORY} has {free >> 20} MB free and Ray needs {OBJECT_STORE_BYTES >> 20}; in a container, "
                "give it more (docker run --shm-size=1g), or use --executor serial"
            )
    authentication.prepare_to_start()
    for attempt in range(1, STARTS + 1):
        try:
            ray.init(
                address="local",
                num_cpus=usable_cores() if cpus is None else cpus,
                num_gpus=gpus,
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
            return
        except Exception as error:
            # On a busy machine, or with Python on a slow network disk, a helper of Ray's node needs more than the 15
            # seconds it is given (ray-project/ray#65983); the next time its files are in memory.
            ray.shutdown()
            if attempt == STARTS:
                raise InvalidValueError(
                    f"Ray did not start here in {STARTS} attempts ({_first_line(error)}); when the machine is less "
                    "busy try again, or start it yourself (ray start --head) and give --address auto"
                ) from error


def _connect(ray: Any, address: str) -> None:
    """Join the running cluster at `address`; InvalidValueError, with the first cause in one line, where that fails."""
    found = reachable(address)
    authentication.prepare_to_join(found)
    try:
        ray.init(address=found, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        ray.shutdown()
        reason = _reason(error)
        if "InvalidAuthToken" in reason:
            reason = "it has another token than the one here (RAY_AUTH_TOKEN, or ~/.ray/auth_token)"
        raise InvalidValueError(f"no Ray cluster could be joined at --address {address}: {reason}") from error


def _reason(error: BaseException) -> str:
    """Return the first cause of a chain of exceptions, in one line: the others only say that something failed."""
    while error.__cause__ is not None:
        error = error.__cause__
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


@contextlib.contextmanager
def _our_signals() -> Iterator[None]:
    """Keep our signal handlers: Ray sets its own, which would end this process without a message."""
    try:
        kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        yield
    finally:
        with contextlib.suppress(ValueError):  # not the main thread: there are none to keep
            for number, handler in kept.items():
                signal.signal(number, handler)
