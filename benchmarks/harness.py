"""What all benchmarks share: rows, timing that works on a busy machine, one table, `--quick` and `--json`.

A benchmark is a module whose docstring begins with the question it answers, with a function `rows(quick)` and, at its
end, `if __name__ == "__main__": main(rows, __doc__)`. Quick means under a minute on two cores.
"""

from __future__ import annotations

import ctypes
import gc
import json
import multiprocessing
import operator
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@dataclass(frozen=True)
class Row:
    """One figure.

    against  what it is compared with, in words
    ratio    how many times better or worse than that; its name says which
    wanted   a bound such as ">= 30" or "< 0.02", on the ratio where there is one, else on the value
    """

    name: str
    value: float
    unit: str
    against: str | None = None
    ratio: float | None = None
    wanted: str | None = None

    @property
    def met(self) -> bool | None:
        """Return whether the bound holds; None without one. ValueError for a bound that cannot be read."""
        if self.wanted is None:
            return None
        found = re.fullmatch(r"(<=|>=|<|>)\s*([-+.\deE]+)", self.wanted.strip())
        if found is None:
            raise ValueError(f"row '{self.name}': wanted is '{self.wanted}'; write a bound such as '>= 30'")
        measured = self.value if self.ratio is None else self.ratio
        return _COMPARE[found[1]](measured, float(found[2]))


# Timing --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Timing:
    """Medians over interleaved repeats: seconds of each, and the ratio theirs / ours of neighbours in time."""

    ours: float
    theirs: float
    ratio: float
    repeats: int


def compare(
    ours: Callable[[], Any],
    theirs: Callable[[], Any],
    seconds: float,
    least: int = 5,
    wait: Callable[[], Any] = lambda: None,
) -> Timing:
    """Time both in turn, for so many seconds and `least` times each; each is called once before.

    What else the machine does slows both alike, so that the median of the ratios is steadier than the ratio of medians.
    wait  called before a clock is read, to let a GPU finish: `torch.cuda.synchronize`
    """
    pairs = [(ours, []), (theirs, [])]
    for call, _ in pairs:
        call()
    begin = time.perf_counter()
    # A pause of the garbage collector belongs to the code that made the garbage, but would fall on either by chance.
    gc.collect()
    gc.disable()
    try:
        while len(pairs[0][1]) < least or time.perf_counter() - begin < seconds:
            for call, spent in pairs if len(pairs[0][1]) % 2 else reversed(pairs):
                spent.append(_seconds(call, wait))
    finally:
        gc.enable()
    a, b = pairs[0][1], pairs[1][1]
    ratio = statistics.median(y / x for x, y in zip(a, b, strict=True))
    return Timing(statistics.median(a), statistics.median(b), ratio, len(a))


def measure(call: Callable[[], Any], seconds: float, least: int = 5, wait: Callable[[], Any] = lambda: None) -> float:
    """Return the median seconds of a call, alone: for figures that nothing is compared with."""
    call()
    spent, begin = [], time.perf_counter()
    while len(spent) < least or time.perf_counter() - begin < seconds:
        spent.append(_seconds(call, wait))
    return statistics.median(spent)


def _seconds(call: Callable[[], Any], wait: Callable[[], Any]) -> float:
    wait()
    begin = time.perf_counter()
    call()
    wait()
    return time.perf_counter() - begin


# Memory --------------------------------------------------------------------------------------------------------------


def peak_memory(prepare: Callable[..., Callable[[], Any]], *arguments: Any) -> int:
    """Measure the bytes that the call made by `prepare(*arguments)` needs at its peak, beyond those before it (Linux).

    In a process of its own, as memory that was freed before would hide what is taken now. `prepare` is a function of a
    module that can be imported.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (prepare, arguments))


def _peak(prepare: Callable[..., Callable[[], Any]], arguments: Sequence[Any]) -> int:
    call = prepare(*arguments)
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)  # glibc keeps what was freed, and would use it again unseen
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
    before = _status("VmRSS")
    call()
    return _status("VmHWM") - before


def _status(key: str) -> int:
    text = Path("/proc/self/status").read_text()
    return int(re.search(rf"^{key}:\s+(\d+) kB", text, re.MULTILINE)[1]) * 1024  # type: ignore[index]


# Showing -------------------------------------------------------------------------------------------------------------


def number(value: float) -> str:
    """Write a number with three digits."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-3 else f"{value:.1e}"


def cells(row: Row) -> tuple[str, ...]:
    """Return the row as a table shows it."""
    verdict = {None: "", True: "met", False: "MISSED"}[row.met]
    ratio = "" if row.ratio is None else number(row.ratio)
    return row.name, f"{number(row.value)} {row.unit}", row.against or "", ratio, row.wanted or "", verdict


HEADINGS = ("what", "measured", "against", "ratio", "wanted", "")


def show(rows: Sequence[Row], question: str) -> None:
    table = Table(*HEADINGS, title=question, title_justify="left")
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)  # in a log, nobody can widen the window
    for row in rows:
        style = {None: "", True: "green", False: "bold red"}[row.met]
        *plain, verdict = cells(row)
        table.add_row(*plain, f"[{style}]{verdict}[/]" if style else verdict)
    console.print(table)


def question(doc: str | None) -> str:
    """Return the question of a benchmark: the first line of its docstring."""
    return (doc or "").strip().split("\n")[0]


def main(rows: Callable[[bool], list[Row]], doc: str | None) -> None:
    """Run the command line of a benchmark."""

    @click.command(help=doc)
    @click.option("--quick", is_flag=True, help="Under a minute on two cores: fewer repeats, smaller sizes.")
    @click.option("--json", "as_json", is_flag=True, help="Print a list of rows instead of a table.")
    def command(quick: bool, as_json: bool) -> None:
        with redirect_stdout(sys.stderr):  # what libraries say of themselves is no row
            found = rows(quick)
        if as_json:
            click.echo(json.dumps([asdict(row) for row in found], indent=1))
        else:
            show(found, question(doc))

    command()


# The machine ---------------------------------------------------------------------------------------------------------


def machine() -> str:
    """Describe CPU model, cores, memory and GPU in a line: figures of different lines are not compared."""
    info = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else None
    name = model[1].strip() if model else platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    plural = "" if cores == 1 else "s"
    return f"{name}, {cores} core{plural}, {memory:.0f} GiB, {_gpu()}"


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"


def versions() -> str:
    """Describe Python, NumPy and torch, as figures depend on them."""
    import numpy
    import torch

    return f"Python {platform.python_version()}, NumPy {numpy.__version__}, torch {torch.__version__}"
