"""Resources: which executor, how many workers, with how many cores and GPUs each, and which nodes they fit on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...stores.errors import InvalidValueError
from .scheduling.placement import Place

EXECUTORS = ("auto", "serial", "ray")
# More cores than this do not make a worker with a GPU faster.
CORES_OF_A_GPU_WORKER = 4


@dataclass(frozen=True)
class WorkerOptions:
    """The options of a user; None where we choose.

    gpus             GPUs in all; 0 for none
    workers          number of workers without a GPU
    workers_per_gpu  workers that share one GPU and its memory
    cpus_per_worker  cores of a worker, and its threads unless `--threads` is given
    address          of a running Ray cluster; None to start Ray on this machine
    """

    executor: str = "auto"
    gpus: int | None = None
    workers: int | None = None
    workers_per_gpu: int = 1
    cpus_per_worker: int | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        if self.executor not in EXECUTORS:
            raise InvalidValueError(f"--executor '{self.executor}' is none of {', '.join(EXECUTORS)}")
        if self.workers is not None and self.gpus != 0:
            raise InvalidValueError(
                "--workers counts workers without a GPU: add --gpus 0, or give the number of GPUs with --gpus"
            )
        if self.executor == "serial" and (self.address is not None or self._count > 1):
            raise InvalidValueError("--executor serial is one worker in this process; leave it out for more")

    @property
    def _count(self) -> int:
        return (self.workers or 1) if not self.gpus else self.gpus * self.workers_per_gpu

    @property
    def ray(self) -> bool:
        """Whether Ray is needed: it was named, or a cluster's address, or more than one worker."""
        return self.executor == "ray" or (self.executor == "auto" and (self.address is not None or self._count > 1))

    def check_gpus(self, here: int) -> None:
        """Raise InvalidValueError if this machine has too few GPUs. Called before Ray is started, which takes seconds.

        here   GPUs of this machine
        """
        if self.address is None and self.gpus != 0:
            _check_gpus(self.gpus, here, "on this machine")


@dataclass(frozen=True)
class Node:
    """A machine of a Ray cluster, and what Ray may use of it."""

    id: str
    host: str
    cpus: float
    gpus: float


@dataclass(frozen=True)
class WorkerGroup:
    """Workers with equal resources.

    count   number of workers
    gpus    GPUs of each: 1, a share of one, or 0
    cpus    cores of each
    """

    count: int
    gpus: float
    cpus: int

    def fitting(self, node: Node) -> int:
        """Return how many of them fit on a node."""
        cores = int(node.cpus // self.cpus)
        # Ray counts shares of a GPU in ten thousandths, and a worker never has parts of two GPUs.
        return min(cores, int(node.gpus) * round(1 / self.gpus)) if self.gpus else cores

    def places(self, nodes: Sequence[Node]) -> list[Place]:
        """Spread them over the nodes in turn, so that few workers share a disk and a network connection."""
        fitting = [(node, self.fitting(node)) for node in nodes]
        most = max((count for _, count in fitting), default=0)
        places = [Place(node.id, node.host, index) for index in range(most) for node, count in fitting if index < count]
        return places[: self.count]


def worker_group(options: WorkerOptions, nodes: Sequence[Node], threads: int | None) -> WorkerGroup:
    """Turn a user's options into workers that fit on the nodes.

    threads   of each worker's networks, or None if the user did not say
    InvalidValueError if there is no GPU, or if the workers do not fit.
    """
    where = "on this machine" if options.address is None else f"in the cluster at {options.address}"
    if options.gpus == 0:
        count, share = options.workers or 1, 0.0
    else:
        found = int(sum(node.gpus for node in nodes))
        _check_gpus(options.gpus, found, where)
        count = (options.gpus or found) * options.workers_per_gpu
        share = 1 / options.workers_per_gpu
    cpus = options.cpus_per_worker or threads or _cores_each(count, share, nodes)
    group = WorkerGroup(count, share, cpus)
    if len(group.places(nodes)) < count:
        there = "; ".join(f"{node.host}: {node.cpus:g} cores, {node.gpus:g} GPUs" for node in nodes[:8])
        each = f"{cpus} cores" + (f" and {share:g} GPU" if share else "")
        raise InvalidValueError(
            f"{count} workers with {each} each do not fit {where} ({there}); use fewer, or less for each with "
            "--cpus-per-worker"
        )
    return group


def _check_gpus(wanted: int | None, found: int, where: str) -> None:
    if found == 0:
        raise InvalidValueError(f"no GPU was found {where}; for workers without one: --gpus 0 --workers N")
    if wanted is not None and wanted > found:
        raise InvalidValueError(f"--gpus {wanted} is more than the {found} there are {where}; try --gpus {found}")


def _cores_each(count: int, share: float, nodes: Sequence[Node]) -> int:
    """Return the cores of each worker: without GPUs, as many as `count` workers can have.

    With GPUs it depends on the nodes alone and not on how many GPUs are used: threads are part of the plan, and a job
    that lost GPUs must be able to go on with the others.
    """
    if share:
        per_worker = [node.cpus / (node.gpus / share) for node in nodes if node.gpus >= 1]
        return max(1, min(CORES_OF_A_GPU_WORKER, int(min(per_worker))))
    most = int(max((node.cpus for node in nodes), default=1))
    return next((c for c in range(most, 1, -1) if len(WorkerGroup(count, 0.0, c).places(nodes)) == count), 1)


def describe_node(node: Mapping) -> Node:
    """Read one entry of `ray.nodes()`."""
    resources = node.get("Resources", {})
    return Node(
        node["NodeID"], node.get("NodeManagerHostname", "?"), resources.get("CPU", 0.0), resources.get("GPU", 0.0)
    )
