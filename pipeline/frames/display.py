"""What a decoder makes of a stream's packets: which of them give frames, and in which order these are shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from av.video.frame import PictureType

from .decoder import Fed, feed, finish, open_decoder
from .pictures import COMPLETES, NOTHING
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
    """What came of the packets that were fed, each named by its number in the file.

    came      packets whose frames came out, in order of display
    failed    packets that the decoder called damaged
    unplaced  packets whose frames came out after one of their group was lost, so that nobody can say which number
              they have
    headless  packets whose pictures are predicted from a keyframe that is not in the file
    silent    packets that gave neither a frame nor an error
    """

    came: list[int] = field(default_factory=list)
    failed: set[int] = field(default_factory=set)
    unplaced: set[int] = field(default_factory=set)
    headless: set[int] = field(default_factory=set)
    silent: set[int] = field(default_factory=set)


class _Segment:
    """What one segment's packets gave so far; the decoder knows nothing of the segments before.

    keys   (P,) bool   of the whole file: the packet begins with a keyframe
    """

    def __init__(self, codec: str, keys: np.ndarray) -> None:
        self.codec, self.keys = codec, keys
        self.fed: list[int] = []
        self.kinds: dict[int, PictureType] = {}  # of what came, in the order in which it came
        self.failed: dict[int, int] = {}  # and how many frames had come by then

    def take(self, ordinal: int, fed: Fed) -> None:
        if ordinal >= 0:
            self.fed.append(ordinal)
            if fed.failed:
                self.failed[ordinal] = len(self.kinds)
        for number, frame in fed.frames:
            if number >= 0:
                self.kinds.setdefault(number, frame.pict_type)

    @property
    def head(self) -> int | None:
        """The first packet whose picture hangs on nothing before it; None while none has come.

        Where pictures are refreshed bit by bit, the first keyframe only begins to; at the second all is new.
        """
        whole = [n for n, kind in self.kinds.items() if kind not in _PREDICTED]
        keys = [n for n in self.fed if self.keys[n]]
        gradual = self.codec in _GRADUAL and bool(keys) and self.kinds.get(keys[0]) in _PREDICTED
        return min(whole + keys[gradual : gradual + 1], default=None)

    def add_to(self, delivery: Delivery) -> None:
        came = list(self.kinds)
        shown = _shown(sorted(came), self.kinds) if self.codec in _ORDERED_BY_KIND else came
        head = self.head
        delivery.headless |= {n for n in self.fed if head is None or n < head}
        delivery.came += shown
        delivery.failed |= set(self.failed) - set(came)
        delivery.unplaced |= self._unplaced(came)
        delivery.silent |= set(self.fed) - set(came) - set(self.failed)

    def _unplaced(self, came: list[int]) -> set[int]:
        if not self.failed:
            return set()
        place = {n: i for i, n in enumerate(came)}
        group = dict(zip(self.fed, np.cumsum(self.keys[self.fed]).tolist(), strict=True))
        sure: dict[int, int] = {}
        for n, by_then in self.failed.items():
            if n not in place:
                sure[group[n]] = min(by_then, sure.get(group[n], by_then))
        return {n for n in came if place[n] >= sure.get(group[n], len(came))}


def _shown(decoded: list[int], kinds: dict[int, PictureType]) -> list[int]:
    """Packets in order of display, from their order of decoding."""
    shown, held = [], []
    for number in decoded:
        if kinds[number] == PictureType.B:
            shown.append(number)
        else:
            shown += held
            held = [number]
    return shown + held


def deliver_all(
    path: Path, starts: list[int], keys: np.ndarray, gives: np.ndarray, damaged: np.ndarray, threads: int = 0
) -> Delivery:
    """Decode the whole file, each segment for itself.

    starts    the segments' first packets
    keys      (P,) bool   the packet begins with a keyframe
    gives     (P,)        what `pictures` says of each
    damaged   (P,) bool   not to be fed: they fail
    """
    delivery = Delivery()
    container, stream = open_decoder(path, threads)
    codec = stream.codec_context.codec.canonical_name
    segment = _Segment(codec, keys)

    failed_at_end = False

    def end_segment() -> None:
        nonlocal failed_at_end
        # At the end MPEG-4's decoder repeats a picture for one that is not coded.
        rest = finish(stream)
        failed_at_end |= rest.failed
        segment.take(-1, Fed([(n, f) for n, f in rest.frames if gives[n] != NOTHING], rest.failed))
        segment.add_to(delivery)

    with container:
        for ordinal, packet in zip(range(len(gives)), packets_of(container, stream), strict=False):
            if ordinal in starts[1:]:
                end_segment()
                segment = _Segment(codec, keys)
            segment.take(ordinal, Fed([], True) if damaged[ordinal] else feed(packet, ordinal, stream))
        end_segment()
    # With several threads the decoder does not say at which packet it failed, and may say nothing at the end.
    unexplained = delivery.silent - set(np.flatnonzero(np.isin(gives, (NOTHING, COMPLETES))).tolist())
    if threads != 1 and (delivery.failed or failed_at_end or unexplained):
        return deliver_all(path, starts, keys, gives, damaged, threads=1)
    return delivery


def deliver_beginnings(
    path: Path, starts: list[int], keys: np.ndarray, shown: np.ndarray, damaged: np.ndarray
) -> Delivery:
    """Decode the beginning of each segment: as far as its first pictures may hang on some that are not in the file.

    shown   (P,)   display time of each packet, infinite where no frame is expected; the rest as in `deliver_all`
    """
    delivery = Delivery()
    container, stream = open_decoder(path, 1)
    with container:
        packets = enumerate(packets_of(container, stream))
        for start, end in pairwise([*starts, len(shown)]):
            segment = _Segment(stream.codec_context.codec.canonical_name, keys)
            left = _PATIENCE
            for ordinal, packet in packets:
                if ordinal < start:
                    continue
                segment.take(ordinal, Fed([], True) if damaged[ordinal] else feed(packet, ordinal, stream))
                if not segment.kinds or segment.head is None:
                    left = _PATIENCE if ordinal - start < _LONGEST else 0
                else:
                    left = left - 1 if _missing(segment, shown) else 0
                if not left or ordinal == end - 1:
                    break
            segment.take(-1, finish(stream))
            part = Delivery()
            segment.add_to(part)
            delivery.came += part.came
            delivery.failed |= part.failed
            delivery.headless |= part.headless
            delivery.silent |= part.silent & _missing(segment, shown)
    return delivery


def _missing(segment: _Segment, shown: np.ndarray) -> set[int]:
    """What was fed, is shown before the first frame that came, and came neither as a frame nor as an error."""
    first = min((shown[n] for n in segment.kinds), default=np.inf)
    return {n for n in segment.fed if shown[n] < first and n not in segment.failed}
