"""Exact decoding of one video: any of its frames by number, and for each that is damaged a reason.

Frame n is the n-th in order of display among those the container delivers. A decoder can start at keyframes only, and
what is predicted from a damaged frame is wrong without FFmpeg saying so again. Hence three rules:

1. To show frame n, decoding starts at the last keyframe that is shown no later than n. Frames that an open group shows
   before its keyframe are thus decoded from the group before, as a full decode would.
2. A frame passes as sound when all that was decoded before it in its group came out without an error. So the verdict
   does not depend on where decoding began. Each segment of a file is decoded for itself.
3. A group with damage is decoded again, from two groups earlier and with one thread: one to come into step where
   pictures are refreshed bit by bit (intra refresh) instead of by whole keyframes, one to see what the group hangs on.
   So neither bytes nor verdicts depend on the number of threads. Where that brings nothing either, it is decoded from
   the file's beginning, and then its first frame is given up: each round settles at least one frame, so all end.

A seek is believed when the packets that come are those that the index has there, by their contents, one after another.

What FFmpeg does not notice stays hidden: H.264, MPEG-4, MJPEG and AV1 decoders notice most damage inside a packet; the
VP9 and HEVC decoders often turn noise into a wrong picture and call it good.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from .decoder import feed, finish, open_decoder
from .faults import CHANGED, CUT_OFF, FLAWED, LOST, Faults
from .packets import DAMAGED, SOUND, PacketIndex, identity_of, packet_index
from .streams import open_video, packets_of
from .timeline import NONE

__all__ = ["CUT_OFF", "LOST", "Picture", "decode", "picture_of", "to_rgb"]

# From how many frames to skip a seek is worth its cost.
_SEEK_FROM = 32
# Packets to look at for a first frame that can be decoded.
_FIRST_PACKETS = 600
# A frame that was overtaken by so many others in the decoder will not come: no standard lets more pass.
_OVERTAKEN = 17
# Threads that FFmpeg takes at most by itself, and so packets that it has in hand at a time.
_MOST_THREADS = 16
# Packets to look at after a seek for one that can be told from all others.
_SEEN_BEFORE_LANDING = 64
# How many groups further back to seek, one try after another, until it is known where reading has begun.
_SEEKS = (0, 1, 4)


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
        """(width, height) as a player shows it."""
        return (self.height, self.width) if self.transposed else (self.width, self.height)


def picture_of(path: Path) -> Picture:
    """Size and turn of the first frame that can be decoded; the header's size where none can."""
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


def decode(path: Path, wanted: np.ndarray, threads: int) -> Iterator[tuple[int, av.VideoFrame | str]]:
    """For each wanted frame number (ascending): the number, and the frame or the reason why there is none.

    threads   FFmpeg's (0: as many as it likes); changes neither bytes nor verdicts.
    """
    index = packet_index(path)
    delivered = deque(wanted[wanted < index.frame_count].tolist())
    with contextlib.closing(_Decoder(path, index, delivered)) as decoder:
        while delivered and not decoder.changed:
            last = _last_of_stretch(index, delivered)
            while delivered and delivered[0] <= last:
                first = delivered[0]
                spoiled = yield from decoder.attempt(index.starting_group(first), last, threads)
                if spoiled is not None and delivered and delivered[0] <= last:
                    yield from decoder.careful_attempts(spoiled)
                if delivered and delivered[0] == first:
                    yield delivered.popleft(), LOST
        for number in delivered:
            yield number, CHANGED
    for number in wanted[wanted >= index.frame_count].tolist():
        yield number, CUT_OFF


class _LostTrack(Exception):
    """What comes is not what the index has there."""


class _Event(NamedTuple):
    """What happened in the decoder: a frame came, a packet failed, or all before a packet came that will come."""

    kind: Literal["frame", "failed", "drained"]
    ordinal: int
    frame: av.VideoFrame | None = None


def _last_of_stretch(index: PacketIndex, wanted: deque[int]) -> int:
    """The last of the leading wanted numbers that are best decoded without a seek between them."""
    last = wanted[0]
    for number in wanted:
        if index.group_first[index.starting_group(number)] - last > _SEEK_FROM:
            break
        last = number
    return last


