"""Packets that are not one frame each: what a decoder gives counts, and neither a row more nor one less."""

from __future__ import annotations

import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from auglift.pipeline.frames.decoding.packets import packet_index
from auglift.pipeline.frames.decoding.pictures import COMPLETES, FRAME, NOTHING, picture_reader
from auglift.pipeline.frames.sources import probe

from ....fakes.coded import Coded, coded, field_packets, hide, not_coded, remux, without_reordering_told
from ....fakes.recipes import Recipe, make
from ....fakes.video import corrupt_packet, number_frames, read_all, read_number, write_video

PER_SECOND = Fraction(1, 25)


def numbers(path: Path) -> list[int | str]:
    """What each frame's picture says, or why there is none; each frame alone says the same."""
    count = probe(path).frame_count
    frames, ok, reasons = read_all(path, range(count))
    found = [read_number(f) if o else str(r) for f, o, r in zip(frames, ok, reasons, strict=True)]
    for index in range(0, count, 3):
        alone, sound, (reason,) = read_all(path, [index], threads=1)
        assert found[index] == (read_number(alone[0]) if sound[0] else reason)
    return found


def frames_of_a_decoder(path: Path) -> list[int]:
    """The packets, counted from 0, that a plain decode gives a frame of."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        for ordinal, packet in enumerate(packets):
            packet.pts, packet.dts = ordinal, None
        frames = [frame for packet in [*packets, None] for frame in stream.codec_context.decode(packet)]
        return sorted(frame.pts for frame in frames if frame.pts is not None)


# ---------------------------------------------------------------------------------------------------------------------
# Packets that show nothing
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("writer", "ending"),
    [
        ("VP8, hidden", "webm"),
        ("VP8, hidden", "ivf"),
        ("MPEG-4, not coded", "mp4"),
        ("MPEG-4, not coded", "avi"),
        ("MPEG-4, packed", "avi"),
        ("MPEG-4, packed", "mkv"),
        ("H.264, fields apart", "ts"),
        ("H.264, fields apart", "mp4"),
        ("H.264, fields apart", "h264"),
        ("H.264, fields together", "ts"),
        ("H.264, fields together", "mkv"),
    ],
)
def test_what_shows_nothing_is_no_row(tmp_path, writer, ending):
    path = make(Recipe(writer, ending, gop=12, bframes=2 if "packed" in writer else 0), tmp_path)
    assert numbers(path) == list(range(30))
    info = probe(path)
    assert info.frame_count == packet_index(path).promised == 30
    if writer.startswith(("VP8", "H.264")):
        assert info.fps == 25  # of frames, not of packets
        assert not info.variable_rate


@pytest.mark.parametrize(
    "writer", ["VP8, hidden", "MPEG-4, not coded", "H.264, fields apart", "H.264, fields together"]
)
def test_headers_say_which_packets_give_frames_as_a_decoder_does(tmp_path, writer):
    path = make(Recipe(writer, "mkv", gop=12), tmp_path)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        read = picture_reader(stream)
        said = [read(packet) for packet in container.demux(stream) if packet.size]
    given = set(frames_of_a_decoder(path))
    if writer == "MPEG-4, not coded":
        given.discard(len(said) - 1)  # the decoder shows the last picture again for what is not coded at the end
    assert [gives == FRAME for gives in said] == [ordinal in given for ordinal in range(len(said))]
    assert set(said) <= {FRAME, NOTHING, COMPLETES}


def test_damage_to_a_hidden_picture_is_damage_to_what_is_predicted_from_it(tmp_path):
    plain = write_video(tmp_path / "plain.webm", number_frames(30, 64, 96), codec="libvpx", gop=10)
    path = remux(plain, tmp_path / "hidden.webm", hide(coded(plain), {13}.__contains__), time_base=Fraction(1, 2000))
    assert numbers(path) == [n for n in range(30) if n != 13]
    for share in (0.9, 0.95):
        broken = corrupt_packet(shutil.copy(path, tmp_path / f"{share}.webm"), 13, share)
        found = numbers(broken)
        assert found[:13] == list(range(13))
        assert "predicted from a damaged hidden picture" in found[13:19]
        assert not any(isinstance(number, int) for number in found[13:19])
        assert found[19:] == list(range(20, 30))


@pytest.mark.parametrize("field", [24, 25], ids=["first", "second"])
def test_a_field_that_is_no_picture_spoils_its_frame(tmp_path, field):
    fields = field_packets(number_frames(20, 64, 96), gop=5)
    (tmp_path / "bare.h264").write_bytes(b"".join(data for data, _ in fields))
    packets = [Coded(data, i, i, key) for i, (data, key) in enumerate(fields)]
    packets[field] = replace(packets[field], data=packets[field].data[:5] + b"\xff" * 40)
    path = remux(tmp_path / "bare.h264", tmp_path / "fields.mkv", packets, time_base=Fraction(1, 50))
    found = numbers(path)
    assert found[:12] == list(range(12))
    assert not any(isinstance(number, int) for number in found[12:15])
    assert found[-5:] == list(range(15, 20))


def test_a_picture_that_is_not_coded_at_the_end_is_no_row_either(tmp_path):
    plain = write_video(tmp_path / "plain.avi", number_frames(10, 48, 96), codec="mpeg4")
    packets = [replace(packet, pts=i, dts=i) for i, packet in enumerate(coded(plain))]
    ends = [Coded(not_coded(time), time, time) for time in (10, 11)]
    path = remux(plain, tmp_path / "a.mkv", [*packets, *ends], time_base=PER_SECOND)
    assert numbers(path) == list(range(10))


# ---------------------------------------------------------------------------------------------------------------------
# Pictures whose reference is not in the file
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codec", "options"),
    [("libx264", {"x264-params": "open-gop=1:scenecut=0:keyint=12:bframes=3"}), ("mpeg2video", {})],
)
def test_a_file_that_begins_with_an_open_group_begins_with_its_keyframe(tmp_path, codec, options):
    plain = write_video(tmp_path / "plain.mkv", number_frames(40, 48, 96), codec=codec, bframes=2, options=options)
    packets = coded(plain)
    second = [i for i, packet in enumerate(packets) if packet.key][1]
    path = remux(plain, tmp_path / "cut.mkv", packets[second:])
    shown = sorted(packet.pts or 0 for packet in packets)
    assert numbers(path) == list(range(shown.index(packets[second].pts or 0), 40))


@pytest.mark.parametrize("codec", ["mpeg4", "libvpx", "libx264"])
def test_frames_before_the_first_keyframe_are_marked_or_no_rows(tmp_path, codec):
    """MPEG-4's decoder shows them on grey, without a word."""
    plain = write_video(tmp_path / "plain.mkv", number_frames(30, 48, 96), codec=codec, gop=10)
    path = remux(plain, tmp_path / "cut.mkv", coded(plain)[4:])
    found = numbers(path)
    assert found[-20:] == list(range(10, 30))
    assert all("keyframe" in number or number == "cannot be decoded" for number in map(str, found[:-20]))


