"""Count the frames that a packet gives, from the headers of its pictures, without decoding them.

Mostly one. Not so where an encoder hides pictures that are only there to be predicted from (VP8, VP9), says that a
picture is not coded or puts two into a packet (MPEG-4), or writes the two fields of a frame as packets of their own
(H.264 of camcorders).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import av
from av.video.stream import VideoStream

# What a packet gives. COMPLETES: the second field of a frame whose first field is the packet before. UNSURE: only a
# decoder can tell, for the whole stream.
FRAME, NOTHING, COMPLETES, UNSURE = 1, 0, 2, -1

# An MPEG-4 packet of at most so many bytes may hold a picture that is not coded.
_TINY = 24
# And one of at most so many has no room for one that is, be it damaged or not.
_TOO_SMALL = 8


class PictureReader:
    """Reads packets of one stream, in order. This class counts one frame for each packet.

    trusts_header   nothing in the stream's header says otherwise either, so that packets need not be looked at
    resets          a decoder needs nothing from before the packet that was read last, if that is a keyframe
    may_reorder     frames may be shown in another order than they are stored, as far as is known so far
    """

    def __init__(self, stream: VideoStream) -> None:
        self.trusts_header = True
        self.may_reorder = stream.codec_context.codec.reorder
        self.resets = stream.codec_context.codec.canonical_name != "hevc"  # whose keyframes may be refreshed bit by bit

    def __call__(self, packet: av.Packet) -> int:
        return FRAME


def picture_reader(stream: VideoStream) -> PictureReader:
    """Return the reader for a stream's codec."""
    return _READERS.get(stream.codec_context.codec.canonical_name, PictureReader)(stream)


class _Vp8(PictureReader):
    """The fifth bit of a frame says whether it is shown (RFC 6386, section 9.1)."""

    def __init__(self, stream: VideoStream) -> None:
        super().__init__(stream)
        self.trusts_header = False

    def __call__(self, packet: av.Packet) -> int:
        data = memoryview(packet)
        key, version, shown = not data[0] & 1, data[0] >> 1 & 7, data[0] & 0x10
        first_part = int.from_bytes(data[:3], "little") >> 5
        # What is not plausible is a damaged frame, not a hidden one.
        return NOTHING if not (key or shown) and version <= 3 and first_part <= len(data) - 3 else FRAME


class _Vp9(PictureReader):
    """A packet is a frame, shown or not, or several of which the last is shown (VP9 specification, 6.2 and annex B)."""

    def __init__(self, stream: VideoStream) -> None:
        super().__init__(stream)
        self.trusts_header = False

    def __call__(self, packet: av.Packet) -> int:
        data = memoryview(packet)
        if data[-1] & 0xE0 == 0xC0 or data[0] & 0xC0 != 0x80:  # several frames; or no frame at all
            return FRAME
        bits = data[0] << 1 & 0xFF if data[0] & 0x30 == 0x30 else data[0]  # profile 3 has a bit more
        shows_an_older_one, shown = bits & 0x08, bits & 0x02
        return FRAME if shows_an_older_one or shown else UNSURE  # one byte could also be damage


class _Mpeg4(PictureReader):
    """A picture says whether it is coded, behind its time (ISO/IEC 14496-2, sections 6.2.3 and 6.2.5)."""

    def __init__(self, stream: VideoStream) -> None:
        super().__init__(stream)
        self.may_reorder = False  # until there is a B-picture
        self.trusts_header = all(entry.size > _TINY for entry in stream.index_entries)
        self.time_bits: int | None = None
        self.owed = False
        self._layer(bytes(stream.codec_context.extradata or b""))

    def __call__(self, packet: av.Packet) -> int:
        data = bytes(packet)
        if packet.is_keyframe:
            self._layer(data)
        coded = [self._is_coded(data, place + 4) for place in _places(data, b"\0\0\1\xb6")]
        # Of two pictures in a packet, the decoder gives the second when it gets the next packet, which is empty.
        owed, self.owed = self.owed, len(coded) > 1
        if self.owed or (owed and coded == [False]):
            return UNSURE
        return NOTHING if coded == [False] or len(data) <= _TOO_SMALL else FRAME

    def _layer(self, data: bytes) -> None:
        """Find the video object layer, which says how many bits a time has."""
        for kind in range(0x20, 0x30):
            place = data.find(bytes([0, 0, 1, kind]))
            if place >= 0:
                self.time_bits = _time_bits(_BitReader(data[place + 4 : place + 64]))

    def _is_coded(self, data: bytes, place: int) -> bool | None:
        if self.time_bits is None:
            return None
        bits = _BitReader(data[place : place + 32])
        try:
            self.may_reorder |= bits.u(2) == 2
            while bits.u(1):  # whole seconds
                pass
            bits.u(1 + self.time_bits + 1)
            return bool(bits.u(1))
        except EOFError:
            return None


def _time_bits(bits: _BitReader) -> int | None:
    try:
        bits.u(9)
        version = bits.u(7) >> 3 if bits.u(1) else 1
        if bits.u(4) == 15:
            bits.u(16)
        if bits.u(1):
            bits.u(3)
            if bits.u(1):
                bits.u(79)
        if bits.u(2) == 3 and version != 1:
            bits.u(4)
        bits.u(1)
        return max((bits.u(16) - 1).bit_length(), 1)
    except EOFError:
        return None


