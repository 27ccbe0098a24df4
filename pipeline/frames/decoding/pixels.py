"""Decoded frames as pixels: their size, how they are turned to be displayed, and their RGB."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from .decoder import feed
from .streams import open_video, packets_of

# Packets to look at for a first frame that can be decoded.
_FIRST_PACKETS = 600


@dataclass(frozen=True)
class Picture:
    """Size of a decoded frame, and how the display matrix turns it afterwards: transpose, then flip."""

    width: int
    height: int
    transposed: bool = False
    flip_columns: bool = False
    flip_rows: bool = False

    @property
    def displayed(self) -> tuple[int, int]:
        """Return (width, height) as a player shows it."""
        return (self.height, self.width) if self.transposed else (self.width, self.height)


def picture_of(path: Path) -> Picture:
    """Return size and turn of the first frame that can be decoded; the header's size where none can."""
    stat = path.stat()
    return _picture_of(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=16)
def _picture_of(path: Path, size: int, modified: int) -> Picture:
    container, stream = open_video(path)
    with container:
        header = Picture(stream.codec_context.width, stream.codec_context.height)
        for packet in itertools.chain(itertools.islice(packets_of(container, stream), _FIRST_PACKETS), [None]):
            for _, frame in feed(packet, 0, stream).frames:
                if not frame.is_corrupt:
                    return _turned(frame)
    return header


def _turned(frame: av.VideoFrame) -> Picture:
    """The frame's display matrix [a b . c d . . . .]: (x, y) is shown at (a x + c y, b x + d y), shifted into view."""
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # beside the frame lies what PyAV has no name for: Exif, in the pictures of some cameras' MJPEG
        data = None
    if data is None:
        return Picture(frame.width, frame.height)
    a, b, _, c, d, *_ = np.frombuffer(bytes(data), np.int32).tolist()
    if abs(b) > abs(a):
        return Picture(frame.width, frame.height, True, c < 0, b < 0)
    return Picture(frame.width, frame.height, False, a < 0, d < 0)


def to_rgb(frame: av.VideoFrame, picture: Picture, out: np.ndarray, reformatter: VideoReformatter) -> None:
    """Write a decoded frame into `out`, (H, W, 3) uint8 RGB as displayed.

    FFmpeg's default conversion, which is also what OpenCV's VideoCapture returns; one thread.
    """
    rgb = reformatter.reformat(frame, format="rgb24", threads=1)
    plane = rgb.planes[0]
    pixels = np.frombuffer(memoryview(plane), np.uint8).reshape(rgb.height, plane.line_size)
    pixels = pixels[:, : 3 * rgb.width].reshape(rgb.height, rgb.width, 3)
    if picture.transposed:
        pixels = pixels.transpose(1, 0, 2)
    out[:] = pixels[:: -1 if picture.flip_rows else 1, :: -1 if picture.flip_columns else 1]
