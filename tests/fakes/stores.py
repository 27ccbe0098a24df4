"""Small feature stores of made-up people: a pure function of (frames, shard_frames, seed), written as a job writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from auglift.stores.format.fingerprint import fingerprint
from auglift.stores.format.schema import Field, fields_for
from auglift.stores.format.sequences import Sequence, SequenceTable
from auglift.stores.locations.base import Location
from auglift.stores.locations.choose import locate
from auglift.stores.reading.store import FeatureStore
from auglift.stores.writing.lock import StoreLock
from auglift.stores.writing.shards import ShardWriter, StoreLayout, sweep_unfinished
from auglift.stores.writing.statistics import statistics

LENGTHS = (23, 9, 18)


@dataclass(frozen=True)
class MadeStore:
    """What a fake store will hold. `only`: of all fields just these, for tests that count writes."""

    lengths: tuple[int, ...] = LENGTHS
    shard_frames: int = 16
    presets: tuple[str, ...] = ("paper",)
    optional: tuple[str, ...] = ("target/pose3d", "target/keypoints")
    seed: int = 0
    only: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    configuration: dict[str, Any] = field(default_factory=lambda: {"batch": 4, "depth": {"name": "fake-depth"}})

    @property
    def layout(self) -> StoreLayout:
        fields = tuple(s for s in fields_for(self.presets, self.optional) if not self.only or s.name in self.only)
        return StoreLayout(fields, sum(self.lengths), self.shard_frames)

    @property
    def sequences(self) -> SequenceTable:
        rows, start = [], 0
        for number, length in enumerate(self.lengths):
            subject, camera = f"S{number // 2 + 1}", f"cam{number % 2 + 1}"
            rows.append(
                Sequence(
                    id=f"{subject}/walk {number // 2}/{camera}",
                    dataset="fake",
                    subject=subject,
                    action=f"walk {number // 2}",
                    camera=camera,
                    split="train" if number < 2 else "test",
                    start=start,
                    length=length,
                    fps=50.0,
                    width=1000,
                    height=1002,
                    source=f"videos/{number}.mp4",
                    fx=1145.0,
                    fy=1143.0,
                    cx=512.0,
                    cy=515.0,
                )
            )
            start += length
        return SequenceTable.from_sequences(rows)

    @property
    def plan(self) -> dict[str, Any]:
        configuration = {**self.configuration, "seed": self.seed, "lengths": list(self.lengths)}
        return {"configuration": configuration, "fingerprint": fingerprint(configuration), "shards": []}

    def values(self, spec: Field) -> np.ndarray:
        """All frames of one field, the same in every process."""
        rng = np.random.default_rng([self.seed, *spec.name.encode()])
        frames = sum(self.lengths)
        valid = np.random.default_rng(self.seed).random(frames) > 0.2
        if spec.name == "valid":
            return valid.astype(np.uint8)
        if spec.name == "source_frame":
            return np.concatenate([np.arange(n) for n in self.lengths]).astype(np.int32)
        values = rng.uniform(1, 900, (frames, *spec.shape)).astype(spec.dtype)
        if spec.name == "target/pose3d":
            values = (values / 450).astype(spec.dtype)  # metres
        if not spec.name.startswith("target/"):
            values[~valid] = np.nan
        return values

    def shard(self, index: int) -> dict[str, np.ndarray]:
        start, stop = self.layout.bounds(index)
        return {spec.name: self.values(spec)[start:stop] for spec in self.layout.fields}

    def begin(self, location: Location) -> ShardWriter:
        attributes = {"dataset": "fake", "warnings": list(self.warnings)}
        return ShardWriter.create(location, self.layout, self.sequences, self.plan, attributes)

    def write_shard(self, writer: ShardWriter, index: int) -> None:
        arrays = self.shard(index)
        frames, valid = len(arrays["valid"]), int(arrays["valid"].sum())
        counts = {"frames": frames, "valid": valid, "nobody": frames - valid, "unreadable": 0}
        writer.write(index, arrays, counts, [], {"auglift": "0.1.0"})

    def run(self, url: str | Path | Location, shards: int | None = None) -> list[int]:
        """What a job does: lock, sweep, create or resume, write what is missing, finish. Returns the shards it wrote.

        shards   stop, leaving the store half built, after so many
        """
        location = locate(url)
        with StoreLock(location):
            sweep_unfinished(location)
            writer = self.begin(location)
            done = writer.done()
            missing = [index for index in range(self.layout.shards) if index not in done]
            for index in missing[:shards]:
                self.write_shard(writer, index)
            if shards is None or shards >= len(missing):
                writer.finalise(statistics(FeatureStore.open(location, allow_incomplete=True)))
        return missing[:shards]


def make_store(path: Path, **changes: Any) -> FeatureStore:
    """A finished store."""
    MadeStore(**changes).run(path)
    return FeatureStore.open(path)


def ids(batches) -> list[tuple[int, int]]:
    return [pair for batch in batches for pair in zip(batch["store"].tolist(), batch["frame"].tolist(), strict=True)]
