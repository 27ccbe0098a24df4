"""Videos whose packets are not one frame each: hidden VP8 frames, MPEG-4 pictures not coded, H.264 fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np


@dataclass(frozen=True)
class Coded:
    """A packet: its bytes, and its times in ticks of the file it is from."""

    data: bytes
    pts: int | None
    dts: int | None
    key: bool = False


def coded(path: Path | str) -> list[Coded]:
    """The packets of a file's first video stream, in the order they are stored."""
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.video[0])
        return [Coded(bytes(p), p.pts, p.dts, p.is_keyframe) for p in packets if p.size]


def remux(
    source: Path | str,
    target: Path | str,
    packets: Sequence[Coded],
    *,
    time_base: Fraction | None = None,
    **options: Any,
) -> Path:
    """Write packets into a new file as a stream like that of `source`.

    time_base   of the packets' times; that of `source` if not given
    options     for `av.open`
    """
    with av.open(str(source)) as reader, av.open(str(target), "w", **options) as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream, opaque=True)
        tick = time_base or stream.time_base
        assert tick
        copy.time_base = tick
        duration = 1  # without one, MP4's edit list hides the last packet
        for one, following in zip(packets, [*packets[1:], None], strict=True):
            packet = av.Packet(one.data)
            if following and following.dts is not None and one.dts is not None:
                duration = following.dts - one.dts
            packet.duration = duration
            packet.pts, packet.dts, packet.time_base, packet.is_keyframe = one.pts, one.dts, tick, one.key
            packet.stream = copy
            writer.mux(packet)
    return Path(target)


# ---------------------------------------------------------------------------------------------------------------------
# VP8
# ---------------------------------------------------------------------------------------------------------------------

VP8_SHOWN = 0x10  # RFC 6386, section 9.1


def hide(packets: Iterable[Coded], hidden: Callable[[int], bool]) -> list[Coded]:
    """VP8 packets, some of them made into frames that are decoded and never shown, as two-pass encoding makes them.

    Times are in half ticks afterwards. What is shown takes the times of the first packets, one after another; what is
    hidden, half a tick before what follows.
    """
    packets = list(packets)
    times = iter(packets)
    out, now = [], next(times)
    for i, one in enumerate(packets):
        assert now.dts is not None
        if hidden(i):
            assert not one.key
            data = bytes([one.data[0] & ~VP8_SHOWN, *one.data[1:]])
            out.append(replace(one, data=data, pts=2 * now.dts - 1, dts=2 * now.dts - 1))
        else:
            out.append(replace(one, pts=2 * now.dts, dts=2 * now.dts))
            now = next(times, now)
    return out


# ---------------------------------------------------------------------------------------------------------------------
# MPEG-4 part 2 (ISO/IEC 14496-2, section 6.2.5), with 25 ticks a second
# ---------------------------------------------------------------------------------------------------------------------


