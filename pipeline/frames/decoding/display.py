"""Find which packets of a stream give frames, and in which order these are shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.video.frame import PictureType
from av.video.stream import VideoStream

from .decoder import Fed, feed, finish, open_decoder
from .streams import packets_of

# Codecs whose order of display follows from the kinds of pictures: a B-picture is shown at once, another one when the
# next such comes. FFmpeg's decoders leave this order for a moment where B-pictures begin that were not announced.
_ORDERED_BY_KIND = frozenset({"mpeg1video", "mpeg2video", "mpeg4"})
# Codecs whose pictures may be refreshed bit by bit, with a keyframe in name only.
_GRADUAL = frozenset({"h264", "hevc"})
_PREDICTED = frozenset({PictureType.P, PictureType.B, PictureType.S, PictureType.SP})
# From a segment's first frame on, so many more packets until what has not come will not come.
_PATIENCE = 32
# How far into a segment its first frame is looked for.
_LONGEST = 1000


@dataclass
class Delivery:
    """The result of the packets that were fed, each named by its number in the file.

    came      packets whose frames came out, in order of display
    failed    packets that the decoder called damaged
    unplaced  packets whose frames came out after one of their group was lost, so that nobody can say which number
              they have
    headless  packets whose pictures are predicted from a keyframe that is not in the file
    silent    packets that gave neither a frame nor an error
    whole     packets whose pictures are predicted from no other
    """

    came: list[int] = field(default_factory=list)
    failed: set[int] = field(default_factory=set)
    unplaced: set[int] = field(default_factory=set)
    headless: set[int] = field(default_factory=set)
    silent: set[int] = field(default_factory=set)
    whole: set[int] = field(default_factory=set)


class Known(NamedTuple):
    """What is known of a file's P packets.

    starts     the segments' first packets
    keys       (P,) bool   the packet begins with a keyframe
    expected   (P,) bool   it should give a frame
    damaged    (P,) bool   it is not to be fed: it fails
    """

    starts: list[int]
    keys: np.ndarray
    expected: np.ndarray
    damaged: np.ndarray


class _Segment:
    """What one segment's packets gave so far; the decoder knows nothing of the segments before."""

    def __init__(self, stream: VideoStream, known: Known) -> None:
        self.stream, self.known = stream, known
        self.codec = stream.codec_context.codec.canonical_name
        self.fed: list[int] = []
        self.kinds: dict[int, int] = {}  # of what came, in the order in which it came
        self.by_then: dict[int, int] = {}  # how many frames had come when a packet was fed
        self.failed: set[int] = set()
        self.corrupt: set[int] = set()

    def feed(self, ordinal: int, packet: av.Packet) -> None:
        fed = Fed([], True) if self.known.damaged[ordinal] else feed(packet, ordinal, self.stream)
        self.fed.append(ordinal)
        self.by_then[ordinal] = len(self.kinds)
        if fed.failed:
            self.failed.add(ordinal)
        self._take(fed)

    def finish(self) -> bool:
        """Take what the decoder still holds; whether that was without an error."""
        rest = finish(self.stream)
        self._take(rest)
        return not rest.failed

    def _take(self, fed: Fed) -> None:
        for number, frame in fed.frames:
            # At the end, MPEG-4's decoder repeats a picture for one that is not coded.
            if number >= 0 and self.known.expected[number]:
                self.kinds.setdefault(number, frame.pict_type)
                if frame.is_corrupt:
                    self.corrupt.add(number)

    @property
    def head(self) -> int | None:
        """The first packet whose picture hangs on nothing before it; None while none has come.

        Where pictures are refreshed bit by bit, the first keyframe only begins to; at the second all is new.
        """
        keys = [n for n in self.fed if self.known.keys[n]]
        gradual = bool(keys) and self.codec in _GRADUAL and self._is_gradual(keys[0])
        return min([*self._whole(), *keys[gradual : gradual + 1]], default=None)

    def _whole(self) -> set[int]:
        return {n for n, kind in self.kinds.items() if kind not in _PREDICTED}

    def _is_gradual(self, key: int) -> bool:
        if key in self.kinds:
            return self.kinds[key] in _PREDICTED
        return bool(self.known.expected[key]) and key not in self.failed

    def add_to(self, delivery: Delivery) -> None:
        came, head = list(self.kinds), self.head
        lost = {n for n in self.fed if self.known.expected[n]} - set(came)
        # A decoder that fails may swallow the frame that it was about to give, and what hangs on the one that it lost.
        flawed = min([*self.failed, *self.corrupt], default=np.inf)
        failed = {n for n in lost if flawed <= n + _PATIENCE}
        delivery.headless |= {n for n in self.fed if head is None or n < head}
        delivery.came += _shown(sorted(came), self.kinds) if self.codec in _ORDERED_BY_KIND else came
        delivery.failed |= failed
        delivery.unplaced |= self._unplaced(came, failed)
        delivery.silent |= lost - failed
        delivery.whole |= self._whole()

    def _unplaced(self, came: list[int], lost: set[int]) -> set[int]:
        """What may be shown on either side of a lost packet: what came of its group after that was fed.

        Where a keyframe is lost, nobody knows whether it was one, and the group before is in question too.
        """
        if not lost:
            return set()
        place = {n: i for i, n in enumerate(came)}
        group = dict(zip(self.fed, np.cumsum(self.known.keys[self.fed]).tolist(), strict=True))
        since: dict[int, int] = {}  # group -> how many frames are sure of their place
        for n in lost:
            for g in (group[n], group[n] - self.known.keys[n]):
                since[g] = min(self.by_then[n], since.get(g, len(came)))
        return {n for n in came if place[n] >= since.get(group[n], len(came))}