class _H264(PictureReader):
    """Fields are recognised by the head of their slices (ITU-T H.264, sections 7.3.2 and 7.3.3)."""

    def __init__(self, stream: VideoStream) -> None:
        super().__init__(stream)
        self.length = 0  # bytes before each NAL unit that say its size; 0: start codes between them
        self.sequences: dict[int, tuple[bool, bool, int]] = {}  # separate planes, only frames, bits of a frame's number
        self.pictures: dict[int, int] = {}  # picture parameter set -> sequence parameter set
        self.raw: set[bytes] = set()
        self.first_field: tuple[int, int] | None = None  # (is bottom, frame number) of a field without its second
        extra = bytes(stream.codec_context.extradata or b"")
        if extra[:1] == b"\1" and len(extra) > 6:
            self.length = (extra[4] & 3) + 1
            self._parameters(_parameter_sets(extra))
        else:
            self._parameters(_split(extra, 0))
        self.trusts_header = bool(self.sequences) and not self.interlaced

    @property
    def interlaced(self) -> bool:
        return any(not only_frames for _, only_frames, _ in self.sequences.values())

    def __call__(self, packet: av.Packet) -> int:
        if not packet.is_keyframe and self.sequences and not self.interlaced:
            return FRAME
        units = list(_split(bytes(packet), self.length))
        self.resets = any(unit[0] & 0x1F == 5 for unit in units)  # else what is called a keyframe may only begin one
        self._parameters(units)
        fields = {field for unit in units if unit[0] & 0x1F in (1, 5) for field in [self._field(unit)]}
        if len(fields) != 1 or None in fields:  # a frame, or both of its fields
            self.first_field = None
            return FRAME
        (field,) = fields
        if self.first_field and field and field == (1 - self.first_field[0], self.first_field[1]):
            self.first_field = None
            return COMPLETES
        self.first_field = field
        return FRAME

    def _parameters(self, units: Iterator[bytes] | list[bytes]) -> None:
        for unit in units:
            kind = unit[0] & 0x1F
            if kind in (7, 8) and unit not in self.raw:
                self.raw.add(unit)
                bits = _BitReader(_unescaped(unit[1:]))
                try:
                    if kind == 7:
                        number, sequence = _sequence(bits)
                        self.sequences[number] = sequence
                    else:
                        number = bits.ue()
                        self.pictures[number] = bits.ue()
                except EOFError:
                    continue

    def _field(self, unit: bytes) -> tuple[int, int] | None:
        """(is bottom, frame number) of a field's slice; None for a frame's."""
        bits = _BitReader(_unescaped(unit[1:48]))
        try:
            bits.skip_ue(2)
            planes, only_frames, width = self.sequences[self.pictures[bits.ue()]]
            bits.u(2 * planes)
            frame = bits.u(width)
            return (bits.u(1), frame) if not only_frames and bits.u(1) else None
        except (EOFError, KeyError):
            return None


_READERS: dict[str, type[PictureReader]] = {"vp8": _Vp8, "vp9": _Vp9, "mpeg4": _Mpeg4, "h264": _H264}


def _sequence(bits: _BitReader) -> tuple[int, tuple[bool, bool, int]]:
    profile = bits.u(24) >> 16
    number = bits.ue()
    planes = False
    if profile in (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135):
        chroma = bits.ue()
        planes = chroma == 3 and bool(bits.u(1))
        bits.skip_ue(2)
        bits.u(1)
        if bits.u(1):
            for i in range(8 if chroma != 3 else 12):
                if bits.u(1):
                    _skip_scaling_list(bits, 16 if i < 6 else 64)
    width = bits.ue() + 4
    order = bits.ue()
    if order == 0:
        bits.ue()
    elif order == 1:
        bits.u(1)
        bits.skip_ue(2)
        bits.skip_ue(bits.ue())
    bits.skip_ue(1)
    bits.u(1)
    bits.skip_ue(2)
    return number, (planes, bool(bits.u(1)), width)


def _skip_scaling_list(bits: _BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            code = bits.ue()
            following = (last + (code + 1) // 2 * (1 if code % 2 else -1)) % 256
        last = following or last


def _parameter_sets(extra: bytes) -> Iterator[bytes]:
    """The NAL units in an MP4's decoder configuration (ISO/IEC 14496-15, section 5.3.3)."""
    place = 5
    for mask in (0x1F, 0xFF):
        count, place = (extra[place] if place < len(extra) else 0) & mask, place + 1
        for _ in range(count):
            size = int.from_bytes(extra[place : place + 2])
            if size:
                yield extra[place + 2 : place + 2 + size]
            place += 2 + size


def _split(data: bytes, length: int) -> Iterator[bytes]:
    """The NAL units of a packet."""
    if length:
        place = 0
        while place + length < len(data):
            size = int.from_bytes(data[place : place + length])
            if size:
                yield data[place + length : place + length + size]
            place += length + size
        return
    places = [place + 3 for place in _places(data, b"\0\0\1")]
    for begin, following in pairwise([*places, len(data) + 3]):
        if begin < following - 3:
            yield data[begin : following - 3]


def _places(data: bytes, code: bytes) -> Iterator[int]:
    place = data.find(code)
    while place >= 0:
        yield place
        place = data.find(code, place + len(code))


def _unescaped(data: bytes) -> bytes:
    """A NAL unit's content without the bytes that keep start codes out of it."""
    return data.replace(b"\0\0\3", b"\0\0")


class _BitReader:
    """Bits from the highest of the first byte on. Raises EOFError behind the last."""

    def __init__(self, data: bytes) -> None:
        self.value, self.left = int.from_bytes(data), 8 * len(data)

    def u(self, width: int) -> int:
        if width > self.left:
            raise EOFError
        self.left -= width
        return self.value >> self.left & (1 << width) - 1

    def ue(self) -> int:
        """An Exp-Golomb code."""
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > 32:
                raise EOFError
        return (1 << zeros) - 1 + self.u(zeros)

    def skip_ue(self, count: int) -> None:
        for _ in range(count):
            self.ue()