class _Decoder:
    """One open video and the frames still wanted of it.

    changed   the file is not what it was when it was indexed
    """

    def __init__(self, path: Path, index: PacketIndex, wanted: deque[int]) -> None:
        self.path, self.index, self.wanted, self.picture = path, index, wanted, picture_of(path)
        self.ever_wanted = frozenset(wanted)
        self.identity = [tuple(row) for row in index.identity.tolist()]
        self.segments = frozenset(index.segment_start.tolist())
        expected = np.flatnonzero(index.number >= 0)
        self.ordinal_of_number = np.empty(index.frame_count, np.int64)
        self.ordinal_of_number[index.number[expected]] = expected
        self.opened: tuple[InputContainer, VideoStream, int] | None = None
        self.changed = self.is_primed = False

    def close(self) -> None:
        if self.opened:
            self.opened[0].close()
        self.opened = None

    def careful_attempts(self, spoiled: int) -> Generator[tuple[int, av.VideoFrame | str]]:
        """Once more, with care, up to the end of the group that was found damaged; at last without a seek."""
        first = self.wanted[0]
        last = max([*self.index.group_first[spoiled + 1 : spoiled + 2].tolist(), self.index.frame_count][0] - 1, first)
        group = self.index.starting_group(first)
        start = max(group - 2, self.index.first_group_of_segment(group))
        for seek in (True, False):
            yield from self.attempt(start, last, 1, careful=True, seek=seek)
            if not self.wanted or self.wanted[0] != first:
                return

    def attempt(
        self, start: int, last: int, threads: int, *, careful: bool = False, seek: bool = True
    ) -> Generator[tuple[int, av.VideoFrame | str], None, int | None]:
        """Decode from group `start` on; take from `wanted`, and yield, everything up to number `last`.

        Returns None when that is done. Unless `careful`, gives up at the first damage and returns its group.
        """
        run = _Run(self, start, threads, careful)
        try:
            for event in self._events(int(self.index.group_start[start]), threads, seek):
                run.take(event)
                if run.faults.group is not None and not careful:
                    return run.faults.group
                while self.wanted and self.wanted[0] <= last and run.is_settled(self.wanted[0]):
                    number = self.wanted.popleft()
                    yield number, run.result(number)
                if not self.wanted or self.wanted[0] > last:
                    return None
        except _LostTrack:
            self.changed |= not seek
            return start
        return None

    def _events(self, start: int, threads: int, seek: bool) -> Iterator[_Event]:
        """What the decoder makes of the packets from `start` on."""
        for ordinal, packet in self._packets(start, threads, seek):
            if ordinal in self.segments and ordinal != start:
                yield from self._drained(ordinal, threads)
            if self.index.defect[ordinal] == DAMAGED:
                yield _Event("failed", ordinal)
                continue
            frames, failed = feed(packet, ordinal, self._open(threads)[1])
            for number, frame in frames:
                yield _Event("frame", number, frame)
            if failed:
                yield _Event("failed", ordinal)
        yield from self._drained(len(self.identity), threads)

    def _drained(self, end: int, threads: int) -> Iterator[_Event]:
        frames, failed = finish(self._open(threads)[1])
        for number, frame in frames:
            yield _Event("frame", number, frame)
        if failed:
            yield _Event("failed", end - 1)
        yield _Event("drained", end)

    def _packets(self, start: int, threads: int, seek: bool) -> Iterator[tuple[int, av.Packet]]:
        """(ordinal, packet) from packet `start` on, for a decoder without a past. Raises _LostTrack."""
        group = int(self.index.group[start])
        for back in _SEEKS if start and seek else ():
            if group > back:
                packets = self._sought(int(self.index.group_place[group - back]), threads)
                first = next(packets, None)
                if first is not None and first[0] <= start:
                    yield from self._followed(itertools.chain([first], packets), start)
                    return
        self.close()
        yield from self._followed(enumerate(packets_of(*self._open(threads))), start)

    def _sought(self, place: int, threads: int) -> Iterator[tuple[int, av.Packet]]:
        """(ordinal, packet) from where a seek lands, if that can be known; the first is proved, the others counted."""
        container, stream = self._open(threads)
        if place == NONE:
            return
        if self.index.primed and not self.is_primed:
            for packet in itertools.islice(packets_of(container, stream), 1):
                self._prime(packet)
        try:
            container.seek(place, stream=stream, unsupported_byte_offset=self.index.by_byte)
        except av.error.FFmpegError:
            return
        packets = packets_of(container, stream)
        for packet in itertools.islice(packets, _SEEN_BEFORE_LANDING):
            ordinal = self.index.find(packet)
            if ordinal is not None:
                yield from enumerate(itertools.chain([packet], packets), start=ordinal)
                return

    def _followed(self, packets: Iterator[tuple[int, av.Packet]], start: int) -> Iterator[tuple[int, av.Packet]]:
        """The packets from `start` to the last; each must be what the index has there."""
        ordinal = -1
        for ordinal, packet in packets:
            if ordinal >= len(self.identity) or identity_of(packet) != self.identity[ordinal]:
                raise _LostTrack
            if ordinal >= start:
                yield ordinal, packet
            elif ordinal == 0 and self.index.primed:
                self._prime(packet)
        if ordinal != len(self.identity) - 1:
            raise _LostTrack

    def _prime(self, packet: av.Packet) -> None:
        """Show the decoder the first packet, and take no frame of it."""
        stream = self.opened[1] if self.opened else None
        if stream is not None:
            feed(packet, 0, stream)
            finish(stream)
            self.is_primed = True

    def _open(self, threads: int) -> tuple[InputContainer, VideoStream]:
        if self.opened is None or self.opened[2] != threads:
            self.close()
            self.opened = *open_decoder(self.path, threads), threads
            self.is_primed = False
        return self.opened[0], self.opened[1]