def _shown(decoded: list[int], kinds: dict[int, int]) -> list[int]:
    """Packets in order of display, from their order of decoding."""
    shown, held = [], []
    for number in decoded:
        if kinds[number] == PictureType.B:
            shown.append(number)
        else:
            shown += held
            held = [number]
    return shown + held


def deliver_all(path: Path, known: Known, threads: int = 0) -> Delivery:
    """Decode the whole file, each segment for itself."""
    delivery, in_order = Delivery(), True
    container, stream = open_decoder(path, threads)
    begins = frozenset(known.starts[1:])
    segment = _Segment(stream, known)
    with container:
        for ordinal, packet in zip(range(len(known.keys)), packets_of(container, stream), strict=False):
            if ordinal in begins:
                in_order &= segment.finish()
                segment.add_to(delivery)
                segment = _Segment(stream, known)
            segment.feed(ordinal, packet)
        in_order &= segment.finish()
        segment.add_to(delivery)
    # With several threads the decoder does not say at which packet it failed, and may say nothing at the end.
    if threads != 1 and (delivery.failed or delivery.silent or not in_order):
        return deliver_all(path, known, threads=1)
    return delivery


def deliver_beginnings(path: Path, known: Known, shown: np.ndarray) -> Delivery:
    """Decode the beginning of each segment, as far as its first pictures may depend on some that are not in the file.

    shown   (P,)   display time of each packet
    """
    delivery = Delivery()
    container, stream = open_decoder(path, 1)
    with container:
        packets = enumerate(packets_of(container, stream))
        for start, end in pairwise([*known.starts, len(shown)]):
            segment = _Segment(stream, known)
            left = _PATIENCE
            for ordinal, packet in packets:
                if ordinal < start:
                    continue
                segment.feed(ordinal, packet)
                if not segment.kinds or segment.head is None:
                    left = _PATIENCE if ordinal - start < _LONGEST else 0
                else:
                    left = left - 1 if _missing(segment, shown) else 0
                if not left or ordinal == end - 1:
                    break
            segment.finish()
            part = Delivery()
            segment.add_to(part)
            delivery.came += part.came
            delivery.failed |= part.failed
            delivery.headless |= part.headless
            delivery.silent |= part.silent & _missing(segment, shown)
    return delivery


def _missing(segment: _Segment, shown: np.ndarray) -> set[int]:
    """What was fed, should be shown before the first frame that came, and came neither as a frame nor as an error."""
    first = min((shown[n] for n in segment.kinds), default=np.inf)
    return {n for n in segment.fed if segment.known.expected[n] and shown[n] < first and n not in segment.failed}
