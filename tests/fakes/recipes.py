"""Recipes for videos of every kind: what is in them is known, frame by frame, whatever was done to the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from .coded import Coded, coded, field_packets, hide, is_mpeg4_b, packed, remux, with_pictures_not_coded
from .video import number_frames, write_video

HEIGHT, WIDTH = 64, 96

# What writes what: encoder, its container's endings, whether it makes B-frames. `a > b` is encoder `a` and then `b`,
# a change of its packets.
WRITERS: dict[str, tuple[str, tuple[str, ...], bool]] = {
    "H.264": ("libx264", ("mp4", "mov", "mkv", "ts", "m2ts", "flv", "avi", "h264"), True),
    "H.264, open groups": ("libx264", ("mp4", "mkv", "ts"), True),
    "H.264, intra refresh": ("libx264", ("mp4", "ts"), False),
    "H.264, fields apart": ("fields", ("ts", "m2ts", "mkv", "mp4", "h264"), False),
    "H.264, fields together": ("fields", ("ts", "mkv", "mpg"), False),
    "HEVC": ("libx265", ("mp4", "mkv", "ts"), True),
    "MPEG-4": ("mpeg4", ("mp4", "avi", "mkv", "3gp"), True),
    "MPEG-4, not coded": ("mpeg4", ("mp4", "avi", "mkv"), False),
    "MPEG-4, packed": ("mpeg4", ("avi", "mkv"), True),
    "MPEG-2": ("mpeg2video", ("ts", "mpg", "mkv", "m2v"), True),
    "VP8": ("libvpx", ("webm", "mkv", "avi"), False),
    "VP8, hidden": ("libvpx", ("webm", "mkv", "ivf"), False),
    "VP9": ("libvpx-vp9", ("webm", "mp4"), False),
    "MJPEG": ("mjpeg", ("avi", "mov"), False),
    "FFV1": ("ffv1", ("mkv",), False),
    "WMV": ("wmv2", ("wmv", "avi"), False),
}
# Where parts can be put one behind the other as they are.
GLUABLE = frozenset({"ts", "m2ts", "mpg", "h264", "m2v"})
# Where times are not even, or begin late, in the file itself.
TIMED = frozenset({"mp4", "mov", "mkv", "ts", "m2ts", "flv", "webm"})
_OPTIONS = {
    "H.264, open groups": "open-gop=1:scenecut=0:keyint={gop}:bframes={bframes}",
    "H.264, intra refresh": "intra-refresh=1:keyint={gop}",
}


@dataclass(frozen=True)
class Recipe:
    """A video of number frames.

    writer    a key of WRITERS
    gop       frames from keyframe to keyframe
    steps     ticks (a hundredth of a frame) from each frame to the next, over and over; () for an even rate
    offset    ticks before the first frame
    parts     frames of each part; more than one are glued
    overlap   the parts' times begin so many frames before the end of the part before; None: all begin alike
    cut       share of the last part's bytes that is kept
    beheaded  share of the first part's bytes that is dropped at its beginning
    """

    writer: str
    ending: str
    gop: int = 12
    bframes: int = 0
    steps: tuple[int, ...] = ()
    offset: int = 0
    parts: tuple[int, ...] = (30,)
    overlap: int | None = None
    cut: float = 1.0
    beheaded: float = 0.0


def make(recipe: Recipe, folder: Path) -> Path:
    """The video; its frames carry 0, 1, 2, ... as far as they are in it."""
    first, parts = 0, []
    for number, count in enumerate(recipe.parts):
        begin = 0 if recipe.overlap is None else 100 * max(first - recipe.overlap * number, 0)
        parts.append(_part(recipe, folder / f"part{number}.{recipe.ending}", first, count, begin))
        first += count
    data = [part.read_bytes() for part in parts]
    data[0] = data[0][round(len(data[0]) * recipe.beheaded) :]
    data[-1] = data[-1][: round(len(data[-1]) * recipe.cut)]
    path = folder / f"video.{recipe.ending}"
    path.write_bytes(b"".join(data))
    return path


def _part(recipe: Recipe, path: Path, first: int, count: int, begin: int) -> Path:
    codec, _, _ = WRITERS[recipe.writer]
    frames = number_frames(count, HEIGHT, WIDTH, first)
    if codec == "fields":
        return _fields(recipe, path, frames, begin)
    plain = {"VP8, hidden": "webm", "MPEG-4, not coded": "avi", "MPEG-4, packed": "avi"}.get(recipe.writer)
    timed = recipe.ending in TIMED and not plain and codec != "mpeg2video"  # whose encoder wants a usual clock
    start = recipe.offset + begin if timed else 0
    steps = np.resize(recipe.steps, count - 1) if timed and recipe.steps else np.full(count - 1, 100)
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    if recipe.writer in _OPTIONS:
        options["x264-params"] = _OPTIONS[recipe.writer].format(gop=recipe.gop, bframes=recipe.bframes)
    written = write_video(
        path.with_suffix(f".plain.{plain}") if plain else path,
        frames if recipe.writer != "VP8, hidden" else _with_repeats(frames),
        codec=codec,
        gop=recipe.gop,
        bframes=recipe.bframes,
        pix_fmt="yuvj420p" if codec == "mjpeg" else "yuv420p",
        options=options,
        times=(start + np.concatenate([[0], np.cumsum(steps)])).tolist() if timed else None,
    )
    if codec == "mpeg2video" and recipe.ending in TIMED:
        return _retimed(written, path, (recipe.offset + begin) // 100, recipe.steps)
    return _changed(recipe, written, path, count) if plain else written


def _retimed(plain: Path, path: Path, start: int, steps: tuple[int, ...]) -> Path:
    """The same packets at other times, in frames: those of decoding are those of display, one frame earlier."""
    packets = coded(plain)
    count = len(packets)
    rank = np.argsort(np.argsort([packet.pts or 0 for packet in packets]))
    distance = np.resize([max(step // 50, 1) for step in steps] or [2], count)
    shown = 2 * start + 10 + np.concatenate([[0], np.cumsum(distance[: count - 1])])
    decoded = np.concatenate([[shown[0] - 2], shown[:-1]])
    retimed = [replace(p, pts=int(shown[r]), dts=int(d)) for p, r, d in zip(packets, rank, decoded, strict=True)]
    written = path.with_suffix(f".retimed{path.suffix}")
    return remux(plain, written, retimed, time_base=Fraction(1, 50))


def _with_repeats(frames: np.ndarray) -> np.ndarray:
    """Each fifth frame twice, once to be hidden."""
    return np.repeat(frames, [2 if i % 5 == 2 else 1 for i in range(len(frames))], axis=0)


def _changed(recipe: Recipe, plain: Path, path: Path, count: int) -> Path:
    packets = coded(plain)
    if recipe.writer == "VP8, hidden":
        first_of_two = [i + i // 5 + (i % 5 > 2) for i in range(count) if i % 5 == 2]
        # A keyframe is not hidden; the repetition is as good.
        hidden = {i + packets[i].key for i in first_of_two}
        return remux(plain, path, hide(packets, hidden.__contains__), time_base=Fraction(1, 2000))
    packets = [replace(packet, pts=i, dts=i) for i, packet in enumerate(packets)]
    if recipe.writer == "MPEG-4, packed":
        return remux(plain, path, packed(packets, is_mpeg4_b), time_base=Fraction(1, 25))
    return remux(plain, path, with_pictures_not_coded(packets, 5), time_base=Fraction(1, 25))


def _fields(recipe: Recipe, path: Path, frames: np.ndarray, begin: int) -> Path:
    fields = field_packets(frames, recipe.gop)
    bare = path.with_suffix(".bare.h264")
    bare.write_bytes(b"".join(data for data, _ in fields))
    if recipe.ending == "h264":
        return bare.rename(path)
    start = 2 + (recipe.offset + begin) // 50
    packets = [Coded(data, start + i, start + i, key) for i, (data, key) in enumerate(fields)]
    if recipe.writer == "H.264, fields together":
        packets = [replace(a, data=a.data + b.data) for a, b in zip(packets[::2], packets[1::2], strict=True)]
    return remux(bare, path, packets, time_base=Fraction(1, 50))


def combinations(endings: Sequence[str] | None = None) -> list[tuple[str, str, bool]]:
    """Every writer with each of its containers, and whether it makes B-frames."""
    return [
        (writer, ending, bframes)
        for writer, (_, all_endings, bframes) in WRITERS.items()
        for ending in all_endings
        if endings is None or ending in endings
    ]
