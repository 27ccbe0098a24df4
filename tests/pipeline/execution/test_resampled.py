"""A rate just missed (--fps 25 of 24.76): a frame taken twice is stored twice, decoded once, and nothing shifts."""

from __future__ import annotations

import numpy as np
import pytest

from auglift.pipeline.datasets.video import clips
from auglift.pipeline.execution.serial import SerialExecutor, execute
from auglift.pipeline.extract import describe
from auglift.pipeline.plan import Plan
from auglift.stores.locations.choose import locate
from auglift.stores.reading.store import FeatureStore

from ...fakes.networks import fake_extractor
from ...fakes.video import corrupt_packet, number_frames, read_all, read_number, write_images, write_video


def test_frames_taken_twice_are_in_the_store_twice(tmp_path):
    video = write_video(tmp_path / "a.mp4", number_frames(220, 48, 96), fps=24.76)
    extractor = fake_extractor()
    settings = {**describe(extractor), "batch": 4, "threads": 1}
    presets = tuple(preset.name for preset in extractor.presets)

    def made(fps: float | None) -> FeatureStore:
        found, bad = clips([video], fps)
        assert not bad
        out = tmp_path / f"{fps}.zarr"
        execute(Plan(tuple(found), settings, presets, 64), locate(out), SerialExecutor(lambda: extractor))
        return FeatureStore.open(out)

    every, resampled = made(None), made(25.0)
    numbers = resampled.read("source_frame")
    twice = np.flatnonzero(np.diff(numbers) == 0)
    assert len(twice) == 2
    assert np.unique(numbers).tolist() == list(range(220))
    assert abs(resampled.sequences[0].fps - 25) < 0.01
    for name in every.fields:
        np.testing.assert_array_equal(resampled.read(name), every.read(name)[numbers], err_msg=name)


@pytest.mark.parametrize("kind", ["video", "images"])
@pytest.mark.parametrize("batch", [1, 2, 3, 7])
def test_a_frame_wanted_several_times_is_given_as_often(tmp_path, kind, batch):
    frames = number_frames(8, 48, 96)
    source = write_video(tmp_path / "a.mp4", frames) if kind == "video" else write_images(tmp_path / "a", frames)
    wanted = [0, 1, 1, 2, 5, 5, 5, 7, 7]
    got, ok, _ = read_all(source, wanted, batch)
    assert ok.all()
    assert [read_number(frame) for frame in got] == wanted


def test_a_damaged_frame_wanted_twice_is_damaged_twice(tmp_path):
    video = write_video(tmp_path / "a.avi", number_frames(6, 48, 96), codec="mjpeg", pix_fmt="yuvj420p")
    corrupt_packet(video, 3)
    _, ok, reasons = read_all(video, [2, 3, 3, 4], 2)
    assert ok.tolist() == [True, False, False, True]
    assert reasons[1] == reasons[2]
