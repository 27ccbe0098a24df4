"""stores/derived/job.py: killed, out of disk or out of reach, a merge that is run again gives the undisturbed bytes."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from auglift.stores.derived.job import derive
from auglift.stores.derived.select import Selection, select_plan
from auglift.stores.errors import CorruptStoreError, StoreWriteError
from auglift.stores.locations.choose import locate
from auglift.stores.locations.local import LocalLocation
from auglift.stores.reading.store import FeatureStore
from auglift.stores.writing.verify import repair, verify

from ...fakes.derived import Part
from ...fakes.families import MadeFamily
from ...fakes.folders import digest_of_folder
from ...fakes.killed_merge import merge, write_parts
from ...fakes.servers import BUCKET, s3_server

ROOT = Path(__file__).resolve().parents[3]


def test_a_merge_killed_inside_any_of_its_writes_and_run_again_gives_the_same_bytes(tmp_path):
    command = [sys.executable, "-m", "tests.fakes.killed_merge", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    *kills, last = done.stdout.splitlines()
    assert len(kills) == int(last.split()[0]) > 12
    for line in kills:
        assert re.fullmatch(r"write \d+: ended by 9, \d+ files left, again 0, same bytes True", line), done.stderr


class FullAfter(LocalLocation):
    """A disk that has room for so many writes."""

    def __init__(self, path: Path, room: int):
        super().__init__(path)
        self.room = room

    def _write(self, key: str, data: bytes, exclusive: bool) -> bool:
        self.room -= 1
        if self.room < 0:
            raise StoreWriteError(f"the disk is full: {len(data)} bytes for {key} did not fit")
        return super()._write(key, data, exclusive)


def test_a_disk_that_is_full_in_mid_merge_keeps_what_is_finished_and_the_sources(tmp_path):
    paths = write_parts(tmp_path)
    before = [digest_of_folder(path) for path in paths]
    merge(paths, tmp_path / "undisturbed")
    for room in (3, 8, 12):
        out = tmp_path / str(room)
        with pytest.raises(StoreWriteError, match="disk is full"):
            merge(paths, FullAfter(out, room))
        assert not (out / "lock.json").exists()
        merge(paths, out)
        assert digest_of_folder(out) == digest_of_folder(tmp_path / "undisturbed"), f"room for {room} writes"
    assert [digest_of_folder(path) for path in paths] == before


def test_a_finished_merge_run_again_changes_nothing_and_a_damaged_one_is_mended(tmp_path):
    paths = write_parts(tmp_path)
    merge(paths, tmp_path / "c")
    before = digest_of_folder(tmp_path / "c")
    merge(paths, tmp_path / "c")
    assert digest_of_folder(tmp_path / "c") == before
    (tmp_path / "c" / "keypoints" / "c" / "1" / "0" / "0").unlink()
    with pytest.raises(CorruptStoreError, match=r"keypoints/c/1/0/0 is missing.*--repair, then this command again"):
        merge(paths, tmp_path / "c")
    repair(tmp_path / "c", verify(tmp_path / "c", deep=True))
    merge(paths, tmp_path / "c")
    assert digest_of_folder(tmp_path / "c") == before


def test_a_source_that_was_made_again_differently_does_not_go_on_where_the_other_was(tmp_path):
    paths = write_parts(tmp_path)
    with pytest.raises(StoreWriteError):
        merge(paths, FullAfter(tmp_path / "c", 9))
    for file in sorted(paths[1].rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    Part(lengths=(4,), shard_frames=6, prefix="b", seed=7, only=("keypoints", "valid")).run(paths[1])
    MadeFamily(fields=("radius/paper",)).run(paths[1])
    with pytest.raises(ValueError, match=r"was begun with another configuration \(.*derived.stores"):
        merge(paths, tmp_path / "c")


@pytest.mark.slow
def test_the_command_killed_at_ten_random_moments_and_run_again_gives_the_same_bytes(tmp_path):
    paths = [tmp_path / "a", tmp_path / "b"]
    for seed, path in enumerate(paths):
        Part(lengths=(900, 611), shard_frames=64, prefix=path.name, seed=seed).run(path)
    command = [str(Path(sys.executable).parent / "auglift-store"), "merge", *map(str, paths), "--out"]
    begin = time.monotonic()
    subprocess.run([*command, str(tmp_path / "undisturbed")], check=True, capture_output=True)
    whole = time.monotonic() - begin
    undisturbed, chance, killed = digest_of_folder(tmp_path / "undisturbed"), random.Random(19), 0
    for number in range(10):
        out = tmp_path / str(number)
        job = subprocess.Popen([*command, str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while job.poll() is None and not (out / "plan.json").exists():  # imports are killed by other tests
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.6 * whole))
        os.kill(job.pid, signal.SIGKILL)
        job.communicate()
        killed += job.returncode == -signal.SIGKILL
        subprocess.run([*command, str(out)], check=True, capture_output=True)
        assert digest_of_folder(out) == undisturbed, f"kill {number}"
    assert killed >= 5, "too few of them ran long enough to be killed"


def test_merge_and_select_read_from_and_write_to_a_bucket(tmp_path, monkeypatch):
    pytest.importorskip("moto")
    pytest.importorskip("obstore")
    paths = write_parts(tmp_path)
    merge(paths, tmp_path / "c")
    with s3_server() as url:
        for name, value in {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        there = f"s3://{BUCKET}/stores"
        derive(select_plan(paths[0], Selection()), f"{there}/a")  # a whole store to a bucket
        merge([f"{there}/a", paths[1]], locate(f"{there}/c"))
        derive(select_plan(f"{there}/c", Selection(where='id.startswith("b/")')), tmp_path / "back")
        bucket, local = FeatureStore.open(f"{there}/c"), FeatureStore.open(tmp_path / "c")
        for name in local.fields:
            assert bucket.read(name).tobytes() == local.read(name).tobytes()
        shards = [key for key in local.location.listing() if "/c/" in key]
        assert all(bucket.location.read(key) == local.location.read(key) for key in shards)
        assert verify(f"{there}/c", deep=True) == []
    back, part = FeatureStore.open(tmp_path / "back"), FeatureStore.open(paths[1])
    assert back.sequences.table["id"].to_pylist() == part.sequences.table["id"].to_pylist()
    assert back.read("keypoints").tobytes() == part.read("keypoints").tobytes()
    assert locate(tmp_path / "back").read("sequences.parquet") == locate(paths[1]).read("sequences.parquet")
