"""Which families of further fields a store has: the index of the complete ones, and the folders that are there."""

from __future__ import annotations

from .format.families import FAMILIES, folder_of, is_family_name
from .format.layout import CHECKSUMS
from .locations.base import Location
from .locations.checksums import read_checksums

INDEX = f"{FAMILIES}/{CHECKSUMS}"


def family_location(store: Location, family: str) -> Location:
    """The folder of a family, which is laid out as a store of its own."""
    return store.below(folder_of(family))


def published(store: Location) -> dict[str, str]:
    """Family -> sha256 of its SHA256SUMS, of those that are complete, sorted. CorruptStoreError for another text."""
    listed = read_checksums(store.below(FAMILIES)) or {}
    ends = f"/{CHECKSUMS}"
    found = {key.removesuffix(ends): digest for key, digest in listed.items() if key.endswith(ends)}
    return dict(sorted(found.items()))


def begun(store: Location) -> list[str]:
    """Families that have a folder, complete or not, sorted; none where folders cannot be listed."""
    if not store.lists:
        return []
    return [name for name in store.below(FAMILIES).top() if is_family_name(name)]
