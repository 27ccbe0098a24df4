"""sources.py, video.py and packets.py: every frame of a video by its number, and every damage by a reason.

Two oracles: the number that each synthetic frame carries in its picture, and a plain decode of the whole file.
"""

from __future__ import annotations

import functools
import shutil
import wave
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from auglift.pipeline.frames.decoding import decoder, video
from auglift.pipeline.frames.sources import probe, read, summary
from auglift.stores.errors import InvalidValueError, MissingFileError

from ...fakes.video import (
    corrupt_packet,
    number_frames,
    packet_places,
    read_all,
    read_number,
    trim_start,
    truncate,
    write_images,
    write_video,
)

FRAMES = 40
OPEN_GROUPS = {"x264-params": "open-gop=1:scenecut=0:keyint=12:bframes=3"}
FAST_START = {"movflags": "faststart"}


@dataclass(frozen=True)
class Case:
    """A way to write a video."""

    file: str
    codec: str = "libx264"
    bframes: int = 0
    pix_fmt: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)
    first_pts: int = 0
    container: dict[str, str] = field(default_factory=dict)


CASES = {
    "mp4": Case("a.mp4"),
    "mp4, B-frames": Case("b.mp4", bframes=3, container=FAST_START),
    "mp4, open groups": Case("c.mp4", options=OPEN_GROUPS),
    "mp4, intra refresh": Case("d.mp4", options={"x264-params": "intra-refresh=1:keyint=12"}),
    "mp4, late start": Case("e.mp4", bframes=3, first_pts=1234),
    "mp4 in fragments": Case("f.mp4", bframes=3, container={"movflags": "frag_keyframe+empty_moov"}),
    "mp4, HEVC": Case("g.mp4", "libx265", bframes=3, options={"x265-params": "log-level=none"}),
    "mp4, MPEG-4": Case("h.mp4", "mpeg4", bframes=2),
    "mov, MJPEG": Case("i.mov", "mjpeg", pix_fmt="yuvj420p"),
    "mkv": Case("j.mkv", bframes=3),
    "mkv, FFV1": Case("k.mkv", "ffv1"),
    "webm, VP9": Case("l.webm", "libvpx-vp9"),
    "avi, MPEG-4": Case("m.avi", "mpeg4"),
    "avi, B-frames": Case("n.avi", "mpeg4", bframes=2),
    "avi, H.264 with B-frames": Case("o.avi", bframes=3),
    "avi, MJPEG": Case("p.avi", "mjpeg", pix_fmt="yuvj420p"),
    "ts": Case("q.ts", bframes=3),
    "mpg": Case("r.mpg", "mpeg2video", bframes=2),
    "no container": Case("s.h264", bframes=3),
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A function from a case's name to its file and its frames by a plain decode, each written once."""
    folder = tmp_path_factory.mktemp("videos")

    @functools.cache
    def video(name: str) -> tuple[Path, np.ndarray]:
        case = CASES[name]
        path = write_video(
            folder / case.file,
            number_frames(FRAMES, 48, 96),
            codec=case.codec,
            bframes=case.bframes,
            pix_fmt=case.pix_fmt,
            options=case.options,
            first_pts=case.first_pts,
            container_options=case.container,
        )
        return path, decode_all(path)

    return video


def decode_all(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


# ---------------------------------------------------------------------------------------------------------------------
# Sound videos
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_every_frame_of_every_container_is_found_by_its_number(videos, name):
    path, plain = videos(name)
    info = probe(path)
    assert (info.kind, info.width, info.height, info.fps, info.frame_count) == ("video", 96, 48, 25.0, FRAMES)
    assert (info.variable_rate, info.warnings) == (False, ())
    assert [read_number(frame) for frame in plain] == list(range(FRAMES))  # the writer's oracle is sound
    frames, ok, reasons = read_all(path, range(FRAMES))
    assert ok.all(), summary(info, range(FRAMES), reasons)
    assert (frames == plain).all()
    for number in range(0, FRAMES, 3):
        frames, ok, _ = read_all(path, [number], threads=1)
        assert ok.all()
        assert (frames[0] == plain[number]).all(), number


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["mp4, open groups", "mp4, intra refresh", "mkv", "ts", "avi, H.264 with B-frames"]),
    wanted=st.sets(st.integers(0, FRAMES - 1), min_size=1),
    batch=st.integers(1, 9),
    threads=st.integers(0, 4),
)
def test_any_selection_is_the_same_frames_whatever_batch_and_threads(videos, name, wanted, batch, threads):
    path, plain = videos(name)
    indices = sorted(wanted)
    frames, ok, _ = read_all(path, indices, batch, threads)
    assert ok.all()
    assert (frames == plain[indices]).all()


