"""Runs a depth pass in this process or on Ray: the options for workers, the same for every dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from ...stores.errors import InvalidValueError
from ..common import stderr

if TYPE_CHECKING:
    from ...pipeline.build import NetworkOptions
    from ...pipeline.execution.calibration import Calibration
    from ...pipeline.execution.resources import WorkerOptions
    from ...pipeline.execution.serial import Executor
    from ...pipeline.plan import Plan

WORKER_OPTIONS = [
    click.option(
        "--executor",
        type=click.Choice(["auto", "serial", "ray"]),
        default="auto",
        show_default=True,
        help="serial: one worker in this process. auto: Ray if there is more than one.",
    ),
    click.option("--gpus", type=click.IntRange(min=0), help="GPUs to use, one worker each. Default in a cluster: all."),
    click.option("--workers", type=click.IntRange(min=1), help="Number of workers without a GPU; needs --gpus 0."),
    click.option(
        "--workers-per-gpu", type=click.IntRange(min=1), default=1, show_default=True, help="Workers that share a GPU."
    ),
    click.option(
        "--cpus-per-worker",
        type=click.IntRange(min=1),
        help="Cores of a Ray worker. Default: --threads; else up to 4 with a GPU, an equal share without.",
    ),
    click.option(
        "--address",
        envvar="RAY_ADDRESS",
        metavar="HOST:PORT",
        help="A running Ray cluster; `auto` on one of its nodes. Default: RAY_ADDRESS, or Ray is started here.",
    ),
    click.option(
        "--heartbeat",
        type=click.FloatRange(min=1),
        default=600,
        show_default=True,
        metavar="SECONDS",
        help="Kill a Ray worker without progress for this time, and give its shard to another one.",
    ),
    click.option(
        "--logs", metavar="DIR", help="Folder for log files of Ray workers. Default: STORE.logs beside a local store."
    ),
]


@dataclass(frozen=True)
class ReadyExecutor:
    """An executor whose networks are loaded.

    settings    of the networks, for the plan
    workers     number of workers
    calibrate   times a few batches of a plan with one worker
    """

    executor: Executor
    settings: Mapping[str, Any]
    workers: int
    calibrate: Callable[[Plan], Calibration]


@contextmanager
def ready(options: Mapping[str, Any], networks: NetworkOptions) -> Iterator[ReadyExecutor]:
    """Load the networks and yield the executor that the options choose; all that it started ends with the `with`."""
    from ...pipeline.execution.resources import WorkerOptions

    names = ("executor", "gpus", "workers", "workers_per_gpu", "cpus_per_worker", "address")
    wanted = WorkerOptions(**{name: options[name] for name in names})
    if wanted.ray:
        with _on_ray(wanted, options, networks) as made:
            yield made
        return
    from ...pipeline.execution.calibration import calibrate
    from ...pipeline.execution.serial import SerialExecutor

    networks = replace(networks, device=_device(networks.device, wanted.gpus)) if wanted.gpus is not None else networks
    with stderr.status("loading the networks"):
        extractor = networks.build()
    _warn_of_idle_gpus(extractor.device.type, wanted)
    settings = networks.settings(extractor)
    yield ReadyExecutor(SerialExecutor(lambda: extractor), settings, 1, lambda plan: calibrate(extractor, plan))


@contextmanager
def _on_ray(wanted: WorkerOptions, options: Mapping[str, Any], networks: NetworkOptions) -> Iterator[ReadyExecutor]:
    from ...pipeline.execution.ray_cluster import Cluster
    from ...pipeline.execution.ray_executor import RayExecutor
    from ...pipeline.execution.resources import worker_group
    from ...pipeline.execution.scheduling.scheduler import Timeouts
    from ...pipeline.execution.worker import ExtractorWork

    networks = replace(networks, device=_device(networks.device, wanted.gpus))
    if wanted.address is None and wanted.gpus != 0:
        import torch

        wanted.check_gpus(torch.cuda.device_count())
    starting = "starting Ray" if wanted.address is None else f"joining Ray at {wanted.address}"
    with stderr.status(starting) as status, Cluster(wanted.address) as cluster:
        group = worker_group(wanted, cluster.nodes(), options["threads"])
        networks = replace(networks, threads=options["threads"] or group.cpus)
        timeouts = Timeouts(heartbeat=options["heartbeat"])
        with RayExecutor(cluster, group, ExtractorWork(networks), _logs(options), timeouts) as executor:
            status.update(f"loading the networks in the first of {group.count} workers")
            settings = executor.settings()
            status.stop()
            yield ReadyExecutor(executor, settings, group.count, executor.calibrate)


def _device(device: str, gpus: int | None) -> str:
    """Return the device of a worker, `cpu` or `cuda`: Ray chooses which GPU it is."""
    if gpus == 0:
        if device not in ("auto", "cpu"):
            raise InvalidValueError(f"--device {device} and --gpus 0 contradict each other; leave one out")
        return "cpu"
    if device not in ("auto", "cuda"):
        raise InvalidValueError(f"--device {device} does not go with --gpus; for workers without one: --gpus 0")
    return "cuda"


def _logs(options: Mapping[str, Any]) -> str | None:
    out = str(options["out"])
    return options["logs"] or (None if "://" in out else f"{out.rstrip('/')}.logs")


def _warn_of_idle_gpus(device: str, wanted: WorkerOptions) -> None:
    import torch

    if device == "cuda" and wanted.gpus is None and torch.cuda.device_count() > 1:
        count = torch.cuda.device_count()
        stderr.print(f"1 of {count} GPUs is used; --gpus {count} uses all", soft_wrap=True)
