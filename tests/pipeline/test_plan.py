"""pipeline/plan.py: every frame is in exactly one shard, resampling is exact, and the fingerprint sees what matters."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auglift.pipeline.frames.sources import SourceInfo
from auglift.pipeline.plan import Plan, clip_of
from auglift.stores.errors import InvalidValueError


def source(frames: int = 100, fps: float | None = 50.0, digest: str = "d") -> SourceInfo:
    return SourceInfo(
        path=Path("a.mp4"),
        kind="video",
        width=64,
        height=48,
        fps=fps,
        frame_count=frames,
        digest=digest,
        variable_rate=False,
        warnings=(),
    )


def plan_of(counts: list[int], shard_frames: int, **settings) -> Plan:
    clips = tuple(clip_of(source(n), f"s{i}", f"{i}.mp4", None, None) for i, n in enumerate(counts))
    return Plan(clips, settings, ("paper",), shard_frames)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=12), st.integers(1, 70))
def test_every_frame_of_every_clip_is_in_exactly_one_shard(counts, shard_frames):
    plan = plan_of(counts, shard_frames)
    covered = [(s.clip, s.first + k) for shard in plan.shards for s in shard.segments for k in range(s.count)]
    assert covered == [(clip, k) for clip, count in enumerate(counts) for k in range(count)]
    assert [shard.start for shard in plan.shards][1:] == [shard.stop for shard in plan.shards][:-1]
    for shard in plan.shards:
        assert sum(s.count for s in shard.segments) == shard.stop - shard.start <= plan.layout.shard_frames


@given(st.integers(1, 400), st.sampled_from([(50, 25), (60, 25), (30000 / 1001, 10), (60, 60), (29.97, 29), (25, 7)]))
def test_resampled_frames_are_the_nearest_in_time_and_none_repeats(frames, rates):
    fps, wished = rates
    clip = clip_of(source(frames, fps), "s", "s.mp4", wished, None)
    taken = clip.source_frames(0, clip.count)
    wanted_times = np.arange(clip.count) / wished
    assert np.all(np.abs(taken / fps - wanted_times) <= 0.5 / fps + 1e-3)
    assert np.all(np.diff(taken) >= 1)
    assert taken[0] == 0
    assert taken[-1] < frames
    # Nothing at the end is dropped: one more would lie beyond the video.
    assert round(clip.count * fps / wished + 1e-9) >= frames - 1


def test_a_part_of_a_resampled_clip_is_the_same_frames_as_the_whole():
    clip = clip_of(source(1000, 60.0), "s", "s.mp4", 25.0, None)
    whole = clip.source_frames(0, clip.count)
    assert np.array_equal(whole[137:190], clip.source_frames(137, 53))


@pytest.mark.parametrize(
    ("frames", "rates", "taken"),
    [(9, (50, 25), [0, 2, 4, 6, 8]), (13, (60, 25), [0, 2, 5, 7, 10, 12]), (5, (50, 20), [0, 3])],  # 2.5 rounds up
)
def test_known_rates_give_known_frames(frames, rates, taken):
    fps, wished = rates
    clip = clip_of(source(frames, fps), "s", "s.mp4", wished, None)
    assert clip.source_frames(0, clip.count).tolist() == taken


def test_fifty_to_twenty_five_takes_every_other_frame():
    clip = clip_of(source(100, 50.0), "s", "s.mp4", 25.0, None)
    assert clip.step == Fraction(2)
    assert clip.fps == 25.0
    assert clip.source_frames(0, clip.count).tolist() == list(range(0, 100, 2))


@pytest.mark.parametrize("fps", [51.0, 0.0, -1.0, float("nan")])
def test_a_rate_that_cannot_be_had_is_refused(fps):
    with pytest.raises(InvalidValueError, match="fps"):
        clip_of(source(100, 50.0), "s", "s.mp4", fps, None)


@given(st.integers(1, 4000), st.sampled_from([(29.97, 30), (30000 / 1001, 30), (59.94, 60), (24.76, 25)]))
def test_a_rate_missed_by_less_than_a_hundredth_is_had_by_the_frame_nearest_in_time(frames, rates):
    fps, wished = rates
    clip = clip_of(source(frames, fps), "s", "s.mp4", wished, None)
    taken = clip.source_frames(0, clip.count)
    assert clip.fps == pytest.approx(wished, rel=1e-3)
    assert np.all(np.abs(taken / fps - np.arange(clip.count) / clip.fps) <= 0.5 / fps + 1e-6)
    assert np.unique(taken).tolist() == list(range(frames))  # none is lost
    assert np.diff(taken).max(initial=1) <= 1
    (warning,) = clip.warnings
    assert f"--fps {wished}" in warning
    assert "twice" in warning


def test_a_rate_missed_by_more_is_refused():
    with pytest.raises(InvalidValueError, match=r"29\.6 fps; --fps 30 is more than"):
        clip_of(source(100, 29.6), "s", "s.mp4", 30.0, None)


def test_a_source_without_a_rate_is_taken_whole_whatever_the_rate_wished_for_and_that_is_said():
    clip = clip_of(source(100, None), "s", "s.mp4", 25.0, None)
    assert clip.source_frames(0, clip.count).tolist() == list(range(100))
    assert np.isnan(clip.fps)
    (warning,) = clip.warnings
    assert "no frame rate" in warning


def test_resampling_a_rate_that_varies_is_said():
    uneven = replace(source(100, 50.0), variable_rate=True, warnings=("variable frame rate: ...",))
    assert clip_of(uneven, "s", "s.mp4", None, None).warnings == ("variable frame rate: ...",)
    first, second = clip_of(uneven, "s", "s.mp4", 25.0, None).warnings
    assert first == "variable frame rate: ..."
    assert "by their number, not by their time" in second


def test_the_store_tells_what_a_user_should_know_of_each_source():
    warned = replace(source(10), warnings=("variable frame rate: ...",))
    clips = (clip_of(source(10), "a", "a.mp4", None, None), clip_of(warned, "b", "b.mp4", None, None))
    plan = Plan(clips, {}, ("paper",), 16, ("RANDOM WEIGHTS",))
    assert plan.attributes()["warnings"] == ["RANDOM WEIGHTS", "b: variable frame rate: ..."]
    silent = Plan((clips[0], replace(clips[1], warnings=())), {}, ("paper",), 16)
    assert plan.fingerprint == silent.fingerprint


def test_the_fingerprint_sees_sources_settings_and_shards_and_nothing_else():
    plan = plan_of([10, 20], 16, batch=8)
    same = plan_of([10, 20], 16, batch=8)
    assert plan.fingerprint == same.fingerprint
    other_source = replace(plan.clips[0], info=source(10, digest="other"))
    assert Plan((other_source, plan.clips[1]), plan.settings, plan.presets, 16).fingerprint != plan.fingerprint
    assert plan_of([10, 20], 15, batch=8).fingerprint != plan.fingerprint
    assert plan_of([10, 20], 16, batch=4).fingerprint != plan.fingerprint
    assert plan_of([10, 21], 16, batch=8).fingerprint != plan.fingerprint
    moved = replace(plan.clips[0], info=replace(plan.clips[0].info, path=Path("elsewhere/a.mp4")))
    assert Plan((moved, plan.clips[1]), plan.settings, plan.presets, 16).fingerprint == plan.fingerprint


def test_a_plan_without_sources_is_refused():
    with pytest.raises(InvalidValueError, match="no source"):
        Plan((), {}, ("paper",))
