"""A rate just missed (--fps 25 of 24.76): a frame taken twice is stored twice, decoded once, and nothing shifts."""

from __future__ import annotations

import numpy as np

from auglift.pipeline.datasets.video import clips
from auglift.pipeline.execute import SerialExecutor, execute
from auglift.pipeline.extract import describe
from auglift.pipeline.plan import Plan
from auglift.stores.location import locate
from auglift.stores.store import FeatureStore

from ..fakes.networks import fake_extractor
from ..fakes.video import number_frames, write_video


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
