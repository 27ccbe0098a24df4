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
from PIL import Image, ImageOps

from ..stores.errors import InvalidValueError, MissingFileError
from .packets import packet_index
from .promise import promise_of
from .video import LOST, decode, picture_of, to_rgb

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
_ENDS = 1 << 20  # bytes of a video's beginning and end that its digest covers
_EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True)
class SourceInfo:
    """What a source promises; reading it tells what it delivers.

    width, height   px as displayed: turned as the file's metadata say
    fps             frames a second, the mean where the rate varies; None: a folder of images that was given none
    frame_count     frames the container's header promises; where it promises nothing (mkv, webm, ts), those it holds
    digest          SHA-256 of a video's size, first and last MiB; of a folder's file names and sizes
    variable_rate   frames are not evenly spaced in time: numbers count frames
    warnings        what a user should know, a line each
    """

    path: Path
    kind: Literal["video", "images"]
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

    indices  (B,)           int64  frame numbers, ascending
    frames   (B, H, W, 3)   uint8  RGB as displayed; zeros where a frame could not be read
    ok       (B,)           bool   the frame was read and, as far as the decoder can tell, is sound
    reasons  B              why it is not, else None
    """

    indices: np.ndarray
    frames: np.ndarray
    ok: np.ndarray
    reasons: tuple[str | None, ...]


def probe(path: str | Path, fps: float | None = None) -> SourceInfo:
    """What a video or a folder of images promises, without decoding more than a frame.

    fps   of a folder of images, whose files do not tell; a video tells its own
    Raises MissingFileError (no such file) and InvalidValueError (not a video, no video stream, cut off before its
    index, no frames, images of different sizes).
    """
    path = Path(path)
    if not path.exists():
        raise MissingFileError(f"no such video or folder: {path}; check the path")
    return _probe_images(path, fps) if path.is_dir() else _probe_video(path)


def read(path: str | Path, indices: np.ndarray | Sequence[int], batch_size: int, threads: int) -> Iterator[FrameBatch]:
    """Batches of the wanted frames of a source, in order; the last may be smaller.

    indices   ascending frame numbers below the source's `frame_count`
    threads   decoding threads, 0: as many as FFmpeg likes; changes no byte and no verdict
    A frame that is damaged, missing or of another size is zeros with `ok` False and a reason, and stops nothing;
    sound frames after it have their right numbers. InvalidValueError for indices that are not what they must be.
    """
    path = Path(path)
    wanted = np.asarray(indices, np.int64).reshape(-1)
    if batch_size < 1:
        raise InvalidValueError(f"a batch must hold at least one frame, not {batch_size}")
    if len(wanted) and (wanted[0] < 0 or (np.diff(wanted) <= 0).any()):
        raise InvalidValueError("frame numbers must ascend from 0 on, none twice")
    return (_read_images if path.is_dir() else _read_video)(path, wanted, batch_size, max(threads, 0))


def summary(info: SourceInfo, indices: Sequence[int] | np.ndarray, reasons: Sequence[str | None]) -> str:
    """One line that compares what a source promised with what was delivered.

    indices, reasons   of every frame that was asked for, as the batches hold them
    """
    asked = list(zip(np.asarray(indices).tolist(), reasons, strict=True))
    failed: dict[str, list[int]] = {}
    for number, reason in asked:
        if reason is not None:
            failed.setdefault(re.sub(r"from damaged frame \d+", "from a damaged one", reason), []).append(number)
    lost = sum(map(len, failed.values()))
    line = f"{info.path.name}: {info.frame_count} frames promised, {len(asked)} asked for, {len(asked) - lost} sound"
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
    decoded = decode(path, wanted, threads)
    for start in range(0, len(wanted), batch_size):
        numbers = wanted[start : start + batch_size]
        width, height = picture.displayed
        frames = np.zeros((len(numbers), height, width, 3), np.uint8)
        reasons: list[str | None] = []
        for out, number in zip(frames, numbers, strict=True):
            came, frame = next(decoded)
            assert came == number
            reasons.append(frame if isinstance(frame, str) else None)
            if not isinstance(frame, str):
                to_rgb(frame, picture, out, reformatter)
        yield _batch(numbers, frames, reasons)


def _check_range(path: Path, wanted: np.ndarray, count: int) -> None:
    if len(wanted) and wanted[-1] >= count:
        raise InvalidValueError(f"{path} has {count} frames, so none with the number {wanted[-1]}; was it replaced?")


def _batch(numbers: np.ndarray, frames: np.ndarray, reasons: list[str | None]) -> FrameBatch:
    return FrameBatch(numbers, frames, np.array([reason is None for reason in reasons]), tuple(reasons))


# ---------------------------------------------------------------------------------------------------------------------
# Folders of images
# ---------------------------------------------------------------------------------------------------------------------


def _images(folder: Path) -> list[Path]:
    """The folder's images in natural order: img2 before img10."""
    files = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
    if not files:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise InvalidValueError(f"{folder} holds no images ({kinds}); give a video or a folder of images")
    return sorted(files, key=lambda p: ([(int(n or 0), s) for n, s in re.findall(r"(\d+)|(\D+)", p.name)], p.name))


