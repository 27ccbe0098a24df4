"""Names of sources: text that a terminal and a store can hold, in the order people expect, short and distinct."""

from __future__ import annotations

import errno
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ...stores.errors import InvalidValueError, UnreadableFileError

# Control characters, line separators, and bytes of a file name that are no UTF-8 (Python's surrogates for them).
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
_ESCAPED = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|([nrt]))")
_SHORT = {"n": "\n", "r": "\r", "t": "\t"}


def readable(text: str) -> str:
    r"""Escape what cannot be printed: a file name in Latin-1 becomes `caf\xe9.mp4`."""
    return text if text.isprintable() else "".join(map(_readable, text))


def on_disk(text: str) -> str:
    """Undo `readable`: return the name it may have been made of."""

    def character(match: re.Match[str]) -> str:
        byte, code, short = match.groups()
        if short:
            return _SHORT[short]
        number = int(byte or code, 16)
        return chr(0xDC00 + number) if byte and number >= 0x80 else chr(number)

    return _ESCAPED.sub(character, text)


def unreadable(path: Path, error: OSError) -> UnreadableFileError:
    """Make the error of a file or folder that the system does not let us read."""
    shown = readable(str(path))
    if error.errno == errno.ENAMETOOLONG:
        longest = max(path.parts, key=len)
        return UnreadableFileError(f"{shown[:60]}... has a name of {len(longest)} characters, too long for a file here")
    return UnreadableFileError(f"{shown} cannot be read ({error.strerror or error}); check its rights and its disk")


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder, as far as can be seen; what cannot be opened is reported on reading."""
    try:
        return path.is_dir()
    except OSError:
        return False


def file_name(path: Path) -> str:
    """Return the last part of a path, readable; of `.`, the folder's own."""
    return readable(_absolute(path).name)


def natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Return a key to sort by: img2 before img10."""
    return [(int(digits or 0), other) for digits, other in re.findall(r"(\d+)|(\D+)", name)], name


def unique_ids(paths: Sequence[Path], levels: Sequence[int] | None = None) -> list[str]:
    """Name each source: its stem, with its extension or its folders where that is needed to make it unique.

    levels   folders that belong to a source's name in any case; 0 by default
    InvalidValueError where a source is given twice.
    """
    places = [_absolute(path) for path in paths]
    for place, count in Counter(places).items():
        if count > 1:
            raise InvalidValueError(f"the source '{readable(str(place))}' is given twice; name each source once")
    last = _last_parts(places)
    depths = [level + 1 for level in levels or [0] * len(places)]
    while True:
        names = [_joined(place, part, depth) for place, part, depth in zip(places, last, depths, strict=True)]
        counts = Counter(names)
        longer = [
            depth + 1 if counts[name] > 1 and depth < len(place.parts) else depth
            for name, place, depth in zip(names, places, depths, strict=True)
        ]
        if longer == depths:
            return names
        depths = longer


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100  (`resolve` would give links the names of what they lead to)


def _last_parts(places: Sequence[Path]) -> list[str]:
    """The last part of each name: the stem; the whole where two sources of a folder have the same."""
    parts = [place.name if is_folder(place) else place.stem for place in places]
    while True:
        counts = Counter((place.parent, part) for place, part in zip(places, parts, strict=True))
        whole = [
            place.name if counts[place.parent, part] > 1 else part for place, part in zip(places, parts, strict=True)
        ]
        if whole == parts:
            return parts
        parts = whole


def _joined(place: Path, last: str, depth: int) -> str:
    folders = [part for part in place.parts[-depth:-1] if part != place.anchor]
    return readable("/".join([*folders, last or "root"]))


def _readable(character: str) -> str:
    if unicodedata.category(character) not in _UNPRINTABLE:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    # A control character such as U+0085 must not look like the byte 85 of another encoding.
    return f"\\u{code:04x}" if 0x80 <= code <= 0xFF else character.encode("unicode_escape").decode()
