"""The plan of a derived store: which sequences of which stores, which fields, and what each shard is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from ..format.fingerprint import fingerprint
from ..format.layout import SHARD_FRAMES, StoreLayout
from ..format.schema import FORMAT_VERSION, Field
from ..format.sequences import SequenceTable
from .compatible import ABOUT_ROUNDING, method
from .sources import Source


@dataclass(frozen=True)
class Run:
    """Frames [start, stop) of a source, which lie in the derived store one after another."""

    source: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class DerivedPlan:
    """Everything that fixes the bytes of a derived store.

    command        merge or select
    rows           by source, (n,) int64: the sequences taken, rows of its table, ascending
    ids            of the sequences in the derived store, in the order of sources and rows
    fields         the arrays it will hold
    options        what was wished for, in words, for the lineage; no array depends on it
    notes          what a user should know of the derived store alone, a line each, by sequence id
    family_fields  by family that is taken along: its fields, under their plain names
    """

    command: str
    sources: tuple[Source, ...]
    rows: tuple[np.ndarray, ...]
    ids: tuple[str, ...]
    fields: tuple[Field, ...]
    shard_frames: int
    options: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    family_fields: Mapping[str, tuple[Field, ...]] = field(default_factory=dict)

    @cached_property
    def layout(self) -> StoreLayout:
        frames = sum(
            int(s.store.sequences.lengths[rows].sum()) for s, rows in zip(self.sources, self.rows, strict=True)
        )
        return StoreLayout(self.fields, frames, min(self.shard_frames, frames))

    @property
    def table(self) -> SequenceTable | None:
        """What is written as the table of sequences; None where nothing is."""
        return self.sequences

    @cached_property
    def families(self) -> tuple[FamilyPlan, ...]:
        """The plans of the families that are taken along."""
        return tuple(
            FamilyPlan(
                self.command,
                tuple(source.families[name] for source in self.sources),
                self.rows,
                self.ids,
                fields,
                self.shard_frames,
                name=name,
                of=self.fingerprint,
            )
            for name, fields in self.family_fields.items()
        )

    @cached_property
    def sequences(self) -> SequenceTable:
        parts = [source.root.sequences.table.take(rows) for source, rows in zip(self.sources, self.rows, strict=True)]
        table = pa.concat_tables(parts)
        lengths = table["length"].to_numpy()
        starts = pa.array(np.cumsum(lengths) - lengths)
        table = table.set_column(table.schema.get_field_index("id"), "id", pa.array(self.ids, pa.string()))
        return SequenceTable(table.set_column(table.schema.get_field_index("start"), "start", starts))

    @cached_property
    def origins(self) -> tuple[tuple[int, str], ...]:
        """Of each sequence of the derived store: its source, and its id there."""
        return tuple(
            (number, id)
            for number, (source, rows) in enumerate(zip(self.sources, self.rows, strict=True))
            for id in source.root.sequences.table["id"].take(pa.array(rows)).to_pylist()
        )

    @cached_property
    def renamed(self) -> dict[tuple[int, str], str]:
        """(source, its id there) -> its id here, of every sequence."""
        return dict(zip(self.origins, self.ids, strict=True))

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """What the fingerprint is of: how the values were made, and from which stores and sequences they come."""
        return {
            **self.made,
            "format_version": self.sources[0].store.attributes["format_version"],
            "dataset": self.dataset,
            "shard_frames": self.layout.shard_frames,
            "sequences": {
                new: {**self.sources[number].described(old), "from": {"store": number, "id": old}}
                for new, (number, old) in zip(self.ids, self.origins, strict=True)
            },
        }

    @property
    def made(self) -> dict[str, Any]:
        """How the values were made, and from which stores. What differs in rounding only is said of each of them."""
        settings = [s.store.configuration for s in self.sources]
        same = {k: settings[0][k] for k in ABOUT_ROUNDING if k in settings[0] and _all_equal(k, settings)}
        stores = [
            {**source.identity, **{k: c[k] for k in ABOUT_ROUNDING if k in c and k not in same}}
            for source, c in zip(self.sources, settings, strict=True)
        ]
        families = {name: [s.families[name].identity for s in self.sources] for name in self.family_fields}
        return {
            **method(self.sources[0], [spec.name for spec in self.fields]),
            **same,
            "derived": {
                "command": self.command,
                "stores": stores,
                "fields": [spec.name for spec in self.fields],
                **({"families": families} if families else {}),
            },
        }

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(self.configuration)

    @property
    def dataset(self) -> str:
        """The datasets of the sources, each once: `h36m + 3dpw`."""
        names = [name for s in self.sources for name in str(s.store.attributes.get("dataset", "")).split(" + ")]
        return " + ".join(dict.fromkeys(name for name in names if name))

    @cached_property
    def _runs(self) -> tuple[np.ndarray, list[Run]]:
        """Where each run begins here, and the runs of the whole store, as long as can be."""
        runs: list[Run] = []
        for number, (source, rows) in enumerate(zip(self.sources, self.rows, strict=True)):
            starts = source.root.sequences.starts[rows]
            stops = starts + source.root.sequences.lengths[rows]
            breaks = np.flatnonzero(starts[1:] != stops[:-1]) + 1
            firsts, lasts = [0, *breaks.tolist()], [*(breaks - 1).tolist(), len(rows) - 1]
            runs += [Run(number, int(starts[a]), int(stops[b])) for a, b in zip(firsts, lasts, strict=True)]
        lengths = np.array([len(run) for run in runs], dtype=np.int64)
        return np.cumsum(lengths) - lengths, runs

    def runs(self, shard: int) -> list[Run]:
        """What a shard is made of, in order."""
        begins, runs = self._runs
        start, stop = self.layout.bounds(shard)
        found = []
        at = int(np.searchsorted(begins, start, side="right")) - 1
        while start < stop:
            run, offset = runs[at], start - int(begins[at])
            count = min(len(run) - offset, stop - start)
            found.append(Run(run.source, run.start + offset, run.start + offset + count))
            start, at = start + count, at + 1
        return found

    def to_json(self) -> dict[str, Any]:
        """plan.json: the configuration, its fingerprint, and what each shard is made of."""
        shards = []
        for shard in range(self.layout.shards):
            start, stop = self.layout.bounds(shard)
            runs = [{"store": run.source, "start": run.start, "stop": run.stop} for run in self.runs(shard)]
            shards.append({"shard": shard, "start": start, "stop": stop, "runs": runs})
        return {"configuration": self.configuration, "fingerprint": self.fingerprint, "shards": shards}


@dataclass(frozen=True)
class FamilyPlan(DerivedPlan):
    """The plan of a family of a derived store: the same frames, in shards of the same length.

    name   of the family
    of     fingerprint of the derived store
    """

    name: str = ""
    of: str = ""

    @property
    def table(self) -> None:
        return None

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """What the fingerprint is of: how the values were made, and the derived store, whose plan has the sequences."""
        return {**self.made, "format_version": FORMAT_VERSION, "store": self.of}


def shard_length(sources: tuple[Source, ...], wish: int | None) -> int:
    """Frames a shard: what is wished for; else the longest of the sources that have several; else the usual.

    A store of one shard may have a length that only one shard can have.
    """
    several = [s.layout.shard_frames for s in sources if s.layout.shards > 1]
    return wish or max(several, default=SHARD_FRAMES)


def _all_equal(key: str, settings: list[dict[str, Any]]) -> bool:
    return all(key in other and other[key] == settings[0][key] for other in settings)
