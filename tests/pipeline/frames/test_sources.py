"""sources.py, video.py and packets.py: every frame of a sound video by its number.

Two oracles: the number that each synthetic frame carries in its picture, and a plain decode of the whole file.
"""

from __future__ import annotations

import shutil
import wave
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
    read_all,
    read_number,
    trim_start,
    truncate,
    write_images,
    write_video,
)
from .video_cases import CASES, FRAMES, decode_all

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
