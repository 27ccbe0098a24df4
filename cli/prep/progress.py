"""Shows a running job: a bar on a terminal, plain lines in a log file, a JSON line for each shard for scripts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from ...pipeline.execution.results import Progress as JobProgress
from ...pipeline.execution.results import ShardFailure, ShardResult, WorkerView

LOG_EVERY_SECONDS = 10
WORKERS_EVERY_SECONDS = 60
# Lines for the bar, the table's head and the shell; the rest of the screen is for workers.
LINES_BESIDE_WORKERS = 8


@contextmanager
def progress_for(as_json: bool, console: Console) -> Iterator[JobProgress]:
    """Yield the display that fits: JSON lines on stdout, a bar on a terminal, plain lines in a log file."""
    if as_json:
        yield JsonLines()
    elif console.is_terminal:
        bar = Bar(_bar(console), console)
        with Live(get_renderable=bar.render, console=console, refresh_per_second=4):
            yield bar
    else:
        yield LogLines(console)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("depth pass"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )


class Rate:
    """Frames a second since the job began, without those of an earlier run."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.count = 0

    def add(self, count: int) -> None:
        self.count += count

    @property
    def per_second(self) -> float:
        return self.count / max(time.monotonic() - self.begun, 1e-9)

    def __str__(self) -> str:
        return f"{self.per_second:.3g} frames/s"


class Bar:
    """A bar for the job and, if there are several workers, a line for each."""

    def __init__(self, bar: Progress, console: Console):
        self.bar = bar
        self.console = console
        self.rate = Rate()
        self.views: Sequence[WorkerView] = ()

    def render(self) -> Group:
        return Group(self.bar, *([_table(self.views, self.console.height)] if self.views else []))

    def begin(self, frames: int, finished: int) -> None:
        self.task = self.bar.add_task("", total=frames, completed=finished, rate="")
        self.rate = Rate()

    def frames(self, shard: int, count: int) -> None:
        self.rate.add(count)
        self.bar.update(self.task, advance=count, rate=str(self.rate))

    def done(self, result: ShardResult | ShardFailure) -> None:
        if isinstance(result, ShardFailure):
            self.console.print(_failed(result), style="red")

    def message(self, message: str) -> None:
        self.console.print(message, style="yellow", soft_wrap=True)

    def workers(self, workers: Sequence[WorkerView]) -> None:
        self.views = workers


def _table(views: Sequence[WorkerView], height: int) -> Table:
    table = Table("worker", "host", "stage", "shard", "frames/s", "GPU memory", box=None)
    shown = views[: max(1, height - LINES_BESIDE_WORKERS)]
    for view in shown:
        shard = "" if view.shard is None else str(view.shard)
        memory = f"{view.memory / 1e9:.1f} GB" if view.memory else ""
        table.add_row(str(view.number), view.host, view.stage, shard, f"{view.rate:.3g}", memory)
    if len(shown) < len(views):
        table.add_row("...", f"and {len(views) - len(shown)} more")
    return table


class LogLines:
    def __init__(self, console: Console):
        self.console = console
        self.rate = Rate()
        self.total = self.finished = 0
        self.last = self.last_workers = time.monotonic()
        self.views: Sequence[WorkerView] = ()

    def begin(self, frames: int, finished: int) -> None:
        self.total, self.finished = frames, finished
        self.rate = Rate()
        if finished:
            self.console.print(f"{finished} of {frames} frames are there from an earlier run")

    def frames(self, shard: int, count: int) -> None:
        self.rate.add(count)
        if time.monotonic() - self.last >= LOG_EVERY_SECONDS:
            self._line()

    def done(self, result: ShardResult | ShardFailure) -> None:
        if isinstance(result, ShardFailure):
            self.console.print(_failed(result), soft_wrap=True)
        else:
            self._line()

    def message(self, message: str) -> None:
        self.console.print(message, soft_wrap=True)

    def workers(self, workers: Sequence[WorkerView]) -> None:
        self.views = workers

    def _line(self) -> None:
        self.last = time.monotonic()
        done = self.finished + self.rate.count
        per_second = self.rate.per_second
        left = f", {max(self.total - done, 0) / per_second:.0f} s left" if per_second else ""
        self.console.print(f"{done} of {self.total} frames, {self.rate}{left}")
        if self.views and self.last - self.last_workers >= WORKERS_EVERY_SECONDS:
            self.last_workers = self.last
            for view in self.views:
                self.console.print("  " + _worker(view), soft_wrap=True)


class JsonLines:
    def begin(self, frames: int, finished: int) -> None:
        click.echo(json.dumps({"event": "begin", "frames": frames, "finished": finished}))

    def frames(self, shard: int, count: int) -> None: ...

    def done(self, result: ShardResult | ShardFailure) -> None:
        event = "failed" if isinstance(result, ShardFailure) else "shard"
        click.echo(json.dumps({"event": event, **asdict(result)}))

    def message(self, message: str) -> None:
        click.echo(json.dumps({"event": "note", "message": message}))

    def workers(self, workers: Sequence[WorkerView]) -> None: ...


def _worker(view: WorkerView) -> str:
    parts = [f"worker {view.number} on {view.host}: {view.stage}"]
    parts += [] if view.shard is None else [f"shard {view.shard}"]
    parts += [f"{view.rate:.3g} frames/s"] + ([f"{view.memory / 1e9:.1f} GB of GPU memory"] if view.memory else [])
    return ", ".join(parts)


def _failed(failure: ShardFailure) -> str:
    return f"shard {failure.shard} failed {failure.attempts} times: {failure.reason}"
