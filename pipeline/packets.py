"""What a video file promises and what it delivers, packet by packet, without decoding it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from ..stores.errors import InvalidValueError, MissingFileError


@dataclass(frozen=True)
class PacketIndex:
    """A container's P packets in decoding order, and its G groups, each from one keyframe to the next.

    key          (P,)  int64  what tells a packet after a seek: its display time, else its position in the file
    number       (P,)  int64  frame number; -1 where no frame is expected (before the start an edit list sets)
    marked       (P,)  bool   the container itself calls the packet damaged
    group        (P,)  int64  the group it is decoded in
    leading      (P,)  bool   shown before its group's keyframe (open group): predicted from the group before as well
    group_start  (G,)  int64  a group's first packet
    group_first  (G,)  int64  the number of the first frame shown from a group's keyframe on
    group_time   (G,)  int64  where to seek for a group, in the stream's time base
    seekable     packets can be told apart after a seek; else decoding begins at the file's beginning
    by_position  `key` is the position in the file
    frame_count  frames delivered
    promised     frames the header promises, or delivered where it promises none or fewer
    unplaced     frames at the end of a cut-off file that belong behind missing ones, and so got no number
    times        (frame_count,) seconds since the first frame, ascending; empty where the container tells no times
    """

    key: np.ndarray
    number: np.ndarray
    marked: np.ndarray
    group: np.ndarray
    leading: np.ndarray
    group_start: np.ndarray
    group_first: np.ndarray
    group_time: np.ndarray
    seekable: bool
    by_position: bool
    frame_count: int
    promised: int
    unplaced: int
    times: np.ndarray

    def starting_group(self, number: int) -> int:
        """The group decoding must start at to show frame `number`."""
        return max(int(np.searchsorted(self.group_first, number, side="right")) - 1, 0)


def open_video(path: Path) -> tuple[InputContainer, VideoStream]:
    """The container and its first real video stream. Raises MissingFileError, InvalidValueError."""
    if not path.is_file():
        raise MissingFileError(f"no such video: {path}; check the path")
    if not path.stat().st_size:
        raise InvalidValueError(f"{path} is empty (0 bytes); fetch or copy it again")
    try:
        # The whitelist: a playlist on disk cannot send FFmpeg to the network.
        container = av.open(f"file:{path}", metadata_errors="ignore", options={"protocol_whitelist": "file"})
    except (av.error.FFmpegError, ValueError) as error:
        if _lost_its_index(path):
            raise InvalidValueError(
                f"{path} is a cut-off MP4: its index (the moov atom) is missing; fetch or copy it again"
            ) from error
        raise InvalidValueError(f"{path} is not a video that FFmpeg can open; give a video or a folder") from error
    for stream in container.streams.video:
        if not int(stream.disposition) & int(Disposition.attached_pic) and stream.codec_context is not None:
            return container, stream
    container.close()
    raise InvalidValueError(f"{path} holds no video stream; give a video or a folder of images")


def packets_of(container: InputContainer, stream: VideoStream) -> Iterator[av.Packet]:
    """The packets that hold something; a file that breaks off in the middle of one ends there."""
    with contextlib.suppress(av.error.FFmpegError):
        for packet in container.demux(stream):
            if packet.size:
                yield packet


def decoded(packet: av.Packet | None, ordinal: int, stream: VideoStream) -> list[tuple[int, av.VideoFrame]]:
    """Feed packet number `ordinal` (None: the end); what comes out, each frame with the number of its own packet.

    The number travels through the decoder as the display time, which decoders hand on unread. Where one fails, nothing
    comes out. (PyAV's `opaque` would be the field for this, but a decoder that is closed while its threads work then
    waits for ever: they need the interpreter's lock to let go of it.)
    """
    if packet is not None:
        packet.pts, packet.dts = ordinal, None
    try:
        return [(-1 if frame.pts is None else frame.pts, frame) for frame in stream.codec_context.decode(packet)]
    except av.error.FFmpegError:
        return []


def promised_frames(stream: VideoStream) -> int | None:
    """How many frames the header promises, edit lists applied; None where it promises nothing (mkv, webm, ts)."""
    entries = stream.index_entries
    if stream.frames and len(entries) >= stream.frames:
        return sum(not entry.is_discard for entry in entries)
    return stream.frames or None


def packet_index(path: Path) -> PacketIndex:
    """The packet index of a video: one pass over the file, remembered while the file does not change."""
    stat = path.stat()
    return _packet_index(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=16)
def _packet_index(path: Path, size: int, modified: int) -> PacketIndex:
    container, stream = open_video(path)
    with container:
        promised = promised_frames(stream)
        rows = [(p.pts, p.dts, p.pos, p.is_keyframe, p.is_discard, p.is_corrupt) for p in packets_of(container, stream)]
        made_up = container.format.name == "avi"  # it has no times; FFmpeg guesses some from the order of packets
        reorders, tick = stream.codec_context.has_b_frames, float(stream.time_base or 0)
    if not rows:
        raise InvalidValueError(f"{path} holds a video stream without a single frame; fetch or copy it again")
    pts, dts, position = (_column([row[i] for row in rows]) for i in range(3))
    key_frame, discarded, marked = (np.array([row[i] for row in rows], bool) for i in range(3, 6))
    timed = pts is not None and not made_up
    unplaced = 0
    if pts is not None and timed:
        shown = pts
        behind = _behind_the_cut(pts[~discarded], [row[1] for row in rows if row[1] is not None])
        unplaced = int(np.count_nonzero(~discarded & (pts >= behind)))
        discarded |= pts >= behind
    elif not reorders:
        shown = np.arange(len(rows))
    else:
        shown, lost = _display_order(path, len(rows))
        marked |= lost
    number = np.full(len(rows), -1, np.int64)
    order = np.argsort(shown[~discarded], kind="stable")
    number[np.flatnonzero(~discarded)[order]] = np.arange(len(order))

    key_frame[0] = True
    group = np.cumsum(key_frame) - 1
    start = np.flatnonzero(key_frame)
    first = np.searchsorted(np.sort(shown[~discarded]), shown[start])
    first[0] = 0
    if not timed and reorders:  # a group with damage has no known order
        marked = np.isin(group, group[marked])
    by_position = made_up or pts is None
    key = position if by_position else pts
    seek = pts if pts is not None else dts
    return PacketIndex(
        key=np.arange(len(rows)) if key is None else key,
        number=number,
        marked=marked,
        group=group,
        leading=shown < shown[start][group],
        group_start=start,
        group_first=first,
        group_time=np.zeros(len(start), np.int64) if seek is None else seek[start],
        seekable=key is not None and seek is not None,
        by_position=by_position,
        frame_count=len(order),
        promised=max(promised or 0, len(order)),
        unplaced=unplaced,
        times=(shown[~discarded][order] - shown[~discarded].min(initial=0)) * tick if timed and len(order) else EMPTY,
    )


EMPTY = np.empty(0)


def _column(values: list[int | None]) -> np.ndarray | None:
    """The values as an array; None where one is missing or two are equal, so that they tell nothing apart."""
    if None in values or len(set(values)) < len(values):
        return None
    return np.array(values, np.int64)


def _behind_the_cut(shown: np.ndarray, decoded_at: list[int]) -> float:
    """The display time from which on the frames of a cut-off file lie behind missing ones; infinite: none do.

    What is missing would be decoded later than the last packet and so be shown later than that: only a gap after this
    time can hide it.
    """
    times = np.sort(shown)
    spacing = np.diff(times)
    if not len(spacing) or not decoded_at:
        return np.inf
    gap = (times[1:] > max(decoded_at)) & (spacing > 1.5 * np.median(spacing))
    return float(times[1:][gap][0]) if gap.any() else np.inf


def _display_order(path: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Place in the order of display of each packet, and which packets gave no frame: found by decoding them all."""
    container, stream = open_video(path)
    with container:
        stream.codec_context.thread_type = "AUTO"
        came: list[int] = []
        for ordinal, packet in enumerate(packets_of(container, stream)):
            came += [number for number, _ in decoded(packet, ordinal, stream)]
        came += [number for number, _ in decoded(None, -1, stream)]
    lost = np.ones(count, bool)
    lost[came] = False
    # A lost packet takes its place behind the latest frame that was decoded before it.
    place = np.zeros(count)
    place[came] = np.arange(len(came))
    for ordinal in np.flatnonzero(lost):
        place[ordinal] = (place[ordinal - 1] if ordinal else -1.0) + 1 / (2 * count)
    return np.argsort(np.argsort(place, kind="stable"), kind="stable"), lost


def _lost_its_index(path: Path) -> bool:
    """Whether a file begins like an MP4 and has no moov atom (ISO/IEC 14496-12: size, type, content, ...)."""
    with path.open("rb") as file:
        if file.read(8)[4:] != b"ftyp":
            return False
        end, offset = path.stat().st_size, 0
        while offset + 8 <= end:
            file.seek(offset)
            size, kind = int.from_bytes(file.read(4)), file.read(4)
            if kind == b"moov":
                return offset + size > end
            if size == 1:
                size = int.from_bytes(file.read(8))
            if size < 8:
                break
            offset += size
    return True