# ---------------------------------------------------------------------------------------------------------------------
# Reordering that nobody announced
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("late", [40, 150])
@pytest.mark.parametrize("ending", ["avi", "mkv", "mp4"])
def test_frames_are_in_order_where_reordering_begins_late(tmp_path, codec, late, ending):
    """FFmpeg's own decode drops one there (H.264), or gives all in another order (MPEG-4)."""
    count = late + 30
    source = "h264" if codec == "libx264" else "avi"
    parts = []
    for first, length, bframes in ((0, late, 0), (late, 30, 3)):
        part = tmp_path / f"{first}.{source}"
        write_video(part, number_frames(length, 48, 96, first), codec=codec, bframes=bframes)
        parts.append([replace(packet, data=without_reordering_told(packet.data)) for packet in coded(part)])
    # Display times of the second part: a B-frame is shown at once, another picture when the next such comes.
    rank = np.argsort(np.argsort(display_order(tmp_path / f"{late}.{source}")))
    shown = [*range(late), *(late + int(place) for place in rank)]
    packets = [
        replace(packet, pts=shown[i] if ending != "avi" else i, dts=i - 2 if ending != "avi" else i)
        for i, packet in enumerate([*parts[0], *parts[1]])
    ]
    path = remux(tmp_path / f"0.{source}", tmp_path / f"late.{ending}", packets, time_base=PER_SECOND)
    assert numbers(path) == list(range(count))


def display_order(path: Path) -> list[int]:
    """For each packet, when a plain decode shows it."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        for ordinal, packet in enumerate(packets):
            packet.pts, packet.dts = ordinal, None
        shown = [frame.pts for packet in [*packets, None] for frame in stream.codec_context.decode(packet)]
    return [shown.index(ordinal) for ordinal in range(len(packets))]
