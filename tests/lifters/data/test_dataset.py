"""dataset.py: an epoch that was stopped goes on with any number of workers, every window as often as drawn."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from auglift.lifters.data import dataset as module
from auglift.lifters.data.dataset import WindowDataset
from auglift.stores.errors import InvalidValueError
from auglift.stores.reading.store import FeatureStore
from auglift.stores.reading.windows import WindowLoader
from tests.fakes.stores import make_store

FIELDS = ["score", "keypoints"]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[FeatureStore]:
    folder = tmp_path_factory.mktemp("dataset")
    return [
        make_store(folder / "a.zarr", lengths=(500, 3, 291), shard_frames=64),
        make_store(folder / "b.zarr", lengths=(180,), shard_frames=64, seed=1),
    ]


@pytest.fixture(scope="module")
def blocks(stores) -> int:
    """Bytes with which one worker of these windows reads in blocks."""
    loader = WindowLoader(stores, FIELDS, 3, batch_size=20)
    while not loader.plan.pool:
        loader = WindowLoader(stores, FIELDS, 3, batch_size=20, memory=loader.plan.bytes - 1)
    return loader.plan.budget


def in_turn(dataset: WindowDataset, workers: int) -> Iterator[dict[str, Any]]:
    """What a DataLoader gives: a batch of each worker in turn, those that have none any more left out."""
    if not workers:
        yield from dataset
        return
    # A worker's dataset is a copy; memory that was shared is shared.
    parts = []
    for number in range(workers):
        mine = copy.copy(dataset)
        mine._loader = None
        parts.append((SimpleNamespace(num_workers=workers, id=number), iter(mine)))
    while parts:
        for part in list(parts):
            info, batches = part
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(module, "get_worker_info", lambda info=info: info)
                batch = next(batches, None)
            if batch is None:
                parts.remove(part)
            else:
                yield batch


def windows(batches) -> list[list[tuple[int, int]]]:
    return [list(zip(b["store"].tolist(), b["frame"].tolist(), strict=True)) for b in batches]


def flat(batches: list[list[tuple[int, int]]]) -> Counter[tuple[int, int]]:
    return Counter(window for batch in batches for window in batch)


def take(batches: Iterator[dict[str, Any]], count: int) -> list[list[tuple[int, int]]]:
    return windows(batch for _, batch in zip(range(count), batches, strict=False))


@settings(max_examples=30)
@given(
    stages=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 25)), min_size=1, max_size=3),
    last=st.integers(0, 4),
    in_blocks=st.booleans(),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
    weights=st.sampled_from([None, [0.4, 2.5]]),
    rank=st.integers(0, 1),
    world_size=st.integers(1, 2),
)
def test_an_epoch_goes_on_exactly_with_any_numbers_of_workers_one_after_another(
    stores, blocks, stages, last, in_blocks, shuffle, drop_last, weights, rank, world_size
):
    """stages: how many workers, and how many batches of theirs were used."""
    options: dict[str, Any] = {"batch_size": 20, "shuffle": shuffle, "drop_last": drop_last, "weights": weights}
    options |= {"rank": min(rank, world_size - 1), "world_size": world_size, "seed": 5}
    if in_blocks:
        options["memory"] = blocks * 4  # of which each of up to four workers has a part

    def made(epoch: int = 2) -> WindowDataset:
        dataset = WindowDataset(stores, FIELDS, window=3, **options)
        dataset.stores = stores  # open already: a worker of these tests is in this process
        dataset.set_epoch(epoch)
        return dataset

    used, state = [], made().state_dict(0)
    began = [*[workers for workers, count in stages if count], last][0]
    for workers, count in stages:
        dataset = made()
        dataset.load_state_dict(json.loads(json.dumps(state)))
        used += take(in_turn(dataset, workers), count)
        state = dataset.state_dict(len(used))
    dataset = made()
    dataset.load_state_dict(json.loads(json.dumps(state)))
    assert dataset.state_dict(len(used)) == state
    rest = windows(in_turn(dataset, last))
    undisturbed = windows(in_turn(made(), began))
    assert flat(used) + flat(rest) == flat(undisturbed)
    if drop_last:
        assert {len(batch) for batch in used + rest} == {20}
    if {max(1, workers) for workers, count in stages if count} <= {max(1, last)}:
        assert used + rest == undisturbed  # the very batches, in their order
    dataset.set_epoch(3)
    assert take(in_turn(dataset, 2), 3) == take(in_turn(made(3), 2), 3)


def test_ranks_are_disjoint_after_they_went_on_with_other_numbers_of_workers(stores):
    seen: Counter[tuple[int, int]] = Counter()
    for rank in range(2):
        options: dict[str, Any] = {"window": 3, "batch_size": 20, "rank": rank, "world_size": 2}
        first = WindowDataset(stores, FIELDS, **options)
        seen += flat(take(in_turn(first, 3), 8))
        second = WindowDataset(stores, FIELDS, **options)
        second.load_state_dict(first.state_dict(8))
        seen += flat(windows(in_turn(second, 2)))
    assert seen == flat(windows(WindowLoader(stores, ["score"], 3)))


def test_worker_processes_give_what_was_not_used_and_this_process_learns_how_many_they_are(stores):
    """With a real DataLoader, whose order of batches the tests above take for granted."""
    options: dict[str, Any] = {"window": 3, "batch_size": 20, "seed": 1}

    def loader(dataset: WindowDataset, workers: int) -> DataLoader:
        context = "fork" if workers else None
        return DataLoader(dataset, batch_size=None, num_workers=workers, multiprocessing_context=context)

    first = WindowDataset(stores, FIELDS, **options)
    assert windows(loader(first, 2)) == windows(in_turn(WindowDataset(stores, FIELDS, **options), 2))
    used = take(iter(loader(first, 2)), 11)
    state = first.state_dict(11)
    assert state["readings"][0]["workers"] == 2
    second = WindowDataset(stores, FIELDS, **options)
    second.load_state_dict(state)
    rest = windows(loader(second, 1))
    assert flat(used) + flat(rest) == flat(windows(WindowLoader(stores, ["score"], 3)))


def test_workers_that_are_forked_after_this_process_read_give_every_window_once(stores):
    dataset = WindowDataset(stores, FIELDS, window=3, batch_size=20)
    list(dataset)
    dataset.set_epoch(1)
    found = windows(DataLoader(dataset, batch_size=None, num_workers=2, multiprocessing_context="fork"))
    assert flat(found) == flat(windows(WindowLoader(stores, ["score"], 3)))


def test_on_a_machine_with_other_memory_as_many_workers_go_on_with_the_same_batches(stores, blocks, monkeypatch):
    monkeypatch.setattr(module, "automatic_budget", lambda: 2 * blocks)
    first = WindowDataset(stores, FIELDS, window=3, batch_size=20)
    undisturbed = windows(in_turn(first, 2))
    take(in_turn(first, 2), 5)
    state = first.state_dict(5)
    assert state["readings"][0]["pool"]
    monkeypatch.setattr(module, "automatic_budget", lambda: 10**9)
    second = WindowDataset(stores, FIELDS, window=3, batch_size=20)
    second.load_state_dict(state)
    assert windows(in_turn(second, 2)) == undisturbed[5:]


@pytest.mark.parametrize(
    "change", [{"batch_size": 21}, {"seed": 1}, {"stride": 2}, {"world_size": 2}, {"weights": [1, 2]}]
)
def test_a_state_of_other_batches_is_refused_and_what_differs_is_named(stores, change):
    options: dict[str, Any] = {"window": 3, "batch_size": 20}
    first = WindowDataset(stores, FIELDS, **options)
    take(in_turn(first, 2), 3)
    other = WindowDataset(stores, FIELDS, **{**options, **change})
    key = "windows" if "stride" in change else next(iter(change))
    with pytest.raises(InvalidValueError, match=rf"other batches \(.*{key}"):
        other.load_state_dict(first.state_dict(3))


def test_a_state_that_does_not_say_who_read_is_refused(stores):
    dataset = WindowDataset(stores, FIELDS, window=3)
    dataset.load_state_dict({"epoch": 4, "batch": 0})
    assert dataset.state_dict(0)["epoch"] == 4
    with pytest.raises(InvalidValueError, match="how many workers"):
        dataset.load_state_dict({"epoch": 4, "batch": 1})


def test_counts_that_cannot_be_are_refused(stores):
    dataset = WindowDataset(stores, FIELDS, window=3, batch_size=20)
    take(in_turn(dataset, 2), 3)
    state = dataset.state_dict(3)
    dataset.load_state_dict(state)
    with pytest.raises(InvalidValueError, match="3 of this epoch had been used before"):
        dataset.state_dict(2)
    state = json.loads(json.dumps(state).replace('"until": 3', '"until": 999')) | {"batch": 999}
    for workers in (2, 3):
        dataset.load_state_dict(state)
        with pytest.raises(InvalidValueError, match="999 batches of epoch 0 were used, it has"):
            list(in_turn(dataset, workers))
