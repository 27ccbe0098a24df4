"""How fast are windows, beside what a trainer would read them with otherwise, and what do they need?

A store of a million frames in sequences of 2,000 and shards of 8,192; 6 channels of 17 joints (keypoints, score, UADD),
batches of 1,024 windows, a window about every frame as VideoPose3D trains. Each figure is of the first batches of an
epoch, its shuffling and the first filling of a pool of blocks included. A stride leaves fewer windows for each frame
that a block was read for: one row says what that costs.

- One Zarr slice a window: every field's array sliced and its edges padded.
- VideoPose3D's kind: shuffled pairs, and a Python loop that fills a padded batch, a field at a time, from arrays in
  memory. Batches are float32 (VideoPose3D's own are float64, and slower).
- NumPy: fancy indexing of one contiguous array of all channels in memory.
- dd: the files of 1,280-channel features read from first to last byte, to nowhere. Cold: neither has them in the page
  cache. Warm: both have, and dd, whose megabyte stays in the processor's cache, writes nothing to memory; a batch lies
  in memory in the end, and so do the files when they are read into an array.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from auglift.stores.format.layout import StoreLayout, array_key
from auglift.stores.format.schema import Field, field
from auglift.stores.format.sequences import Sequence, SequenceTable
from auglift.stores.locations.choose import locate
from auglift.stores.reading.order import permutation
from auglift.stores.reading.store import FeatureStore
from auglift.stores.reading.windows import WindowLoader
from auglift.stores.writing.shards import ShardWriter

from .harness import Row, compare, main, measure, peak_memory

BATCH, LENGTH, SHARD = 1024, 2000, 8192
NARROW = ("keypoints", "score", "uadd/paper")
WIDE = ("feature/pose", "feature/depth")
BATCHES = {1: 900, 27: 240, 81: 120, 243: 60}  # of an epoch that are timed, by window
SPARSE = 81  # a stride, frames

# Stores --------------------------------------------------------------------------------------------------------------


def make(path: Path, frames: int, names: tuple[str, ...], shard_frames: int = SHARD) -> FeatureStore:
    """A store of people who drift about: values as a detector's, no two alike."""
    layout = StoreLayout(tuple(field(name) for name in (*names, "valid")), frames, shard_frames)
    writer = begin(path, layout)
    rng = np.random.default_rng(0)
    for shard in range(layout.shards):
        start, stop = layout.bounds(shard)
        arrays = {spec.name: values(spec, stop - start, rng) for spec in layout.fields}
        writer.write(shard, arrays, {"frames": stop - start, "valid": stop - start})
    writer.finalise({})
    return FeatureStore.open(path)


def begin(path: Path, layout: StoreLayout) -> ShardWriter:
    rows = [
        Sequence(
            f"s{n}", "bench", "S1", "walk", "1", "train", start, min(LENGTH, layout.frames - start), 50, 1000, 1000, ""
        )
        for n, start in enumerate(range(0, layout.frames, LENGTH))
    ]
    plan = {"configuration": {}, "fingerprint": "0" * 64}
    return ShardWriter.create(locate(path), layout, SequenceTable.from_sequences(rows), plan, {})


def values(spec: Field, frames: int, rng: np.random.Generator) -> np.ndarray:
    if spec.name == "valid":
        return np.ones(frames, dtype=np.uint8)
    if spec.wide:
        return rng.integers(0, 2**14, (frames, *spec.shape), dtype=np.uint16).view(np.float16)
    return 500 + np.cumsum(rng.standard_normal((frames, *spec.shape), dtype=np.float32), axis=0, dtype=np.float32)


def make_large(path: Path, frames: int) -> None:
    """A store whose shards are all the same file: as many as there are, and soon written."""
    layout = StoreLayout(tuple(field(name) for name in (*NARROW, "valid")), frames // SHARD * SHARD)
    writer = begin(path, layout)
    arrays = {spec.name: values(spec, SHARD, np.random.default_rng(0)) for spec in layout.fields}
    writer.write(0, arrays, {"frames": SHARD, "valid": SHARD})
    record = (path / "ledger" / "00000000.json").read_text()
    for shard in range(1, layout.shards):
        for spec in layout.fields:
            target = path / array_key(spec, shard)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path / array_key(spec, 0), target)
        start, stop = layout.bounds(shard)
        mine = record.replace('"shard":0', f'"shard":{shard}').replace('"start":0', f'"start":{start}')
        (path / "ledger" / f"{shard:08d}.json").write_text(mine.replace(f'"stop":{SHARD}', f'"stop":{stop}'))
    writer.finalise({})


