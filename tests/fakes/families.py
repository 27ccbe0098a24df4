"""A family of made-up fields for a made-up store, written as a job writes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from auglift.stores.families import family_location
from auglift.stores.format.fingerprint import fingerprint
from auglift.stores.format.schema import FIELDS, FORMAT_VERSION, Field
from auglift.stores.locations.base import Location
from auglift.stores.locations.choose import locate
from auglift.stores.reading.store import FeatureStore
from auglift.stores.writing.families import publish
from auglift.stores.writing.lock import StoreLock
from auglift.stores.writing.shards import ShardWriter, StoreLayout, sweep_unfinished
from auglift.stores.writing.statistics import statistics


@dataclass(frozen=True)
class MadeFamily:
    """What a fake family will hold."""

    name: str = "base"
    fields: tuple[str, ...] = ("uadd/paper", "radius/paper")
    seed: int = 7
    configuration: dict[str, Any] = field(default_factory=lambda: {"depth": {"name": "other-depth", "weights": "none"}})

    def values(self, spec: Field, frames: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, *spec.name.encode()])
        return rng.uniform(1, 900, (frames, *spec.shape)).astype(spec.dtype)

    def begin(self, store: FeatureStore, location: Location) -> ShardWriter:
        layout = StoreLayout(tuple(FIELDS[name] for name in self.fields), store.frames, store.layout.shard_frames)
        configuration = {**self.configuration, "store": store.fingerprint, "seed": self.seed}
        plan = {"configuration": configuration, "fingerprint": fingerprint(configuration), "shards": []}
        attributes = {
            "format_version": FORMAT_VERSION,
            "family": self.name,
            "store": store.fingerprint,
            "warnings": [],
        }
        return ShardWriter.create(location, layout, None, plan, attributes)

    def write_shard(self, writer: ShardWriter, index: int) -> None:
        layout = writer.layout
        start, stop = layout.bounds(index)
        arrays = {spec.name: self.values(spec, layout.frames)[start:stop] for spec in layout.fields}
        counts = {"frames": stop - start, "valid": stop - start, "nobody": 0, "unreadable": 0}
        writer.write(index, arrays, counts, [], {"auglift": "0.1.0"})

    def run(self, url: str | Path | Location, shards: int | None = None) -> list[int]:
        """What a job does. Returns the shards it wrote.

        shards   stop, leaving the family half built, after so many
        """
        store = FeatureStore.open(locate(url))
        location = family_location(store.location, self.name)
        with StoreLock(location):
            sweep_unfinished(location)
            writer = self.begin(store, location)
            done = writer.done()
            missing = [index for index in range(writer.layout.shards) if index not in done]
            for index in missing[:shards]:
                self.write_shard(writer, index)
            if shards is None or shards >= len(missing):
                family = store.open_family(self.name)
                if family.status != "complete" or missing:
                    writer.finalise(statistics(family))
                publish(store.location)
        return missing[:shards]
