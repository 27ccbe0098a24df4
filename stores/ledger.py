"""The ledger: what each finished shard holds, one small file a shard. What has no record does not exist."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from .errors import CorruptStoreError
from .format.fingerprint import canonical_json
from .format.layout import LEDGER, StoreLayout, ledger_key
from .locations.local import PARTIAL, Location

THREADS = 8


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
        """CorruptStoreError, naming `where`, where the bytes are no record."""
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
        """Why this record cannot be of a store of that layout and plan; None where it can."""
        if self.fingerprint != fingerprint:
            return f"is of another plan ({self.fingerprint[:8]}, not {fingerprint[:8]})"
        if self.shard >= layout.shards or (self.start, self.stop) != layout.bounds(self.shard):
            return f"says frames {self.start} to {self.stop}, where the store has {layout.shards} shards"
        if set(self.arrays) != {spec.name for spec in layout.fields}:
            return f"has arrays {', '.join(sorted(self.arrays))}, not the store's"
        return None


def ledger_keys(location: Location) -> list[str]:
    """Every finished record's key, sorted."""
    return [key for key in location.listing(LEDGER) if not key.endswith(PARTIAL)]


def read_record(location: Location, key: str) -> ShardRecord:
    """CorruptStoreError for one that cannot be read, or is another shard's."""
    where = f"{key} in {location.url}"
    record = ShardRecord.from_json(location.read(key), where)
    if key != ledger_key(record.shard):
        raise CorruptStoreError(
            f"{where} is the record of shard {record.shard}; auglift-store verify --repair, then auglift-prep again"
        )
    return record


def read_ledger(location: Location) -> dict[int, ShardRecord]:
    """Every record there is, by shard. CorruptStoreError as `read_record`."""
    with ThreadPoolExecutor(THREADS) as pool:  # behind a URL each takes a round trip
        records = pool.map(lambda key: read_record(location, key), ledger_keys(location))
        return {record.shard: record for record in records}
