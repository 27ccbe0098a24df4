"""Read a video file in one pass: its packets as they are stored, and what the header says of them."""

from __future__ import annotations

import itertools
import zlib
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from .pictures import FRAME, UNSURE, picture_reader
from .streams import open_video, packets_of
from .timeline import NONE

_HASHED = 4096  # bytes of a packet that tell it from others
# FFmpeg's flags of a format (libavformat/avformat.h): no times; times may fall back; no seeking by bytes.
_NO_TIMESTAMPS, _DISCONTINUOUS, _NO_BYTE_SEEK = 0x0080, 0x0200, 0x8000


class StoredPackets(NamedTuple):
    """What a pass over the file finds.

    pts, dts     (P,) int64    times of display and of decoding, in ticks; NONE where they are unknown
    position     (P,) int64    byte of the file; -1 where it is unknown
    identity     (P, 2) int64  `identity_of` each
    key          (P,) bool     begins with a keyframe
    resets       (P,) bool     and, if it does, a decoder needs nothing from before it
    discarded    (P,) bool     an edit list hides its frame
    corrupt      (P,) bool     the container calls it damaged
    gives        (P,)          what `pictures` says of it
    container    FFmpeg's name of the format
    timed        the times are in the file, and not guesses of FFmpeg's
    falls_back   time may fall back in files of this kind
    by_byte      seeking goes by bytes
    may_reorder  frames may be shown in another order than that of decoding
    intra_only   the codec predicts no frame from another
    listed       packets in the header's list; None where it has none
    chunks       packets that the header counts, empty ones among them
    tick         seconds
    """

    pts: np.ndarray
    dts: np.ndarray
    position: np.ndarray
    identity: np.ndarray
    key: np.ndarray
    resets: np.ndarray
    discarded: np.ndarray
    corrupt: np.ndarray
    gives: np.ndarray
    container: str
    timed: bool
    falls_back: bool
    by_byte: bool
    may_reorder: bool
    intra_only: bool
    listed: int | None
    chunks: int
    tick: float


def read_packets(path: Path, limit: int | None = None) -> StoredPackets:
    """Read all packets of the stream that is read, or the first ones. Raises as `open_video`."""
    container, stream = open_video(path)
    with container:
        reader = picture_reader(stream)
        rows = [
            (
                NONE if p.pts is None else p.pts,
                NONE if p.dts is None else p.dts,
                -1 if p.pos is None else p.pos,
                *identity_of(p),
                p.is_keyframe,
                p.is_discard,
                p.is_corrupt,
                reader(p),
                reader.resets,
            )
            for p in itertools.islice(packets_of(container, stream), limit)
        ]
        kind, flags = container.format.name, container.format.flags
        table = np.array(rows, np.int64).reshape(-1, 10)
        gives = table[:, 8]
        return StoredPackets(
            pts=table[:, 0],
            dts=table[:, 1],
            position=table[:, 2],
            identity=table[:, 3:5],
            key=(table[:, 5] > 0) & np.isin(gives, (FRAME, UNSURE)),
            resets=table[:, 9] > 0,
            discarded=table[:, 6] > 0,
            corrupt=table[:, 7] > 0,
            gives=gives,
            container=kind,
            # Of AVI and of bare streams FFmpeg guesses times from the order of packets.
            timed=kind != "avi" and not flags & _NO_TIMESTAMPS,
            falls_back=bool(flags & _DISCONTINUOUS),
            by_byte=bool(flags & (_NO_TIMESTAMPS | _DISCONTINUOUS)) and not flags & _NO_BYTE_SEEK,
            may_reorder=reader.may_reorder,
            intra_only=stream.codec_context.codec.intra_only,
            listed=header_frames(container, stream),
            chunks=stream.frames,
            tick=float(stream.time_base or 0),
        )


def identity_of(packet: av.Packet) -> tuple[int, int]:
    """Return what identifies a packet, from wherever reading began."""
    return packet.size, zlib.crc32(memoryview(packet)[:_HASHED])


def header_frames(container: InputContainer, stream: VideoStream) -> int | None:
    """Count the frames that the header lists, edit lists applied; None where it has no complete list."""
    kind = container.format.name.split(",")
    if not stream.frames or not {"mp4", "avi"} & set(kind):
        return None
    return sum(not entry.is_discard for entry in stream.index_entries) or None
