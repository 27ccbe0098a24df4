"""Do 100,000 short sequences take under 30 s to open, look at, check and export?

A store of 100,000 sequences of 10 frames, a million frames in shards of 8,192, with every field that a depth pass over
a dataset with ground truth writes. Its shards are all one file, so that it is soon made, and are in the page cache.
Each figure is of one command in a process of its own, the start of Python and its imports included: seconds of
processor, of both cores together, as the clock depends on what else the machine does.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from auglift.stores.format.fingerprint import fingerprint
from auglift.stores.format.layout import StoreLayout, array_key
from auglift.stores.format.record import ShardRecord
from auglift.stores.format.schema import UADD_STATISTICS, Field, fields_for
from auglift.stores.format.sequences import Sequence, SequenceTable
from auglift.stores.locations.choose import locate
from auglift.stores.writing.shards import ShardWriter

from .harness import Row, main

COUNT, LENGTH, SECONDS = 100_000, 10, 30
COMMANDS = {
    "info": ("info",),
    "report": ("report",),
    "report --out": ("report", "--no-pictures", "--out", "{out}/report.html"),
    "card": ("card",),
    "verify": ("verify",),
    "verify --deep": ("verify", "--deep"),
    "export, VideoPose3D": ("export", "--format", "videopose3d", "--out", "{out}"),
    "export, MMPose": ("export", "--format", "mmpose", "--out", "{out}"),
    "export, Parquet": ("export", "--format", "parquet", "--out", "{out}"),
}


def make(path: Path, count: int, length: int) -> None:
    """A finished store of `count` sequences of `length` frames: 40 subjects, 5 actions, 4 cameras."""
    layout = StoreLayout(fields_for(UADD_STATISTICS, ("target/pose3d", "target/keypoints")), count * length)
    rows = [
        Sequence(
            f"S{n % 40}/take {n // 160}/{n // 40 % 4}",
            "bench",
            f"S{n % 40}",
            f"action {n % 5} take {n // 160}",
            f"c{n // 40 % 4}",
            "train",
            n * length,
            length,
            50,
            1000,
            1000,
            f"{n}.mp4",
            1145,
            1144,
            512,
            515,
        )
        for n in range(count)
    ]
    plan = {"configuration": {}, "fingerprint": fingerprint({})}
    writer = ShardWriter.create(locate(path), layout, SequenceTable.from_sequences(rows), plan, {"dataset": "bench"})
    first: dict[int, ShardRecord] = {}
    for shard in range(layout.shards):
        start, stop = layout.bounds(shard)
        size = stop - start
        counts = {"frames": size, "valid": int(_valid(size).sum())}
        if size not in first:
            rng = np.random.default_rng(0)
            first[size] = writer.write(shard, {spec.name: _values(spec, size, rng) for spec in layout.fields}, counts)
            continue
        for spec in layout.fields:
            target = path / array_key(spec, shard)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path / array_key(spec, first[size].shard), target)
        record = ShardRecord(shard, start, stop, writer.fingerprint, first[size].arrays, counts)
        writer.location.write(f"ledger/{shard:08d}.json", record.to_json())
    writer.finalise({})


def _valid(frames: int) -> np.ndarray:
    return (np.arange(frames) % 10 != 7).astype(np.uint8)


def _values(spec: Field, frames: int, rng: np.random.Generator) -> np.ndarray:
    """As a detector's: no two alike, moving slowly."""
    if spec.name == "valid":
        return _valid(frames)
    if spec.name == "source_frame":
        return np.arange(frames, dtype=np.int32)
    values = 500 + np.cumsum(rng.standard_normal((frames, *spec.shape), dtype=np.float32), axis=0, dtype=np.float32)
    if not spec.name.startswith("target/"):
        values[_valid(frames) == 0] = np.nan
    return values


def timed(name: str, store: Path, arguments: tuple[str, ...], wanted: str | None) -> Row:
    """One call of auglift-store; what it writes is taken away again."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory(dir=store.parent) as out:
        command, *options = (argument.format(out=out) for argument in arguments)
        call = [sys.executable, "-m", "auglift.cli.store", command, str(store), *options]
        begin = time.perf_counter()
        subprocess.run(call, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        clock = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Row(name, spent, "s of processor", f"by the clock {clock:.1f} s", wanted=wanted)


def rows(quick: bool) -> list[Row]:
    count = COUNT // 10 if quick else COUNT
    folder = Path(tempfile.mkdtemp(prefix="auglift-sequences-"))
    try:
        store = folder / "many.zarr"
        make(store, count, LENGTH)
        wanted = None if quick else f"< {SECONDS}"
        return [
            timed(f"auglift-store {name}, {count:,} sequences", store, arguments, wanted)
            for name, arguments in COMMANDS.items()
        ]
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(rows, __doc__)
