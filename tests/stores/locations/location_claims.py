"""What every location must do, whatever is behind it: a test class that each backend's tests inherit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr
import zarr.storage

from auglift.stores.errors import MissingFileError
from auglift.stores.locations.base import Location


class LocationClaims:
    """Inherit, and give a fixture `location`: a writable place with nothing in it."""

    def test_what_is_written_is_read(self, location: Location):
        for data in (b"", b"x", bytes(range(256)) * 1000):
            location.write("a/b/c", data)
            assert location.read("a/b/c") == data
            assert location.size("a/b/c") == len(data)

    def test_what_is_not_there_is_missing(self, location: Location):
        assert location.size("a/b") is None
        assert not location.exists("a/b")
        assert location.listing() == []
        assert location.top() == []
        with pytest.raises(MissingFileError, match="a/b"):
            location.read("a/b")

    def test_a_folder_is_no_key(self, location: Location):
        location.write("a/b", b"1")
        assert not location.exists("a")
        with pytest.raises(MissingFileError):
            location.read("a")
        with pytest.raises(MissingFileError):
            location.read("a/b/c")
        assert location.size("a/b/c") is None

    def test_create_writes_once(self, location: Location):
        assert location.create("lock", b"first")
        assert not location.create("lock", b"second")
        assert location.read("lock") == b"first"

    def test_of_many_creators_one_wins(self, location: Location):
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda n: location.create("lock", str(n).encode()), range(24)))
        assert sum(won) == 1
        assert location.read("lock") == str(won.index(True)).encode()
        assert location.listing() == ["lock"]

    def test_listing_is_sorted_whole_and_below_a_folder_only(self, location: Location):
        keys = ["b", "a/2", "a/1", "a/c/3", "ab/4"]
        for key in keys:
            location.write(key, b"1")
        assert location.listing() == sorted(keys)
        assert location.listing("a/") == ["a/1", "a/2", "a/c/3"]
        assert location.listing("nothing/") == []
        assert location.top() == ["a", "ab", "b"]

    def test_delete_is_final_and_may_be_repeated(self, location: Location):
        location.write("a/b", b"1")
        location.delete("a/b")
        location.delete("a/b")
        assert not location.exists("a/b")
        assert location.listing() == []

    def test_a_reader_beside_a_writer_sees_whole_values_only(self, location: Location):
        values = [bytes([n]) * (20_000 + n) for n in range(8)]
        location.write("key", values[0])
        with ThreadPoolExecutor(2) as pool:
            writing = pool.submit(lambda: [location.write("key", values[n % 8]) for n in range(40)])
            seen = set()
            while not writing.done():
                seen.add(location.read("key"))
            writing.result()
        assert seen <= set(values)

    def test_zarr_sees_the_same_place(self, location: Location):
        memory: dict = {}
        array = zarr.create_array(zarr.storage.MemoryStore(memory), shape=(5,), dtype="int32")
        array[:] = np.arange(5)
        for key, value in memory.items():
            location.write(f"x/{key}", value.to_bytes())
        read = zarr.open_array(location.zarr_store(), path="x", mode="r")
        assert read[:].tolist() == [0, 1, 2, 3, 4]  # type: ignore[union-attr]
        assert location.zarr_store().read_only
