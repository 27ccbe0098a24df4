"""`video`: any video files and folders of images, with nothing known about who and what they show."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ...stores.errors import AugliftError, InvalidValueError
from ..frames.names import file_name, readable, unique_ids
from ..frames.sources import SourceInfo, probe
from ..plan import Clip, clip_of
from .listing import Listing, list_sources


def clips(
    paths: Iterable[str | Path] | Listing, fps: float | None = None, limit: int | None = None
) -> tuple[list[Clip], list[tuple[Path, AugliftError]]]:
    """Make a clip for each source, and list what cannot be read at all, with its error.

    paths   videos; folders, as `list_sources` takes them; or what it found
    fps     frames a second wanted, None for all
    limit   at most so many frames of each source
    InvalidValueError where sources have too few frames a second, and where one is given twice.
    """
    found = paths if isinstance(paths, Listing) else list_sources(paths)
    with ThreadPoolExecutor(max_workers=4) as pool:
        probed = list(pool.map(_probe, found.sources))
    good, bad = [], list(found.bad)
    for path, level, info in zip(found.sources, found.levels, probed, strict=True):
        if isinstance(info, SourceInfo):
            good.append((path, level, info))
        else:
            bad.append((path, info))
    ids = unique_ids([path for path, _, _ in good], [level for _, level, _ in good])
    made, refused = [], []
    for id, (path, _, info) in zip(ids, good, strict=True):
        name = "/".join([*id.split("/")[:-1], file_name(path)])
        try:
            made.append(clip_of(info, id, name, fps, limit))
        except InvalidValueError as error:
            refused.append(error)
    if refused:
        more = f", and {len(refused) - 1} more of {len(good)} sources" if len(refused) > 1 else ""
        raise InvalidValueError(f"{refused[0]}{more}; lower --fps, or leave them out")
    return made, bad


def _probe(path: Path) -> SourceInfo | AugliftError:
    try:
        return probe(path)
    except AugliftError as error:
        return error
    except Exception as error:  # a file of any content may stand where a video should
        first = (str(error).splitlines() or [""])[0]
        return InvalidValueError(f"{readable(str(path))} cannot be read: {type(error).__name__} {first}")
