"""Exact decoding of one video: any of its frames by number, and for each that is damaged a reason.

Frame n is the n-th in order of display among those that a decoder gives (packets.py). A decoder can start at keyframes
only, and what is predicted from a damaged frame is wrong without FFmpeg saying so again. Hence three rules:

1. To show frame n, decoding starts at the last keyframe that is shown no later than n. Frames that an open group shows
   before its keyframe are thus decoded from the group before, as a full decode would.
2. A frame passes as sound when all that was decoded before it in its group came out without an error. So the verdict
   does not depend on where decoding began. Each segment of a file is decoded for itself.
3. A group with damage is decoded again with one thread: from its own keyframe where that needs nothing from before it,
   else from up to two groups earlier, one to come into step where pictures are refreshed bit by bit (intra refresh)
   instead of by whole keyframes, one to see what the group hangs on. Behind damage a new decoder begins. So neither
   bytes nor verdicts depend on the number of threads. Where that brings nothing, it is decoded from the file's
   beginning, and then its first frame is given up: each round settles at least one frame, so all end.

A seek is believed when the packets that come are those that the index has there, by their contents, one after another.

What FFmpeg does not notice stays hidden: H.264, MPEG-4, MJPEG and AV1 decoders notice most damage inside a packet; the
VP9 and HEVC decoders often turn noise into a wrong picture and call it good. With several threads, the H.264 decoder
may still overlook what one would see: about one in a thousand damaged frames, on a busy machine.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Generator, Iterator
from pathlib import Path

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from .attempt import Attempt, Event
from .decoder import feed, finish, open_decoder
from .faults import CHANGED, CUT_OFF, LOST
from .packets import DAMAGED, PacketIndex, packet_index
from .pixels import Picture, picture_of, to_rgb
from .streams import packets_of
from .timeline import NONE

__all__ = ["CUT_OFF", "LOST", "Picture", "decode", "picture_of", "to_rgb"]

# From how many frames to skip a seek is worth its cost.
_SEEK_FROM = 32
# Packets to look at after a seek for one that differs from all others.
_SEEN_BEFORE_LANDING = 64
# How many groups further back to seek, one try after another, until it is known where reading has begun.
_SEEKS = (0, 1, 4)


def decode(path: Path, wanted: np.ndarray, threads: int) -> Iterator[tuple[int, av.VideoFrame | str]]:
    """Yield for each wanted frame number (ascending): the number, and the frame or why there is none.

    threads   FFmpeg's (0: as many as it likes); changes neither bytes nor verdicts.
    """
    index = packet_index(path)
    delivered = deque(wanted[wanted < index.frame_count].tolist())
    with contextlib.closing(_Decoder(path, index, delivered)) as decoder:
        while delivered and not decoder.changed:
            last = _last_of_stretch(index, delivered)
            while delivered and delivered[0] <= last and not decoder.changed:
                first = delivered[0]
                spoiled = yield from decoder.attempt(index.starting_group(first), last, threads)
                if spoiled is not None and delivered and delivered[0] <= last:
                    yield from decoder.careful_attempts(spoiled)
                if delivered and delivered[0] == first and not decoder.changed:
                    yield delivered.popleft(), LOST
        for number in delivered:
            yield number, CHANGED
    for number in wanted[wanted >= index.frame_count].tolist():
        yield number, CUT_OFF


class _LostTrack(Exception):
    """What comes is not what the index has there."""


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
        self.segments = frozenset(index.segment_start.tolist())
        self.opened: tuple[InputContainer, VideoStream, int] | None = None
        self.changed = self.is_primed = False
        self.strict = True

    def close(self) -> None:
        if self.opened:
            self.opened[0].close()
        self.opened = None

    def careful_attempts(self, spoiled: int) -> Generator[tuple[int, av.VideoFrame | str]]:
        """Once more, with care, up to the end of the group that was found damaged; at last without a seek."""
        index, first = self.index, self.wanted[0]
        group = index.starting_group(first)
        start = max(group - 2, index.independent_group(group))
        for seek in (True, False):
            run = yield from self._run(start, max(index.last_of_group(spoiled), first), 1, careful=True, seek=seek)
            self.strict &= run.faults.group is not None  # if there is no damage, what it fails at is no damage
            if not self.wanted or self.wanted[0] != first:
                return

    def attempt(
        self, start: int, last: int, threads: int
    ) -> Generator[tuple[int, av.VideoFrame | str], None, int | None]:
        """Decode from group `start` on; take from `wanted`, and yield, everything up to number `last`.

        Returns None when that is done. Gives up at the first damage, and returns its group.
        """
        run = yield from self._run(start, last, threads)
        return start if run.lost_track else run.faults.group

    def _run(
        self, start: int, last: int, threads: int, *, careful: bool = False, seek: bool = True
    ) -> Generator[tuple[int, av.VideoFrame | str], None, Attempt]:
        """The same; `careful` goes on behind damage, as far as what hangs on it may reach."""
        run = Attempt(self.index, self.ever_wanted, start, threads, careful)
        try:
            for event in self._events(int(self.index.group_start[start]), threads, seek):
                run.take(event)
                if run.faults.group is not None:
                    if not careful:
                        break
                    last = min(last, self.index.last_before_independent(run.faults.group))
                while self.wanted and self.wanted[0] <= last and run.is_settled(self.wanted[0]):
                    number = self.wanted.popleft()
                    yield number, self._sized(run.result(number))
                if not self.wanted or self.wanted[0] > last:
                    break
        except _LostTrack:
            self.changed |= not seek
            run.lost_track = True
        if run.faults.group is not None:
            self.close()  # what damage leaves behind in a decoder can spoil even what does not hang on it
        return run

    def _sized(self, frame: av.VideoFrame | str) -> av.VideoFrame | str:
        width, height = self.picture.width, self.picture.height
        if isinstance(frame, str) or (frame.width, frame.height) == (width, height):
            return frame
        return f"its size is {frame.width} x {frame.height}, unlike the video's {width} x {height}"

    def _events(self, start: int, threads: int, seek: bool) -> Iterator[Event]:
        """What the decoder makes of the packets from `start` on."""
        for ordinal, packet in self._packets(start, threads, seek):
            if ordinal in self.segments and ordinal != start:
                yield from self._drained(ordinal, threads)
            if self.index.defect[ordinal] == DAMAGED:
                yield Event("failed", ordinal)
                continue
            frames, failed = feed(packet, ordinal, self._open(threads)[1])
            for number, frame in frames:
                yield Event("frame", number, frame)
            if failed:
                yield Event("failed", ordinal)
        yield from self._drained(len(self.index.identity), threads)

    def _drained(self, end: int, threads: int) -> Iterator[Event]:
        frames, failed = finish(self._open(threads)[1])
        if failed:  # said first: of these frames, one may be what failed
            yield Event("failed", end - 1)
        for number, frame in frames:
            yield Event("frame", number, frame)
        yield Event("drained", end)

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
            if not self.index.holds(packet, ordinal):
                raise _LostTrack
            if ordinal >= start:
                yield ordinal, packet
            elif ordinal == 0 and self.index.primed:
                self._prime(packet)
        if ordinal != len(self.index.identity) - 1:
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
            self.opened = *open_decoder(self.path, threads, strict=self.strict), threads
            self.is_primed = False
        return self.opened[0], self.opened[1]
