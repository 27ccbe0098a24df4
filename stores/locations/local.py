"""A store in a folder: writes go to a temporary name, are synced to disk and renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import uuid
from pathlib import Path
from typing import IO

import zarr.abc.store
import zarr.storage

from ..errors import MissingFileError, StoreReadError, StoreWriteError
from .base import PARTIAL, Location, StrictReads


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
            with _open_new(temporary) as file:
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

    def below(self, folder: str) -> LocalLocation:
        return LocalLocation(self.path / folder)

    def prune(self, folder: str) -> None:
        for path, _, _ in os.walk(self.path / folder, topdown=False):
            with contextlib.suppress(OSError):  # it holds something
                Path(path).rmdir()

    def zarr_store(self, read_only: bool = True) -> zarr.abc.store.Store:
        return _StrictLocalStore(self.path, read_only=read_only)


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


def _open_new(path: Path) -> IO[bytes]:
    """A new file, with the folders above it."""
    _make_folder(path.parent)
    try:
        return path.open("wb")
    except FileNotFoundError:  # `prune` of another job took the empty folder away as we looked
        _make_folder(path.parent)
        return path.open("wb")


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
