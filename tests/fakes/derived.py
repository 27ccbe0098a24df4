"""Stores that can be merged: one configuration, other people, ids, splits, warnings and unreadable frames."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from auglift.stores.format.fingerprint import fingerprint
from auglift.stores.format.sequences import SequenceTable
from auglift.stores.writing.shards import ShardWriter

from .stores import MadeStore

SETTINGS = {"depth": {"name": "fake-depth", "weights": "random:0"}, "uadd": {"paper": {"r_max": 8}}, "batch": 4}


@dataclass(frozen=True)
class Part(MadeStore):
    """A fake store whose configuration says of its sources what a real one does.

    prefix       of its ids
    unreadable   frames that could not be read, a number of its axis each; they are not valid
    """

    prefix: str = "a"
    unreadable: tuple[int, ...] = ()
    changes: tuple[tuple[str, Any], ...] = ()

    @property
    def sequences(self) -> SequenceTable:
        table = super().sequences.table
        ids = pa.array([f"{self.prefix}/{id}" for id in table["id"].to_pylist()])
        return SequenceTable(table.set_column(table.schema.get_field_index("id"), "id", ids))

    @property
    def plan(self) -> dict[str, Any]:
        described = {
            row.id: {"source": row.source, "digest": f"sha256:{self.seed}-{row.id}", "count": row.length, "step": "1"}
            for row in self.sequences
        }
        configuration = {
            "format_version": 1,
            "dataset": "fake",
            "shard_frames": self.shard_frames,
            "sequences": described,
            **SETTINGS,
            **dict(self.changes),
        }
        return {"configuration": configuration, "fingerprint": fingerprint(configuration), "shards": []}

    def values(self, spec):
        values = super().values(spec)
        for frame in self.unreadable:
            if spec.name == "valid":
                values[frame] = 0
            elif spec.name != "source_frame" and not spec.name.startswith("target/"):
                values[frame] = float("nan")
        return values

    def write_shard(self, writer: ShardWriter, index: int) -> None:
        arrays = self.shard(index)
        start, stop = self.layout.bounds(index)
        bad = [frame for frame in self.unreadable if start <= frame < stop]
        problems = [self._problem(frame) for frame in bad]
        frames, valid = stop - start, int(arrays["valid"].sum())
        counts = {"frames": frames, "valid": valid, "nobody": frames - valid - len(bad), "unreadable": len(bad)}
        writer.write(index, arrays, counts, problems, {"auglift": "0.1.0", "torch": f"2.{self.seed}"})

    def _problem(self, frame: int) -> dict[str, Any]:
        row = next(row for row in self.sequences if row.start <= frame < row.stop)
        return {"sequence": row.id, "source_frame": frame - row.start, "reason": f"cut at {frame}"}

    def but(self, **changes: Any) -> Part:
        return replace(self, **changes)
