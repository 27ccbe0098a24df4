"""Are shuffled windows three times as fast as from what people would use instead?

262,000 frames of 17 joints in sequences of 2,000: keypoints, score, UADD and target. Batches of 1,024 windows of 27
frames and of 256 of 243. Everything is on the local disk and in the page cache. Of formats that hold samples, and would
need the data 27 or 243 times, only as many windows are written as the page cache takes, which is in their favour.

Every rival is read in each way that its documentation has for this, with 0 and with 2 workers; its rows say which was
the fastest. Windows a second in the middle of an epoch, workers started, what was read ahead thrown away first. A turn
of ours comes before each turn of a rival; the ratio is the median over these pairs. Both give tensors which nobody
reads. Ours are views of a row a frame; a loop that needs each field in memory of its own pays for a copy, and one row
says what that costs. A rival that is not installed is named (`make bench-rivals` installs all of them).
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import shutil
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ..harness import Row, main
from . import ours
from .material import Batch, Material, Way, check, frames_of_people, make_store

RIVALS = ("mosaic", "webdataset", "lerobot", "xbatches", "memmap")
# window: windows a batch, and windows written for a format that holds windows
SIZES = {27: (1024, 16_384), 243: (256, 4096)}
FRAMES, WORKERS = 262_000, (0, 2)

# Windows a second of ours and of a rival, and the ratio.
Measured = tuple[float, float, float]


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

    def _run(self) -> Generator[Batch]:
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


def paired(reference: Stream, stream: Stream, pace: Pace) -> tuple[float, float, float]:
    """Measure (ours, theirs, ratio): medians over turns in which one follows the other."""
    pairs = [(reference.rate(pace.seconds), stream.rate(pace.seconds)) for _ in range(pace.turns)]
    ours, theirs, ratios = zip(*((a, b, a / b) for a, b in pairs), strict=True)
    return statistics.median(ours), statistics.median(theirs), statistics.median(ratios)


def best_of(way: Way, material: Material, sequences: bool, reference: Stream, pace: Pace) -> tuple[int, Measured]:
    """Measure a way with each number of workers, its first batch checked; the number that was best, and its figures."""
    found = {}
    for workers in WORKERS:
        stream = Stream(way(workers), workers)
        check(next(stream.batches), material, sequences)
        found[workers] = paired(reference, stream, pace)
        stream.batches.close()
        del stream
        gc.collect()  # which ends the workers
    best = min(found, key=lambda workers: found[workers][2])
    return best, found[best]


def measure(window: int, folder: Path, frames: int, pace: Pace, written: int) -> list[Row]:
    batch, most = SIZES[window]
    data = frames_of_people(frames)
    material = Material(folder, data, window, batch, min(written, most))
    make_store(folder / "ours.zarr", data)
    mine = replace(material, folder=folder / "ours.zarr")
    reference = Stream(ours.ways(mine)["a thread"](0), 0)
    check(next(reference.batches), mine)

    def row(theirs: str, measured: Measured, wanted: str | None) -> Row:
        here, other, ratio = measured
        return Row(f"window {window}, in a thread", here, "windows/s", f"{theirs}: {other:,.0f}/s", ratio, wanted)

    found = []
    for name in RIVALS:
        module = importlib.import_module(f"{__package__}.{name}")
        if importlib.util.find_spec(module.PACKAGE) is None:
            print(f"{module.NAME} is skipped: {module.PACKAGE} is not installed", file=sys.stderr)
            found.append(Row(f"window {window}", 0, "windows/s", f"{module.NAME}: skipped, not installed"))
            continue
        (folder / name).mkdir()
        sequences = getattr(module, "SEQUENCES", True)
        for label, way in module.ways(replace(material, folder=folder / name)).items():
            workers, measured = best_of(way, material, sequences, reference, pace)
            found.append(row(f"{module.NAME}, {label}, {workers} workers", measured, ">= 3"))
            print(found[-1], file=sys.stderr)
        shutil.rmtree(folder / name)
    workers = Stream(ours.ways(mine)["workers"](2), 2)
    found.append(row("ours, 2 workers", paired(reference, workers, pace), None))
    copied = Stream(ours.contiguous(mine), 0)
    found.append(row("ours, each field copied", paired(reference, copied, pace), None))
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