# Other ways ----------------------------------------------------------------------------------------------------------


def zarr_slices(store: FeatureStore, window: int, centres: np.ndarray, names: tuple[str, ...] = NARROW) -> None:
    """A window at a time from the arrays on disk."""
    arrays, half = [store.array(name) for name in (*names, "valid")], window // 2
    for centre in centres.tolist():
        start = centre // LENGTH * LENGTH
        stop = min(start + LENGTH, store.frames)
        low, high = max(centre - half, start), min(centre + half + 1, stop)
        pad = (low - (centre - half), centre + half + 1 - high)
        for array in arrays:
            np.pad(np.asarray(array[low:high]), [pad, *[(0, 0)] * (array.ndim - 1)], mode="edge")


class PaddedBatches:
    """A generator of VideoPose3D's kind."""

    def __init__(self, columns: list[np.ndarray], window: int, stride: int):
        self.sequences = [[c[start : start + LENGTH] for c in columns] for start in range(0, len(columns[0]), LENGTH)]
        self.pad, self.random = window // 2, np.random.default_rng(0)
        pairs = [(n, at) for n, sequence in enumerate(self.sequences) for at in range(0, len(sequence[0]), stride)]
        self.pairs = np.array(pairs)
        self.batch = [np.empty((BATCH, window, *c.shape[1:]), dtype=c.dtype) for c in columns]

    def __iter__(self) -> Iterator[list[np.ndarray]]:
        pairs = self.random.permutation(self.pairs)
        for first in range(0, len(pairs), BATCH):
            chunk = pairs[first : first + BATCH]
            for index, (number, centre) in enumerate(chunk):
                start, stop = centre - self.pad, centre + self.pad + 1
                for batch, values in zip(self.batch, self.sequences[number], strict=True):
                    low, high = max(start, 0), min(stop, len(values))
                    left, right = low - start, stop - high
                    if left or right:
                        widths = [(left, right), *[(0, 0)] * (values.ndim - 1)]
                        batch[index] = np.pad(values[low:high], widths, "edge")
                    else:
                        batch[index] = values[low:high]
            yield [batch[: len(chunk)] for batch in self.batch]