def test_a_far_frame_is_sought_not_decoded_up_to(tmp_path, monkeypatch):
    path = write_video(tmp_path / "long.mp4", number_frames(200, 48, 96), gop=12)
    fed = []
    monkeypatch.setattr(video, "feed", lambda *packet: fed.append(packet[1]) or decoder.feed(*packet))
    frames, ok, _ = read_all(path, [5, 190], threads=1)
    assert ok.all()
    assert [read_number(frame) for frame in frames] == [5, 190]
    assert len(fed) < 40


def test_frames_that_an_edit_list_hides_do_not_count(videos, tmp_path):
    path = trim_start(videos("mp4, B-frames")[0], tmp_path / "trimmed.mp4", 5)
    assert probe(path).frame_count == FRAMES - 5
    frames, ok, _ = read_all(path, range(FRAMES - 5))
    assert ok.all()
    assert [read_number(frame) for frame in frames] == list(range(5, FRAMES))
    assert read_number(read_all(path, [9])[0][0]) == 14


@pytest.mark.parametrize("degrees", [90, -90, 180])
def test_a_turned_video_is_read_as_it_is_displayed(tmp_path, degrees):
    path = write_video(tmp_path / "turned.mp4", number_frames(4, 48, 96), rotation=degrees)
    upright = np.rot90(decode_all(path), degrees // 90, axes=(1, 2))  # counterclockwise
    info = probe(path)
    assert (info.height, info.width) == upright.shape[1:3]
    assert (read_all(path, range(4))[0] == upright).all()


def test_a_variable_frame_rate_is_noticed_and_frames_are_counted(tmp_path):
    times = [0, 100, 200, 500, 510, 600, 700, 900, 1000, 1300]
    for suffix in ("mp4", "mkv"):
        path = write_video(tmp_path / f"variable.{suffix}", number_frames(10, 48, 96), times=times)
        info = probe(path)
        assert info.variable_rate, suffix
        assert info.frame_count == 10
        assert "variable frame rate" in info.warnings[0]
        assert [read_number(frame) for frame in read_all(path, range(10))[0]] == list(range(10))


def test_the_digest_is_the_contents_and_not_the_name(videos, tmp_path):
    path, _ = videos("mp4")
    copy = Path(shutil.copy(path, tmp_path / "other.mp4"))
    assert probe(copy).digest == probe(path).digest
    corrupt_packet(copy, 30)
    assert probe(copy).digest != probe(path).digest


@pytest.mark.parametrize("camera", ["cam01", "cam02"])  # H.264 in one group, VP9
def test_real_videos_are_exact_wherever_decoding_begins(shared_data, camera):
    cv2 = pytest.importorskip("cv2")
    path = shared_data / "pose2sim" / "single" / f"{camera}.mp4"
    wanted = [0, 1, 13, 59, 60, 98, 99]
    capture, plain = cv2.VideoCapture(str(path)), {}
    for number in range(100):
        assert capture.grab()
        if number in wanted:
            plain[number] = capture.retrieve()[1][..., ::-1]
    info = probe(path)
    assert (info.width, info.height, info.fps, info.frame_count) == (1080, 1920, 60.0, 100)
    frames, ok, _ = read_all(path, wanted)
    assert ok.all()
    assert all((frame == plain[number]).all() for frame, number in zip(frames, wanted, strict=True))
    for number in (13, 60, 99):
        assert (read_all(path, [number])[0][0] == plain[number]).all(), number


# ---------------------------------------------------------------------------------------------------------------------
# Damaged videos
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [1.0, 0.3])
@pytest.mark.parametrize(
    ("name", "packet", "next_keyframe"),
    [
        ("mp4", 17, 24),
        ("mp4", 24, 36),  # a keyframe
        ("mp4, B-frames", 17, 24),
        ("mp4, open groups", 17, 24),
        ("mp4, intra refresh", 17, 36),  # one group more until every block has been renewed
        ("mkv", 17, 24),
        ("avi, MPEG-4", 17, 24),
        ("avi, H.264 with B-frames", 17, 24),
        ("avi, MJPEG", 17, 18),
        ("mkv, FFV1", 17, 24),
    ],
)
def test_a_damaged_frame_is_told_and_what_hangs_on_it_and_nothing_else(
    videos, tmp_path, name, packet, next_keyframe, share
):
    sound, plain = videos(name)
    path = corrupt_packet(shutil.copy(sound, tmp_path / sound.name), packet, share, seed=packet)
    frames, ok, reasons = read_all(path, range(FRAMES), threads=1)
    bad = np.flatnonzero(~ok)
    assert len(bad)
    assert bad.min() >= packet // 12 * 12
    assert bad.max() < next_keyframe
    assert (frames[ok] == plain[ok]).all()
    assert not frames[~ok].any()
    assert all((reason is None) == sound for reason, sound in zip(reasons, ok, strict=True))
    assert any(not str(reasons[n]).startswith("predicted") for n in bad)
    # Neither threads nor where reading begins change a byte or a verdict.
    again, _, same = read_all(path, range(FRAMES), threads=4)
    assert same == reasons
    assert (again == frames).all()
    for number in {*bad[::3].tolist(), next_keyframe, FRAMES - 1}:
        alone, _, (reason,) = read_all(path, [number], threads=2)
        assert reason == reasons[number]
        assert (alone[0] == frames[number]).all()


