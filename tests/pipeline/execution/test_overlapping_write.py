"""The serial executor: a shard is written while the next is computed, and a lost GPU ends the job at once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from auglift.pipeline.execution.results import ATTEMPTS, NoProgress
from auglift.pipeline.execution.serial import SerialExecutor, execute
from auglift.pipeline.extract import Extractor
from auglift.stores.errors import StoreIncompleteError, StoreWriteError
from auglift.stores.format.layout import ledger_key
from auglift.stores.locations.choose import locate
from auglift.stores.locations.local import LocalLocation
from auglift.stores.reading.store import FeatureStore

from ...fakes.job import fake_plan, run_fake
from ...fakes.networks import FakeDepth, fake_extractor
from ...fakes.video import number_frames, write_video


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> list[Path]:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    write_video(path, number_frames(24, width=96, height=64), fps=30)
    return [path]


class WatchedDepth(FakeDepth):
    """Calls `before` with the number of frames it has seen so far, at each call."""

    def __init__(self, before):
        self.before, self.frames = before, 0

    def estimate(self, frames):
        self.before(self.frames)
        self.frames += len(frames)
        return super().estimate(frames)


def extractor(before) -> Extractor:
    fake = fake_extractor()
    return Extractor(fake.detector, fake.pose, WatchedDepth(before), fake.presets, fake.device)


class SlowRecord(LocalLocation):
    """Does not write a shard's record before it is allowed to."""

    def __init__(self, path: Path, allowed: threading.Event):
        super().__init__(path)
        self.allowed = allowed

    def write(self, key: str, data: bytes) -> None:
        if key == ledger_key(0):
            assert self.allowed.wait(60), "the next shard was not computed meanwhile"
        super().write(key, data)


def test_the_next_shard_is_computed_while_one_is_written(sources, tmp_path):
    computing_second = threading.Event()
    watched = extractor(lambda frames: computing_second.set() if frames >= 8 else None)
    plan = fake_plan(sources, watched)
    outcome = execute(plan, SlowRecord(tmp_path / "s.zarr", computing_second), SerialExecutor(lambda: watched))
    assert [result.shard for result in outcome.results] == [0, 1, 2]
    assert FeatureStore.open(tmp_path / "s.zarr").status == "complete"
    reference = tmp_path / "reference.zarr"
    run_fake(reference, sources)
    for file in sorted(path for path in reference.rglob("*") if path.is_file() and "ledger" not in path.parts):
        assert (tmp_path / "s.zarr" / file.relative_to(reference)).read_bytes() == file.read_bytes(), file


def test_a_result_is_given_only_when_the_shard_is_in_the_ledger(sources, tmp_path):
    location = locate(tmp_path / "s.zarr")
    seen = []

    class Checked(NoProgress):
        def done(self, result):
            seen.append((result.shard, location.exists(ledger_key(result.shard))))

    run_fake(tmp_path / "s.zarr", sources, progress=Checked())
    assert seen == [(0, True), (1, True), (2, True)]


class FullDisk(LocalLocation):
    def write(self, key: str, data: bytes) -> None:
        if key == ledger_key(1):
            raise StoreWriteError("the disk is full")
        super().write(key, data)


def test_a_store_that_cannot_be_written_ends_the_job_and_keeps_what_is_there(sources, tmp_path):
    location = FullDisk(tmp_path / "s.zarr")
    plain = fake_extractor()
    with pytest.raises(StoreWriteError, match="the disk is full"):
        execute(fake_plan(sources, plain), location, SerialExecutor(lambda: plain))
    assert location.exists(ledger_key(0))
    assert not location.exists(ledger_key(1))


def test_a_lost_gpu_ends_the_job_at_the_first_error_and_keeps_what_is_done(sources, tmp_path):
    calls = []

    def lost(frames: int) -> None:
        calls.append(frames)
        if frames >= 8:
            raise RuntimeError("CUDA error: an illegal memory access was encountered\nand more")

    watched = extractor(lost)
    location = locate(tmp_path / "s.zarr")
    with pytest.raises(StoreIncompleteError, match=r"the GPU is lost .* illegal memory access was encountered"):
        execute(fake_plan(sources, watched), location, SerialExecutor(lambda: watched))
    assert calls == [0, 4, 8]
    assert location.exists(ledger_key(0))


def test_another_error_is_tried_again_and_costs_its_shard_alone(sources, tmp_path):
    calls = []

    def poisoned(frames: int) -> None:
        calls.append(frames)
        if frames == 8 and calls.count(8) <= ATTEMPTS:
            raise RuntimeError("no luck")

    watched = extractor(poisoned)
    outcome = execute(fake_plan(sources, watched), locate(tmp_path / "s.zarr"), SerialExecutor(lambda: watched))
    assert [(failure.shard, failure.attempts) for failure in outcome.failures] == [(1, ATTEMPTS)]
    assert [result.shard for result in outcome.results] == [0, 2]
