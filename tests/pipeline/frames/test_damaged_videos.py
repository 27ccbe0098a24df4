"""sources.py, video.py and packets.py: every damage is reported by a reason, and every sound frame is exact."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from auglift.pipeline.frames.sources import probe, summary

from ...fakes.video import (
    corrupt_packet,
    number_frames,
    packet_places,
    read_all,
    read_number,
    truncate,
    write_video,
)
from .video_cases import FRAMES


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
def test_a_damaged_frame_is_reported_with_all_that_depend_on_it_and_nothing_else(
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
        "a.mp4: 40 frames promised, 40 wanted, 33 sound; 17 cannot be decoded; 18-23 predicted from a damaged one"
    )


def test_with_every_packet_damaged_every_frame_is_reported(videos, tmp_path):
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


def test_a_size_that_changes_on_the_way_is_reported(tmp_path):
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
