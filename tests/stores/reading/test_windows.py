"""windows.py: windows are what a slow and simple reader would cut, each exactly once, in a resumable order."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from auglift.stores.errors import AugliftError, CorruptStoreError, InvalidValueError, StoreIncompleteError
from auglift.stores.format.layout import array_key
from auglift.stores.reading.store import FeatureStore
from auglift.stores.reading.windows import WindowLoader
from tests.fakes.stores import MadeStore, ids, make_store

FIELDS = ("keypoints", "score", "uadd/paper", "source_frame", "target/pose3d")


@pytest.fixture(scope="module")
def whole(stores) -> list[dict[str, np.ndarray]]:
    """Every field of every store, as Zarr reads it."""
    return [{name: np.asarray(store.array(name)[:]) for name in (*FIELDS, "valid")} for store in stores]


def loader_in_blocks(*args, **options) -> WindowLoader:
    """A loader with a little less memory than all its frames need."""
    loader = WindowLoader(*args, **options)
    while not loader.plan.pool:
        # What a plan needs is exact: a byte less, and the next best one is made.
        loader = WindowLoader(*args, **options, memory=loader.plan.bytes - 1)
    return loader


MODES = pytest.mark.parametrize("make", [WindowLoader, loader_in_blocks])


def cut(values: np.ndarray, start: int, stop: int, centre: int, window: int, causal: bool) -> np.ndarray:
    """One window, as VideoPose3D cuts it: what there is of it in the sequence, padded with its edges."""
    first = centre - (window - 1 if causal else window // 2)
    last = first + window
    there = values[max(first, start) : min(last, stop)]
    widths = (max(start - first, 0), max(last - stop, 0))
    return np.pad(there, [widths, *[(0, 0)] * (values.ndim - 1)], mode="edge")


def copied(batches) -> list[dict[str, bytes]]:
    return [{name: values.tobytes() for name, values in batch.items()} for batch in batches]


@settings(deadline=None, max_examples=40, phases=(Phase.explicit, Phase.generate))
@given(
    window=st.integers(0, 175).map(lambda half: 2 * half + 1),
    stride=st.integers(1, 400),
    causal=st.booleans(),
    keep_invalid=st.booleans(),
    batch_size=st.integers(30, 700),
    blocks=st.booleans(),
    shuffle=st.booleans(),
    both=st.booleans(),
)
def test_every_window_is_what_a_simple_reader_cuts(
    stores, whole, window, stride, causal, keep_invalid, batch_size, blocks, shuffle, both
):
    make = loader_in_blocks if blocks else WindowLoader
    options: dict[str, Any] = {"causal": causal, "keep_invalid": keep_invalid, "shuffle": shuffle}
    used = stores if both else stores[:1]
    loader = make(used, FIELDS, window, stride, batch_size, **options)
    rows = [list(store.sequences) for store in used]
    seen = []
    for batch in loader:
        assert len(batch["frame"]) <= batch_size
        for index in range(0, len(batch["frame"]), 7):
            store, row, frame = (int(batch[name][index]) for name in ("store", "sequence", "frame"))
            sequence = rows[store][row]
            for name in (*FIELDS, "valid"):
                expected = cut(whole[store][name], sequence.start, sequence.stop, frame, window, causal)
                np.testing.assert_array_equal(batch[name][index], expected, err_msg=name)
            at = frame - (window - 1 if causal else window // 2) + np.arange(window)
            np.testing.assert_array_equal(batch["inside"][index], (at >= sequence.start) & (at < sequence.stop))
            assert batch["frame_size"][index].tolist() == [sequence.width, sequence.height]
            assert batch["fps"][index] == sequence.fps
        seen += ids([batch])
    expected = [
        (number, frame)
        for number, sequences in enumerate(rows)
        for sequence in sequences
        for frame in range(sequence.start, sequence.stop, stride)
        if keep_invalid or whole[number]["valid"][frame]
    ]
    assert sorted(seen) == expected
    assert len(seen) == loader.windows
    if not shuffle:
        assert seen == expected


@MODES
def test_a_batch_says_what_it_is_of(stores, make):
    loader = make(stores, FIELDS, 9, batch_size=64)
    batch = next(iter(loader))
    shapes = {name: (values.dtype.name, values.shape) for name, values in batch.items()}
    assert shapes == {
        "keypoints": ("float32", (64, 9, 17, 2)),
        "score": ("float32", (64, 9, 17)),
        "uadd/paper": ("float32", (64, 9, 17, 3)),
        "source_frame": ("int32", (64, 9)),
        "target/pose3d": ("float32", (64, 9, 17, 3)),
        "valid": ("bool", (64, 9)),
        "inside": ("bool", (64, 9)),
        "frame_size": ("float32", (64, 2)),
        "fps": ("float32", (64,)),
        "store": ("int32", (64,)),
        "sequence": ("int32", (64,)),
        "frame": ("int64", (64,)),
    }
    assert len(loader) == -(-loader.windows // 64) == sum(1 for _ in loader)


@MODES
def test_fields_wanted_at_the_centre_alone_are_the_middle_of_the_window(stores, make):
    whole_windows = make(stores, FIELDS, 27)
    centres = make(stores, FIELDS, 27, centre_fields=["target/pose3d", "score"])
    found = {}
    for batch in whole_windows:
        found |= {key: (batch["target/pose3d"][i, 13], batch["score"][i, 13]) for i, key in enumerate(ids([batch]))}
    for batch in centres:
        assert batch["target/pose3d"].shape[1:] == (1, 17, 3)
        assert batch["keypoints"].shape[1:] == (27, 17, 2)
        for index, key in enumerate(ids([batch])):
            np.testing.assert_array_equal(batch["target/pose3d"][index, 0], found[key][0])
            np.testing.assert_array_equal(batch["score"][index, 0], found[key][1])


@pytest.fixture(scope="module")
def wide(tmp_path_factory) -> FeatureStore:
    folder = tmp_path_factory.mktemp("wide")
    return make_store(folder / "w.zarr", lengths=(500, 80, 700), shard_frames=256, optional=("feature/depth",))


@pytest.mark.parametrize(
    ("window", "options"),
    [
        (1, {}),
        (1, {"shuffle": False}),
        (1, {"stride": 3, "drop_last": True}),
        (1, {"weights": [0.3]}),
        (1, {"weights": [1.5]}),
        (9, {"centre_fields": ["feature/depth"]}),
        (9, {}),
    ],
)
@pytest.mark.parametrize("by_hand", [True, False])
def test_learned_features_are_those_of_their_frames(wide, monkeypatch, window, options, by_hand):
    options = dict(options)
    if not by_hand:
        monkeypatch.setattr("auglift.stores.reading.shardfile.shard_format", lambda _: None)
    features, scores = wide.array("feature/depth")[:], wide.array("score")[:]
    fields = ["feature/depth", "score"]
    loader = loader_in_blocks(wide, fields, window, batch_size=40, **options)
    seen = []
    for batch in loader:
        seen += batch["frame"].tolist()
        middle = batch["feature/depth"].shape[1] // 2
        np.testing.assert_array_equal(batch["feature/depth"][:, middle], features[batch["frame"]])
        np.testing.assert_array_equal(batch["score"][:, window // 2], scores[batch["frame"]])
    memory = loader.plan.budget
    again = WindowLoader(wide, fields, window, batch_size=40, memory=memory, **options)
    again.load_state_dict({**again.state_dict(), "batch": 5})
    assert [frame for batch in again for frame in batch["frame"].tolist()] == seen[200:]
    options.pop("centre_fields", None)
    everything = WindowLoader(wide, ["valid"], window, batch_size=40, **options)
    assert sorted(seen) == sorted(frame for batch in everything for frame in batch["frame"].tolist()) or (
        options.get("drop_last")
    )


def test_a_flipped_bit_in_learned_features_is_an_error(tmp_path):
    store = make_store(tmp_path / "w.zarr", lengths=(900,), shard_frames=256, optional=("feature/depth",))
    path = tmp_path / "w.zarr" / array_key(store.fields["feature/depth"], 2)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptStoreError, match="'feature/depth'"):
        list(loader_in_blocks(store, ["feature/depth"], 1, batch_size=40))
    assert readers() == 0


@MODES
@pytest.mark.parametrize("drop_last", [False, True])
def test_ranks_are_disjoint_and_together_have_everything_once(stores, make, drop_last):
    parts = [
        list(make(stores, ["keypoints"], 9, batch_size=50, rank=rank, world_size=3, seed=5, drop_last=drop_last))
        for rank in range(3)
    ]
    together = [key for part in parts for key in ids(part)]
    every = ids(WindowLoader(stores, ["keypoints"], 9))
    assert len(set(together)) == len(together)
    if drop_last:
        assert len({len(part) for part in parts}) == 1
        assert {len(batch["frame"]) for part in parts for batch in part} == {50}
        assert len(every) - len(together) < 3 * 51
    else:
        assert sorted(together) == sorted(every)


@MODES
def test_the_order_depends_on_seed_epoch_rank_and_world_size_alone(stores, make):
    def order(epoch=0, batch_size=64, **options):
        loader = make(stores, ["score"], 9, batch_size=batch_size, **options)
        loader.set_epoch(epoch)
        return ids(loader)

    assert order() == order() == order(batch_size=64)
    others = [order(), order(seed=1), order(epoch=1), order(world_size=2), order(rank=1, world_size=2)]
    assert len({tuple(other) for other in others}) == len(others)


@MODES
@pytest.mark.parametrize("used", [0, 1, 7, 17])
def test_a_state_resumes_with_exactly_the_batches_that_remain(stores, make, used):
    options: dict[str, Any] = {"fields": FIELDS, "window": 27, "batch_size": 99, "seed": 3}
    loader = make(stores, **options)
    list(loader)  # the epoch before
    batches = iter(loader)
    for _ in range(used):
        next(batches)
    state = json.loads(json.dumps(loader.state_dict()))
    remaining = copied(batches)
    resumed = make(stores, **options)
    resumed.load_state_dict(state)
    assert (resumed.epoch, len(remaining)) == (1, len(resumed) - used)
    assert copied(resumed) == remaining
    assert copied(resumed) == copied(loader)  # and then the epoch after


def test_a_state_after_the_last_batch_leads_to_the_next_epoch(stores):
    loader = WindowLoader(stores, ["score"], 1)
    for _ in loader:
        state = loader.state_dict()
    resumed = WindowLoader(stores, ["score"], 1)
    resumed.load_state_dict(state)
    assert list(resumed) == []
    assert copied(resumed) == copied(loader)


def test_a_state_made_with_less_memory_keeps_its_order(stores):
    small = loader_in_blocks(stores, ["score"], 9, batch_size=100)
    batches = iter(small)
    next(batches)
    automatic = WindowLoader(stores, ["score"], 9, batch_size=100)
    automatic.load_state_dict(small.state_dict())
    assert copied(automatic) == copied(batches)
    with pytest.raises(InvalidValueError, match="pool: 0 here"):
        WindowLoader(stores, ["score"], 9, batch_size=100, memory=10**9).load_state_dict(small.state_dict())


@pytest.mark.parametrize(
    "change", [{"batch_size": 65}, {"seed": 1}, {"window": 9, "stride": 2}, {"world_size": 2}, {"keep_invalid": True}]
)
def test_a_state_of_other_batches_is_refused(stores, change):
    options: dict[str, Any] = {"window": 9, "batch_size": 64}
    state = WindowLoader(stores, ["score"], **options).state_dict()
    with pytest.raises(InvalidValueError, match="other batches"):
        WindowLoader(stores, ["score"], **{**options, **change}).load_state_dict(state)


def test_a_loop_left_early_begins_anew_and_a_whole_one_leads_to_the_next_epoch(stores):
    loader = WindowLoader(stores, ["score"], 1, batch_size=100)
    first = copied([next(iter(loader))])
    everything = copied(loader)
    assert everything[:1] == first
    assert loader.epoch == 1
    assert copied([next(iter(loader))]) != first
    loader.set_epoch(0)
    assert copied(loader) == everything


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"select": {"split": "test"}}, lambda s: s.split == "test"),
        (
            {"select": {"subject": ["S1", "S3"], "camera": "cam1"}},
            lambda s: s.id in ("S1/walk 0/cam1", "S3/walk 2/cam1"),
        ),
        ({"where": pc.field("length") > 400}, lambda s: s.length > 400),
        ({"select": {"subject": "S1"}, "where": pc.field("length") < 100}, lambda s: s.id == "S1/walk 0/cam2"),
    ],
)
@MODES
def test_windows_are_of_the_sequences_selected(stores, make, options, expected):
    if make is loader_in_blocks and "where" in options and "select" in options:
        pytest.skip("one sequence of 3 frames always fits")
    rows = {index for index, sequence in enumerate(stores[0].sequences) if expected(sequence)}
    found = {int(row) for batch in make(stores[0], ["score"], 3, **options) for row in batch["sequence"]}
    # The sequence of one frame may have no valid one.
    assert rows - {5} <= found <= rows


@MODES
def test_weights_say_how_often_an_epoch_goes_through_a_store(stores, make):
    counts = [len(ids(WindowLoader(store, ["score"], 3))) for store in stores]
    loader = make(stores, ["score"], 3, weights=[0.25, 2])
    epochs = [ids(loader) for _ in range(2)]
    for epoch in epochs:
        first = [key for key in epoch if key[0] == 0]
        second = [key for key in epoch if key[0] == 1]
        assert len(first) == len(set(first)) == round(counts[0] / 4)
        assert sorted(second) == sorted(2 * list(dict.fromkeys(second)))
        assert len(second) == 2 * counts[1]
    assert {key for key in epochs[0] if key[0] == 0} != {key for key in epochs[1] if key[0] == 0}


def test_a_store_still_being_written_gives_its_finished_shards(tmp_path):
    made = MadeStore(lengths=(100, 60, 90), shard_frames=32)
    made.run(tmp_path / "s.zarr", shards=4)  # frames 0 to 127 of 250
    with pytest.raises(StoreIncompleteError, match="allow_incomplete"):
        WindowLoader(tmp_path / "s.zarr", ["score"], 9)
    half_open = FeatureStore.open(tmp_path / "s.zarr", allow_incomplete=True)
    with pytest.raises(StoreIncompleteError, match="allow_incomplete"):
        WindowLoader(half_open, ["score"], 9)
    for memory in ("auto", "blocks"):
        options: dict[str, Any] = {"keep_invalid": True, "allow_incomplete": True}
        with pytest.warns(UserWarning, match=r"4 of the 8 shards|the 4 of 8 shards"):
            loader = WindowLoader(tmp_path / "s.zarr", ["score", "keypoints"], 9, **options)
        if memory == "blocks":
            with pytest.warns(UserWarning, match="still being written"):
                loader = loader_in_blocks(half_open, ["score", "keypoints"], 9, **options)
        batches = list(loader)
        assert sorted(frame for _, frame in ids(batches)) == list(range(124))  # 124 would need frame 128
        for batch in batches:
            for index, frame in enumerate(batch["frame"]):
                sequence = half_open.sequences[int(batch["sequence"][index])]
                values = np.concatenate([half_open.read("score", 0, 128), np.zeros((122, 17), np.float32)])
                expected = cut(values, sequence.start, sequence.stop, int(frame), 9, False)
                np.testing.assert_array_equal(batch["score"][index], expected)
    assert loader.table.finished == ((4, 8),)


def readers() -> int:
    return sum(thread.name.startswith(("read-ahead", "read-block")) for thread in threading.enumerate())


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


def test_every_error_is_one_line(stores):
    with pytest.raises(AugliftError) as error:
        WindowLoader(stores, ["nothing"], 3)
    assert "\n" not in str(error.value)
