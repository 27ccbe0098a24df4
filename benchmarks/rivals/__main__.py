"""Are shuffled windows three times as fast as from what people would use instead?

262,000 frames of 17 joints in sequences of 2,000: keypoints, score, UADD and target. Batches of 1,024 windows of 27
frames and of 256 of 243. Everything is on the local disk and in the page cache. Of formats that hold samples, and would
need the data 27 or 243 times, only as many windows are written as the page cache takes, which is in their favour.

Every rival is read in each way that its documentation has for this, with 0 and with 2 workers; its rows say which was
the fastest. Windows a second in the middle of an epoch, workers started, what was read ahead thrown away first. A turn
of ours comes before each turn of a rival; the ratio is the median over these pairs. Both give tensors which nobody
reads. Ours are views of a row a frame; a loop that needs each field in memory of its own pays for a copy, and one row
says what that costs. A rival that is not installed is named (`pip install 'auglift[bench]'` has all of them).
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ..harness import Row, main
from . import ours
from .material import Batch, Material, check, frames_of_people, make_store

RIVALS = ("mosaic", "webdataset", "lerobot", "xbatches", "memmap")
# window: windows a batch, and windows written for a format that holds windows
SIZES = {27: (1024, 16_384), 243: (256, 4096)}
FRAMES, WORKERS = 262_000, (0, 2)


@dataclass(frozen=True)
class Pace:
    """turns of each way, each of so many seconds and of at least two batches."""

    turns: int
    seconds: float


class Stream:
    """Batches without end, and how fast they come."""

    def __init__(self, epochs: Iterable[Batch], workers: int):
        self.epochs, self.ahead = epochs, 2 * workers + 1
        self.batches = self._run()

    def _run(self) -> Iterator[Batch]:
        while True:
            yield from self.epochs

    def rate(self, seconds: float) -> float:
        """Return windows a second, over so many seconds and at least two batches."""
        begin, count = time.perf_counter(), 0
        # What the workers have read while others were measured is not counted, nor what ours gathers at once.
        while count < self.ahead or time.perf_counter() - begin < seconds / 4:
            next(self.batches)
            count += 1
        begin, count, batches = time.perf_counter(), 0, 0
        while batches < 2 or time.perf_counter() - begin < seconds:
            count += len(next(self.batches)["score"])
            batches += 1
        return count / (time.perf_counter() - begin)


def paired(reference: Stream, streams: dict[str, Stream], pace: Pace) -> dict[str, tuple[float, float, float]]:
    """Measure (ours, theirs, ratio), by stream: medians over turns in which one follows the other."""
    pairs: dict[str, list[tuple[float, float]]] = {name: [] for name in streams}
    for _ in range(pace.turns):
        for name, stream in streams.items():
            first = reference.rate(pace.seconds)
            pairs[name].append((first, stream.rate(pace.seconds)))
    return {
        name: (
            statistics.median(a for a, _ in found),
            statistics.median(b for _, b in found),
            statistics.median(a / b for a, b in found),
        )
        for name, found in pairs.items()
    }


def streams_of(name: str, material: Material) -> dict[str, Stream]:
    """A rival's ways, with each number of workers, by a label; the first batch of each is checked."""
    module = importlib.import_module(f"{__package__}.{name}")
    found = {}
    for label, way in module.ways(material).items():
        for workers in WORKERS:
            stream = Stream(way(workers), workers)
            check(next(stream.batches), material, sequences=getattr(module, "SEQUENCES", True))
            found[f"{label}, {workers} workers"] = stream
    return found


def measure(window: int, folder: Path, frames: int, pace: Pace, written: int) -> list[Row]:
    batch, most = SIZES[window]
    data = frames_of_people(frames)
    material = Material(folder, data, window, batch, min(written, most))
    make_store(folder / "ours.zarr", data)
    mine = replace(material, folder=folder / "ours.zarr")
    reference = Stream(ours.ways(mine)["a thread"](0), 0)
    check(next(reference.batches), mine)

    def row(what: str, theirs: str, measured: tuple[float, float, float], wanted: str | None) -> Row:
        mine, other, ratio = measured
        return Row(f"window {window}, {what}", mine, "windows/s", f"{theirs}: {other:,.0f}/s", ratio, wanted)

    found = []
    for name in RIVALS:
        module = importlib.import_module(f"{__package__}.{name}")
        if importlib.util.find_spec(module.PACKAGE) is None:
            print(f"{module.NAME} is skipped: {module.PACKAGE} is not installed", file=sys.stderr)
            found.append(Row(f"window {window}", 0, "windows/s", f"{module.NAME}: skipped, not installed"))
            continue
        (folder / name).mkdir()
        streams = streams_of(name, replace(material, folder=folder / name))
        measured = paired(reference, streams, pace)
        del streams
        shutil.rmtree(folder / name)
        for way in sorted({label.rpartition(", ")[0] for label in measured}):
            # The better number of workers.
            best = min((label for label in measured if label.startswith(way)), key=lambda label: measured[label][2])
            found.append(row("in a thread", f"{module.NAME}, {best}", measured[best], ">= 3"))
    others = {"with 2 workers": Stream(ours.ways(mine)["workers"](2), 2)}
    others["each field copied"] = Stream(ours.contiguous(mine), 0)
    for label, measured in paired(reference, others, pace).items():
        found.append(row("in a thread", f"ours, {label}", measured, None))
    return found


def rows(quick: bool) -> list[Row]:
    warnings.filterwarnings("ignore", message=".*(max_rows|collate|multi-threaded|fork).*")
    frames, pace, written = (32_000, Pace(2, 0.3), 1024) if quick else (FRAMES, Pace(5, 1.0), 1 << 30)
    found: list[Row] = []
    for window in SIZES:
        folder = Path(tempfile.mkdtemp(prefix="auglift-rivals-"))
        try:
            found += measure(window, folder, frames, pace, written)
        finally:
            shutil.rmtree(folder)
    return found


if __name__ == "__main__":
    main(rows, __doc__)
