"""What a decoder makes of a stream's packets: which of them give frames, and in which order these are shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from av.video.frame import PictureType

from .decoder import Fed, feed, finish, open_decoder
from .pictures import NOTHING
from .streams import packets_of

# Codecs whose order of display follows from the kinds of pictures: a B-picture is shown at once, another one when the
# next such comes. FFmpeg's decoders leave this order for a moment where B-pictures begin that were not announced.
_ORDERED_BY_KIND = frozenset({"mpeg1video", "mpeg2video", "mpeg4"})
# From a segment's first frame on, so many more packets until what has not come will not come.
_PATIENCE = 32
# How far into a segment its first frame is looked for.
_LONGEST = 1000


@dataclass
class Delivery:
    """What came of the packets that were fed, each named by its number in the file.

    came      packets whose frames came out, in order of display
    failed    packets that the decoder called damaged
    headless  packets whose pictures are predicted from a keyframe that is not in the file
    silent    packets that gave neither a frame nor an error
    """

    came: list[int] = field(default_factory=list)
    failed: set[int] = field(default_factory=set)
    headless: set[int] = field(default_factory=set)
    silent: set[int] = field(default_factory=set)


class _Segment:
    """What one segment's packets gave so far; the decoder knows nothing of the segments before."""

    def __init__(self) -> None:
        self.fed: list[int] = []
        self.kinds: dict[int, PictureType] = {}  # of what came, in the order in which it came
        self.failed: set[int] = set()
        self.headless: set[int] = set()

    def take(self, ordinal: int, fed: Fed) -> None:
        if ordinal >= 0:
            self.fed.append(ordinal)
            if fed.failed:
                self.failed.add(ordinal)
        for number, frame in fed.frames:
            if number >= 0:
                self.kinds.setdefault(number, frame.pict_type)

    @property
    def whole(self) -> int | None:
        """The first picture that is predicted from no other."""
        return min((n for n, kind in self.kinds.items() if kind in (PictureType.I, PictureType.SI)), default=None)

    def add_to(self, delivery: Delivery, keys: np.ndarray, by_kind: bool) -> None:
        came = list(self.kinds)
        if by_kind:
            came = _shown(sorted(came), self.kinds)
        heads = [n for n in self.fed if keys[n]] + ([] if self.whole is None else [self.whole])
        delivery.headless |= {n for n in self.fed if n < min(heads, default=len(keys))}
        delivery.came += came
        delivery.failed |= self.failed
        delivery.silent |= set(self.fed) - set(came) - self.failed


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
    by_kind = stream.codec_context.codec.canonical_name in _ORDERED_BY_KIND
    segment = _Segment()

    def end_segment() -> None:
        # At the end MPEG-4's decoder repeats a picture for one that is not coded.
        rest = finish(stream)
        segment.take(-1, Fed([(n, f) for n, f in rest.frames if gives[n] != NOTHING], rest.failed))
        segment.add_to(delivery, keys, by_kind)

    with container:
        for ordinal, packet in zip(range(len(gives)), packets_of(container, stream), strict=False):
            if ordinal in starts[1:]:
                end_segment()
                segment = _Segment()
            segment.take(ordinal, Fed([], True) if damaged[ordinal] else feed(packet, ordinal, stream))
        end_segment()
    if threads != 1 and delivery.failed:  # with several threads the decoder does not say which packet it failed at
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
            segment = _Segment()
            left = _PATIENCE
            for ordinal, packet in packets:
                if ordinal < start:
                    continue
                segment.take(ordinal, Fed([], True) if damaged[ordinal] else feed(packet, ordinal, stream))
                if not _begins(segment, keys):
                    left = _PATIENCE if ordinal - start < _LONGEST else 0
                else:
                    left = left - 1 if _missing(segment, shown) else 0
                if not left or ordinal == end - 1:
                    break
            segment.take(-1, finish(stream))
            part = Delivery()
            segment.add_to(part, keys, by_kind=False)
            delivery.came += part.came
            delivery.failed |= part.failed
            delivery.headless |= part.headless
            delivery.silent |= part.silent & _missing(segment, shown)
    return delivery


def _begins(segment: _Segment, keys: np.ndarray) -> bool:
    """Whether a frame has come, and what comes no longer hangs on a keyframe that is missing."""
    return bool(segment.kinds) and (segment.whole is not None or bool(keys[segment.fed].any()))


def _missing(segment: _Segment, shown: np.ndarray) -> set[int]:
    """What was fed, is shown before the first frame that came, and came neither as a frame nor as an error."""
    first = min((shown[n] for n in segment.kinds), default=np.inf)
    return {n for n in segment.fed if shown[n] < first and n not in segment.failed}