def _probe_images(folder: Path, fps: float | None) -> SourceInfo:
    files = _images(folder)
    sizes = [_displayed_size(file) for file in files]
    known = [(size, file) for size, file in zip(sizes, files, strict=True) if size]
    if not known:
        raise InvalidValueError(f"none of the {len(files)} images in {folder} can be opened; fetch or copy them again")
    (width, height), reference = known[0]
    for size, file in known:
        if size != (width, height):
            raise InvalidValueError(
                f"images of different sizes in {folder}: {file.name} is {size[0]} x {size[1]}, {reference.name} is "
                f"{width} x {height}; give one folder for each size"
            )
    damaged = len(files) - len(known)
    warnings = (f"{damaged} of {len(files)} images cannot be opened",) if damaged else ()
    listing = "\n".join(f"{file.name} {file.stat().st_size}" for file in files)
    digest = hashlib.sha256(listing.encode()).hexdigest()
    return SourceInfo(folder, "images", width, height, fps, len(files), digest, False, warnings)


def _displayed_size(file: Path) -> tuple[int, int] | None:
    """(width, height) from an image's header alone; None where that is damaged."""
    try:
        with Image.open(file) as image:
            turned = image.getexif().get(_EXIF_ORIENTATION, 1) >= 5
            return (image.height, image.width) if turned else image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def _read_image(file: Path) -> Image.Image | str:
    try:
        with Image.open(file) as image:
            image.load()
            if image.mode.startswith("I;16") or image.mode == "I":  # 16-bit grey, which `convert` would clip
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            return ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return f"{LOST}: {error}".splitlines()[0].replace(str(file), file.name)


def _read_images(folder: Path, wanted: np.ndarray, batch_size: int, threads: int) -> Iterator[FrameBatch]:
    files = _images(folder)
    _check_range(folder, wanted, len(files))
    width, height = next(size for size in map(_displayed_size, files) if size)
    with ThreadPoolExecutor(threads or 4) as pool:
        for start in range(0, len(wanted), batch_size):
            numbers = wanted[start : start + batch_size]
            frames = np.zeros((len(numbers), height, width, 3), np.uint8)
            reasons: list[str | None] = []
            for out, image in zip(frames, pool.map(lambda n: _read_image(files[n]), numbers.tolist()), strict=True):
                if not isinstance(image, str) and image.size != (width, height):
                    image = f"its size is {image.width} x {image.height}, unlike the folder's {width} x {height}"
                reasons.append(image if isinstance(image, str) else None)
                if not isinstance(image, str):
                    out[:] = np.asarray(image)
            yield _batch(numbers, frames, reasons)
