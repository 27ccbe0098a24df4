"""Open a video: choose its stream, read its packets, and find whether the file was cut off."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from ....stores.errors import InvalidValueError, MissingFileError
from ....stores.reading.read_ahead import require_consumer

_STILL = int(Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image)
# What `ffmpeg` itself adds to a stream's area, in pixels, where the file marks the stream as the default one.
_DEFAULT_BONUS = 5_000_000
# Packets to look at, to tell a stream of one picture from a video.
_PACKETS_OF_A_STILL = 100
_TS_SYNC = 0x47


def open_video(path: Path) -> tuple[InputContainer, VideoStream]:
    """Open the container and the video stream that is read. Raises MissingFileError, InvalidValueError."""
    if not path.is_file():
        raise MissingFileError(f"no such video: {path}; check the path")
    if not path.stat().st_size:
        raise InvalidValueError(f"{path} is empty (0 bytes); fetch or copy it again")
    try:
        container = _open(path)
    except (av.error.FFmpegError, ValueError) as error:
        if _lost_its_index(path):
            raise InvalidValueError(
                f"{path} is a cut-off MP4: its index (the moov atom) is missing; fetch or copy it again"
            ) from error
        raise InvalidValueError(f"{path} is not a video that FFmpeg can open; give a video or a folder") from error
    streams = moving_streams(path, container)
    if streams:
        return container, streams[0]
    container.close()
    raise InvalidValueError(f"{path} holds no video stream; give a video or a folder of images")


def moving_streams(path: Path, container: InputContainer) -> list[VideoStream]:
    """List the container's video streams, the one that is read first.

    The choice is that of `ffmpeg` itself: the largest picture, and a stream that is marked as default before others.
    Cover pictures and thumbnails are no videos, and a stream of one picture is read only where there is no other.
    """
    streams = [
        stream
        for stream in container.streams.video
        if not int(stream.disposition) & _STILL and stream.codec_context is not None
    ]
    if len(streams) < 2:
        return streams
    stat = path.stat()
    stills = _stills(path, stat.st_size, stat.st_mtime_ns)

    def rank(stream: VideoStream) -> tuple[bool, int, int]:
        area = stream.codec_context.width * stream.codec_context.height
        default = bool(int(stream.disposition) & int(Disposition.default))
        return stream.index in stills, -(area + _DEFAULT_BONUS * default), stream.index

    return sorted(streams, key=rank)


@lru_cache(maxsize=16)
def _stills(path: Path, size: int, modified: int) -> frozenset[int]:
    """The streams of which the beginning of the file holds one packet at most."""
    with _open(path) as container:
        counts = {stream.index: 0 for stream in container.streams.video}
        with contextlib.suppress(av.error.FFmpegError):
            for packet in itertools.islice(container.demux(list(container.streams.video)), _PACKETS_OF_A_STILL):
                counts[packet.stream.index] += bool(packet.size)
    return frozenset(index for index, count in counts.items() if count < 2)


def _open(path: Path) -> InputContainer:
    # The whitelist: a playlist on disk cannot send FFmpeg to the network.
    return av.open(f"file:{path}", metadata_errors="ignore", options={"protocol_whitelist": "file"})


def choice_of_stream(path: Path, container: InputContainer) -> str | None:
    """Say in one line which stream is read and which are not; None where there is only one."""
    streams = moving_streams(path, container)
    if len(streams) < 2:
        return None
    said = [f"{s.index} ({s.codec_context.width} x {s.codec_context.height}, {s.codec_context.name})" for s in streams]
    return f"{len(streams)} video streams: reads stream {said[0]}, not stream {', '.join(sorted(said[1:]))}"


def packets_of(container: InputContainer, stream: VideoStream) -> Iterator[av.Packet]:
    """Yield the packets that hold something; a file that breaks off in the middle of one ends there."""
    with contextlib.suppress(av.error.FFmpegError):
        for packet in container.demux(stream):
            require_consumer()
            if packet.size:
                yield packet


def cut_off(path: Path, container_format: str) -> bool:
    """Return whether the file shows that its end is missing: the sizes that it states go past its end."""
    for name, ends_early in _ENDS_EARLY.items():
        if name in container_format.split(","):
            return ends_early(path)
    return False


def _transport_stream_ends_early(path: Path) -> bool:
    """MPEG-TS has packets of one size: 188 bytes, with a time before each (192), or with parity behind it (204)."""
    with path.open("rb") as file:
        head = file.read(4 + 204 * 2 + 1)
    for offset, size in ((0, 188), (4, 192), (0, 204)):
        if all(place < len(head) and head[place] == _TS_SYNC for place in (offset, offset + size)):
            return path.stat().st_size % size != 0
    return False


def _riff_ends_early(path: Path) -> bool:
    """AVI is a row of RIFF chunks, each with its size; a size of zero or of all ones is a recorder's that died."""
    end, offset = path.stat().st_size, 0
    with path.open("rb") as file:
        while offset + 12 <= end:
            file.seek(offset)
            kind, size = file.read(4), int.from_bytes(file.read(4), "little")
            if kind != b"RIFF":
                return False
            if size in (0, 0xFFFFFFFF):
                return True
            offset += 8 + size + size % 2
    return offset > end + 1


def _matroska_ends_early(path: Path) -> bool:
    """Matroska is an EBML header and a segment that says its size, unless it is written live (RFC 8794, RFC 9559)."""
    with path.open("rb") as file:
        head = file.read(1 << 12)

    def number(place: int, keep_marker: bool) -> tuple[int, int, bool]:
        """A variable-length number, the place behind it, and whether it is the one that means unknown."""
        width = 9 - head[place].bit_length()
        value = int.from_bytes(head[place : place + width])
        bare = value & (1 << 7 * width) - 1
        return value if keep_marker else bare, place + width, bare == (1 << 7 * width) - 1

    place = 0
    with contextlib.suppress(IndexError):
        while place < len(head):
            kind, place, _ = number(place, keep_marker=True)
            size, place, unknown = number(place, keep_marker=False)
            if kind == 0x18538067:  # Segment
                return not unknown and place + size > path.stat().st_size
            place += size
    return False


def _mp4_ends_early(path: Path) -> bool:
    """MP4 is a row of boxes, each with its size (ISO/IEC 14496-12, section 4.2)."""
    return _boxes(path)[1] in (b"mdat", b"moov", b"moof")


_ENDS_EARLY: dict[str, Callable[[Path], bool]] = {
    "mpegts": _transport_stream_ends_early,
    "avi": _riff_ends_early,
    "matroska": _matroska_ends_early,
    "mp4": _mp4_ends_early,
}


def _boxes(path: Path) -> tuple[set[bytes], bytes | None]:
    """The kinds of an MP4's complete boxes, and that of one that goes past the end of the file."""
    whole: set[bytes] = set()
    end, offset = path.stat().st_size, 0
    with path.open("rb") as file:
        while offset + 8 <= end:
            file.seek(offset)
            size, kind = int.from_bytes(file.read(4)), file.read(4)
            if size == 1:
                size = int.from_bytes(file.read(8))
            if size == 0:  # up to the end of the file, wherever that is
                return whole | {kind}, None
            if size < 8:
                break
            offset += size
            if offset > end:
                return whole, kind
            whole.add(kind)
    return whole, None


def _lost_its_index(path: Path) -> bool:
    """Whether a file begins like an MP4 and has no complete moov box."""
    with path.open("rb") as file:
        if file.read(8)[4:] != b"ftyp":
            return False
    return b"moov" not in _boxes(path)[0]
