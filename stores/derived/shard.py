"""One shard of a derived store: the bytes of a source's shard where they are the same, else written anew."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import CorruptStoreError
from ..format.layout import array_key
from ..format.schema import Field
from ..reading.store import FeatureStore
from ..summaries.lineage import versions_of
from ..writing.shards import ShardWriter
from .counts import counted, records_of
from .plan import DerivedPlan, Run


@dataclass
class ShardMaker:
    """Makes shards. `store` is the derived store itself, with its arrays' metadata in place."""

    plan: DerivedPlan
    writer: ShardWriter
    store: FeatureStore
    _same: dict[tuple[int, str], bool] = field(default_factory=dict)

    def make(self, shard: int) -> tuple[int, int]:
        """Write a shard and its record. Returns how many files were copied, how many written anew."""
        runs = self.plan.runs(shard)
        counts, problems = counted(self.plan, runs)
        copied = [spec.name for spec in self.plan.fields if self._can_copy(spec, runs)]
        self.writer.write_encoded(
            shard, self._encoded(shard, runs, set(copied)), counts, problems, versions_of(records_of(self.plan, runs))
        )
        return len(copied), len(self.plan.fields) - len(copied)

    def _encoded(self, shard: int, runs: list[Run], copied: set[str]) -> Iterator[tuple[Field, bytes]]:
        for spec in self.plan.fields:
            if spec.name in copied:
                yield spec, self._copy(spec, runs[0])
            else:
                yield spec, self.writer.encode(spec, shard, self._values(spec, runs))

    def _can_copy(self, spec: Field, runs: list[Run]) -> bool:
        """Whether the frames are exactly those of a shard of one source, which encodes this field as we do."""
        run = runs[0]
        layout = self.plan.sources[run.source].layout
        whole = run.start % layout.shard_frames == 0 and (run.start, run.stop) == layout.bounds(
            run.start // layout.shard_frames
        )
        return len(runs) == 1 and whole and self._encodes_alike(run.source, spec)

    def _encodes_alike(self, source: int, spec: Field) -> bool:
        key = (source, spec.name)
        if key not in self._same:
            theirs = self.plan.sources[source]
            self._same[key] = spec.name in theirs.fields and _encoding(theirs.store, spec) == self._encodings[spec.name]
        return self._same[key]

    @cached_property
    def _encodings(self) -> dict[str, Any]:
        return {spec.name: _encoding(self.store, spec) for spec in self.plan.fields}

    def _copy(self, spec: Field, run: Run) -> bytes:
        source = self.plan.sources[run.source]
        shard = run.start // source.layout.shard_frames
        data = source.store.location.read(array_key(spec, shard))
        if hashlib.sha256(data).hexdigest() != source.record(shard).arrays[spec.name]["sha256"]:
            raise CorruptStoreError(
                f"{array_key(spec, shard)} in {source.store.url} is not what was written: its sha256 is not the "
                "ledger's; auglift-store verify --deep says more"
            )
        return data

    def _values(self, spec: Field, runs: list[Run]) -> np.ndarray:
        return np.concatenate([self._part(spec, run) for run in runs])

    def _part(self, spec: Field, run: Run) -> np.ndarray:
        source = self.plan.sources[run.source]
        if spec.name not in source.fields:  # ground truth that this dataset does not have
            return spec.empty(len(run))
        return source.store.read(spec.name, run.start, run.stop)


def _encoding(store: FeatureStore, spec: Field) -> dict[str, Any]:
    """All of an array's metadata that decides the bytes of a shard: not its length, not what it is called."""
    metadata = dict(store.array(spec.name).metadata.to_dict())
    metadata["shape"] = metadata["shape"][1:]  # type: ignore[index]
    metadata["fill_value"] = repr(metadata["fill_value"])  # NaN is not equal to itself
    return {key: value for key, value in metadata.items() if key not in ("attributes", "dimension_names")}
