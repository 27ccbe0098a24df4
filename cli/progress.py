"""What a running job shows: a bar on a terminal, log lines elsewhere, a JSON line a shard for scripts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..pipeline.execute import Progress as JobProgress
from ..pipeline.execute import ShardFailure
from ..pipeline.work import ShardResult

LOG_EVERY_SECONDS = 10


@contextmanager
def progress_for(as_json: bool, console: Console) -> Iterator[JobProgress]:
    """The display that fits: JSON lines on stdout, a bar on a terminal, plain lines in a log file."""
    if as_json:
        yield JsonLines()
    elif console.is_terminal:
        with _bar(console) as bar:
            yield Bar(bar)
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
    """Frames a second since the job began, what an earlier run did left out."""

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
    def __init__(self, bar: Progress):
        self.bar = bar
        self.rate = Rate()

    def begin(self, frames: int, finished: int) -> None:
        self.task = self.bar.add_task("", total=frames, completed=finished, rate="")
        self.rate = Rate()

    def frames(self, shard: int, count: int) -> None:
        self.rate.add(count)
        self.bar.update(self.task, advance=count, rate=str(self.rate))

    def done(self, result: ShardResult | ShardFailure) -> None:
        if isinstance(result, ShardFailure):
            self.bar.console.print(_failed(result), style="red")


class LogLines:
    def __init__(self, console: Console):
        self.console = console
        self.rate = Rate()
        self.total = self.finished = 0
        self.last = time.monotonic()

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
            self.console.print(_failed(result))
        else:
            self._line()

    def _line(self) -> None:
        self.last = time.monotonic()
        done = self.finished + self.rate.count
        left = max(self.total - done, 0) / max(self.rate.per_second, 1e-9)
        self.console.print(f"{done} of {self.total} frames, {self.rate}, {left:.0f} s left")


class JsonLines:
    def begin(self, frames: int, finished: int) -> None:
        click.echo(json.dumps({"event": "begin", "frames": frames, "finished": finished}))

    def frames(self, shard: int, count: int) -> None: ...

    def done(self, result: ShardResult | ShardFailure) -> None:
        event = "failed" if isinstance(result, ShardFailure) else "shard"
        click.echo(json.dumps({"event": event, **asdict(result)}))


def _failed(failure: ShardFailure) -> str:
    return f"shard {failure.shard} failed {failure.attempts} times: {failure.reason}"
