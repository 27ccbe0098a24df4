"""SHA256SUMS: what the small files of a finished store must be, and whether a file's bytes are those."""

from __future__ import annotations

import hashlib

from ..errors import CorruptStoreError, MissingFileError
from ..format.layout import CHECKSUMS
from .base import Location


def read_checksums(location: Location) -> dict[str, str] | None:
    """Read SHA256SUMS: key -> sha256; None where there is none. CorruptStoreError for another text."""
    try:
        lines = location.read(CHECKSUMS).decode().splitlines()
    except MissingFileError:
        return None
    except ValueError as error:
        raise CorruptStoreError(f"{CHECKSUMS} of {location.url} cannot be read") from error
    expected = {}
    for line in filter(None, lines):
        digest, _, key = line.partition(" ")
        if len(digest) != 64 or key[:1] not in (" ", "*"):
            raise CorruptStoreError(f"{CHECKSUMS} of {location.url} has the line '{line[:80]}', which is no digest")
        expected[key[1:]] = digest.lower()
    return expected


def is_as_written(data: bytes, key: str, expected: dict[str, str]) -> bool:
    """Return whether these are the bytes of that key, as far as its digest is known."""
    return key not in expected or hashlib.sha256(data).hexdigest() == expected[key]
