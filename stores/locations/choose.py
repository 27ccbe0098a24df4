"""From what a user names, a path or a URL, to the location behind it."""

from __future__ import annotations

from pathlib import Path

from ..errors import InvalidValueError
from .base import Location
from .local import LocalLocation


def locate(url: str | Path | Location) -> Location:
    """Return the location that a user names: a path, or a URL. InvalidValueError for a scheme that is not supported."""
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
