"""The index of complete families, made anew from what is there, and taking a family away."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..attributes import read_attributes
from ..errors import AugliftError, InvalidValueError, StoreLockedError
from ..families import INDEX, begun, family_location, published
from ..format.families import FAMILIES, folder_of, require_family_name
from ..format.layout import CHECKSUMS, GROUP, LEDGER, PLAN
from ..locations.base import PARTIAL, Location
from .lock import LIMIT_SECONDS, LOCK, StoreLock

# The index is locked for as long as it takes to read a few small files.
WAIT_SECONDS = 2 * LIMIT_SECONDS
LOOK_SECONDS = 0.05


def publish(store: Location, without: str = "") -> list[str]:
    """Write the index of the families that are complete, as far as it says something else; return their names.

    without   a family that is about to be taken away
    """
    with _index_lock(store):
        folder = store.below(FAMILIES)
        for name in folder.top():  # a job that was killed while it wrote the index
            if name.startswith(f"{CHECKSUMS}.") and name.endswith(PARTIAL):
                folder.delete(name)
        lines = {}
        for name in begun(store):
            digest = None if name == without else complete_digest(store, name)
            if digest is not None:
                lines[f"{name}/{CHECKSUMS}"] = digest
        text = "".join(f"{digest}  {key}\n" for key, digest in sorted(lines.items())).encode()
        if not lines:
            store.delete(INDEX)
        elif not store.exists(INDEX) or store.read(INDEX) != text:
            store.write(INDEX, text)
    return sorted(key.partition("/")[0] for key in lines)


def complete_digest(store: Location, family: str) -> str | None:
    """The sha256 of a complete family's SHA256SUMS; None where it is not complete."""
    location = family_location(store, family)
    try:
        if read_attributes(location)["status"] == "complete":
            return hashlib.sha256(location.read(CHECKSUMS)).hexdigest()
    except AugliftError:
        pass  # damaged, or only just begun: `verify` says more
    return None


def remove_family(store: Location, family: str, progress: Callable[[int, int], None] = lambda done, of: None) -> int:
    """Take a family away, complete or not, and return how many files it had.

    progress   called with (files deleted, files to delete)
    Killed at any moment, the same call does the rest. Raises InvalidValueError where there is no such family,
    StoreLockedError where a job is writing it.
    """
    require_family_name(family)
    there = sorted({*begun(store), *_listed(store)})
    if family not in there:
        raise InvalidValueError(f"{store.url} has no family '{family}'; it has {', '.join(there) or 'none'}")
    location = family_location(store, family)
    with StoreLock(location):
        publish(store, without=family)  # first of all: from here on no reader takes it for complete
        keys = sorted((key for key in location.listing() if key != LOCK), key=_removal_order)
        for number, key in enumerate(keys, 1):
            location.delete(key)
            progress(number, len(keys))
    store.prune(folder_of(family))
    store.prune(FAMILIES)
    return len(keys)


def _removal_order(key: str) -> tuple[int, str]:
    """Status and ledger before the arrays, the plan last: what is left is never taken for more than it is."""
    return (0 if key == GROUP else 1 if key.startswith(LEDGER) else 3 if key == PLAN else 2), key


def _listed(store: Location) -> list[str]:
    try:
        return list(published(store))
    except AugliftError:
        return []


@contextmanager
def _index_lock(store: Location) -> Iterator[None]:
    """The index's own lock; waits for another job to be done with it."""
    lock = StoreLock(store.below(FAMILIES))
    end = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            lock.acquire()
            break
        except StoreLockedError:
            if time.monotonic() > end:
                raise
            time.sleep(LOOK_SECONDS)
    try:
        yield
    finally:
        lock.release()
