"""`auglift-train`: a lifter from feature stores."""

from __future__ import annotations

import math
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .common import DONE, INTERRUPTED, AugliftCommand, echo_json, json_option, stderr, stdout

if TYPE_CHECKING:
    from ..lifters.training.train import Outcome, Watcher

LOG_EVERY_SECONDS = 10
SWITCH = click.Choice(["auto", "on", "off"])


@click.command(cls=AugliftCommand)
@click.argument("stores", nargs=-1, required=True, metavar="STORE...")
@click.option(
    "--lifter",
    required=True,
    metavar="NAME",
    help="simple_baseline, video_pose3d, poseformer, dstformer, dstformer_lite, context_aware; or your own: "
    "FILE.py:CLASS or package.module:CLASS, see docs/own-lifter.md.",
)
@click.option("--config", metavar="FILE", help="Settings of the lifter, TOML. Default: the one beside your own lifter.")
@click.option(
    "--inputs",
    default="uadd",
    show_default=True,
    metavar="NAME",
    help="xy, xyc, xyd, xycd, uadd, spatial, the oracle ordinal3; with learned features v2, image, image+uadd; /paper "
    "for that preset of the store, @root for depth from the pelvis, @scaled for people all of one size in the frame, "
    "@dscale for people all at one distance, @centred for x and y from the pelvis, @standard for mean 0 and deviation "
    "1 over the training set, @paper for neither (now the default), @features=NAME for features that extend added: "
    "uadd@root@centred@standard.",
)
@click.option("--window", type=click.IntRange(min=1), help="Window in frames, odd. Default: the lifter's own.")
@click.option("--out", required=True, metavar="DIR", help="Folder of the run, new or to continue.")
@click.option("--epochs", type=click.IntRange(min=1), help="Default: the lifter's own.")
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    help="Windows per step, of all processes together. Default: the lifter's own.",
)
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Hyper-parameter: lr=1e-4, width=256 ..."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of weights, order, dropout and flips.")
@click.option("--stride", type=click.IntRange(min=1), default=1, show_default=True, help="Frames between windows.")
@click.option(
    "--split", default="train", show_default=True, help="Split to train on; a store without it is used whole."
)
@click.option(
    "--held-out", type=float, default=0.1, show_default=True, help="Share of frames held out to choose the best epoch."
)
@click.option("--limit", type=click.IntRange(min=1), help="Use at most this many windows per epoch.")
@click.option(
    "--init",
    metavar="DIR|FILE",
    help="Begin with the weights of this run, or of a file that other code has saved (.pth, .safetensors); the first "
    "layer is widened if need be.",
)
@click.option(
    "--rename",
    "rename",
    multiple=True,
    metavar="OLD=NEW",
    help="Rename weights of --init: OLD, at the start of a name or after a dot, becomes NEW; 'module.=' removes it.",
)
@click.option("--ema", type=float, default=0.0, help="Decay of averaged weights, such as 0.999. Default: none.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 ...")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads. Default: torch's.")
@click.option("--amp", type=SWITCH, default="auto", show_default=True, help="bfloat16; auto: on GPUs that have it.")
@click.option("--compile", type=SWITCH, default="auto", show_default=True, help="torch.compile; auto: on a GPU.")
@click.option(
    "--allow-incomplete", is_flag=True, help="Train on the finished part of a store that is still being written."
)
@json_option
def main(**options: Any) -> None:
    """Train a lifter on one or more stores.

    \b
    auglift-train h36m.zarr --lifter poseformer --inputs uadd --window 27 --out runs/uadd
    auglift-train h36m.zarr --lifter mine.py:MyLifter --set depth=4 --init weights.pth --out runs/mine
    torchrun --nproc-per-node 4 -m auglift.cli.train h36m.zarr --lifter dstformer --out runs/large

    The best epoch is chosen on held-out training subjects. To continue a training that was
    stopped, run the same command again.
    """
    import torch

    from ..lifters.own_lifters.find import find_lifter
    from ..lifters.training.setup import Setup, inputs_by_name, parse_changes
    from ..lifters.training.train import train

    as_json, threads, out = options.pop("json"), options.pop("threads"), options.pop("out")
    if threads:
        torch.set_num_threads(threads)
    options["lifter"] = find_lifter(options["lifter"])
    changes = parse_changes(options["lifter"], options.pop("assignments"))
    inputs = inputs_by_name(options.pop("inputs"))
    setup = Setup(stores=tuple(options.pop("stores")), inputs=inputs, changes=changes, **options)
    with stopping() as stop, watcher_for(as_json) as watcher:
        outcome = train(setup, out, watcher, stop)
    if outcome.leads:  # of several processes one speaks
        _show(outcome, as_json)
    sys.exit(DONE if outcome.finished else INTERRUPTED)