class _Run:
    """What one attempt has found: which packets are settled, that is, gave their frame or never will."""

    def __init__(self, decoder: _Decoder, start: int, threads: int, careful: bool) -> None:
        index = decoder.index
        self.decoder, self.index, self.careful = decoder, index, careful
        self.delay = max(threads, _MOST_THREADS)
        ignored = start if careful and start != index.first_group_of_segment(start) else None
        self.faults = Faults(index, ignored)
        # What is shown before the start is not looked at.
        self.from_number, self.from_packet = int(index.group_first[start]), int(index.group_start[start])
        self.settled = index.number < self.from_number
        self.settled[: self.from_packet] = True
        self.settled_below = 0
        self.due = self.from_number  # the number expected next
        self.failed: set[int] = set()
        self.late: dict[int, int] = {}  # numbers that later ones have overtaken, and by how many
        self.kept: dict[int, av.VideoFrame | None] = {}

    def take(self, event: _Event) -> None:
        if event.kind == "frame":
            self._came(event.ordinal, event.frame)
        elif event.kind == "failed":
            self._failed(event.ordinal)
        else:
            for ordinal in np.flatnonzero(~self.settled[: event.ordinal]).tolist():
                self._lose(ordinal)
            self.late.clear()
        while self.settled_below < len(self.settled) and self.settled[self.settled_below]:
            self.settled_below += 1

    def is_settled(self, number: int) -> bool:
        """A frame leaves when it, and everything decoded before it, is settled."""
        return number in self.kept and int(self.decoder.ordinal_of_number[number]) < self.settled_below

    def result(self, number: int) -> av.VideoFrame | str:
        frame, expected = self.kept.pop(number), self.decoder.picture
        verdict = self.faults.verdict(int(self.decoder.ordinal_of_number[number]))
        if verdict or frame is None:
            return verdict or LOST
        if (frame.width, frame.height) == (expected.width, expected.height):
            return frame
        return f"its size is {frame.width} x {frame.height}, unlike the video's {expected.width} x {expected.height}"

    def _came(self, ordinal: int, frame: av.VideoFrame | None) -> None:
        if not 0 <= ordinal < len(self.settled) or self.settled[ordinal] or frame is None:
            return
        number = int(self.index.number[ordinal])
        self._settle(ordinal, frame)
        if self.index.defect[ordinal] != SOUND:
            self.faults.lost(ordinal)
        elif frame.is_corrupt or ordinal in self.failed:
            self.faults.add(ordinal, FLAWED)
        if frame.pict_type != PictureType.I and ordinal == self.index.group_start[self.index.group[ordinal]]:
            self.faults.gradual.add(int(self.index.group[ordinal]))
        for passed in range(self.due, number):
            if not self.settled[self.decoder.ordinal_of_number[passed]]:
                self.late[passed] = 0
        self.due = max(self.due, number + 1)
        self.late.pop(number, None)
        for passed in [n for n in self.late if n < number]:
            self.late[passed] += 1
            lost = int(self.decoder.ordinal_of_number[passed])
            if not self.careful or lost in self.failed or self.late[passed] > _OVERTAKEN:
                del self.late[passed]
                self._lose(lost)

    def _failed(self, ordinal: int) -> None:
        owner = int(self.index.owner[ordinal])
        if self.index.defect[ordinal] == DAMAGED:
            if not self.settled[ordinal]:
                self._lose(ordinal)
        elif not self.careful:
            # With threads, it was this packet or one shortly before.
            recent = np.arange(max(ordinal - self.delay, self.from_packet), ordinal + 1)
            if (self.index.owner[recent] < 0).any() or (self.index.number[recent] >= self.from_number).any():
                self.faults.add(ordinal, FLAWED)
        elif owner == ordinal:
            self.failed.add(ordinal)
        elif owner < 0 or self.index.number[owner] >= self.from_number:
            self.faults.add(ordinal, FLAWED)

    def _lose(self, ordinal: int) -> None:
        self.faults.lost(ordinal)
        self._settle(ordinal, None)

    def _settle(self, ordinal: int, frame: av.VideoFrame | None) -> None:
        self.settled[ordinal] = True
        number = int(self.index.number[ordinal])
        if number in self.decoder.ever_wanted:
            self.kept[number] = frame
