"""Where a store lives: keys and bytes, each write whole, on disk and final before it returns."""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from pathlib import Path

import zarr.abc.store
import zarr.storage

from .errors import InvalidValueError, MissingFileError, StoreWriteError

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
    def listing(self, prefix: str = "") -> list[str]:
        """Every key below a folder (`ledger/`), sorted, unfinished writes included."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """No error where there is no such key."""

    @abstractmethod
    def zarr_store(self, read_only: bool = True) -> zarr.abc.store.Store:
        """The same place as Zarr sees it."""

    def exists(self, key: str) -> bool:
        return self.size(key) is not None


class LocalLocation(Location):
    """A folder on a file system. Writes go to a temporary name, are synced, renamed, and their folder synced."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.url = str(path)

    def read(self, key: str) -> bytes:
        try:
            return (self.path / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise MissingFileError(f"{self.path / key} is missing") from error

    def write(self, key: str, data: bytes) -> None:
        self._write(key, data, exclusive=False)

    def create(self, key: str, data: bytes) -> bool:
        return self._write(key, data, exclusive=True)

    def _write(self, key: str, data: bytes, exclusive: bool) -> bool:
        target = self.path / key
        temporary = target.with_name(f"{target.name}.{os.getpid()}{PARTIAL}")
        try:
            _make_folder(target.parent)
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if exclusive:
                os.link(temporary, target)
                temporary.unlink()
            else:
                temporary.replace(target)
            _sync_folder(target.parent)
        except FileExistsError:
            temporary.unlink(missing_ok=True)
            if exclusive and target.is_file():
                return False
            raise StoreWriteError(f"{target.parent} is not a folder; choose another --out") from None
        except OSError as error:
            temporary.unlink(missing_ok=True) if temporary.parent.is_dir() else None
            raise _write_error(target, len(data), error) from error
        return True

    def size(self, key: str) -> int | None:
        try:
            return (self.path / key).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def listing(self, prefix: str = "") -> list[str]:
        root = self.path / prefix
        found = (Path(folder) / name for folder, _, names in os.walk(root) for name in names)
        return sorted(path.relative_to(self.path).as_posix() for path in found)

    def delete(self, key: str) -> None:
        (self.path / key).unlink(missing_ok=True)

    def zarr_store(self, read_only: bool = True) -> zarr.abc.store.Store:
        return zarr.storage.LocalStore(self.path, read_only=read_only)


def locate(url: str | Path | Location) -> Location:
    """The location a user names: a path, or a URL. InvalidValueError for a scheme nobody here speaks."""
    if isinstance(url, Location):
        return url
    text = str(url)
    if "://" not in text:
        return LocalLocation(text)
    if text.startswith("file://"):
        return LocalLocation(text.removeprefix("file://"))
    raise InvalidValueError(f"cannot open '{text}': stores live in a folder")


def _make_folder(folder: Path) -> None:
    """Create a folder and its parents, each made durable in the one above it."""
    missing = []
    while not folder.is_dir():
        if folder.exists():
            raise FileExistsError(folder)
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(exist_ok=True)
        _sync_folder(new.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_error(target: Path, size: int, error: OSError) -> StoreWriteError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreWriteError(
            f"the disk is full: {size} bytes for {target} did not fit; free some space and run the same command "
            "again, what is finished is kept"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StoreWriteError(f"{target} cannot be written ({error.strerror}); choose another --out or its rights")
    return StoreWriteError(f"{target} cannot be written: {error.strerror or error}")
