"""A store that another one is made from: opened, complete, and named by what is in it, not by where it lies."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import CorruptStoreError, InvalidValueError
from ..families import published
from ..format.layout import CHECKSUMS, StoreLayout, ledger_key
from ..format.record import ShardRecord
from ..format.schema import Field
from ..locations.base import Location
from ..reading.store import FeatureStore


@dataclass(frozen=True)
class Source:
    """A finished store, or a complete family of one.

    checksums   sha256 of its SHA256SUMS, which lists the ledger, which lists every shard: of all that is in it
    root        the store that a family is of; of a store, itself
    """

    store: FeatureStore
    checksums: str
    root: FeatureStore

    @classmethod
    def open(cls, url: str | Path | Location) -> Source:
        """StoreIncompleteError for a store that is being written, InvalidValueError for one without checksums."""
        store = FeatureStore.open(url)
        return cls(store, _digest(store), store)

    @cached_property
    def families(self) -> dict[str, Source]:
        """The families of the store. CorruptStoreError for one that cannot be read: nothing is left out in silence."""
        lost = sorted(set(published(self.store.location)) - self.store.families.keys())
        if lost:
            raise CorruptStoreError(
                f"the family '{lost[0]}' of {self.store.url} cannot be read; auglift-store verify says why, "
                "auglift-store remove-fields takes it away"
            )
        return {name: Source(family, _digest(family), self.store) for name, family in self.store.families.items()}

    @property
    def identity(self) -> dict[str, str]:
        """What it is, wherever it lies."""
        return {"fingerprint": self.store.fingerprint, "sha256sums": self.checksums}

    @property
    def fields(self) -> dict[str, Field]:
        """The fields that are its own."""
        return self.store.own_fields

    @cached_property
    def _records(self) -> dict[int, ShardRecord]:
        return self.store.ledger()

    def record(self, shard: int) -> ShardRecord:
        """CorruptStoreError where the ledger has none that fits: the store is complete."""
        record = self._records.get(shard)
        misfit = "is missing" if record is None else record.misfit(self.layout, self.store.fingerprint)
        if record is None or misfit:
            raise CorruptStoreError(f"{ledger_key(shard)} in {self.store.url} {misfit}; run auglift-store verify")
        return record

    @property
    def layout(self) -> StoreLayout:
        return self.store.layout

    def described(self, id: str) -> dict[str, Any]:
        """What the store's configuration says of a sequence."""
        sequences = self.store.configuration.get("sequences")
        entry = sequences.get(id) if isinstance(sequences, dict) else None
        return dict(entry) if isinstance(entry, dict) else {}


def _digest(store: FeatureStore) -> str:
    if not store.location.exists(CHECKSUMS):
        raise InvalidValueError(
            f"{store.url} has no {CHECKSUMS}; auglift-store verify --repair, then the command that made it again"
        )
    return hashlib.sha256(store.location.read(CHECKSUMS)).hexdigest()
