"""windows.py: threads end with their loader, memory stays within its limit, and reading runs ahead."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import time
import tracemalloc

import numpy as np
import pytest

from auglift.stores.errors import CorruptStoreError, InvalidValueError
from auglift.stores.format.layout import array_key
from auglift.stores.reading.windows import WindowLoader
from tests.fakes.stores import make_store

from .window_reader import FIELDS, MODES, loader_in_blocks, readers


class TestThreads:
    @MODES
    def test_damage_found_on_the_way_is_raised_in_the_consumer(self, tmp_path, make):
        store = make_store(tmp_path / "s.zarr", lengths=(3000,), shard_frames=256)
        path = tmp_path / "s.zarr" / array_key(store.fields["keypoints"], 8)
        data = bytearray(path.read_bytes())
        data[100] ^= 1
        path.write_bytes(data)
        loader = make(store, ["keypoints"], 1, batch_size=64)
        with pytest.raises(CorruptStoreError, match="keypoints"):
            list(loader)
        assert readers() == 0

    @MODES
    def test_leaving_early_leaves_no_thread(self, stores, make):
        loader = make(stores, FIELDS, 27, batch_size=16)
        for _ in loader:
            break
        gc.collect()
        assert readers() == 0

    def test_a_consumer_that_fails_leaves_no_thread(self, stores):
        def consume():
            for _ in loader_in_blocks(stores, FIELDS, 27, batch_size=16):
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            consume()
        gc.collect()
        assert readers() == 0

    def test_a_process_that_stops_in_the_middle_exits_at_once(self, stores):
        memory = loader_in_blocks(stores[0], FIELDS, 27, batch_size=16).plan.budget
        code = f"""
            from auglift.stores.reading.windows import WindowLoader
            loader = WindowLoader({stores[0].url!r}, {FIELDS!r}, 27, batch_size=16, memory={memory})
            batches = iter(loader)
            print(next(batches)["keypoints"].shape)
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=True
        )
        assert done.stdout == "(16, 27, 17, 2)\n"
        assert done.stderr == ""


class TestMemory:
    @MODES
    def test_batches_that_are_kept_are_not_written_over(self, stores, make):
        loader = make(stores, FIELDS, 9, batch_size=100)
        kept = list(loader)
        loader.set_epoch(0)
        for batch, again in zip(kept, loader, strict=True):
            for name, values in batch.items():
                np.testing.assert_array_equal(values, again[name])

    def test_a_single_field_keeps_its_memory(self, stores):
        loader = WindowLoader(stores, ["keypoints", "score"], 27, batch_size=64)
        kept, copies = [], []
        for batch in loader:
            kept.append(batch["score"])
            copies.append(batch["score"].copy())
            del batch
        for values, copy in zip(kept, copies, strict=True):
            np.testing.assert_array_equal(values, copy)

    def test_memory_of_batches_that_are_gone_is_used_again(self, stores):
        loader = WindowLoader(stores, ["keypoints"], 81, batch_size=256)
        places = {batch["keypoints"].__array_interface__["data"][0] for batch in loader}
        assert len(loader) > 10
        assert len(places) <= 6

    @pytest.mark.parametrize("window", [1, 27, 81])
    @pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 1.0])
    def test_what_is_allocated_stays_within_the_plan(self, stores, window, share):
        most = WindowLoader(stores, FIELDS, window, batch_size=32).plan.bytes
        with pytest.raises(InvalidValueError, match="too small") as refused:
            WindowLoader(stores, FIELDS, window, batch_size=32, memory=1)
        least = float(str(refused.value).split("at least ")[1].split(" MB")[0]) * 1e6 + 100_000
        loader = WindowLoader(stores, FIELDS, window, batch_size=32, memory=int(least + share * (most - least)))
        assert loader.plan.bytes <= loader.plan.budget
        tracemalloc.start()
        try:
            for _ in loader:
                pass
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak <= loader.plan.bytes


def test_reading_goes_on_while_the_consumer_works(stores):
    loader = loader_in_blocks(stores, FIELDS, 9, batch_size=64)
    batches = iter(loader)
    next(batches)
    time.sleep(0.2)
    assert readers() > 0
    before = time.process_time()
    next(batches)
    assert time.process_time() - before < 0.2
    batches.close()  # type: ignore[attr-defined]
