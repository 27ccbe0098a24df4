"""The ledger: one small file for each finished shard. A shard without a record does not exist."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from .errors import CorruptStoreError
from .format.layout import LEDGER, ledger_key
from .format.record import ShardRecord
from .locations.base import PARTIAL, Location

THREADS = 8


def ledger_keys(location: Location) -> list[str]:
    """List the keys of all finished records, sorted."""
    return [key for key in location.listing(LEDGER) if not key.endswith(PARTIAL)]


def read_record(location: Location, key: str) -> ShardRecord:
    """Read a record. CorruptStoreError where it cannot be read, or is that of another shard."""
    where = f"{key} in {location.url}"
    record = ShardRecord.from_json(location.read(key), where)
    if key != ledger_key(record.shard):
        raise CorruptStoreError(
            f"{where} is the record of shard {record.shard}; auglift-store verify --repair, then auglift-prep again"
        )
    return record


def read_ledger(location: Location) -> dict[int, ShardRecord]:
    """Read every record that is there, by shard. CorruptStoreError as `read_record`."""
    with ThreadPoolExecutor(THREADS) as pool:  # behind a URL each takes a round trip
        records = pool.map(lambda key: read_record(location, key), ledger_keys(location))
        return {record.shard: record for record in records}
