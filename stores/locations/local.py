"""Where a store lives: keys and bytes, each write whole, on disk and final before it returns."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import uuid
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import zarr.abc.store
import zarr.storage

from ..errors import InvalidValueError, MissingFileError, StoreReadError, StoreWriteError

SHARD_FOLDER = "/c/"  # in the keys of shards, and in no other
PARTIAL = ".partial"  # a write that was not finished; never read, swept by the next writer


class Location(ABC):
    """A folder of keys (`ledger/00000042.json`). A reader sees the old bytes of a key or the new, never a part."""

    url: str

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


class _StrictLocalStore(StrictReads, zarr.storage.LocalStore):
    pass


class LocalLocation(Location):
    """A folder on a file system. Writes go to a temporary name, are synced, renamed, and their folder synced."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.url = str(path)

    def read(self, key: str) -> bytes:
        try:
            return (self.path / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise MissingFileError(f"{self.path / key} is missing") from error
        except OSError as error:
            raise StoreReadError(f"{self.path / key} cannot be read: {error.strerror or error}") from error

    def write(self, key: str, data: bytes) -> None:
        self._write(key, data, exclusive=False)

    def create(self, key: str, data: bytes) -> bool:
        return self._write(key, data, exclusive=True)

    def _write(self, key: str, data: bytes, exclusive: bool) -> bool:
        target = self.path / key
        temporary = target.with_name(f"{target.name}.{uuid.uuid4().hex[:12]}{PARTIAL}")
        try:
            _make_folder(target.parent)
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if exclusive:
                _link(temporary, target)
                temporary.unlink()
            else:
                temporary.replace(target)
            _sync_folder(target.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            if exclusive and isinstance(error, FileExistsError):
                return False
            raise _write_error(target, len(data), error) from error
        return True

    def size(self, key: str) -> int | None:
        try:
            found = (self.path / key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreReadError(f"{self.path / key} cannot be read: {error.strerror or error}") from error
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def sizes(self, prefix: str = "") -> dict[str, int]:
        def fail(error: OSError) -> None:
            if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
                raise StoreReadError(f"{error.filename} cannot be listed: {error.strerror}") from error

        found = {}
        for folder, _, names in os.walk(self.path / prefix, onerror=fail):
            for name in names:
                path = Path(folder) / name
                with contextlib.suppress(FileNotFoundError):  # a writer beside us gave it its final name
                    found[path.relative_to(self.path).as_posix()] = path.lstat().st_size
        return dict(sorted(found.items()))

    def top(self) -> list[str]:
        try:
            return sorted(path.name for path in self.path.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StoreReadError(f"{self.path} cannot be listed: {error.strerror}") from error

    def delete(self, key: str) -> None:
        try:
            (self.path / key).unlink(missing_ok=True)
        except NotADirectoryError:
            pass
        except OSError as error:
            raise _write_error(self.path / key, 0, error) from error

    def zarr_store(self, read_only: bool = True) -> zarr.abc.store.Store:
        return _StrictLocalStore(self.path, read_only=read_only)


def locate(url: str | Path | Location) -> Location:
    """The location a user names: a path, or a URL. InvalidValueError for a scheme nobody here speaks."""
    if isinstance(url, Location):
        return url
    text = str(url)
    if "://" not in text:
        return LocalLocation(text)
    if text.startswith("file://"):
        return LocalLocation(text.removeprefix("file://"))
    from .remote import SCHEMES, open_remote  # only who has a URL needs it

    if text.partition("://")[0] in SCHEMES:
        return open_remote(text)
    raise InvalidValueError(f"cannot open '{text}': a store is a folder, or a URL: s3://, gs://, https:// (to read)")


def _link(temporary: Path, target: Path) -> None:
    """Give a finished file its name, unless the name is taken: FileExistsError."""
    try:
        os.link(temporary, target)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        # No hard links here (exFAT, some network mounts): take the name first, then put the content under it.
        target.touch(exist_ok=False)
        target.write_bytes(temporary.read_bytes())


def _make_folder(folder: Path) -> None:
    """Create a folder and its parents, each made durable in the one above it."""
    missing = []
    while not folder.is_dir():
        if folder.exists() and not folder.is_dir():  # asked twice: another process may make it as we look
            raise NotADirectoryError(errno.ENOTDIR, "not a folder", str(folder))
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(exist_ok=True)
        _sync_folder(new.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network mounts sync folders by themselves and refuse to be asked
            raise
    finally:
        os.close(handle)


def _write_error(target: Path, size: int, error: OSError) -> StoreWriteError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreWriteError(
            f"the disk is full: {size} bytes for {target} did not fit; free some space and run the same command "
            "again, what is finished is kept"
        )
    if error.errno == errno.ENOTDIR:
        return StoreWriteError(f"{error.filename} is not a folder; choose another --out")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StoreWriteError(f"{target} cannot be written ({error.strerror}); choose another --out or its rights")
    return StoreWriteError(f"{target} cannot be written: {error.strerror or error}")
