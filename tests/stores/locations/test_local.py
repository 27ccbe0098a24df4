"""stores/locations/local.py: a folder keeps the promises of a location, also when the disk fails."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from auglift.stores.errors import InvalidValueError, StoreReadError, StoreWriteError
from auglift.stores.locations.base import PARTIAL
from auglift.stores.locations.choose import locate
from auglift.stores.locations.local import LocalLocation

from .location_claims import LocationClaims

NOBODY = 65534


@contextmanager
def without_rights() -> Iterator[None]:
    """Root may write anywhere: be nobody for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Path]:
    """A folder that can be opened but not written to."""
    folder = tmp_path / "guarded"
    folder.mkdir()
    (folder / "closed").write_bytes(b"1")
    (folder / "closed").chmod(0o000)
    folder.chmod(0o555)
    opened = [parent for parent in folder.parents if parent.is_relative_to(tmp_path.parents[1])]
    modes = [parent.stat().st_mode for parent in opened]
    for parent in opened:
        parent.chmod(0o755)
    yield folder
    for parent, mode in zip(opened, modes, strict=True):
        parent.chmod(mode)
    folder.chmod(0o755)


class TestLocalLocation(LocationClaims):
    @pytest.fixture
    def location(self, tmp_path) -> LocalLocation:
        return LocalLocation(tmp_path / "new" / "store.zarr")


class TestWithoutHardLinks(LocationClaims):
    """exFAT and some network mounts."""

    @pytest.fixture
    def location(self, tmp_path, monkeypatch) -> LocalLocation:
        def refuse(*_):
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
        return LocalLocation(tmp_path / "store.zarr")


def test_nothing_unfinished_is_left_after_writing(tmp_path):
    location = LocalLocation(tmp_path)
    location.write("a/b", b"1")
    location.create("c", b"1")
    location.create("c", b"2")
    assert [key for key in location.listing() if PARTIAL in key] == []


def test_file_and_folder_are_synced_before_a_write_returns(tmp_path, monkeypatch):
    """After a power cut the key is there whole or not at all: content first, then name, then the folder's entry."""
    events = []
    real_sync, real_replace = os.fsync, Path.replace

    def sync(handle):
        events.append(("sync", Path(f"/proc/self/fd/{handle}").readlink().name.split(".")[0]))
        real_sync(handle)

    def replace(self, target):
        events.append(("rename", Path(target).name))
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", replace)
    LocalLocation(tmp_path / "store").write("ledger/record", b"1")
    top = tmp_path.name.split(".")[0]
    # Each new folder is made durable in the one above it.
    assert events == [("sync", top), ("sync", "store"), ("sync", "record"), ("rename", "record"), ("sync", "ledger")]


def test_a_failing_write_keeps_the_old_value_and_leaves_nothing(tmp_path, monkeypatch):
    location = LocalLocation(tmp_path)
    location.write("key", b"old")

    def fail(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreWriteError, match=r"disk is full.*free some space"):
        location.write("key", b"new")
    assert location.read("key") == b"old"
    assert location.listing() == ["key"]


def test_a_file_larger_than_allowed_is_an_error_of_ours(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StoreWriteError, match="File too large"):
            LocalLocation(tmp_path).write("key", bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert LocalLocation(tmp_path).listing() == []


def test_a_full_disk_is_named_with_what_to_do(tiny_disk):
    location = LocalLocation(tiny_disk)
    location.write("small", b"1")
    with pytest.raises(StoreWriteError, match=r"disk is full: 1000000 bytes .*run the same command again"):
        location.write("large", bytes(1_000_000))
    assert location.listing() == ["small"]


@pytest.fixture
def tiny_disk(tmp_path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_target_that_may_not_be_written_is_named(guarded):
    with without_rights():
        for key in ("key", "new/key"):
            for write in (LocalLocation(guarded).write, LocalLocation(guarded).create):
                with pytest.raises(StoreWriteError, match=r"guarded.* cannot be written .*choose another --out"):
                    write(key, b"1")
        with pytest.raises(StoreWriteError, match="closed"):
            LocalLocation(guarded).delete("closed")


def test_a_file_that_may_not_be_read_is_no_missing_file(guarded):
    with without_rights(), pytest.raises(StoreReadError, match="closed cannot be read: Permission denied"):
        LocalLocation(guarded).read("closed")


def test_a_folder_that_may_not_be_listed_is_no_empty_folder(guarded):
    guarded.chmod(0o000)
    with without_rights():
        for listing in (LocalLocation(guarded).listing, LocalLocation(guarded).top):
            with pytest.raises(StoreReadError, match="cannot be listed"):
                listing()


def test_a_target_below_a_file_is_named(tmp_path):
    (tmp_path / "video.mp4").write_bytes(b"1")
    with pytest.raises(StoreWriteError, match=r"video.mp4 is not a folder"):
        LocalLocation(tmp_path / "video.mp4").write("zarr.json", b"1")
    with pytest.raises(StoreWriteError):
        LocalLocation(tmp_path / "video.mp4" / "deeper").create("zarr.json", b"1")


@pytest.mark.parametrize("text", ["{}", "file://{}"])
def test_a_path_and_a_file_url_mean_the_same_folder(tmp_path, text):
    location = locate(text.format(tmp_path / "s"))
    location.write("a", b"1")
    assert (tmp_path / "s" / "a").read_bytes() == b"1"
    assert locate(location) is location


@pytest.mark.parametrize("url", ["ftp://host/store", "hdfs://x", "s4://bucket"])
def test_a_scheme_nobody_speaks_is_refused_with_those_we_do(url):
    with pytest.raises(InvalidValueError, match=r"s3://.*gs://.*https://"):
        locate(url)
