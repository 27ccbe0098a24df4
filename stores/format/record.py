"""One entry of the ledger: what a finished shard holds."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from ..errors import CorruptStoreError
from .fingerprint import canonical_json
from .layout import StoreLayout


@dataclass(frozen=True)
class ShardRecord:
    """The ledger's entry: what a shard holds.

    arrays        field -> {"sha256": of the shard's stored bytes, "bytes": how many}
    counts        frames, valid, nobody, unreadable
    problems      the first unreadable frames, each {"sequence", "source_frame", "reason"}
    versions      of the libraries that computed it
    """

    shard: int
    start: int
    stop: int
    fingerprint: str
    arrays: dict[str, dict[str, Any]]
    counts: dict[str, int] = field(default_factory=dict)
    problems: list[dict[str, Any]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> bytes:
        return (canonical_json(vars(self)) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes, where: str) -> ShardRecord:
        """Read a record. CorruptStoreError, naming `where`, where the bytes are none."""
        try:
            record = cls(**json.loads(data))
            record._check()
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CorruptStoreError(
                f"{where} is not a ledger record ({str(error).splitlines()[0]}); auglift-store verify --repair, then "
                "auglift-prep again"
            ) from error
        return record

    def _check(self) -> None:
        if self.shard < 0 or not 0 <= self.start < self.stop or len(self.fingerprint) != 64:
            raise ValueError("its values make no sense")
        if not all(isinstance(part, dict) for part in (self.arrays, self.counts, self.versions)):
            raise ValueError("its parts have the wrong kind")
        for entry in self.arrays.values():
            if len(entry["sha256"]) != 64 or entry["bytes"] < 1:
                raise ValueError("its hashes make no sense")
        if not all(isinstance(count, int) for count in self.counts.values()):
            raise ValueError("its counts make no sense")

    def misfit(self, layout: StoreLayout, fingerprint: str) -> str | None:
        """Return why this record cannot be of a store of that layout and plan; None where it can."""
        if self.fingerprint != fingerprint:
            return f"is of another plan ({self.fingerprint[:8]}, not {fingerprint[:8]})"
        if self.shard >= layout.shards or (self.start, self.stop) != layout.bounds(self.shard):
            return f"says frames {self.start} to {self.stop}, where the store has {layout.shards} shards"
        if set(self.arrays) != {spec.name for spec in layout.fields}:
            return f"has arrays {', '.join(sorted(self.arrays))}, not the store's"
        return None
