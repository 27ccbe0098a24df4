"""writing/families.py: no family touches a byte of another or of the store; kills leave what a store says of itself."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from auglift.stores.errors import InvalidValueError, StoreLockedError, StoreWriteError
from auglift.stores.families import family_location
from auglift.stores.locations.local import LocalLocation
from auglift.stores.reading.store import FeatureStore
from auglift.stores.writing.families import publish, remove_family
from auglift.stores.writing.lock import StoreLock
from auglift.stores.writing.shards import sweep_unfinished
from auglift.stores.writing.verify import repair, verify

from ...fakes.families import MadeFamily
from ...fakes.folders import digest_of_folder
from ...fakes.stores import MadeStore

MADE = MadeStore(lengths=(23, 9), shard_frames=16, only=("keypoints", "valid"))
FAMILY = MadeFamily(fields=("radius/paper",))
INDEX = "families/SHA256SUMS"


class FailsAt(LocalLocation):
    """Whose n-th write, here or in a folder below, meets a full disk."""

    def __init__(self, path: Path, fatal: int, counter: list[int] | None = None):
        super().__init__(path)
        self.fatal = fatal
        self.counter = [0] if counter is None else counter

    def below(self, folder: str) -> FailsAt:
        return FailsAt(self.path / folder, self.fatal, self.counter)

    def _write(self, key: str, data: bytes, exclusive: bool) -> bool:
        self._count()
        return super()._write(key, data, exclusive)

    def delete(self, key: str) -> None:
        if not key.endswith("lock.json"):  # a job that fails lets its lock go
            self._count()
        super().delete(key)

    def _count(self) -> None:
        self.counter[0] += 1
        if self.counter[0] == self.fatal + 1:
            raise StoreWriteError("the disk is full: no")


def everything(path: Path) -> list[str]:
    """All paths, folders included."""
    return sorted(found.relative_to(path).as_posix() for found in path.rglob("*"))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("made") / "s.zarr"
    MADE.run(path)
    return path


@pytest.fixture
def store(made, tmp_path) -> Path:
    return shutil.copytree(made, tmp_path / "s.zarr")


@pytest.fixture(scope="module")
def extended(made, tmp_path_factory) -> Path:
    path = shutil.copytree(made, tmp_path_factory.mktemp("extended") / "s.zarr")
    FAMILY.run(path)
    return path


def test_adding_a_family_and_taking_it_away_leaves_the_bytes_that_were_there(store, made):
    FAMILY.run(store)
    added = digest_of_folder(store)
    assert {key: added[key] for key in digest_of_folder(made)} == digest_of_folder(made)
    assert all(key.startswith("families/") for key in added.keys() - digest_of_folder(made).keys())
    MadeFamily("other").run(store)
    assert {key: digest_of_folder(store)[key] for key in added if key != INDEX} == {
        key: digest for key, digest in added.items() if key != INDEX
    }
    remove_family(LocalLocation(store), "other")
    assert digest_of_folder(store) == added
    remove_family(LocalLocation(store), "base")
    assert digest_of_folder(store) == digest_of_folder(made)
    assert everything(store) == everything(made)  # no empty folder either


def test_a_disk_that_is_full_at_any_write_of_an_extension_and_then_has_room_gives_the_same_bytes(
    made, extended, tmp_path
):
    counting = FailsAt(shutil.copytree(made, tmp_path / "counting"), 10**9)
    FAMILY.run(counting)
    assert counting.counter[0] > 12
    for fatal in range(counting.counter[0]):
        out = shutil.copytree(made, tmp_path / str(fatal))
        with pytest.raises(StoreWriteError, match="disk is full"):
            FAMILY.run(FailsAt(out, fatal))
        assert FeatureStore.open(out).families.keys() <= {"base"}
        FAMILY.run(out)
        assert digest_of_folder(out) == digest_of_folder(extended), f"full at write {fatal}"


def test_a_removal_that_fails_anywhere_hides_the_family_first_and_is_finished_by_the_same_call(
    made, extended, tmp_path
):
    counting = FailsAt(shutil.copytree(extended, tmp_path / "counting"), 10**9)
    remove_family(counting, "base")
    for fatal in range(counting.counter[0]):
        out = shutil.copytree(extended, tmp_path / str(fatal))
        with pytest.raises(StoreWriteError, match="disk is full"):
            remove_family(FailsAt(out, fatal), "base")
        hidden = "base" not in FeatureStore.open(out).families
        assert hidden or digest_of_folder(out) == digest_of_folder(extended)
        remove_family(LocalLocation(out), "base")
        assert everything(out) == everything(made), f"failed at {fatal}"


def test_a_removal_that_failed_can_also_be_undone_by_extending_again(extended, tmp_path):
    counting = FailsAt(shutil.copytree(extended, tmp_path / "counting"), 10**9)
    remove_family(counting, "base")
    for fatal in range(counting.counter[0]):
        out = shutil.copytree(extended, tmp_path / str(fatal))
        with pytest.raises(StoreWriteError, match="disk is full"):
            remove_family(FailsAt(out, fatal), "base")
        FAMILY.run(out)
        assert digest_of_folder(out) == digest_of_folder(extended), f"failed at {fatal}"


def test_two_families_are_written_at_the_same_time_and_both_are_there(store):
    jobs = [threading.Thread(target=MadeFamily(name, seed=seed).run, args=(store,)) for seed, name in enumerate("abcd")]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert list(FeatureStore.open(store).families) == ["a", "b", "c", "d"]
    assert verify(store, deep=True) == []


def test_one_job_a_family(store):
    with StoreLock(family_location(LocalLocation(store), "base")):
        with pytest.raises(StoreLockedError, match=rf"families/base is being written by process {os.getpid()}"):
            FAMILY.run(store)
        with pytest.raises(StoreLockedError, match=r"families/base is being written"):
            remove_family(LocalLocation(store), "base")
        MadeFamily("other").run(store)
        MADE.run(store)
    FAMILY.run(store)


def test_a_job_on_the_store_sweeps_no_unfinished_write_of_a_family(store):
    FAMILY.run(store, shards=1)
    unfinished = store / "families" / "base" / "radius" / "paper" / "c" / "1" / "0.123.partial"
    unfinished.parent.mkdir(parents=True)
    unfinished.write_bytes(b"half")
    sweep_unfinished(LocalLocation(store))
    assert unfinished.exists()
    FAMILY.run(store)
    assert not unfinished.exists()


def test_a_family_begun_with_another_configuration_is_refused_with_what_differs(store):
    FAMILY.run(store)
    with pytest.raises(InvalidValueError, match=r"seed: 8 here, 7 in the store.*choose another --name"):
        MadeFamily(seed=8).run(store)


@pytest.mark.parametrize("name", ["Base", "a b", "a/b", "../x", "", "a@b", "-a", "SHA256SUMS", "x" * 65])
def test_what_is_no_name_of_a_family_is_refused(store, name):
    with pytest.raises(InvalidValueError, match="is no name for new fields"):
        remove_family(LocalLocation(store), name)


def test_a_family_that_is_not_there_cannot_be_taken_away(store):
    with pytest.raises(InvalidValueError, match="has no family 'base'; it has none"):
        remove_family(LocalLocation(store), "base")
    MadeFamily("other").run(store)
    with pytest.raises(InvalidValueError, match="has no family 'base'; it has other"):
        remove_family(LocalLocation(store), "base")


DAMAGES = {
    "uadd": ("families/base/radius/paper/c/1/0", b"x", "redo"),
    "ledger": ("families/base/ledger/00000001.json", b"{}", "redo"),
    "plan": ("families/base/plan.json", b"{}", "replan"),
    "group": ("families/base/zarr.json", b"{}", "renew"),
    "sums": ("families/base/SHA256SUMS", None, "finish"),
    "statistics": ("families/base/statistics.json", b"{}", "finish"),
    "index": (INDEX, b"no digest", "publish"),
    "no index": (INDEX, None, "publish"),
    "partial": ("families/base/ledger/1.partial", b"", "delete"),
    "stray": ("families/base/ledger/stray", b"", "delete"),
    "partial index": ("families/SHA256SUMS.1.partial", b"", "delete"),
    "dead lock": ("families/base/lock.json", b"{}", "delete"),
    "dead lock of the index": ("families/lock.json", b"{}", "delete"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_wrong_with_a_family_is_found_and_repaired_and_the_store_stays_complete(
    made, extended, tmp_path, damage
):
    key, data, remedy = DAMAGES[damage]
    out = shutil.copytree(extended, tmp_path / "s.zarr")
    (out / key).unlink(missing_ok=True)
    if data is not None:
        (out / key).write_bytes(data)
    found = verify(out, deep=True)
    assert (key, remedy) in [(finding.key, finding.remedy) for finding in found]
    assert all(finding.key.startswith("families/") for finding in found)
    assert repair(out, found)
    assert FeatureStore.open(out).status == "complete"
    assert {k: d for k, d in digest_of_folder(out).items() if not k.startswith("families")} == digest_of_folder(made)
    FAMILY.run(out)
    assert digest_of_folder(out) == digest_of_folder(extended)
    assert verify(out, deep=True) == []


def test_verify_of_a_half_built_family_finds_nothing_wrong(store):
    FAMILY.run(store, shards=1)
    assert verify(store, deep=True) == []


def test_damage_to_the_store_is_repaired_without_a_byte_of_its_families(extended, tmp_path):
    out = shutil.copytree(extended, tmp_path / "s.zarr")
    (out / "keypoints/c/1/0/0").write_bytes(b"x")
    found = verify(out)
    repair(out, found)
    families = {k: d for k, d in digest_of_folder(out).items() if k.startswith("families")}
    assert families == {k: d for k, d in digest_of_folder(extended).items() if k.startswith("families")}
    MADE.run(out)
    assert digest_of_folder(out) == digest_of_folder(extended)


def test_what_is_no_family_is_named_and_left_alone(extended, tmp_path):
    out = shutil.copytree(extended, tmp_path / "s.zarr")
    (out / "families" / "Notes.txt").write_text("mine")
    (finding,) = verify(out)
    assert (finding.key, finding.remedy) == ("families/Notes.txt", "none")
    repair(out, [finding])
    assert (out / "families" / "Notes.txt").exists()


def test_a_family_of_another_store_is_found_and_left_to_its_owner(extended, tmp_path):
    MadeStore(seed=3, lengths=(23, 9), only=MADE.only).run(tmp_path / "other.zarr")
    shutil.copytree(extended / "families", tmp_path / "other.zarr" / "families")
    (finding,) = verify(tmp_path / "other.zarr")
    assert finding.remedy == "remove"
    remove_family(LocalLocation(tmp_path / "other.zarr"), "base")
    assert verify(tmp_path / "other.zarr") == []


def test_publishing_twice_writes_once(extended, tmp_path):
    out = shutil.copytree(extended, tmp_path / "s.zarr")
    before = (out / INDEX).stat().st_ino
    assert publish(LocalLocation(out)) == ["base"]
    assert (out / INDEX).stat().st_ino == before