def _show(outcome: Outcome, as_json: bool) -> None:
    if as_json:
        best = outcome.best_mpjpe if math.isfinite(outcome.best_mpjpe) else None
        summary = {"folder": str(outcome.folder), "epochs": outcome.epochs, "finished": outcome.finished}
        echo_json({"event": "end", **summary, "best_epoch": outcome.best_epoch, "best_mpjpe": best})
    elif outcome.finished:
        held = "" if math.isnan(outcome.best_mpjpe) else f", {outcome.best_mpjpe:.1f} mm on the held-out frames"
        done = f"{outcome.folder}: {outcome.epochs} epochs, best is {outcome.best_epoch + 1}{held}"
        stdout.print(done, soft_wrap=True, markup=False)
    if not outcome.finished:
        stderr.print("interrupted; run the same command again to go on")


@contextmanager
def stopping() -> Iterator[Any]:
    """Return a function that says whether Ctrl-C or SIGTERM came; the second Ctrl-C stops at once."""
    came = []

    def handle(number: int, frame: Any) -> None:
        came.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def watcher_for(as_json: bool) -> Iterator[Watcher]:
    """Choose JSON lines, a bar on a terminal, or plain lines in a log file."""
    if as_json:
        yield JsonLines()
    elif stderr.is_terminal:
        columns = (
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps  {task.fields[rate]}  {task.fields[figures]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=stderr, speed_estimate_period=300) as bar:
            yield Bar(bar)
    else:
        yield LogLines()


class Bar:
    """Shows one bar for the whole training: the time left is that of all its epochs."""

    def __init__(self, bar: Progress):
        self.bar = bar
        self.held = ""

    def begin(self, epochs: int, steps: int, epoch: int, step: int) -> None:
        self.epochs, self.steps = epochs, steps
        done, label = epoch * steps + step, f"{epoch + 1}/{epochs}"
        self.task = self.bar.add_task("", total=epochs * steps, completed=done, epoch=label, rate="", figures="")
        self.begun = time.monotonic()

    def step(self, epoch: int, step: int, loss: float, mpjpe: float, windows: int) -> None:
        rate = windows / max(time.monotonic() - self.begun, 1e-9)
        self.bar.update(
            self.task,
            completed=epoch * self.steps + step,
            epoch=f"{epoch + 1}/{self.epochs}",
            rate=f"{rate:,.0f} windows/s",
            figures=f"MPJPE {mpjpe:.1f} mm{self.held}",
        )

    def epoch(self, record: dict[str, Any]) -> None:
        if "held_out_mpjpe" in record:
            self.held = f", held out {record['held_out_mpjpe']:.1f}"
        self.begun = time.monotonic()

    def message(self, message: str) -> None:
        self.bar.console.print(message, soft_wrap=True, markup=False)


class LogLines:
    """Prints one line per epoch, and in long ones one every few seconds."""

    def begin(self, epochs: int, steps: int, epoch: int, step: int) -> None:
        self.epochs, self.steps, self.first = epochs, steps, epoch * steps + step
        self.begun = self.last = time.monotonic()

    def step(self, epoch: int, step: int, loss: float, mpjpe: float, windows: int) -> None:
        now = time.monotonic()
        if now - self.last < LOG_EVERY_SECONDS or step == self.steps:
            return
        self.last = now
        stderr.print(
            f"epoch {epoch + 1}/{self.epochs} step {step}/{self.steps}: MPJPE {mpjpe:.1f} mm, loss {loss:.4g}, "
            f"{self._left(epoch * self.steps + step)} left",
            soft_wrap=True,
        )

    def epoch(self, record: dict[str, Any]) -> None:
        self.last = time.monotonic()
        held = f", held out {record['held_out_mpjpe']:.1f} mm" if "held_out_mpjpe" in record else ""
        rate = f", {record['windows_per_second']:,.0f} windows/s" if "windows_per_second" in record else ""
        stderr.print(
            f"epoch {record['epoch'] + 1}/{self.epochs}: MPJPE {record['mpjpe']:.1f} mm{held}, loss "
            f"{record['loss']:.4g}{rate}, {self._left((record['epoch'] + 1) * self.steps)} left",
            soft_wrap=True,
        )

    def message(self, message: str) -> None:
        stderr.print(message, soft_wrap=True, markup=False)

    def _left(self, done: int) -> str:
        took = time.monotonic() - self.begun
        seconds = took / max(done - self.first, 1) * (self.epochs * self.steps - done)
        return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class JsonLines:
    """Prints one event per line on stdout."""

    def begin(self, epochs: int, steps: int, epoch: int, step: int) -> None:
        echo_json({"event": "begin", "epochs": epochs, "steps": steps, "epoch": epoch, "step": step})

    def step(self, epoch: int, step: int, loss: float, mpjpe: float, windows: int) -> None:
        pass

    def epoch(self, record: dict[str, Any]) -> None:
        from ..lifters.training.log import finite

        echo_json({"event": "epoch", **finite(record)})

    def message(self, message: str) -> None:
        echo_json({"event": "note", "message": message})


if __name__ == "__main__":
    main()
