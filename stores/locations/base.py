"""What a location is: keys and bytes, each write whole, on disk and final before it returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import zarr.abc.store

from ..errors import MissingFileError

SHARD_FOLDER = "/c/"  # in the keys of shards, and in no other
PARTIAL = ".partial"  # a write that was not finished; never read, swept by the next writer


class Location(ABC):
    """A folder of keys (`ledger/00000042.json`). A reader sees the old bytes of a key or the new, never a part."""

    url: str
    lists = True  # False: what is there cannot be listed, only looked for by name

    @abstractmethod
    def read(self, key: str) -> bytes:
        """MissingFileError where there is no such key."""

    @abstractmethod
    def write(self, key: str, data: bytes) -> None:
        """Whole, atomic and durable; StoreWriteError where that cannot be."""

    @abstractmethod
    def create(self, key: str, data: bytes) -> bool:
        """As `write`, but False and nothing changed where the key is there already: one of two racing jobs wins."""

    @abstractmethod
    def size(self, key: str) -> int | None:
        """Bytes under the key, None where there is none."""

    @abstractmethod
    def sizes(self, prefix: str = "") -> dict[str, int]:
        """Every key below a folder (`ledger/`), sorted, unfinished writes included, with its size in bytes."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """No error where there is no such key."""

    @abstractmethod
    def zarr_store(self, read_only: bool = True) -> zarr.abc.store.Store:
        """The same place as Zarr sees it."""

    @abstractmethod
    def below(self, folder: str) -> Location:
        """The location of a folder inside this one."""

    def prune(self, folder: str) -> None:
        """Take away this folder and those in it, as far as they hold nothing. Where keys have no folders: nothing."""
        return

    @abstractmethod
    def top(self) -> list[str]:
        """The names of what lies directly in the folder, folders included, sorted."""

    def exists(self, key: str) -> bool:
        return self.size(key) is not None

    def listing(self, prefix: str = "") -> list[str]:
        """The keys of `sizes`."""
        return list(self.sizes(prefix))


class StrictReads:
    """For Zarr's stores: Zarr takes a missing shard for one that holds nothing, and we never write such a one."""

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        return self._there(key, await super().get(key, prototype, byte_range))  # type: ignore[misc]

    def get_sync(self, key: str, **options: Any) -> Any:
        return self._there(key, super().get_sync(key, **options))  # type: ignore[misc]

    def _there(self, key: str, found: Any) -> Any:
        if found is None and SHARD_FOLDER in key:
            raise MissingFileError(f"{key} is missing")
        return found
