"""The sources of a finished store, found again by the digests in its plan, wherever they lie now."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ...stores.errors import AugliftError, InvalidValueError, MissingFileError
from ..datasets.listing import VIDEO_SUFFIXES
from ..frames.images import IMAGE_SUFFIXES
from ..frames.names import on_disk, readable
from ..frames.sources import digest_of

THREADS = 8
_NAMED = 3

# What a plan says of a source: its name, relative to some folder, and its digest.
Wanted = tuple[str, str]


def find_sources(wanted: Iterable[Wanted], root: Path | None, beside: Iterable[Path] = ()) -> dict[Wanted, Path]:
    """Where each source is now.

    root     the folder they lie in, somewhere below; None: only the names themselves are tried
    beside   without a root, the folders where the names are tried
    Under its own name first; then among all below the root, those of the same file name first: a source that was moved
    or renamed is known by its digest. MissingFileError, InvalidValueError (a file that changed) name the first few.
    """
    sources = list(dict.fromkeys(wanted))
    if root is not None and not root.is_dir():
        raise MissingFileError(f"--root {readable(str(root))} is no folder; name the one where the sources lie")
    places = [root] if root is not None else list(dict.fromkeys(beside))
    changed: dict[Wanted, Path] = {}
    with ThreadPoolExecutor(THREADS) as pool:
        found = dict(zip(sources, pool.map(lambda source: _by_name(source, places, changed), sources), strict=True))
    if root is not None and None in found.values():
        _by_digest(found, root, changed)
    _require(found, changed, places, root)
    return {source: path for source, path in found.items() if path is not None}


def _by_name(source: Wanted, places: list[Path], changed: dict[Wanted, Path]) -> Path | None:
    for place in places:
        for name in dict.fromkeys((source[0], on_disk(source[0]))):
            path = place / name
            digest = _digest(path)
            if digest == source[1]:
                return path
            if digest is not None:
                changed[source] = path
    return None


def _by_digest(found: dict[Wanted, Path | None], root: Path, changed: dict[Wanted, Path]) -> None:
    """Fill in what is missing. Candidates of the right file name first: the others are looked at only if need be."""
    candidates = list(_candidates(root))
    named: dict[str, list[Path]] = {}
    for path in candidates:
        named.setdefault(readable(path.name), []).append(path)
    digests = {digest for _, digest in found}
    for source in [source for source, path in found.items() if path is None]:
        alike = {path: _digest(path) for path in named.get(source[0].rpartition("/")[2], [])}
        found[source] = next((path for path, digest in alike.items() if digest == source[1]), None)
        namesakes = [path for path in alike if readable(path.as_posix()).endswith(f"/{source[0]}")] or list(alike)
        if len(namesakes) == 1 and alike[namesakes[0]] not in digests:
            changed.setdefault(source, namesakes[0])
    if None not in found.values():
        return
    with ThreadPoolExecutor(THREADS) as pool:
        known = {digest: path for path, digest in zip(candidates, pool.map(_digest, candidates), strict=True) if digest}
    for source, path in found.items():
        if path is None:
            found[source] = known.get(source[1])


def _candidates(root: Path) -> Iterator[Path]:
    """Videos, images, and folders that hold images."""
    for folder, folders, names in os.walk(root):
        folders.sort()
        suffixes = {name: os.path.splitext(name)[1].lower() for name in sorted(names)}  # noqa: PTH122  many of them
        if any(suffix in IMAGE_SUFFIXES for suffix in suffixes.values()):
            yield Path(folder)
        yield from (Path(folder) / name for name, suffix in suffixes.items() if suffix in VIDEO_SUFFIXES)


def _digest(path: Path) -> str | None:
    """None for what is no source, or is not there."""
    try:
        return digest_of(path)
    except (AugliftError, OSError, ValueError):
        return None


def _require(
    found: dict[Wanted, Path | None], changed: dict[Wanted, Path], places: list[Path], root: Path | None
) -> None:
    missing = [source for source, path in found.items() if path is None]
    replaced = [source for source in missing if source in changed]
    if replaced:
        names = _listed([readable(str(changed[source])) for source in replaced])
        raise InvalidValueError(
            f"{len(replaced)} of {len(found)} sources changed since the store was made ({names}): new fields would be "
            "of other frames; put the old files back, or make a new store"
        )
    if missing:
        looked = ", ".join(readable(str(place)) for place in places)
        how = "name the folder they lie in with --root" if root is None else "give another --root"
        raise MissingFileError(
            f"{len(missing)} of {len(found)} sources of the store are not in {looked} "
            f"({_listed([name for name, _ in missing])}); {how}"
        )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
