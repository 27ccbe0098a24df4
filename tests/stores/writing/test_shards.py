"""stores/writing/shards.py: whatever interrupts a job, running it again gives the bytes of an undisturbed one."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auglift.stores.errors import (
    CorruptStoreError,
    InvalidValueError,
    StoreIncompleteError,
    StoreWriteError,
)
from auglift.stores.format.schema import FIELDS, fields_for
from auglift.stores.locations.local import LocalLocation
from auglift.stores.reading.store import FeatureStore
from auglift.stores.writing.shards import StoreLayout

from ...fakes.folders import digest_of_folder
from ...fakes.killed import SMALL
from ...fakes.stores import MadeStore, make_store

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("undisturbed") / "s.zarr"
    SMALL.run(out)
    return digest_of_folder(out)


class FailsAt(LocalLocation):
    """Whose n-th write meets a full disk."""

    def __init__(self, path: Path, fatal: int):
        super().__init__(path)
        self.fatal = fatal
        self.count = 0

    def _write(self, key: str, data: bytes, exclusive: bool) -> bool:
        self.count += 1
        if self.count == self.fatal + 1:
            raise StoreWriteError("the disk is full: no")
        return super()._write(key, data, exclusive)


def writes_of_a_job(folder: Path) -> int:
    counting = FailsAt(folder / "counting", 10**9)
    SMALL.run(counting)
    return counting.count


def test_a_job_killed_inside_any_of_its_writes_and_run_again_gives_the_same_bytes(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.fakes.killed", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    *kills, last = done.stdout.splitlines()
    assert len(kills) == int(last.split()[0]) > 12
    for line in kills:
        assert re.fullmatch(r"write \d+: ended by 9, \d+ files left, again 0, same bytes True", line), done.stderr


def test_a_disk_that_is_full_at_any_write_and_then_has_room_gives_the_same_bytes(tmp_path, undisturbed):
    for fatal in range(writes_of_a_job(tmp_path)):
        out = tmp_path / str(fatal)
        with pytest.raises(StoreWriteError, match="disk is full"):
            SMALL.run(FailsAt(out, fatal))
        assert not (out / "lock.json").exists()
        SMALL.run(out)
        assert digest_of_folder(out) == undisturbed, f"full at write {fatal}"


def test_a_disk_that_is_really_full_keeps_what_is_finished_and_a_larger_one_takes_the_rest(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount a small file system")
    job = MadeStore(lengths=(3000,), shard_frames=512)
    try:
        with pytest.raises(StoreWriteError, match=r"disk is full.*again, what is finished is kept"):
            job.run(disk / "s.zarr")
        finished = FeatureStore.open(disk / "s.zarr", allow_incomplete=True).finished()
        assert 0 < finished.sum() < len(finished)
        subprocess.run(["mount", "-o", "remount,size=16m", str(disk)], check=True)
        assert len(job.run(disk / "s.zarr")) == len(finished) - finished.sum()
        job.run(tmp_path / "undisturbed")
        assert digest_of_folder(disk / "s.zarr") == digest_of_folder(tmp_path / "undisturbed")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@given(st.permutations(range(4)), st.sets(st.integers(0, 3)))
@settings(max_examples=5)
def test_shards_in_any_order_and_done_twice_give_the_same_bytes(order, again):
    with tempfile.TemporaryDirectory() as folder:
        made = replace(SMALL, lengths=(5, 6, 4), shard_frames=4)
        made.run(Path(folder) / "straight")
        location = LocalLocation(Path(folder) / "mixed")
        writer = made.begin(location)
        for shard in [*order, *again]:
            made.write_shard(writer, shard)
        made.run(location)
        assert digest_of_folder(location.path) == digest_of_folder(Path(folder) / "straight")


def test_a_resumed_job_writes_exactly_the_shards_without_a_record(tmp_path):
    made = MadeStore()
    assert made.run(tmp_path / "s", shards=2) == [0, 1]
    (tmp_path / "s" / "ledger" / "00000000.json").unlink()
    assert made.run(tmp_path / "s") == [0, 2, 3]
    assert made.run(tmp_path / "s") == []


def test_arrays_without_a_record_do_not_exist_to_a_reader(tmp_path):
    made = MadeStore()
    made.run(tmp_path / "s", shards=3)
    (tmp_path / "s" / "ledger" / "00000001.json").unlink()
    store = FeatureStore.open(tmp_path / "s", allow_incomplete=True)
    assert store.finished().tolist() == [True, False, True, False]
    with pytest.raises(StoreIncompleteError, match="shard 1"):
        store.read("keypoints", 0, 48)


def test_what_the_ledger_says_of_a_shard_is_the_sha256_of_its_files(tmp_path):
    store = make_store(tmp_path / "s")
    for shard, record in store.ledger().items():
        for name, entry in record.arrays.items():
            below = [str(shard), *("0" for _ in FIELDS[name].shape)]
            data = (tmp_path / "s" / name / "c").joinpath(*below).read_bytes()
            assert hashlib.sha256(data).hexdigest() == entry["sha256"]
            assert len(data) == entry["bytes"]


def test_sha256sum_checks_everything_but_the_shards(tmp_path):
    make_store(tmp_path / "s")
    listed = {line.split("  ", 1)[1] for line in (tmp_path / "s" / "SHA256SUMS").read_text().splitlines()}
    files = {key for key in digest_of_folder(tmp_path / "s") if "/c/" not in key}
    assert listed == files - {"SHA256SUMS"}
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=tmp_path / "s", check=True)


def test_counts_of_all_shards_are_added_up(tmp_path):
    made = MadeStore()
    store = make_store(tmp_path / "s")
    valid = int(made.values(FIELDS["valid"]).sum())
    assert store.attributes["counts"] == {"frames": 50, "valid": valid, "nobody": 50 - valid, "unreadable": 0}


# --- finishing


def test_a_store_that_lacks_a_shard_is_not_finished(tmp_path):
    made = MadeStore()
    location = LocalLocation(tmp_path / "s")
    writer = made.begin(location)
    for shard in (0, 2):
        made.write_shard(writer, shard)
    with pytest.raises(StoreIncompleteError, match=r"2 of 4 shards of .* are missing \(the first is 1\)"):
        writer.finalise({})
    assert FeatureStore.open(location, allow_incomplete=True).status == "building"


@pytest.mark.parametrize("damage", ["lost", "truncated"])
def test_a_store_that_lost_an_array_since_is_not_finished(tmp_path, damage):
    made = MadeStore()
    location = LocalLocation(tmp_path / "s")
    writer = made.begin(location)
    for shard in range(4):
        made.write_shard(writer, shard)
    path = tmp_path / "s" / "score" / "c" / "2" / "0"
    path.unlink() if damage == "lost" else path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptStoreError, match=r"score/c/2/0 in .* is not what the ledger says"):
        writer.finalise({})


# --- what is written


@pytest.mark.parametrize("change", ["missing", "more", "dtype", "length"])
def test_a_shard_that_is_not_what_the_layout_says_is_refused_before_it_enters_the_ledger(tmp_path, change):
    made = MadeStore()
    location = LocalLocation(tmp_path / "s")
    writer = made.begin(location)
    arrays = made.shard(0)
    if change == "missing":
        arrays.pop("score")
    elif change == "more":
        arrays["radius/spatial"] = np.zeros((16, 17), dtype=np.float32)
    elif change == "dtype":
        arrays["valid"] = arrays["valid"].astype(np.float32)
    else:
        arrays["valid"] = arrays["valid"][:-1]
    with pytest.raises(InvalidValueError):
        writer.write(0, arrays, {})
    assert location.listing("ledger/") == []


def test_a_disk_that_gives_back_something_else_gets_no_record(tmp_path):
    class Forgetful(LocalLocation):
        def read(self, key: str) -> bytes:
            data = super().read(key)
            return data[:-1] + b"x" if key.startswith("score/c") else data

    made = MadeStore()
    writer = made.begin(Forgetful(tmp_path / "s"))
    with pytest.raises(StoreWriteError, match=r"score/c/0/0 .*does not read back as written"):
        made.write_shard(writer, 0)
    assert list((tmp_path / "s").glob("ledger/*")) == []


def test_every_chunk_is_stored_also_one_that_holds_nothing(tmp_path):
    """Zarr leaves empty chunks out by default, and then a lost one would look like an empty one."""
    layout = StoreLayout(fields_for(()), 10, 4)
    made = MadeStore(lengths=(10,), shard_frames=4, presets=(), optional=())
    location = LocalLocation(tmp_path / "s")
    writer = made.begin(location)
    empty = {spec.name: spec.empty(4) for spec in layout.fields}
    record = writer.write(0, empty, {})
    assert all(entry["bytes"] > 0 for entry in record.arrays.values())
    for name in record.arrays:
        assert (tmp_path / "s" / name / "c" / "0").exists()


@given(st.integers(1, 3000), st.integers(1, 3000))
@settings(max_examples=200)
def test_shards_cover_every_frame_once_and_chunks_divide_shards(frames, shard_frames):
    fields = fields_for(["paper"], ["feature/pose"])
    try:
        layout = StoreLayout(fields, frames, shard_frames)
    except InvalidValueError as error:
        better = int(re.search(r"take --shard-frames (\d+)", str(error)).group(1))  # type: ignore[union-attr]
        StoreLayout(fields, frames, better)
        return
    covered = [frame for shard in range(layout.shards) for frame in range(*layout.bounds(shard))]
    assert covered == list(range(frames))
    for field in fields:
        chunk, stored = layout.chunk_frames(field), layout.stored_shard_frames(field)
        assert stored % chunk == 0
        assert stored == shard_frames or (layout.shards == 1 and stored >= frames)
        assert min(16, shard_frames) <= chunk <= field.chunk_frames


def test_nothing_to_store_is_refused():
    with pytest.raises(InvalidValueError, match="no frame"):
        StoreLayout(fields_for(["paper"]), 0)
    with pytest.raises(InvalidValueError, match="at least one frame"):
        StoreLayout(fields_for(["paper"]), 5, 0)