def not_coded(tick: int) -> bytes:
    """A picture of which the stream says only that it is not coded; `tick` of the second."""
    bits = "01" + "0" + "1" + f"{tick % 25:05b}" + "1" + "0"  # P, same second, marker, time, marker, not coded
    bits += "0" + "1" * (-(len(bits) + 1) % 8)  # stuffing
    return b"\0\0\1\xb6" + int(bits, 2).to_bytes(len(bits) // 8)


def with_pictures_not_coded(packets: Sequence[Coded], every: int) -> list[Coded]:
    """After each `every` packets one that holds a picture that is not coded, in a slot of time of its own.

    The packets' times must be 0, 1, 2, ... in units of the first packet's distance to the second.
    """
    step = (packets[1].dts or 0) - (packets[0].dts or 0)
    out: list[Coded] = []
    for i, one in enumerate(packets):
        late = (i // every) * step
        out.append(replace(one, pts=(one.pts or 0) + late, dts=(one.dts or 0) + late))
        if i % every == every - 1:
            time = (one.dts or 0) + late + step
            out.append(Coded(not_coded(len(out)), time, time))
    return out


def packed(packets: Sequence[Coded], b_frame: Callable[[bytes], bool]) -> list[Coded]:
    """A DivX packed bitstream: a picture and the B-frame after it in one packet, then one that is not coded."""
    out: list[Coded] = []
    for i, one in enumerate(packets):
        if i and b_frame(one.data) and not b_frame(packets[i - 1].data):
            out[-1] = replace(out[-1], data=out[-1].data + one.data)
            out.append(replace(one, data=not_coded(i)))
        else:
            out.append(one)
    first = out[0].data.index(b"\0\0\1\xb6")  # before the first picture, the words by which decoders know it
    out[0] = replace(out[0], data=out[0].data[:first] + b"\0\0\1\xb2DivX503b1393p" + out[0].data[first:])
    return out


def is_mpeg4_b(data: bytes) -> bool:
    return data[data.index(b"\0\0\1\xb6") + 4] >> 6 == 2


# ---------------------------------------------------------------------------------------------------------------------
# H.264 (ITU-T H.264): what no encoder at hand writes, a frame as two fields in packets of their own
# ---------------------------------------------------------------------------------------------------------------------


class _Bits:
    """A bit string under construction."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def u(self, width: int, value: int) -> _Bits:
        self.parts.append(f"{value:0{width}b}" if width else "")
        return self

    def ue(self, *values: int) -> _Bits:
        for value in values:
            code = f"{value + 1:b}"
            self.parts.append("0" * (len(code) - 1) + code)
        return self

    def align(self) -> _Bits:
        return self.u(-sum(map(len, self.parts)) % 8, 0)

    def raw(self, data: bytes) -> _Bits:
        self.parts.append("".join(f"{byte:08b}" for byte in data))
        return self

    def nal(self, header: int) -> bytes:
        """A NAL unit in byte stream format, with the stop bit and the bytes that keep start codes out."""
        text = "".join(self.parts) + "1"
        text += "0" * (-len(text) % 8)
        payload = bytearray()
        for byte in int(text, 2).to_bytes(len(text) // 8):
            if byte <= 3 and payload[-2:] == b"\0\0":
                payload.append(3)
            payload.append(byte)
        return b"\0\0\0\1" + bytes([header]) + bytes(payload)


def field_packets(frames: np.ndarray, gop: int) -> list[tuple[bytes, bool]]:
    """(bytes, key) of two fields a frame: uncompressed I fields every `gop` frames, between them P fields that repeat
    the lower half of the picture and write the upper one anew.

    frames   (N, H, W, 3) uint8 RGB; H a multiple of 32, W of 16. Only their luma is kept, the frames are grey.
    """
    _, height, width, _ = frames.shape
    assert height % 32 == 0
    assert width % 16 == 0
    parameters = (
        _Bits().u(8, 77).u(8, 0).u(8, 40)  # main profile, level 4
        .ue(0, 4, 0, 4, 2).u(1, 0)  # 8 bits of frame_num, 8 of POC, 2 reference frames
        .ue(width // 16 - 1, height // 32 - 1).u(1, 0).u(1, 0).u(1, 1).u(1, 0).u(1, 0)
        .nal(0x67)
        + _Bits().ue(0, 0).u(1, 0).u(1, 0).ue(0, 0, 0).u(1, 0).u(2, 0).ue(0, 0, 0).u(1, 1).u(1, 0).u(1, 0).nal(0x68)
    )  # fmt: skip
    packets = []
    for number, picture in enumerate(frames):
        luma = np.clip(np.round(picture.astype(float) @ [0.257, 0.504, 0.098] + 16), 16, 235).astype(np.uint8)
        key = number % gop == 0
        for bottom in (0, 1):
            lines = luma[bottom::2]
            idr = key and not bottom
            slice_ = _Bits().ue(0, 2 if key else 0, 0).u(8, number % gop).u(1, 1).u(1, bottom)
            slice_ = slice_.ue(number // gop % 2) if idr else slice_
            slice_.u(8, (2 * (number % gop) + bottom) % 256)
            if not key:
                slice_.u(1, 0).u(1, 0)  # references neither counted nor reordered
            slice_ = slice_.u(2, 0) if idr else slice_.u(1, 0)  # no long-term references; sliding window
            slice_.ue(0, 1)  # slice_qp_delta, the loop filter off
            rows, columns = height // 32, width // 16
            for row in range(rows if key else rows // 2):
                for column in range(columns):
                    block = lines[16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
                    if not key:
                        slice_.ue(0)  # no macroblock skipped before it
                    slice_.ue(25 if key else 30).align().raw(block.tobytes()).raw(bytes([128]) * 128)
            if not key:
                slice_.ue((rows - rows // 2) * columns)
            nal = slice_.nal(0x65 if idr else 0x61)
            packets.append((parameters + nal if idr else nal, idr))
    return packets


def without_reordering_told(data: bytes) -> bytes:
    """An H.264 packet of x264's whose parameter set no longer says how far pictures are reordered (no VUI)."""
    begin = data.find(b"\0\0\1\x67") + 4
    if begin < 4:
        return data
    end = data.index(b"\0\0\1", begin)
    end -= data[end - 1] == 0
    plain = data[begin:end].replace(b"\0\0\3", b"\0\0")
    bits = "".join(f"{byte:08b}" for byte in plain)
    place = 24

    def ue(count: int = 1) -> int:
        """The last of so many codes."""
        nonlocal place
        value = 0
        for _ in range(count):
            zeros = bits.index("1", place) - place
            value = int(bits[place + zeros : place + 2 * zeros + 1], 2) - 1
            place += 2 * zeros + 1
        return value

    ue()
    if plain[0] >= 100:  # the profiles that say their chroma format; x264 writes no scaling lists
        ue(3)
        place += 2
    ue()
    kind = ue()
    assert kind in (0, 2)
    if kind == 0:
        ue()
    ue()
    place += 1
    ue(2)
    place += 1 if bits[place] == "1" else 2
    place += 1
    if bits[place] == "1":
        place += 1
        ue(4)
    else:
        place += 1
    writer = _Bits()
    writer.parts.append(bits[:place] + "0")
    return data[: begin - 5] + writer.nal(0x67) + data[end:]
