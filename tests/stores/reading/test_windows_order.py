"""windows.py: which windows an epoch has, in which order, and how it goes on from a state."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from auglift.stores.errors import InvalidValueError, StoreIncompleteError
from auglift.stores.reading.store import FeatureStore
from auglift.stores.reading.windows import WindowLoader
from tests.fakes.stores import MadeStore, ids

from .window_reader import FIELDS, MODES, copied, cut, loader_in_blocks


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
