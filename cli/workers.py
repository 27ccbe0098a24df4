"""Who does the work: this process, or workers of Ray. Options that mean the same for every dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from ..stores.errors import InvalidValueError
from .common import stderr

if TYPE_CHECKING:
    from ..pipeline.calibrate import Calibration
    from ..pipeline.execute import Executor
    from ..pipeline.networks import NetworkOptions
    from ..pipeline.plan import Plan
    from ..pipeline.workers import WorkerOptions

WORKER_OPTIONS = [
    click.option(
        "--executor",
        type=click.Choice(["auto", "serial", "ray"]),
        default="auto",
        show_default=True,
        help="serial: one worker, here. auto takes Ray for more than one.",
    ),
    click.option("--gpus", type=click.IntRange(min=0), help="GPUs to use, a worker each. Of a cluster: all there are."),
    click.option("--workers", type=click.IntRange(min=1), help="With --gpus 0: so many workers without a GPU."),
    click.option(
        "--workers-per-gpu", type=click.IntRange(min=1), default=1, show_default=True, help="Workers that share a GPU."
    ),
    click.option(
        "--cpus-per-worker",
        type=click.IntRange(min=1),
        help="Cores a worker of Ray. Default: --threads; with GPUs at most 4, without as many as there are.",
    ),
    click.option(
        "--address",
        envvar="RAY_ADDRESS",
        metavar="HOST:PORT",
        help="Of a Ray cluster that runs, or `auto` on one of its nodes. Default: RAY_ADDRESS, or a Ray of our own.",
    ),
    click.option(
        "--heartbeat",
        type=click.FloatRange(min=1),
        default=600,
        show_default=True,
        metavar="SECONDS",
        help="A worker of Ray that shows no sign of life for so long is killed and its shard given to another.",
    ),
    click.option(
        "--logs", metavar="DIR", help="Folder for a log file a worker of Ray. Default: STORE.logs beside a local store."
    ),
]


@dataclass(frozen=True)
class Ready:
    """An executor whose networks are loaded.

    settings    of the networks, for the plan
    workers     how many there are to be
    calibrate   times a few batches of a plan with one of them
    """

    executor: Executor
    settings: Mapping[str, Any]
    workers: int
    calibrate: Callable[[Plan], Calibration]


@contextmanager
def ready(options: Mapping[str, Any], networks: NetworkOptions) -> Iterator[Ready]:
    """The executor that the options ask for, its networks loaded; whatever it started ends with the `with`."""
    from ..pipeline.workers import WorkerOptions

    names = ("executor", "gpus", "workers", "workers_per_gpu", "cpus_per_worker", "address")
    wanted = WorkerOptions(**{name: options[name] for name in names})
    if wanted.ray:
        with _on_ray(wanted, options, networks) as made:
            yield made
        return
    from ..pipeline.calibrate import calibrate
    from ..pipeline.execute import SerialExecutor

    networks = replace(networks, device=_device(networks.device, wanted.gpus)) if wanted.gpus is not None else networks
    with stderr.status("loading the networks"):
        extractor = networks.build()
    _tell_of_idle_gpus(extractor.device.type, wanted)
    settings = networks.settings(extractor)
    yield Ready(SerialExecutor(lambda: extractor), settings, 1, lambda plan: calibrate(extractor, plan))


@contextmanager
def _on_ray(wanted: WorkerOptions, options: Mapping[str, Any], networks: NetworkOptions) -> Iterator[Ready]:
    from ..pipeline.cluster import Cluster
    from ..pipeline.pool import Patience
    from ..pipeline.ray_executor import RayExecutor
    from ..pipeline.worker import ExtractorWork
    from ..pipeline.workers import crowd

    networks = replace(networks, device=_device(networks.device, wanted.gpus))
    if wanted.address is None and wanted.gpus != 0:
        import torch

        wanted.check_gpus(torch.cuda.device_count())
    starting = "starting Ray" if wanted.address is None else f"joining Ray at {wanted.address}"
    with stderr.status(starting) as status, Cluster(wanted.address) as cluster:
        asked = crowd(wanted, cluster.nodes(), options["threads"])
        networks = replace(networks, threads=options["threads"] or asked.cpus)
        patience = Patience(beat=options["heartbeat"])
        with RayExecutor(cluster, asked, ExtractorWork(networks), _logs(options), patience) as executor:
            status.update(f"loading the networks in the first of {asked.count} workers")
            settings = executor.settings()
            status.stop()
            yield Ready(executor, settings, asked.count, executor.calibrate)


def _device(device: str, gpus: int | None) -> str:
    """The device of a worker; which of the GPUs it is, is not for the user to say."""
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


def _tell_of_idle_gpus(device: str, wanted: WorkerOptions) -> None:
    import torch

    if device == "cuda" and wanted.gpus is None and torch.cuda.device_count() > 1:
        count = torch.cuda.device_count()
        stderr.print(f"1 of {count} GPUs is used; --gpus {count} takes them all", soft_wrap=True)
