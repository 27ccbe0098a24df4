"""Folders compared byte for byte."""

from __future__ import annotations

import hashlib
from pathlib import Path


def digest_of_folder(path: Path) -> dict[str, str]:
    """Relative path -> sha256 of every file below a folder."""
    files = sorted(p for p in Path(path).rglob("*") if p.is_file())
    return {p.relative_to(path).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