def test_frames_predicted_from_a_damaged_one_name_it(videos, tmp_path):
    path = corrupt_packet(shutil.copy(videos("mp4")[0], tmp_path / "a.mp4"), 17)
    reasons = read_all(path, range(FRAMES))[2]
    assert reasons[17] == "cannot be decoded"
    assert reasons[18:24] == ["predicted from damaged frame 17"] * 6
    info = probe(path)
    assert summary(info, range(FRAMES), reasons) == (
        "a.mp4: 40 frames promised, 40 asked for, 33 sound; 17 cannot be decoded; 18-23 predicted from a damaged one"
    )


def test_every_packet_damaged_is_every_frame_told(videos, tmp_path):
    path = Path(shutil.copy(videos("mp4")[0], tmp_path / "a.mp4"))
    for packet in range(len(packet_places(path))):
        corrupt_packet(path, packet)
    info = probe(path)
    assert (info.width, info.height, info.frame_count) == (96, 48, FRAMES)
    assert not read_all(path, range(FRAMES))[1].any()


@pytest.mark.parametrize("name", ["mp4, B-frames", "mkv", "ts", "webm, VP9", "avi, B-frames"])
@pytest.mark.parametrize("keep", [0.7, 0.8, 0.9])
def test_a_video_cut_off_in_the_middle_gives_what_is_there_under_its_right_numbers(videos, tmp_path, name, keep):
    sound, plain = videos(name)
    path = truncate(shutil.copy(sound, tmp_path / sound.name), keep)
    info = probe(path)
    frames, ok, reasons = read_all(path, range(info.frame_count))
    assert (frames[ok] == plain[: len(ok)][ok]).all()
    assert info.frame_count <= FRAMES
    lost = FRAMES - int(ok.sum())
    assert lost > 0
    # Either the container promised more than came, or the reader of the container could not know.
    if info.frame_count == FRAMES:
        assert any("cut off" in str(reason) for reason in reasons)
    elif name != "ts":
        assert any("cut off" in warning for warning in info.warnings)


