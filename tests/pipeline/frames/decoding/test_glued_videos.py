"""Files glued together: each part is decoded for itself, times may overlap, and reading always ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from auglift.pipeline.frames.decoding import video
from auglift.pipeline.frames.decoding.packets import packet_index
from auglift.pipeline.frames.decoding.timeline import NONE, segments
from auglift.pipeline.frames.sources import probe

from ....fakes.video import number_frames, read_all, read_number, truncate, write_video


def glued(folder: Path, ending: str, parts: list[dict], **common) -> Path:
    """Parts of 20 frames that are numbered through, one behind the other."""
    path, data = folder / f"glued.{ending}", b""
    for number, options in enumerate(parts):
        part = folder / f"part{number}.{ending}"
        data += write_video(part, number_frames(20, 48, 96, first=20 * number), **common, **options).read_bytes()
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("begin", [0, 1, 7, 10, 18], ids=lambda begin: f"the second part begins at frame {begin}")
@pytest.mark.parametrize("bframes", [0, 3])
def test_parts_whose_times_overlap_follow_one_another(tmp_path, begin, bframes):
    path = glued(tmp_path, "ts", [{}, {"first_pts": 100 * begin, "gop": 5}], bframes=bframes)
    info = probe(path)
    assert (info.frame_count, info.fps, info.variable_rate) == (40, 25, False)
    assert any("2 files glued together" in warning for warning in info.warnings)
    frames, ok, _ = read_all(path, range(40))
    assert ok.all()
    assert [read_number(frame) for frame in frames] == list(range(40))
    for index in range(1, 40, 3):
        assert read_number(read_all(path, [index], threads=1)[0][0]) == index


def test_a_part_that_was_cut_off_does_not_spoil_the_next(tmp_path):
    first = write_video(tmp_path / "first.ts", number_frames(20, 48, 96), bframes=2)
    second = write_video(tmp_path / "second.ts", number_frames(20, 48, 96, first=20), bframes=2)
    truncate(first, 0.6)
    path = tmp_path / "both.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    count = probe(path).frame_count
    frames, ok, _ = read_all(path, range(count))
    numbers = [read_number(frame) for frame in frames[ok]]
    assert numbers == sorted(set(numbers))
    assert numbers[-20:] == list(range(20, 40))
    assert [read_number(frame) for frame in read_all(path, range(count - 20, count))[0]] == list(range(20, 40))


def test_a_far_frame_behind_a_joint_is_sought_where_it_is(tmp_path, monkeypatch):
    path = glued(tmp_path, "ts", [{}] * 6, gop=10, bframes=2)
    fed = []
    whole = video.feed
    monkeypatch.setattr(video, "feed", lambda *packet: fed.append(packet[1]) or whole(*packet))
    frames, ok, _ = read_all(path, [115], threads=1)
    assert ok.all()
    assert read_number(frames[0]) == 115
    assert min(fed) == 110


def test_a_segment_begins_where_the_time_of_decoding_falls_back_and_stays_back():
    def begins(times: list[int | None], keys: tuple[int, ...] = (0,), late: int = 2, steps: int = 1) -> list[int]:
        dts = np.array([NONE if time is None else time for time in times])
        pts = np.where(dts == NONE, NONE, dts + late)
        return segments(pts, dts, np.isin(np.arange(len(times)), keys), steps)

    assert begins([0, 1, 2, 3]) == [0]
    assert begins([5, 6, 7, 0, 1, 2]) == [0, 3]
    assert begins([5, 6, 7, 6, 8, 9]) == [0]  # one packet out of step
    assert begins([5, 6, 7, 6, 8, 9], keys=(0, 3)) == [0, 3]
    assert begins([5, 6, 7, 7, 8, 9], keys=(0, 3)) == [0, 3]
    assert begins([5, 6, 7, 7, 8, 9]) == [0]
    assert begins([5, None, 6, None, 0, None, 1]) == [0, 4]
    assert begins([5, 6, 0]) == [0, 2]
    assert begins([5, 6, 5]) == [0]
    assert begins([5, 6, 0, 1, 2, 0, 1]) == [0, 2, 5]
    assert begins([5, 6, 7, 5, 6, 8, 9, 10], steps=3) == [0]
    assert begins([5, 6, 7, 1, 2, 3, 4, 5], steps=3) == [0, 3]
    # A keyframe that is shown after all before it: its time of decoding alone is out of step.
    pts, dts = np.array([3, 9, 6, 12, 10]), np.array([1, 3, 6, 6, 7])
    assert segments(pts, dts, np.array([1, 0, 0, 1, 0], bool)) == [0]
    assert segments(np.array([3, 9, 6, 8, 10]), dts, np.array([1, 0, 0, 1, 0], bool)) == [0, 3]


# ---------------------------------------------------------------------------------------------------------------------
# Nothing is believed, and nothing goes on for ever
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [0, 17, 50, 59])
def test_a_seek_that_lands_elsewhere_costs_time_and_no_frame(tmp_path, where):
    path = glued(tmp_path, "ts", [{}] * 3, gop=5, bframes=2)
    index = packet_index(path)
    index.group_place[:] = index.position[where]
    for number in (12, 38, 55):
        assert read_number(read_all(path, [number], threads=1)[0][0]) == number


def test_packets_that_look_alike_are_not_taken_for_one_another(tmp_path):
    """Black frames: many packets are the same to the byte."""
    black = np.zeros((60, 48, 96, 3), np.uint8)
    path = write_video(tmp_path / "black.ts", np.concatenate([black, number_frames(20, 48, 96), black]), gop=5)
    frames, ok, _ = read_all(path, [3, 63, 79, 100])
    assert ok.all()
    assert [read_number(frame) for frame in frames[1:3]] == [3, 19]
    assert read_number(read_all(path, [72], threads=1)[0][0]) == 12


def test_a_decoder_that_gives_nothing_is_given_up_frame_by_frame(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", number_frames(20, 48, 96), gop=5)
    packet_index(path)
    monkeypatch.setattr(video._Decoder, "_events", lambda *_: iter(()))
    _, ok, reasons = read_all(path, range(20))
    assert not ok.any()
    assert set(reasons) == {"cannot be decoded"}


def test_a_file_that_changed_since_it_was_indexed_gives_no_wrong_frame(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mkv", number_frames(40, 48, 96), gop=5)
    index = packet_index(path)
    write_video(path, number_frames(40, 48, 96, first=100), gop=5)
    monkeypatch.setattr(video, "packet_index", lambda path: index)
    frames, ok, reasons = read_all(path, range(3, 40, 3))
    assert not ok.any()
    assert not frames.any()
    assert set(reasons) == {"the file changed while it was read"}


def test_sigterm_ends_a_job_at_once_whatever_its_decoder_is_busy_with(tmp_path):
    """A reader that would need ten minutes to come to the frame that is wanted."""
    path = write_video(tmp_path / "long.ts", number_frames(600, 48, 96), gop=600)
    reader = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.slow_reader", str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert reader.stdout
        assert reader.stdout.readline() == "decoding\n"
        reader.send_signal(signal.SIGTERM)
        assert reader.wait(timeout=60) == 130
    finally:
        reader.kill()
        reader.wait()
