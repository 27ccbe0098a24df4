"""Exact decoding of one video: any of its frames by number, and for each that is damaged a reason.

Frame n is the n-th in order of display among those the container delivers. A decoder can start at keyframes only, and
what is predicted from a damaged frame is wrong without FFmpeg saying so again. Hence three rules:

1. To show frame n, decoding starts at the last keyframe that is shown no later than n. Frames that an open group shows
   before its keyframe are thus decoded from the group before, as a full decode would.
2. A frame passes as sound when all that was decoded before it in its group came out without an error. So the verdict
   does not depend on where decoding began.
3. A group with damage is decoded again, from two groups earlier and with one thread: one to come into step where
   pictures are refreshed bit by bit (intra refresh) instead of by whole keyframes, one to see what the group hangs on.
   So neither bytes nor verdicts depend on the number of threads.

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

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from .packets import PacketIndex, decoded, open_video, packet_index, packets_of

CUT_OFF = "promised by the container, not delivered: the file is cut off"
LOST = "cannot be decoded"
DAMAGED = "decoded with errors"
MARKED = "the packet is damaged"

# `explode`, stopping at the first error, only where each frame stands alone: elsewhere FFmpeg flags the frame anyway,
# and with `explode` what else it drops depends on the number of threads.
_ERROR_DETECTION = {"mjpeg": "crccheck+bitstream+buffer+explode"}
_ERROR_DETECTION_OF_OTHERS = "crccheck+bitstream+buffer"
# With frame threads, FFmpeg's FFV1 decoder lets a damaged frame spoil the one before it.
_THREAD_TYPE = {"ffv1": "SLICE"}
# From how many frames to skip a seek is worth its cost.
_SEEK_FROM = 32
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
            for _, frame in decoded(packet, 0, stream):
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
        while delivered:
            last = _last_of_stretch(index, delivered)
            while delivered and delivered[0] <= last:
                spoiled = yield from decoder.attempt(index.starting_group(delivered[0]), last, threads, careful=False)
                if spoiled is not None:
                    # Once more with care, up to the next keyframe.
                    ends = [*index.group_first[spoiled + 1 : spoiled + 2].tolist(), index.frame_count]
                    start = max(index.starting_group(delivered[0]) - 2, 0)
                    yield from decoder.attempt(start, max(ends[0] - 1, delivered[0]), 1, careful=True)
    for number in wanted[wanted >= index.frame_count].tolist():
        yield number, CUT_OFF


def _last_of_stretch(index: PacketIndex, wanted: deque[int]) -> int:
    """The last of the leading wanted numbers that are best decoded without a seek between them."""
    last = wanted[0]
    for number in wanted:
        if index.group_first[index.starting_group(number)] - last > _SEEK_FROM:
            break
        last = number
    return last


class _Decoder:
    """One open video and the frames still wanted of it."""

    def __init__(self, path: Path, index: PacketIndex, wanted: deque[int]) -> None:
        self.path, self.index, self.wanted, self.picture = path, index, wanted, picture_of(path)
        self.ever_wanted = frozenset(wanted)
        self.ordinal_of_key = dict(zip(index.key.tolist(), range(len(index.key)), strict=True))
        expected = np.flatnonzero(index.number >= 0)
        self.ordinal_of_number = np.empty(index.frame_count, np.int64)
        self.ordinal_of_number[index.number[expected]] = expected
        self.opened: tuple[InputContainer, VideoStream, int] | None = None

    def close(self) -> None:
        if self.opened:
            self.opened[0].close()
        self.opened = None

    def attempt(
        self, start: int, last: int, threads: int, *, careful: bool
    ) -> Generator[tuple[int, av.VideoFrame | str], None, int | None]:
        """Decode from group `start` on; take from `wanted`, and yield, everything up to number `last`.

        Returns None when that is done. Unless `careful`, gives up at the first damage and returns its group.
        """
        index, wanted = self.index, self.wanted
        faults = _Faults(index, ignored=start if careful and start else None)
        shown = int(index.group_first[start])
        # Settled: came out of the decoder, or never will. What is shown before the start is not looked at.
        settled = index.number < shown
        settled[: index.group_start[start]] = True
        settled_below = 0
        waiting: deque[tuple[int, int, av.VideoFrame | None]] = deque()
        for ordinal, frame in self._outputs(int(index.group_start[start]), threads):
            number = index.frame_count if frame is None else int(index.number[ordinal])
            if (ordinal < 0 and frame is not None) or number < shown:
                continue
            # Frames come in order of display: one that has been passed over will not come any more.
            for passed in range(shown, number):
                lost = int(self.ordinal_of_number[passed])
                settled[lost] = True
                faults.add(lost, MARKED if index.marked[lost] else LOST)
                if passed in self.ever_wanted:
                    waiting.append((passed, lost, None))
            shown = number + 1
            if frame is not None:
                settled[ordinal] = True
                if frame.is_corrupt:
                    faults.add(ordinal, DAMAGED)
                if frame.pict_type != PictureType.I and ordinal == index.group_start[index.group[ordinal]]:
                    faults.gradual.add(int(index.group[ordinal]))
                if number in self.ever_wanted:
                    waiting.append((number, ordinal, frame))
            if faults.group is not None and not careful:
                return faults.group
            while settled_below < len(settled) and settled[settled_below]:
                settled_below += 1
            # A frame leaves when everything decoded before it is settled.
            while waiting and waiting[0][1] < settled_below and waiting[0][0] <= last:
                number, ordinal, picture = waiting.popleft()
                if wanted and number == wanted[0]:
                    wanted.popleft()
                    yield number, faults.verdict(ordinal) or self._checked(picture)
            if not wanted or wanted[0] > last:
                break
        return None

    def _checked(self, frame: av.VideoFrame | None) -> av.VideoFrame | str:
        expected = self.picture
        if frame is None:
            return LOST
        if (frame.width, frame.height) == (expected.width, expected.height):
            return frame
        return f"its size is {frame.width} x {frame.height}, unlike the video's {expected.width} x {expected.height}"

    def _outputs(self, start: int, threads: int) -> Iterator[tuple[int, av.VideoFrame | None]]:
        """(packet, frame) as they come out of the decoder, from packet `start` on; at the end one (-1, None)."""
        for ordinal, packet in self._packets(start, threads):
            if not self.index.marked[ordinal]:
                yield from decoded(packet, ordinal, self._open(threads)[1])
        yield from decoded(None, -1, self._open(threads)[1])
        yield -1, None

    def _packets(self, start: int, threads: int) -> Iterator[tuple[int, av.Packet]]:
        """(ordinal, packet) from packet `start` on, for a decoder without a past."""
        if start and self.index.seekable:
            container, stream = self._open(threads)
            landed = False
            with contextlib.suppress(av.error.FFmpegError):
                container.seek(int(self.index.group_time[self.index.group[start]]), stream=stream)
                for packet in packets_of(container, stream):
                    key = packet.pos if self.index.by_position else packet.pts
                    ordinal = -1 if key is None else self.ordinal_of_key.get(key, -1)
                    if not landed and not 0 <= ordinal <= start:
                        break  # not where we wanted to be
                    landed = True
                    if ordinal >= start:
                        yield ordinal, packet
            if landed:
                return
        self.close()
        for ordinal, packet in enumerate(packets_of(*self._open(threads))):
            if start <= ordinal < len(self.index.key):
                yield ordinal, packet

    def _open(self, threads: int) -> tuple[InputContainer, VideoStream]:
        if self.opened is None or self.opened[2] != threads:
            self.close()
            container, stream = open_video(self.path)
            context = stream.codec_context
            context.thread_type, context.thread_count = _THREAD_TYPE.get(context.name, "AUTO"), threads
            context.options = {"err_detect": _ERROR_DETECTION.get(context.name, _ERROR_DETECTION_OF_OTHERS)}
            self.opened = container, stream, threads
        return self.opened[0], self.opened[1]


class _Faults:
    """Which packets are damaged, and which frames are predicted from them."""

    def __init__(self, index: PacketIndex, ignored: int | None) -> None:
        self.index, self.ignored = index, ignored  # a group whose faults may come from not having seen the one before
        self.reasons: dict[int, str] = {}
        self.first: dict[tuple[int, bool], int] = {}  # (group, leading) -> its first damaged packet
        self.gradual: set[int] = set()  # groups that do not begin with a whole picture but refresh it bit by bit
        self.group: int | None = None  # the first group found damaged

    def add(self, ordinal: int, reason: str) -> None:
        group, leading = int(self.index.group[ordinal]), bool(self.index.leading[ordinal])
        if group == self.ignored:
            return
        self.reasons.setdefault(ordinal, reason)
        self.first[group, leading] = min(ordinal, self.first.get((group, leading), ordinal))
        self.group = group if self.group is None else self.group

    def verdict(self, ordinal: int) -> str | None:
        """Why the frame is not sound, or None."""
        if ordinal in self.reasons:
            return self.reasons[ordinal]
        group = int(self.index.group[ordinal])
        # A keyframe and what is shown after it hold together; what is shown before it hangs on the group before, too.
        chains = [(group, False)]
        if self.index.leading[ordinal]:
            chains += [(group, True), (group - 1, False)]
        if group in self.gradual:
            chains += [(group - 1, False)]
        culprit = min(self.first.get(chain, ordinal) for chain in chains)
        return f"predicted from damaged frame {self.index.number[culprit]}" if culprit < ordinal else None
