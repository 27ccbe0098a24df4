"""Where an export puts its files: whole, under their own names, or not at all; and what it says of itself."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import AugliftError, InvalidValueError, StoreWriteError
from ..locations.base import PARTIAL
from ..reading.store import FeatureStore


@dataclass
class Exported:
    """What was written: files, frames, and a line for each thing that the format could not take as it is.

    left_out   sequences that are not in the files: (id, why)
    """

    paths: list[Path] = field(default_factory=list)
    frames: int = 0
    notes: list[str] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def leave_out(self, ids: Iterable[str], why: str) -> None:
        self.left_out += [(id, why) for id in ids]


@dataclass(frozen=True)
class Files:
    """A folder for files whose names hold the dataset's. Any error leaves none that is half written."""

    folder: Path
    dataset: str
    overwrite: bool

    def path(self, pattern: str) -> Path:
        """Return the path of a file, with the dataset's name for `{}`, as in `annotations_{}.npz`."""
        return self.folder / pattern.format(self.dataset)

    def require_new(self, *patterns: str) -> None:
        """Raise InvalidValueError where one of these is there already, before a long export and not after it."""
        for path in map(self.path, patterns):
            if path.exists() and not self.overwrite:
                raise InvalidValueError(f"{path} is there already; choose another --out, or --force to replace it")

    @contextmanager
    def new(self, pattern: str, done: Exported) -> Iterator[Path]:
        """Give a path to write to; the file gets its own name when the block ends well."""
        self.require_new(pattern)
        with self._whole(self.path(pattern), done) as temporary:
            self.folder.mkdir(parents=True, exist_ok=True)
            yield temporary

    def require_new_folder(self, pattern: str) -> None:
        """As `require_new`; and where a folder is to be replaced, InvalidValueError unless an export made it."""
        self.require_new(pattern)
        path = self.path(pattern)
        strange = [each for each in path.rglob("*") if each.is_file() and not re.fullmatch(r"\d{8}\.pkl", each.name)]
        if strange:
            raise InvalidValueError(f"{path} holds {strange[0].name}, which no export writes; choose another --out")

    @contextmanager
    def new_folder(self, pattern: str, done: Exported) -> Iterator[Path]:
        """A folder to write numbered files into; it has its own name, and nothing of an older one, when all is well."""
        self.require_new_folder(pattern)
        path = self.path(pattern)
        with self._whole(path, done) as temporary:
            _remove(temporary)
            temporary.mkdir(parents=True)
            yield temporary
            _remove(path)

    @contextmanager
    def _whole(self, path: Path, done: Exported) -> Iterator[Path]:
        """Give `path` to what the block wrote at the temporary path. After an error nothing of it is left."""
        temporary = path.with_name(path.name + PARTIAL)
        try:
            yield temporary
            temporary.replace(path)
        except (AugliftError, OSError) as error:
            _remove(temporary)
            if isinstance(error, AugliftError):
                raise
            raise StoreWriteError(
                f"{path} cannot be written: {error.strerror or error}; choose another --out"
            ) from error
        done.paths.append(path)


def _remove(path: Path) -> None:
    """Take a file or a folder away, where there is one."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    elif path.is_file():
        path.unlink()


def require_some(count: int, done: Exported, store: FeatureStore) -> None:
    """Raise InvalidValueError, with why each sequence is left out, where nothing is left to write."""
    if not count:
        reasons = sorted({why for _, why in done.left_out})
        why = "; ".join(reasons[:3]) + (f"; and {len(reasons) - 3} reasons more" if len(reasons) > 3 else "")
        raise InvalidValueError(
            f"there is nothing to write of {store.url}: each of these sequences is left out, as {why}"
        )


def unique(name: str, used: set[str]) -> str:
    """Return the name, with a number where it is taken, and add it to those taken."""
    found, copy = name, 2
    while found in used:
        found, copy = f"{name}-{copy}", copy + 1
    used.add(found)
    return found
