"""What every command shares: options of one meaning, consoles, errors in one line, exit codes."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console, ConsoleDimensions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.status import Status
from rich.text import Text

from ..pipeline.frames.names import readable
from ..pipeline.homes import settle
from ..stores.errors import AugliftError

# Exit codes. Scripts around a command rely on these.
DONE, SOME_FAILED, WRONG_CALL, INTERRUPTED = 0, 1, 2, 130

WIDTH_WITHOUT_TERMINAL = 240


class _Console(Console):
    """A console that prints plain text: a file may be called `[cam] :car:.mp4`. Colours are given by `style`.

    In a pipe or a file there is no right edge: a table is as wide as it needs to be.
    """

    def __init__(self, **options: Any):
        super().__init__(**options, highlight=False, markup=False, emoji=False)

    def status(self, status: RenderableType, **options: Any) -> Status:
        return super().status(Text(status) if isinstance(status, str) else status, **options)

    @property
    def size(self) -> ConsoleDimensions:
        if not self.is_terminal and "COLUMNS" not in os.environ:
            return ConsoleDimensions(WIDTH_WITHOUT_TERMINAL, 25)
        return super().size

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size


_FULL = (errno.ENOSPC, errno.EDQUOT)
NAMED = 10  # of lines that are alike, so many are shown

# Results go to stdout; progress, warnings and errors to stderr, so that a pipe carries results only.
stdout = _Console()
stderr = _Console(stderr=True)

json_option = click.option("--json", "json", is_flag=True, help="For scripts: JSON on stdout.")
store_argument = click.argument("store", metavar="STORE")

FILTERS = ("split", "subject", "action", "camera")


WHERE = click.option(
    "--where",
    default="",
    metavar="EXPRESSION",
    help='Sequences for which it holds, as in: subject in ("S1", "S5") and fps >= 25. It knows the columns that '
    "`auglift-store sequences --json` shows, and or not, comparisons, in, + - * /, startswith and endswith.",
)


def filter_options(command: Callable) -> Callable:
    """--split, --subject, --action, --camera: each may be given several times; and --where."""
    command = WHERE(command)
    for name in reversed(FILTERS):
        option = click.option(f"--{name}", multiple=True, metavar="VALUE", help=f"Only this {name}; may be repeated.")
        command = option(command)
    return command


@contextmanager
def progress_bar(unit: str, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A function to be called with (step, done, of), which shows a bar a step, where there is a terminal."""
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit),
        TimeRemainingColumn(), console=stderr, transient=True, disable=quiet or not stderr.is_terminal,
    ) as bar:  # fmt: skip
        tasks: dict[str, TaskID] = {}

        def show(step: str, done: int, of: int) -> None:
            if step not in tasks:
                tasks[step] = bar.add_task(step, total=of)
            bar.update(tasks[step], completed=done, total=of)

        yield show


def echo_json(value: Any) -> None:
    """Print plain data as one line of JSON on stdout. ValueError for NaN: JSON has none."""
    click.echo(json.dumps(value, allow_nan=False))


def warn(lines: Sequence[str], label: str = "", style: str = "yellow", console: Console = stderr) -> None:
    """Print lines of one kind, of many the first few; `label` before each."""
    more = [f"and {len(lines) - NAMED} more"] if len(lines) > NAMED else []
    for line in [*lines[:NAMED], *more]:
        console.print(f"{label}{line}", style=style, soft_wrap=True)


def run_and_exit(main: Callable[[], Any]) -> None:
    """Call `main`, and exit as every command does: an `AugliftError` is one line and exit code 2, Ctrl-C is 130.

    So is what the system says of a path: a name too long, no rights, a full disk.
    """
    settle()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a path may hold what the terminal's encoding has not
            stream.reconfigure(errors="backslashreplace")
    try:
        code = main()
    except AugliftError as error:
        click.echo(f"error: {' '.join(str(error).split())}", err=True)
        code = WRONG_CALL
    except OSError as error:
        if error.filename is None and error.errno not in _FULL:
            raise
        where = f"{readable(os.fsdecode(error.filename))}: " if isinstance(error.filename, str | bytes) else ""
        click.echo(f"error: {where}{error.strerror or error}", err=True)
        code = WRONG_CALL
    except UnicodeEncodeError as error:  # a path whose bytes are no text, where a library wants text
        click.echo(f"error: {error.object!a} holds bytes that are no text (UTF-8); rename it", err=True)
        code = WRONG_CALL
    except click.Abort:
        click.echo("interrupted; run the same command again to go on", err=True)
        code = INTERRUPTED
    except click.ClickException as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # a group called bare shows its help
            error.show()
        else:
            context = getattr(error, "ctx", None)
            where = f" (see {context.command_path} --help)" if context else ""
            click.echo(f"error: {' '.join(error.format_message().split())}{where}", err=True)
        code = WRONG_CALL
    sys.exit(code if isinstance(code, int) else DONE)


class AugliftCommand(click.Command):
    """A command with auglift's errors and exit codes."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        if not standalone_mode:
            return super().main(*args, standalone_mode=False, **extra)
        parent = super()
        return run_and_exit(lambda: parent.main(*args, standalone_mode=False, **extra))


class AugliftGroup(click.Group):
    """A group of commands with auglift's errors and exit codes."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        if not standalone_mode:
            return super().main(*args, standalone_mode=False, **extra)
        parent = super()
        return run_and_exit(lambda: parent.main(*args, standalone_mode=False, **extra))
