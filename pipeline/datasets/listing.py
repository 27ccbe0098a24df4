"""List the sources that the user's paths stand for, and what in them is none."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ...stores.errors import AugliftError, InvalidValueError, MissingFileError
from ...stores.format.layout import GROUP
from ..frames.images import IMAGE_SUFFIXES
from ..frames.names import is_folder, natural, readable, unreadable

# Endings of files that hold video: containers, and streams without one. `.gif` is left out: among images it is one.
_VIDEO = """
    264 265 3g2 3gp asf av1 avi divx dv f4v flv h264 h265 hevc ivf m1v m2t m2ts m2v m4v mj2 mjpeg mjpg mkv mod mov mp4
    mpe mpeg mpg mts mxf nut obu ogm ogv ogx qt rm rmvb tod trp ts vob webm wmv wtv y4m
"""
VIDEO_SUFFIXES = frozenset(f".{ending}" for ending in _VIDEO.split())
# Files that systems leave behind. Like hidden ones, nobody misses them.
_CLUTTER = frozenset({"desktop.ini", "thumbs.db", "__macosx"})
_NAMED = 3  # of what is left out of a folder


@dataclass
class Listing:
    """What some paths stand for.

    sources   videos and folders of images, in order
    levels    folders that belong to each one's name: how far it lies below the path that was named
    skipped   what is in the folders beside them, a line a folder
    hints     what may be meant otherwise than it was said
    bad       what cannot be taken, with the error
    """

    sources: list[Path] = field(default_factory=list)
    levels: list[int] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    bad: list[tuple[Path, AugliftError]] = field(default_factory=list)


def list_sources(paths: Iterable[str | Path]) -> Listing:
    """Yield sources one by one.

    A file is taken as it is. A folder that holds images is one source, a folder that holds videos stands for these, in
    natural order; one with both is an error. A folder with neither stands for the folders in it. Hidden files and
    feature stores are no sources and are passed over.
    Raises InvalidValueError where no path is given.
    """
    listing = Listing()
    named = list(map(Path, paths))
    if not named:
        raise InvalidValueError("no source was given; name at least one video or folder of images")
    images = [path for path in named if path.suffix.lower() in IMAGE_SUFFIXES]
    if len(images) > 1:
        listing.hints.append(
            f"{len(images)} images are named: a clip of one frame each; name their folder for one clip"
        )
    for path in named:
        if not is_folder(path):
            listing.sources.append(path)
            listing.levels.append(0)
            continue
        before = len(listing.sources), len(listing.bad)
        _look_into(path, 0, listing, set())
        if before == (len(listing.sources), len(listing.bad)):
            error = MissingFileError(
                f"{readable(str(path))} holds neither images nor videos; name a video or a folder of images"
            )
            listing.bad.append((path, error))
    return listing


def _look_into(folder: Path, level: int, listing: Listing, seen: set[tuple[int, int]]) -> None:
    try:
        about = folder.stat()
        with os.scandir(folder) as entries:
            inside = sorted(((entry.name, _leads_to_folder(entry)) for entry in entries), key=lambda e: natural(e[0]))
    except OSError as error:
        listing.bad.append((folder, unreadable(folder, error)))
        return
    if (about.st_dev, about.st_ino) in seen:
        return  # a link that leads back
    seen.add((about.st_dev, about.st_ino))
    inside = [(name, leads) for name, leads in inside if name[0] != "." and name.lower() not in _CLUTTER]
    files = [folder / name for name, leads in inside if not leads]
    folders = [folder / name for name, leads in inside if leads and not _is_store(folder / name)]
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    videos = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
    others = [path for path in files if path.suffix.lower() not in IMAGE_SUFFIXES | VIDEO_SUFFIXES]
    if images and videos:
        error = InvalidValueError(
            f"{readable(str(folder))} holds {_count(videos, 'video')} and {_count(images, 'image')}, and can stand for "
            f"one kind only; name the videos themselves, or keep the images in a folder of their own"
        )
        listing.bad.append((folder, error))
        return
    listing.sources += [folder] if images else videos
    listing.levels += [max(level - 1, 0)] if images else [level] * len(videos)
    _skip(listing, folder, others, folders if images or videos else [])
    if not (images or videos):
        for path in folders:
            _look_into(path, level + 1, listing, seen)


def _skip(listing: Listing, folder: Path, files: list[Path], folders: list[Path]) -> None:
    if not (files or folders):
        return
    kinds = [_count(files, "other file")] * bool(files) + [_count(folders, "folder")] * bool(folders)
    names = [*(readable(path.name) for path in files), *(f"{readable(path.name)}/" for path in folders)]
    shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    listing.skipped.append(f"{readable(str(folder))}: {' and '.join(kinds)} in it not taken ({shown})")


def _count(paths: list[Path], noun: str) -> str:
    return f"{len(paths)} {noun}{'s' * (len(paths) != 1)}"


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_store(folder: Path) -> bool:
    """A store of ours, or the logs beside one."""
    try:
        return any((place / GROUP).is_file() for place in (folder, folder.with_name(folder.name.removesuffix(".logs"))))
    except OSError:
        return False
