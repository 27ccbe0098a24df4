"""promise.py: how many frames, how many a second, of which stream, and whether anything is cut off."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from auglift.pipeline.frames.decoding.packets import packet_index
from auglift.pipeline.frames.decoding.timeline import frame_rate
from auglift.pipeline.frames.sources import probe
from auglift.stores.errors import InvalidValueError

from ....fakes.coded import coded, remux
from ....fakes.recipes import make
from ....fakes.video import number_frames, read_all, read_number, truncate, write_video
from .test_any_video import recipe


@pytest.mark.parametrize("seed", range(0, 600, 20))
def test_a_header_promises_what_the_packets_hold(tmp_path, seed):
    path = make(recipe(seed), tmp_path)
    with contextlib.suppress(InvalidValueError):  # so little is left that it is no video
        assert probe(path).frame_count == packet_index(path).promised


# ---------------------------------------------------------------------------------------------------------------------
# AVI with empty chunks
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codec", "bframes"), [("mpeg4", 0), ("mpeg4", 2), ("libx264", 0), ("libx264", 2), ("mjpeg", 0)]
)
def test_empty_chunks_of_an_avi_are_no_frames(tmp_path, codec, bframes):
    """What `-c copy` makes of 120 frames at 30 a second, of which the header says 600 and 2,880."""
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    source = tmp_path / f"plain.{'h264' if codec == 'libx264' else 'mkv'}"  # AVI wants start codes
    plain = write_video(source, number_frames(120, 48, 96), 30, codec, bframes=bframes, pix_fmt=pix_fmt)
    path = copied_to_avi(plain, tmp_path / "copied.avi", [20 * i for i in range(120)])
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames > 2000
        assert container.streams.video[0].average_rate == 600
    info = probe(path)
    assert (info.frame_count, info.fps, info.variable_rate, info.warnings) == (120, 30, False, ())
    frames, ok, _ = read_all(path, range(120))
    assert ok.all()
    assert [read_number(frame) for frame in frames] == list(range(120))


def test_an_avi_of_a_variable_rate_says_so_and_its_mean(tmp_path):
    plain = write_video(tmp_path / "plain.mkv", number_frames(21, 48, 96), codec="mjpeg", pix_fmt="yuvj420p")
    path = copied_to_avi(plain, tmp_path / "copied.avi", np.cumsum([0] + [20, 40] * 10).tolist())
    info = probe(path)
    assert (info.frame_count, info.fps, info.variable_rate) == (21, pytest.approx(20), True)


def test_an_avi_with_empty_chunks_that_is_cut_off_promises_no_more_than_came(tmp_path):
    plain = write_video(tmp_path / "plain.mkv", number_frames(60, 48, 96), codec="mpeg4")
    path = truncate(
        copied_to_avi(plain, tmp_path / "copied.avi", [20 * i for i in range(60)]), 0.25
    )  # in its chunks, not in its index
    info = probe(path)
    assert info.frame_count < 60
    assert info.fps == 30
    assert any("cut off" in warning for warning in info.warnings)
    frames, ok, _ = read_all(path, range(info.frame_count))
    assert all(read_number(frame) == i for i, frame in enumerate(frames) if ok[i])


def copied_to_avi(source: Path, target: Path, ticks: list[int]) -> Path:
    """Packets at these times, of which there are 600 a second; AVI fills the gaps with empty chunks."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream, opaque=True)
        copy.time_base = Fraction(1, 600)
        for tick, packet in zip(ticks, (p for p in reader.demux(stream) if p.size), strict=True):
            packet.stream, packet.time_base = copy, Fraction(1, 600)
            packet.pts = packet.dts = tick
            packet.duration = 1
            writer.mux(packet)
    return target


# ---------------------------------------------------------------------------------------------------------------------
# Rates
# ---------------------------------------------------------------------------------------------------------------------


def with_rate_in_header(source: Path, target: Path, rate: int) -> Path:
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        copy.codec_context.framerate = Fraction(rate)
        for packet in reader.demux(stream):
            if packet.size:
                packet.stream = copy
                writer.mux(packet)
    return target


@pytest.mark.parametrize("fps", [30, 25, Fraction(30000, 1001), 60])
@pytest.mark.parametrize("ending", ["webm", "mkv"])
def test_a_rate_that_its_frames_contradict_is_not_believed(tmp_path, fps, ending):
    plain = write_video(tmp_path / f"plain.{ending}", number_frames(150, 48, 96), fps=fps, codec="libvpx-vp9")
    path = with_rate_in_header(plain, tmp_path / f"wrong.{ending}", 1000)
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == 1000
    assert probe(path).fps == pytest.approx(float(fps), rel=1e-9)


def test_a_rate_follows_from_times_and_the_header():
    def rate(header: float | None, times: np.ndarray, tick: float = 0.0, uneven: bool = False) -> float | None:
        return frame_rate(None if header is None else Fraction(header), times, tick, uneven)

    even = np.arange(100) / 30
    assert rate(30, even) == rate(1000, even) == rate(None, even) == 30
    assert rate(1000, np.round(even, 3), 0.001) == 30
    assert rate(1000, np.round(np.arange(300) * 1.001 / 30, 3), 0.001) == pytest.approx(30000 / 1001)
    assert rate(1000, np.arange(100) / 7.3) == pytest.approx(7.3)
    assert rate(1000, np.array([0, 1, 3, 4.0]), uneven=True) == 0.75
    assert rate(25, np.zeros(1)) == rate(25, np.zeros(0)) == 25
    assert rate(None, np.zeros(1)) is None


