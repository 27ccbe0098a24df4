"""Ray itself: one of our own on this machine, or a cluster that runs; what it has, and workers in it."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..stores.errors import InvalidValueError, MissingExtraError
from .cores import usable_cores
from .roster import Place
from .worker import ShardWorker
from .workers import Crowd, Node, settings_of

# Only a plan and small results pass through Ray's memory; this is about the least it accepts.
OBJECT_STORE_BYTES = 80 << 20
SHARED_MEMORY = Path("/dev/shm")
TOKEN = Path.home() / ".ray" / "auth_token"
STARTS = 3
CONNECT_SECONDS = 10
_AUTHENTICATION = "RAY_AUTH_MODE"
_SETTINGS = {
    # How long Ray waits for its own node. A node that has not come up by then has given up itself (see `_start`).
    "RAY_raylet_start_wait_time_s": "40",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray would print a paragraph a dead worker to stdout, which may carry our JSON; the pool says it in a line.
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
    # No worker may be hired twice because Ray brings it back: the pool does that.
    "RAY_enable_worker_prestart": "0",
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
    cpus, gpus   what a Ray of our own is told that it has; None for what the machine has
    A process that is connected to Ray already stays so, whatever is asked for here.
    """

    def __init__(self, address: str | None = None, cpus: int | None = None, gpus: int | None = None):
        self.address = address
        self.cpus, self.gpus = cpus, gpus
        self._showing_token = address is not None and _show_token()
        self.ray = ray_module()
        self._mine = False

    def __enter__(self) -> Cluster:
        if not self.ray.is_initialized():
            try:
                with _our_signals():
                    if self.address is None:
                        _start(self.ray, self.cpus, self.gpus)
                    else:
                        _connect(self.ray, self.address)
            except BaseException:
                self._hide_token()
                raise
            self._mine = True
        return self

    def __exit__(self, *error: object) -> None:
        if self._mine:
            with _our_signals():
                self.ray.shutdown()
        self._hide_token()

    def _hide_token(self) -> None:
        if self._showing_token:
            os.environ.pop(_AUTHENTICATION, None)

    def nodes(self) -> list[Node]:
        """The nodes that are alive, in a fixed order."""
        alive = [settings_of(node) for node in self.ray.nodes() if node["Alive"]]
        return sorted(alive, key=lambda node: (node.host, node.id))


def _show_token() -> bool:
    """`ray start` protects a cluster where it finds a token; who joins has to be told, before Ray is imported."""
    given = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    if _AUTHENTICATION in os.environ or "ray" in sys.modules or not (given or TOKEN.is_file()):
        return False
    os.environ[_AUTHENTICATION] = "token"
    return True


class RayHandle:
    """A worker that is a Ray actor."""

    def __init__(self, ray: Any, actor: Any):
        self.ray = ray
        self.actor = actor

    def call(self, method: str, *arguments: Any) -> Future[Any]:
        remote = getattr(self.actor, method)
        # Asked in a thread of its own: it answers while the worker works.
        remote = remote.options(concurrency_group="status") if method == "status" else remote
        return remote.remote(*arguments).future()

    def kill(self) -> None:
        with contextlib.suppress(Exception):  # it is dead, or its node is
            self.ray.kill(self.actor, no_restart=True)


class RayCrew:
    """Workers in a cluster, each an actor nailed to its node.

    sealed   the pickled `Work` that each gets
    logs     folder for their log files
    """

    def __init__(self, cluster: Cluster, crowd: Crowd, sealed: bytes, logs: str | None):
        self.cluster = cluster
        self.crowd = crowd
        self.logs = logs
        ray = cluster.ray
        self._sealed = ray.put(sealed)
        # Ray would bring a dead actor back by itself and run its shard again: only the pool decides that.
        self._actor = ray.remote(max_restarts=0, max_task_retries=0, concurrency_groups={"status": 1})(ShardWorker)

    def places(self) -> Sequence[Place]:
        return self.crowd.places(self.cluster.nodes())

    def hire(self, number: int, place: Place) -> RayHandle:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        options = self._actor.options(
            num_cpus=self.crowd.cpus,
            num_gpus=self.crowd.gpus,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=place.node, soft=False),
        )
        return RayHandle(self.cluster.ray, options.remote(number, self._sealed, str(Path.cwd()), self.logs))

    def why(self, error: BaseException) -> str:
        """Ray's errors fill a page; in a line, with the reason that is in it."""
        from ray import exceptions

        text = str(error)
        for kind, meaning in (
            (exceptions.OutOfMemoryError, "was killed by Ray, since its node's memory was full"),
            (exceptions.ActorUnschedulableError, "could not be placed: its node is gone"),
            (exceptions.ActorUnavailableError, "cannot be reached"),
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
    """A Ray of our own. It and its processes end with this one, however it ends."""
    if SHARED_MEMORY.is_dir():
        free = shutil.disk_usage(SHARED_MEMORY).free
        if free < OBJECT_STORE_BYTES:
            raise InvalidValueError(
                f"{SHARED_MEMORY} has {free >> 20} MB free and Ray needs {OBJECT_STORE_BYTES >> 20}; in a container, "
                "give it more (docker run --shm-size=1g), or use --executor serial"
            )
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
    if address.startswith("ray://"):
        raise InvalidValueError(
            f"--address {address}: Ray Client is not supported; run the command on a node of the cluster, or hand it "
            "in with `ray job submit`"
        )
    host, _, port = address.rpartition(":")
    if address != "auto":
        if not host or not port.isdigit():
            raise InvalidValueError(f"--address '{address}' is neither host:port nor auto")
        try:
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
        except OSError as error:
            raise InvalidValueError(
                f"nobody answers at --address {address} ({error}); is the cluster up, and the port that of "
                "`ray start --head`?"
            ) from error
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        ray.shutdown()
        raise InvalidValueError(f"no Ray cluster could be joined at --address {address}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """The root of a chain of exceptions says what really happened."""
    while error.__cause__ is not None:
        error = error.__cause__
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


@contextlib.contextmanager
def _our_signals() -> Iterator[None]:
    """Ray sets handlers of its own that would end this process without a word; ours stay."""
    try:
        kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        yield
    finally:
        with contextlib.suppress(ValueError):  # not the main thread: there are none to keep
            for number, handler in kept.items():
                signal.signal(number, handler)
