"""Frames from videos and folders of images: what a source promises, and batches of frames by exact number."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np
from av.video.reformatter import VideoReformatter

from ...stores.errors import AugliftError, InvalidValueError, MissingFileError
from .decoding.packets import packet_index
from .decoding.promise import promise_of
from .decoding.video import decode, picture_of, to_rgb
from .images import is_still, open_images
from .names import readable, unreadable

WITHOUT_PICTURES = "none"  # the kind of a source that exists as geometry alone
_ENDS = 1 << 20  # bytes of a video's beginning and end that its digest covers


@dataclass(frozen=True)
class SourceInfo:
    """What a source promises; reading it shows what it delivers.

    width, height   px as displayed: turned as the file's metadata say
    fps             frames a second, the mean where the rate varies; None: a folder of images that was given none
    frame_count     frames the container's header promises; where it promises nothing (mkv, webm, ts), those it holds
    digest          SHA-256 of a video's size, first and last MiB; of a folder's file names and sizes
    variable_rate   frames are not evenly spaced in time: numbers count frames
    warnings        what a user should know, a line each
    """

    path: Path
    kind: Literal["video", "images", "none"]
    width: int
    height: int
    fps: float | None
    frame_count: int
    digest: str
    variable_rate: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class FrameBatch:
    """Frames of one source.

    indices  (B,)           int64  frame numbers, ascending; one may be there several times
    frames   (B, H, W, 3)   uint8  RGB as displayed; zeros where a frame could not be read
    ok       (B,)           bool   the frame was read and, as far as the decoder can tell, is sound
    reasons  B              why it is not, else None
    """

    indices: np.ndarray
    frames: np.ndarray
    ok: np.ndarray
    reasons: tuple[str | None, ...]


def probe(path: str | Path, fps: float | None = None) -> SourceInfo:
    """Return what a video or a folder of images promises, without decoding more than a frame.

    fps   of a folder of images, whose files do not tell; a video tells its own
    Raises MissingFileError (no such file), UnreadableFileError (no rights, a disk that fails, no possible name) and
    InvalidValueError (not a video, no video stream, cut off before its index, no frames, images of different sizes).
    """
    path = Path(path)
    try:
        if not path.exists():
            raise MissingFileError(f"no such video or folder: {readable(str(path))}; check the path")
        if _is_images(path):
            return _probe_images(path, fps)
        if path.is_file():
            path.open("rb").close()  # FFmpeg would say of one without rights that it is no video
        info = _probe_video(path)
    except AugliftError:
        raise
    except OSError as error:
        raise unreadable(path, error) from error
    if not (info.width and info.height):
        raise InvalidValueError(
            f"FFmpeg cannot decode the pictures of {readable(str(path))}, whose size it gives as {info.width} x "
            f"{info.height}; make a video or a folder of images of it"
        )
    return info


def digest_of(path: Path) -> str:
    """The digest of `SourceInfo`, without looking further. AugliftError or OSError for what is no source."""
    return open_images(path).digest() if _is_images(path) else _digest(path)


def without_pictures(info: SourceInfo, indices: np.ndarray, batch_size: int) -> Iterator[FrameBatch]:
    """Yield batches as `read` does, of a source that has no pictures; `frames` are zeros that take no memory."""
    for start in range(0, len(indices), batch_size):
        numbers = np.asarray(indices[start : start + batch_size], np.int64)
        frames = np.broadcast_to(np.zeros((), np.uint8), (len(numbers), info.height, info.width, 3))
        yield _batch(numbers, frames, [None] * len(numbers))


def read(path: str | Path, indices: np.ndarray | Sequence[int], batch_size: int, threads: int) -> Iterator[FrameBatch]:
    """Yield batches of the wanted frames of a source, in order; the last may be smaller.

    indices   ascending frame numbers below the source's `frame_count`; one may stand there several times
    threads   decoding threads, 0: as many as FFmpeg likes; changes no byte and no verdict
    A frame that is damaged, missing or of another size is zeros with `ok` False and a reason, and stops nothing;
    sound frames after it have their right numbers. InvalidValueError for indices that are not what they must be.
    """
    path = Path(path)
    wanted = np.asarray(indices, np.int64).reshape(-1)
    if batch_size < 1:
        raise InvalidValueError(f"a batch must hold at least one frame, not {batch_size}")
    if len(wanted) and (wanted[0] < 0 or (np.diff(wanted) < 0).any()):
        raise InvalidValueError("frame numbers must ascend from 0 on")
    return (_read_images if _is_images(path) else _read_video)(path, wanted, batch_size, max(threads, 0))


def _is_images(path: Path) -> bool:
    return path.is_dir() or is_still(path)


def summary(info: SourceInfo, indices: Sequence[int] | np.ndarray, reasons: Sequence[str | None]) -> str:
    """Write one line that compares what a source promised with what was delivered.

    indices, reasons   of every frame that was wanted, as the batches hold them
    """
    wanted = list(zip(np.asarray(indices).tolist(), reasons, strict=True))
    failed: dict[str, list[int]] = {}
    for number, reason in wanted:
        if reason is not None:
            failed.setdefault(re.sub(r"from damaged frame \d+", "from a damaged one", reason), []).append(number)
    lost = sum(map(len, failed.values()))
    line = f"{info.path.name}: {info.frame_count} frames promised, {len(wanted)} wanted, {len(wanted) - lost} sound"
    return "; ".join([line, *(f"{_ranges(numbers)} {reason}" for reason, numbers in failed.items())])


def _ranges(numbers: list[int]) -> str:
    runs = [[n for _, n in run] for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


# ---------------------------------------------------------------------------------------------------------------------
# Videos
# ---------------------------------------------------------------------------------------------------------------------


def _probe_video(path: Path) -> SourceInfo:
    found = promise_of(path)
    return SourceInfo(
        path,
        "video",
        found.width,
        found.height,
        found.fps,
        found.frame_count,
        _digest(path),
        found.variable_rate,
        found.warnings,
    )


def _digest(path: Path) -> str:
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(_ENDS))
        file.seek(max(size - _ENDS, 0))
        digest.update(file.read(_ENDS))
    return digest.hexdigest()


def _read_video(path: Path, wanted: np.ndarray, batch_size: int, threads: int) -> Iterator[FrameBatch]:
    _check_range(path, wanted, packet_index(path).promised)
    picture = picture_of(path)
    reformatter = VideoReformatter()
    decoded = decode(path, np.unique(wanted), threads)
    last, picture_of_last, reason = -1, np.empty(0), None
    for start in range(0, len(wanted), batch_size):
        numbers = wanted[start : start + batch_size]
        width, height = picture.displayed
        frames = np.zeros((len(numbers), height, width, 3), np.uint8)
        reasons: list[str | None] = []
        for out, number in zip(frames, numbers, strict=True):
            if number == last:
                out[:] = picture_of_last
            else:
                last, frame = next(decoded)
                assert last == number
                reason = frame if isinstance(frame, str) else None
                if not isinstance(frame, str):
                    to_rgb(frame, picture, out, reformatter)
            picture_of_last = out
            reasons.append(reason)
        yield _batch(numbers, frames, reasons)


def _check_range(path: Path, wanted: np.ndarray, count: int) -> None:
    if len(wanted) and wanted[-1] >= count:
        name = readable(str(path))
        raise InvalidValueError(f"{name} has {count} frames, so none with the number {wanted[-1]}; was it replaced?")


def _batch(numbers: np.ndarray, frames: np.ndarray, reasons: list[str | None]) -> FrameBatch:
    return FrameBatch(numbers, frames, np.array([reason is None for reason in reasons]), tuple(reasons))


# ---------------------------------------------------------------------------------------------------------------------
# Folders of images
# ---------------------------------------------------------------------------------------------------------------------


def _probe_images(path: Path, fps: float | None) -> SourceInfo:
    found = open_images(path)
    warnings = found.check()
    count = len(found.files)
    return SourceInfo(path, "images", found.width, found.height, fps, count, found.digest(), False, warnings)


def _read_images(path: Path, wanted: np.ndarray, batch_size: int, threads: int) -> Iterator[FrameBatch]:
    folder = open_images(path)
    _check_range(path, wanted, len(folder.files))
    with ThreadPoolExecutor(threads or 4) as pool:
        for start in range(0, len(wanted), batch_size):
            numbers = wanted[start : start + batch_size]
            frames = np.zeros((len(numbers), folder.height, folder.width, 3), np.uint8)
            reasons: list[str | None] = []
            for out, image in zip(frames, pool.map(folder.read, numbers.tolist()), strict=True):
                reasons.append(image if isinstance(image, str) else None)
                if not isinstance(image, str):
                    out[:] = image
            yield _batch(numbers, frames, reasons)
