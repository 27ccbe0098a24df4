"""`video`: any video files and folders of images, with nothing known about who and what they show."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ...stores.errors import AugliftError, InvalidValueError, MissingFileError
from ..frames import IMAGE_SUFFIXES, SourceInfo, probe
from ..plan import Clip, clip_of, unique_ids

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".wmv", ".mts"})


def clips(
    paths: Iterable[str | Path], fps: float | None = None, limit: int | None = None
) -> tuple[list[Clip], list[tuple[Path, AugliftError]]]:
    """A clip a source, and the sources that cannot be read at all, each with its error.

    paths   videos; folders of images (one clip each); folders of videos (a clip each)
    fps     frames a second wanted, None for all
    limit   at most so many frames of each source
    """
    sources = expand(paths)
    with ThreadPoolExecutor(max_workers=4) as pool:
        probed = list(pool.map(_probe, sources))
    good = [(path, info) for path, info in zip(sources, probed, strict=True) if isinstance(info, SourceInfo)]
    bad = [(path, error) for path, error in zip(sources, probed, strict=True) if not isinstance(error, SourceInfo)]
    ids = unique_ids([path for path, _ in good])
    return [
        clip_of(info, id, "/".join([*id.split("/")[:-1], path.name]), fps, limit)
        for id, (path, info) in zip(ids, good, strict=True)
    ], bad


def expand(paths: Iterable[str | Path]) -> list[Path]:
    """Sources one by one: a folder that holds videos and no images stands for its videos, in natural order."""
    sources = []
    for path in map(Path, paths):
        if path.is_dir() and not any(p.suffix.lower() in IMAGE_SUFFIXES for p in path.iterdir()):
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES)
            if not inside:
                raise MissingFileError(f"{path} holds neither images nor videos; name a video or a folder of images")
            sources += inside
        else:
            sources.append(path)
    if not sources:
        raise InvalidValueError("no source was given; name at least one video or folder of images")
    return sources


def _probe(path: Path) -> SourceInfo | AugliftError:
    try:
        return probe(path)
    except AugliftError as error:
        return error
