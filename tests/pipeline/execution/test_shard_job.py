"""pipeline/execution/shard_job.py: what a worker checks before it begins, and that it does no shard twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from auglift.pipeline.execution.shard_job import recorded, require_visible
from auglift.pipeline.keypoints.given import Given
from auglift.pipeline.keypoints.mapping import Mapping
from auglift.stores.errors import MissingFileError
from auglift.stores.format.layout import ledger_key
from auglift.stores.locations.choose import locate
from auglift.stores.writing.shards import ShardWriter

from ...fakes.job import fake_plan, run_fake
from ...fakes.networks import fake_extractor
from ...fakes.video import number_frames, write_video


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> list[Path]:
    paths = [tmp_path_factory.mktemp(name) / f"{name}.mp4" for name in ("one", "two")]
    for path in paths:
        write_video(path, number_frames(12, width=96, height=64), fps=30)
    return paths


@pytest.fixture(scope="module")
def plan(sources):
    return fake_plan(sources, fake_extractor())


@pytest.fixture(scope="module")
def store(sources, tmp_path_factory):
    out = tmp_path_factory.mktemp("store") / "s.zarr"
    run_fake(out, sources)
    return locate(out)


def test_a_recorded_shard_has_its_result(plan, store):
    result = recorded(ShardWriter(store, plan.layout, plan.fingerprint), 1)
    assert result is not None
    assert (result.shard, result.frames, result.counts["frames"]) == (1, 8, 8)


@pytest.mark.parametrize("damage", ["gone", "garbage", "another plan"])
def test_a_shard_without_a_valid_record_is_not_recorded(plan, sources, tmp_path, damage):
    out = tmp_path / "s.zarr"
    run_fake(out, sources)
    record = out / ledger_key(1)
    if damage == "gone":
        record.unlink()
    if damage == "garbage":
        record.write_text("{}")
    fingerprint = "0" * 64 if damage == "another plan" else plan.fingerprint
    assert recorded(ShardWriter(locate(out), plan.layout, fingerprint), 1) is None


def test_a_machine_that_sees_store_and_sources_may_begin(plan, store):
    require_visible(plan, store)


def test_a_machine_that_does_not_see_the_store_gets_an_error(plan, tmp_path):
    with pytest.raises(MissingFileError, match=r"nowhere.zarr is not there, seen from"):
        require_visible(plan, locate(tmp_path / "nowhere.zarr"))


def test_a_machine_that_does_not_see_the_sources_gets_an_error_that_names_one(plan, store, sources):
    hidden = sources[1].with_suffix(".hidden")
    sources[1].rename(hidden)
    try:
        with pytest.raises(MissingFileError, match=r"two.mp4 is not there, seen from"):
            require_visible(plan, store)
    finally:
        hidden.rename(sources[1])


def test_a_machine_that_does_not_see_the_file_of_joints_gets_an_error_that_names_it(plan, store, tmp_path):
    place = str(tmp_path / "joints.json")
    given = Given(place, "coco", "", 0, "one", Mapping("coco-17", 17, ()))
    clips = (replace(plan.clips[0], keypoints=given), *plan.clips[1:])
    with pytest.raises(MissingFileError, match=r"joints.json is not there, seen from"):
        require_visible(replace(plan, clips=clips), store)
    Path(place).write_text("[]")
    require_visible(replace(plan, clips=clips), store)