def test_a_size_that_changes_on_the_way_is_told(tmp_path):
    small = write_video(tmp_path / "small.h264", number_frames(12, 48, 96))
    large = write_video(tmp_path / "large.h264", number_frames(12, 64, 96, first=12))
    path = tmp_path / "both.h264"
    path.write_bytes(small.read_bytes() + large.read_bytes() + small.read_bytes())
    info = probe(path)
    assert (info.width, info.height, info.frame_count) == (96, 48, 36)
    frames, ok, reasons = read_all(path, range(36))
    assert ok.tolist() == [True] * 12 + [False] * 12 + [True] * 12
    assert reasons[12] == "its size is 96 x 64, unlike the video's 96 x 48"
    assert [read_number(frame) for frame in frames[24:]] == list(range(12))


# ---------------------------------------------------------------------------------------------------------------------
# What is no video
# ---------------------------------------------------------------------------------------------------------------------


def write_bad_source(kind: str, folder: Path) -> Path:
    path = folder / "bad.mp4"
    match kind:
        case "missing":
            pass
        case "text":
            path.write_text("this is a letter to my aunt\n" * 100)
        case "empty":
            path.touch()
        case "playlist":
            path = folder / "list.m3u8"
            path.write_text("#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
        case "sound only":
            path = folder / "bad.wav"
            with wave.open(str(path), "wb") as sound:
                sound.setparams((1, 2, 8000, 0, "NONE", ""))
                sound.writeframes(bytes(16000))
        case "no index":
            truncate(write_video(path, number_frames(20, 48, 96)), 0.6)
        case "no frames" | "nothing in it":
            path = folder / ("bad.avi" if kind == "no frames" else "bad.mp4")
            with av.open(str(path), "w") as container:
                stream = container.add_stream("mpeg4", rate=25)
                stream.width, stream.height, stream.pix_fmt = 96, 48, "yuv420p"
                container.start_encoding()
        case "no images":
            path = folder / "notes"
            path.mkdir()
            (path / "notes.txt").write_text("nothing")
        case "mixed sizes":
            path = write_images(folder / "mixed", number_frames(3, 48, 96))
            Image.new("RGB", (60, 48)).save(path / "10.png")
        case "damaged images":
            path = write_images(folder / "damaged", number_frames(2, 48, 96))
            for file in path.iterdir():
                file.write_bytes(b"no")
    return path


@pytest.mark.parametrize(
    ("kind", "error", "said"),
    [
        ("missing", MissingFileError, "no such video"),
        ("text", InvalidValueError, "not a video"),
        ("empty", InvalidValueError, "is empty"),
        ("playlist", InvalidValueError, "not a video"),
        ("sound only", InvalidValueError, "no video stream"),
        ("no index", InvalidValueError, "cut-off MP4"),
        ("no frames", InvalidValueError, "without a single frame"),
        ("nothing in it", InvalidValueError, "no video stream"),
        ("no images", InvalidValueError, "holds no images"),
        ("mixed sizes", InvalidValueError, "10.png is 60 x 48, 1.png is 96 x 48"),
        ("damaged images", InvalidValueError, "none of the 2 images"),
    ],
)
def test_what_is_no_source_is_an_error_that_names_it(tmp_path, kind, error, said):
    path = write_bad_source(kind, tmp_path)
    with pytest.raises(error, match=said) as caught:
        probe(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_frame_numbers_must_ascend_and_exist(videos):
    path, _ = videos("mp4")
    for wanted in ([4, 2], [-1, 0], [0, FRAMES]):
        with pytest.raises(InvalidValueError):
            list(read(path, wanted, 4, 1))
    with pytest.raises(InvalidValueError, match="at least one frame"):
        list(read(path, [0], 0, 1))
    assert list(read(path, [], 4, 1)) == []
