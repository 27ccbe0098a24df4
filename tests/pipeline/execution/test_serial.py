"""pipeline/execution/serial.py: whatever happens to a job, running it again gives the bytes of an undisturbed one."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from auglift.pipeline.execution import shard_job
from auglift.pipeline.execution.serial import ATTEMPTS
from auglift.stores.errors import InvalidValueError, StoreLockedError, StoreWriteError
from auglift.stores.locations.choose import locate
from auglift.stores.reading.store import FeatureStore
from auglift.stores.writing.lock import StoreLock

from ...fakes.folders import digest_of_folder
from ...fakes.job import run_fake
from ...fakes.video import number_frames, write_video

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> list[Path]:
    """Two videos, 30 and 21 frames, of different sizes."""
    folder = tmp_path_factory.mktemp("sources")
    frames = number_frames(30, width=96, height=64)
    write_video(folder / "a.mp4", frames, fps=30)
    write_video(folder / "b.mp4", number_frames(21, width=64, height=96), fps=30)
    return [folder / "a.mp4", folder / "b.mp4"]


@pytest.fixture(scope="module")
def undisturbed(sources, tmp_path_factory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("undisturbed") / "s.zarr"
    outcome = run_fake(out, sources)
    assert outcome.counts["frames"] == 51
    return digest_of_folder(out)


def test_twice_gives_the_same_bytes(sources, undisturbed, tmp_path):
    run_fake(tmp_path / "s.zarr", sources)
    assert digest_of_folder(tmp_path / "s.zarr") == undisturbed


@pytest.mark.parametrize("shards_before_the_kill", [0, 1, 3, 5])
def test_a_killed_job_run_again_gives_the_same_bytes(sources, undisturbed, tmp_path, shards_before_the_kill):
    out = tmp_path / "s.zarr"
    job = subprocess.Popen([sys.executable, "-m", "tests.fakes.job", out, "0.02", *sources], cwd=ROOT)
    while len(list((out / "ledger").glob("*.json"))) < shards_before_the_kill or not (out / "plan.json").exists():
        assert job.poll() is None, "the job ended before it was killed"
        time.sleep(0.005)
    job.send_signal(signal.SIGKILL)
    job.wait()
    assert FeatureStore.open(out, allow_incomplete=True).status == "building" if (out / "zarr.json").exists() else True
    outcome = run_fake(out, sources)
    assert outcome.resumed >= shards_before_the_kill
    assert digest_of_folder(out) == undisturbed


def test_a_finished_store_is_left_alone(sources, tmp_path):
    out = tmp_path / "s.zarr"
    run_fake(out, sources)
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
    outcome = run_fake(out, sources)
    assert outcome.resumed == 7
    assert outcome.results == []
    assert outcome.counts["frames"] == 51
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()} == before


def test_another_configuration_is_refused_and_named(sources, undisturbed, tmp_path):
    out = tmp_path / "s.zarr"
    run_fake(out, sources)
    with pytest.raises(InvalidValueError, match="batch: 5 here, 4 in the store"):
        run_fake(out, sources, batch=5)
    assert digest_of_folder(out) == undisturbed


def test_a_job_whose_plan_cannot_be_written_down_leaves_no_folder(sources, tmp_path):
    with pytest.raises(UnicodeEncodeError):
        run_fake(tmp_path / "s.zarr", sources, model="caf\udce9")
    assert not (tmp_path / "s.zarr").exists()


def test_a_second_job_on_the_same_store_is_refused(sources, tmp_path):
    out = tmp_path / "s.zarr"
    with StoreLock(locate(out)), pytest.raises(StoreLockedError, match="is being written by process"):
        run_fake(out, sources)


def test_a_job_whose_store_was_taken_over_ends_after_the_shard_it_is_at(sources, undisturbed, tmp_path, monkeypatch):
    out = tmp_path / "s.zarr"
    real = StoreLock.require
    looks = []

    def late(self):
        looks.append(self)
        self.lost = len(looks) == 3
        real(self)

    monkeypatch.setattr(StoreLock, "require", late)
    with pytest.raises(StoreLockedError, match="was taken over"):
        run_fake(out, sources)
    monkeypatch.undo()
    assert run_fake(out, sources).resumed == 3
    assert digest_of_folder(out) == undisturbed


def test_a_shard_that_fails_is_tried_again_and_then_reported_while_the_others_are_done(
    sources, undisturbed, tmp_path, monkeypatch
):
    calls = []
    real = shard_job.read

    def failing(path, indices, *rest):
        if path.name == "b.mp4" and indices[0] == 10:
            calls.append(path)
            raise RuntimeError("the decoder gave up\nwith a second line")
        return real(path, indices, *rest)

    monkeypatch.setattr(shard_job, "read", failing)
    out = tmp_path / "s.zarr"
    outcome = run_fake(out, sources)
    assert len(calls) == ATTEMPTS
    assert [f.shard for f in outcome.failures] == [5]
    assert outcome.failures[0].reason == "RuntimeError: the decoder gave up"
    assert len(outcome.results) == 6
    assert FeatureStore.open(out, allow_incomplete=True).status == "building"
    monkeypatch.undo()
    assert [r.shard for r in run_fake(out, sources).results] == [5]
    assert digest_of_folder(out) == undisturbed


def test_a_full_disk_ends_the_job_and_loses_nothing(sources, undisturbed, tmp_path, monkeypatch):
    out = tmp_path / "s.zarr"
    real = type(locate(out)).write

    def full(self, key, data):
        if key.startswith("keypoints/c/3"):
            raise StoreWriteError("the disk is full")
        return real(self, key, data)

    monkeypatch.setattr(type(locate(out)), "write", full)
    with pytest.raises(StoreWriteError, match="full"):
        run_fake(out, sources)
    monkeypatch.undo()
    assert run_fake(out, sources).resumed == 3
    assert digest_of_folder(out) == undisturbed


def test_interrupting_leaves_a_store_that_goes_on(sources, undisturbed, tmp_path):
    class Interrupt:
        def begin(self, frames, finished): ...

        def frames(self, shard, count): ...

        def done(self, result):
            if result.shard == 2:
                raise KeyboardInterrupt

    out = tmp_path / "s.zarr"
    with pytest.raises(KeyboardInterrupt):
        run_fake(out, sources, progress=Interrupt())
    assert run_fake(out, sources).resumed == 3
    assert digest_of_folder(out) == undisturbed


def test_the_store_holds_every_frame_once_and_in_order(sources, tmp_path):
    out = tmp_path / "s.zarr"
    run_fake(out, sources)
    store = FeatureStore.open(out)
    assert store.read("source_frame").tolist() == [*range(30), *range(21)]
    assert store.sequences.lengths.tolist() == [30, 21]
    assert np.isfinite(store.read("keypoints")).all()
