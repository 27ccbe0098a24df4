"""Which executor, how many workers, with what each: what a user asked for against what there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..stores.errors import InvalidValueError
from .roster import Place

EXECUTORS = ("auto", "serial", "ray")
# More cores than this do not speed up a worker whose networks run on a GPU.
CORES_OF_A_GPU_WORKER = 4


@dataclass(frozen=True)
class WorkerOptions:
    """What a user asks for; None where it is left to us.

    gpus             GPUs to use in all; 0 for none
    workers          how many, where no GPU is used
    workers_per_gpu  that share one GPU and its memory
    cpus_per_worker  cores, and threads where `--threads` does not say otherwise
    address          of a Ray cluster that runs; None for one of our own, on this machine
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
                "--workers counts workers without a GPU: add --gpus 0, or say how many GPUs with --gpus"
            )
        if self.executor == "serial" and (self.address is not None or self._asked > 1):
            raise InvalidValueError("--executor serial is one worker in this process; leave it out for more")

    @property
    def _asked(self) -> int:
        return (self.workers or 1) if not self.gpus else self.gpus * self.workers_per_gpu

    @property
    def ray(self) -> bool:
        """Whether this asks for Ray: by name, by a cluster's address, or by more than one worker."""
        return self.executor == "ray" or (self.executor == "auto" and (self.address is not None or self._asked > 1))

    def check_gpus(self, here: int) -> None:
        """InvalidValueError where this machine has not the GPUs that are asked for; before Ray is started for nothing.

        here   GPUs of this machine
        """
        if self.address is None and self.gpus != 0:
            _check_gpus(self.gpus, here, "on this machine")


@dataclass(frozen=True)
class Node:
    """A machine and what Ray may use of it."""

    id: str
    host: str
    cpus: float
    gpus: float


@dataclass(frozen=True)
class Crowd:
    """Workers of one kind.

    count   of them; at most so many are hired
    gpus    share of a GPU each has, 0 for none
    cpus    cores each has
    """

    count: int
    gpus: float
    cpus: int

    def fitting(self, node: Node) -> int:
        """How many of them a node holds."""
        cores = int(node.cpus // self.cpus)
        # Ray keeps shares of a GPU in ten thousandths, and no worker has parts of two.
        return min(cores, int(node.gpus) * round(1 / self.gpus)) if self.gpus else cores

    def places(self, nodes: Sequence[Node]) -> list[Place]:
        """Where they go: over the nodes in turn, so that few share a disk and a network."""
        fitting = [(node, self.fitting(node)) for node in nodes]
        deepest = max((count for _, count in fitting), default=0)
        places = [
            Place(node.id, node.host, index) for index in range(deepest) for node, count in fitting if index < count
        ]
        return places[: self.count]


def crowd(options: WorkerOptions, nodes: Sequence[Node], threads: int | None) -> Crowd:
    """The workers that were asked for, on the nodes that there are.

    threads   that each worker's networks use, where the user says so
    InvalidValueError where there is no GPU, or more is asked for than there is.
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
    asked = Crowd(count, share, cpus)
    if len(asked.places(nodes)) < count:
        there = "; ".join(f"{node.host}: {node.cpus:g} cores, {node.gpus:g} GPUs" for node in nodes[:8])
        each = f"{cpus} cores" + (f" and {share:g} GPU" if share else "")
        raise InvalidValueError(
            f"{count} workers with {each} each do not fit {where} ({there}); ask for fewer, or for less each with "
            "--cpus-per-worker"
        )
    return asked


def _check_gpus(asked: int | None, found: int, where: str) -> None:
    if found == 0:
        raise InvalidValueError(f"no GPU was found {where}; for workers without one: --gpus 0 --workers N")
    if asked is not None and asked > found:
        raise InvalidValueError(f"--gpus {asked} is more than the {found} there are {where}; try --gpus {found}")


def _cores_each(count: int, share: float, nodes: Sequence[Node]) -> int:
    """Cores a worker: as many as there are for so many workers.

    With GPUs it depends on what the machines are and not on how many of them are used: threads are part of the
    plan, and a job that lost a node should go on with the others.
    """
    if share:
        per_worker = [node.cpus / (node.gpus / share) for node in nodes if node.gpus >= 1]
        return max(1, min(CORES_OF_A_GPU_WORKER, int(min(per_worker))))
    most = int(max((node.cpus for node in nodes), default=1))
    return next((c for c in range(most, 1, -1) if len(Crowd(count, 0.0, c).places(nodes)) == count), 1)


def settings_of(node: Mapping) -> Node:
    """A node as Ray describes it."""
    resources = node.get("Resources", {})
    return Node(
        node["NodeID"], node.get("NodeManagerHostname", "?"), resources.get("CPU", 0.0), resources.get("GPU", 0.0)
    )
