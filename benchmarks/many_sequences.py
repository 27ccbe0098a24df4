"""Do 100,000 short sequences take under 30 s to train on and to be evaluated, by sequence?

A store of 100,000 sequences of 10 frames, a million frames in shards of 8,192, of 40 subjects in turn. Its shards are
all the same file, so that it is soon made; they are in the page cache. A training is one of `simple_baseline`, of two
steps and as many windows to validate on: what it costs is to begin. Commands run in processes of their own, on one
thread, the start of Python and its imports included; the other figures are of this process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from auglift.stores.format.layout import StoreLayout, array_key
from auglift.stores.format.record import ShardRecord
from auglift.stores.format.schema import Field, field
from auglift.stores.format.sequences import Sequence, SequenceTable
from auglift.stores.locations.choose import locate
from auglift.stores.reading.store import FeatureStore
from auglift.stores.reading.windows import WindowLoader
from auglift.stores.writing.shards import ShardWriter

from .harness import Row, main

COUNT, LENGTH, SUBJECTS, SECONDS = 100_000, 10, 40, 30
FIELDS = ("keypoints", "score", "uadd/paper", "target/pose3d")
SMALL = ["--lifter", "simple_baseline", "--set", "width=16", "--window", "3", "--epochs", "1", "--limit", "2048"]


def make(path: Path, count: int) -> FeatureStore:
    """A finished store: every tenth frame shows nobody."""
    layout = StoreLayout(tuple(field(name) for name in (*FIELDS, "valid")), count * LENGTH)
    table = SequenceTable.from_sequences(
        Sequence(f"s{n}", "bench", f"S{n % SUBJECTS}", "walk", "1", "train", n * LENGTH, LENGTH, 50, 1000, 1000, "")
        for n in range(count)
    )
    plan = {"configuration": {}, "fingerprint": "0" * 64}
    writer = ShardWriter.create(locate(path), layout, table, plan, {"dataset": "bench"})
    first: dict[int, ShardRecord] = {}
    for shard in range(layout.shards):
        start, stop = layout.bounds(shard)
        frames = stop - start
        if frames not in first:
            first[frames] = writer.write(shard, {f.name: values(f, frames) for f in layout.fields}, {"frames": frames})
            continue
        for spec in layout.fields:
            target = path / array_key(spec, shard)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path / array_key(spec, first[frames].shard), target)
        record = ShardRecord(shard, start, stop, writer.fingerprint, first[frames].arrays, {"frames": frames})
        writer.location.write(f"ledger/{shard:08d}.json", record.to_json())
    writer.finalise({})
    return FeatureStore.open(path)


def values(spec: Field, frames: int) -> np.ndarray:
    """As a detector's: no two alike, moving slowly."""
    if spec.name == "valid":
        return (np.arange(frames) % 10 != 7).astype(np.uint8)
    rng = np.random.default_rng(0)
    return 5 + np.cumsum(rng.standard_normal((frames, *spec.shape), dtype=np.float32), axis=0, dtype=np.float32)


def seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def command(module: str, *arguments: str) -> None:
    call = [sys.executable, "-m", f"auglift.cli.{module}", *arguments, "--device", "cpu", "--threads", "1"]
    subprocess.run(call, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def rows(quick: bool) -> list[Row]:
    count = COUNT // 10 if quick else COUNT
    folder = Path(tempfile.mkdtemp(prefix="auglift-many-sequences-"))
    store, run = str(folder / "many.zarr"), str(folder / "run")
    try:
        make(folder / "many.zarr", count)
        timed = {
            "FeatureStore.open": seconds(lambda: FeatureStore.open(store)),
            "WindowLoader, ready": seconds(lambda: WindowLoader(store, FIELDS, 27)),
            "WindowLoader, its first batch": seconds(lambda: next(iter(WindowLoader(store, FIELDS, 27)))),
            "auglift-train, two steps": seconds(lambda: command("train", store, *SMALL, "--out", run)),
            "auglift-eval --by sequence": seconds(lambda: command("evaluate", run, store, "--by", "sequence")),
        }
        wanted = None if quick else f"< {SECONDS}"
        return [Row(f"{name}, {count:,} sequences", took, "s", wanted=wanted) for name, took in timed.items()]
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(rows, __doc__)