# ---------------------------------------------------------------------------------------------------------------------
# Cut off, or not
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["mkv", "ts", "mp4", "flv"])
@pytest.mark.parametrize("gap", [160, 300, 2500])
def test_a_long_gap_at_the_end_is_no_cut(tmp_path, ending, gap):
    times = [*range(0, 2000, 100), 1900 + gap, 1900 + 2 * gap]
    path = write_video(tmp_path / f"variable.{ending}", number_frames(22, 48, 96), bframes=3, times=times)
    info = probe(path)
    assert info.frame_count == 22
    assert not any("cut" in warning for warning in info.warnings)
    frames, ok, _ = read_all(path, range(22))
    assert ok.all()
    assert [read_number(frame) for frame in frames] == list(range(22))


def test_sound_that_goes_on_behind_the_last_frame_is_no_cut(tmp_path):
    path = tmp_path / "sound.mkv"
    plain = write_video(tmp_path / "plain.mkv", number_frames(25, 48, 96))
    with av.open(str(plain)) as reader, av.open(str(path), "w") as writer:
        video = writer.add_stream_from_template(reader.streams.video[0])
        sound = writer.add_stream("aac", rate=8000)
        for packet in reader.demux(reader.streams.video[0]):
            if packet.size:
                packet.stream = video
                writer.mux(packet)
        for begin in range(0, 32_000, 1024):
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            samples.sample_rate, samples.pts, samples.time_base = 8000, begin, Fraction(1, 8000)
            writer.mux(sound.encode(samples))
        writer.mux(sound.encode(None))
    assert probe(path).warnings == ()


@pytest.mark.parametrize("ending", ["mkv", "ts", "m2ts", "avi", "mp4"])
def test_a_file_that_ends_before_its_own_parts_do_is_cut_off(tmp_path, ending):
    codec, options = "mpeg4" if ending == "avi" else "libx264", {"movflags": "faststart"} if ending == "mp4" else {}
    path = write_video(tmp_path / f"a.{ending}", number_frames(40, 48, 96), codec=codec, container_options=options)
    assert not any("cut off" in warning for warning in probe(path).warnings)
    path.write_bytes(path.read_bytes()[:-1000])
    assert any("cut off" in warning for warning in probe(path).warnings)


# ---------------------------------------------------------------------------------------------------------------------
# Which stream
# ---------------------------------------------------------------------------------------------------------------------


def joined(target: Path, *sources: Path, dispositions: tuple[int, ...] = ()) -> Path:
    """The first video streams of files as the streams of one, in that order."""
    with contextlib.ExitStack() as files:
        writer = files.enter_context(av.open(str(target), "w"))
        streams = []
        for source in sources:
            stream = files.enter_context(av.open(str(source))).streams.video[0]
            streams.append((stream, writer.add_stream_from_template(stream)))
        for (_, copy), disposition in zip(streams, dispositions, strict=False):
            copy.disposition = Disposition(disposition)
        for stream, copy in streams:
            for packet in stream.container.demux(stream):
                if packet.size:
                    packet.stream = copy
                    writer.mux(packet)
    return target


@pytest.fixture
def large(tmp_path) -> Path:
    return write_video(tmp_path / "large.mp4", number_frames(30, 96, 192), bframes=2)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize("marked", [True, False], ids=["marked as a cover", "not marked"])
def test_a_picture_before_the_video_is_not_the_video(tmp_path, large, ending, marked):
    picture = number_frames(1, 240, 480, first=77)
    cover = write_video(tmp_path / "cover.mov", picture, codec="mjpeg", pix_fmt="yuvj420p")
    dispositions = (int(Disposition.attached_pic if marked else Disposition.default), int(Disposition.default))
    info = probe(path := joined(tmp_path / f"both.{ending}", cover, large, dispositions=dispositions))
    assert (info.width, info.height, info.frame_count) == (192, 96, 30)
    assert [read_number(frame) for frame in read_all(path, range(30))[0]] == list(range(30))


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
def test_of_several_videos_the_largest_is_read_and_said(tmp_path, large, ending):
    small = write_video(tmp_path / "small.mp4", number_frames(30, 48, 96, first=100))
    default = int(Disposition.default)
    info = probe(path := joined(tmp_path / f"both.{ending}", small, large, dispositions=(default, default)))
    assert (info.width, info.height) == (192, 96)
    assert info.warnings == ("2 video streams: reads stream 1 (192 x 96, h264), not stream 0 (96 x 48, h264)",)
    assert [read_number(frame) for frame in read_all(path, range(0, 30, 7))[0]] == list(range(0, 30, 7))


def test_the_video_that_its_file_calls_the_default_is_read_before_a_larger_one(tmp_path, large):
    small = write_video(tmp_path / "small.mp4", number_frames(30, 48, 96, first=100))
    dispositions = (0, int(Disposition.default))
    info = probe(joined(tmp_path / "both.mkv", large, small, dispositions=dispositions))
    assert (info.width, info.height) == (96, 48)
    assert "reads stream 1 (96 x 48, h264), not stream 0 (192 x 96, h264)" in info.warnings[0]


def test_a_video_of_one_frame_is_one(tmp_path):
    path = write_video(tmp_path / "one.mp4", number_frames(1, 48, 96))
    info = probe(path)
    assert (info.frame_count, info.warnings) == (1, ())
    assert read_number(read_all(path, [0])[0][0]) == 0


def test_an_open_group_at_the_beginning_is_promised_as_it_is_delivered(tmp_path):
    options = {"x264-params": "open-gop=1:scenecut=0:keyint=12:bframes=3"}
    plain = write_video(tmp_path / "plain.mp4", number_frames(40, 48, 96), options=options)
    packets = coded(plain)
    second = [i for i, packet in enumerate(packets) if packet.key][1]
    path = remux(plain, tmp_path / "cut.mp4", packets[second:])
    assert probe(path).frame_count == packet_index(path).promised