def fancy_indexing(data: np.ndarray, window: int, stride: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """All channels in one array, indexed by a table of rows."""
    centres = np.concatenate([np.arange(s, min(s + LENGTH, len(data)), stride) for s in range(0, len(data), LENGTH)])
    offsets = np.arange(window) - window // 2
    centres = random.permutation(centres)
    for first in range(0, len(centres), BATCH):
        centre = centres[first : first + BATCH, None]
        start = centre // LENGTH * LENGTH
        yield data[np.clip(centre + offsets, start, np.minimum(start + LENGTH, len(data)) - 1)]


def dd(files: list[Path]) -> None:
    for file in files:
        subprocess.run(["dd", f"if={file}", "of=/dev/null", "bs=1M", "status=none"], check=True)


# Comparisons ---------------------------------------------------------------------------------------------------------


def consume(batches: Any, most: int | None = None) -> None:
    """The first `most` batches."""
    for _ in islice(batches, most):
        pass


def in_blocks(store: FeatureStore, window: int, stride: int, share: float) -> WindowLoader:
    """A loader with memory for this share of the frames beside its batches."""
    loader = WindowLoader(store, NARROW, window, stride, BATCH)
    while not loader.plan.pool:  # first it may save on reading ahead
        columns = store.frames * sum(record.dtype.itemsize for record in loader._records)
        budget = int(loader.plan.bytes - columns * (1 - share))
        loader = WindowLoader(store, NARROW, window, stride, BATCH, memory=budget)
    return loader


def against_others(store: FeatureStore, seconds: float, slices: int) -> list[Row]:
    columns = [store.read(name) for name in NARROW]
    data = np.concatenate([column.reshape(store.frames, 17, -1) for column in columns], axis=2)
    found = []
    for window, most in BATCHES.items():
        loader = WindowLoader(store, NARROW, window, 1, BATCH)
        blocks = in_blocks(store, window, 1, 0.4)
        if loader.plan.pool:
            raise RuntimeError("this machine has too little memory for this benchmark")
        random = np.random.default_rng(0)
        padded = PaddedBatches(columns, window, 1)
        batches = min(most, loader.windows // BATCH)

        def row(name: str, ours: float, theirs: str, other: float, ratio: float, wanted: str | None) -> Row:
            return Row(name, ours * 1e3, "ms a batch", f"{theirs}: {other * 1e3:.3g} ms", ratio, wanted)

        def others(name: str, ours: Any, theirs: str, call: Callable[[], None], wanted: str) -> Row:
            t = compare(lambda: consume(ours, batches), call, seconds)  # noqa: B023
            return row(f"window {window}, {name}", t.ours / batches, theirs, t.theirs / batches, t.ratio, wanted)  # noqa: B023

        some = random.integers(0, store.frames, slices)
        t = compare(lambda: consume(loader, batches), lambda: zarr_slices(store, window, some), 0, 3)  # noqa: B023
        zarr, ratio = t.theirs / slices * BATCH, t.ratio * batches * BATCH / slices
        found.append(
            row(f"window {window}, in memory", t.ours / batches, "a Zarr slice a window", zarr, ratio, ">= 100")
        )
        generator = lambda: consume(padded, batches)  # noqa: B023, E731
        found.append(others("in memory", loader, "VideoPose3D's kind", generator, ">= 2"))
        found.append(others("in blocks", blocks, "VideoPose3D's kind", generator, ">= 1"))
        numpy = lambda: consume(fancy_indexing(data, window, 1, random), batches)  # noqa: B023, E731
        found.append(others("in memory", loader, "NumPy fancy indexing", numpy, ">= 0.8"))
        if window == max(BATCHES):
            sparse, few = in_blocks(store, window, SPARSE, 0.4), PaddedBatches(columns, window, SPARSE)
            t = compare(lambda: consume(sparse), lambda: consume(few), seconds)  # noqa: B023
            epoch = sparse.windows / BATCH
            name = f"window {window}, every {SPARSE}st frame, in blocks"
            found.append(row(name, t.ours / epoch, "VideoPose3D's kind", t.theirs / epoch, t.ratio, None))
    return found


def features(store: FeatureStore, files: list[Path], budget: int, repeats: int) -> list[Row]:
    """Every frame once, in blocks, beside dd: with the files in the page cache, and without."""
    loader = WindowLoader(store, WIDE, 1, batch_size=256, memory=budget)
    if not loader.plan.pool:
        raise RuntimeError("the features fit in memory: a larger store is needed")
    size = sum(file.stat().st_size for file in files)
    room = np.empty(max(file.stat().st_size for file in files), np.uint8)
    others = {
        ("cold", "dd of the same files", ">= 0.5"): lambda: dd(files),
        ("warm", "the same files read into an array", ">= 0.5"): lambda: read_into(files, room),
        ("warm", "dd of the same files", None): lambda: dd(files),
    }
    found = []
    for (state, name, wanted), other in others.items():
        pairs = []
        for _ in range(repeats):
            spent = []
            for call in (lambda: consume(loader), other):
                for file in files:
                    evict(file) if state == "cold" else file.read_bytes()
                begin = time.perf_counter()
                call()
                spent.append(time.perf_counter() - begin)
            pairs.append(spent)
        ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(b / a for a, b in pairs)
        text = f"{name}: {size / theirs / 1e9:.3g} GB/s"
        found.append(
            Row(f"1280 channels, window 1, in blocks, {state}", size / ours / 1e9, "GB/s", text, ratio, wanted)
        )
    return found


def wide_windows(store: FeatureStore, budget: int, slices: int) -> list[Row]:
    """Windows of 27 frames of learned features, in blocks: what a lifter of `v2` reads from a large store."""
    loader = WindowLoader(store, WIDE, 27, batch_size=32, memory=budget)
    if not loader.plan.pool:
        raise RuntimeError("the features fit in memory: a larger store is needed")
    batches, some = min(60, len(loader)), np.random.default_rng(0).integers(0, store.frames, slices)
    t = compare(lambda: consume(loader, batches), lambda: zarr_slices(store, 27, some, WIDE), 0, 3)
    ours, zarr = t.ours / batches, t.theirs / slices * 32
    name = "1280 channels, window 27, batch 32, in blocks"
    size = 32 * 27 * sum(spec.frame_bytes for spec in store.fields.values() if spec.wide)
    text = f"a Zarr slice a window: {zarr * 1e3:.3g} ms"
    return [
        Row(name, ours * 1e3, "ms a batch", text, t.ratio * batches * 32 / slices, ">= 2"),
        Row(name, size / ours / 1e9, "GB/s"),
    ]


def read_into(files: list[Path], room: np.ndarray) -> None:
    """What a batch has to be in the end: in memory. dd's megabyte never leaves the processor's cache."""
    for file in files:
        with file.open("rb", buffering=0) as handle:
            handle.readinto(room.data)


def evict(file: Path) -> None:
    """Out of the page cache; the file is on disk already."""
    handle = os.open(file, os.O_RDONLY)
    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def prepare_epoch(url: str, names: tuple[str, ...], window: int, batch: int, budget: int) -> Callable[[], None]:
    # What Zarr and Arrow load of themselves when they are first used is no loader's memory.
    consume(WindowLoader(url, names, 1, batch_size=8, memory=budget), 1)
    return lambda: consume(WindowLoader(url, names, window, 1, batch, memory=budget), BATCHES[window])


def memory(store: FeatureStore, names: tuple[str, ...], window: int, batch: int, budget: int) -> Row:
    plan = WindowLoader(store, names, window, 1, batch, memory=budget).plan
    how = f"{plan.pool} blocks of {plan.block_frames[0]:,} frames" if plan.pool else "all in memory"
    peak = peak_memory(prepare_epoch, store.url, names, window, batch, budget)
    text = f"a budget of {budget / 1e6:,.0f} MB: {how}"
    kind = "1280 channels" if names == WIDE else "6 channels"
    return Row(f"peak memory, {kind}, window {window}", peak / 1e6, "MB", text, peak / budget, "<= 1.25")


def mixing(store: FeatureStore) -> list[Row]:
    """How far apart neighbours in a batch are, on the frame axis."""
    found = []
    for share in (0.15, 0.4, 0.7):
        blocks = in_blocks(store, 27, 1, share)
        ours = float(np.abs(np.diff(blocks.order(0).windows)).mean())
        perfect = float(np.abs(np.diff(permutation(store.frames))).mean())
        name = f"distance of neighbours, {blocks.plan.pool} blocks of {blocks.plan.block_frames[0]:,} in memory"
        found.append(Row(name, ours, "frames", f"perfect shuffle: {perfect:,.0f}", ours / perfect))
    return found


def opening(path: Path, frames: int) -> list[Row]:
    make_large(path, frames)
    seconds = measure(lambda: FeatureStore.open(path), 1)
    ready = measure(lambda: WindowLoader(path, NARROW, 27), 1, least=3)
    return [
        Row(f"opening {frames / 1e6:.1f} M frames", seconds, "s", wanted="< 0.3"),
        Row(f"a WindowLoader over {frames / 1e6:.1f} M frames, ready", ready, "s"),
    ]


def rows(quick: bool) -> list[Row]:
    frames, wide, slices, seconds, repeats = (131_072, 8192, 8, 1, 3) if quick else (1_000_000, 24576, 40, 6, 7)
    folder = Path(tempfile.mkdtemp(prefix="auglift-windows-"))
    try:
        store = make(folder / "narrow.zarr", frames, NARROW)
        found = against_others(store, seconds, slices)
        learned = make(folder / "wide.zarr", wide, WIDE, SHARD if not quick else 2048)
        files = [
            folder / "wide.zarr" / array_key(spec, shard)
            for shard in range(learned.layout.shards)
            for spec in learned.fields.values()
            if spec.wide
        ]
        budget = int(wide * 43_520 * 0.6)
        found += features(learned, files, budget, repeats)
        found += wide_windows(learned, budget, slices)
        # Exactly what each way of reading says it needs: the hardest case.
        for loader in (WindowLoader(store, NARROW, 27, 1, BATCH), in_blocks(store, 27, 1, 0.4)):
            found.append(memory(store, NARROW, 27, BATCH, loader.plan.bytes))
        found.append(memory(learned, WIDE, 1, 256, budget))
        return [*found, *mixing(store), *opening(folder / "large.zarr", 4_000_000)]
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(rows, __doc__)
