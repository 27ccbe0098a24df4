"""stores/reading/order.py: the order of an epoch is a pure function, for all arguments."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auglift.stores.reading.order import (
    Order,
    draw,
    permutation,
    random_keys,
    sequential_order,
    share,
    shuffled_order,
)

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def splitmix64(z: int) -> int:
    """The published finaliser, in Python's integers."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def keys_by_hand(count: int, *seed: int) -> list[int]:
    state = 0
    for part in seed:
        state = splitmix64(((state ^ part) * GOLDEN + GOLDEN) & MASK)
    return [splitmix64((state + n * GOLDEN) & MASK) for n in range(1, count + 1)]


@given(st.integers(0, 200), st.lists(st.integers(0, 2**40), max_size=3))
def test_keys_are_splitmix64_and_so_the_same_everywhere(count, seed):
    assert random_keys(count, *seed).tolist() == keys_by_hand(count, *seed)


def test_the_order_of_a_published_seed_never_changes():
    bits = 3
    expected = sorted(range(8), key=lambda i: (keys_by_hand(8, 7, 1)[i] >> bits, i))
    assert permutation(8, 7, 1).tolist() == expected == [3, 2, 4, 5, 1, 6, 0, 7]


@given(st.integers(0, 3000), st.integers(0, 2**63))
def test_a_permutation_has_every_number_once(count, seed):
    assert np.array_equal(np.sort(permutation(count, seed)), np.arange(count))


def test_every_number_is_as_likely_at_every_place():
    count, trials = 8, 8000
    seen = np.zeros((count, count))
    for seed in range(trials):
        seen[np.arange(count), permutation(count, seed)] += 1
    # Chi-square of a row: 7 degrees of freedom, 99.99 % below 30.
    chi = ((seen - trials / count) ** 2 / (trials / count)).sum(axis=1)
    assert chi.max() < 30


@given(st.integers(0, 1000), st.integers(1, 40))
def test_shares_are_equal_disjoint_and_complete_longer_ones_first(count, world):
    parts = [share(count, rank, world) for rank in range(world)]
    sizes = [last - first for first, last in parts]
    assert [parts[0][0], *(last for _, last in parts)] == [first for first, _ in parts] + [count]
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)


@st.composite
def epochs(draw_from):
    """Blocks of random lengths, none empty, and any arguments of an epoch."""
    lengths = draw_from(st.lists(st.integers(1, 40), min_size=1, max_size=20))
    of = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    world = draw_from(st.integers(1, 5))
    return of, draw_from(st.integers(1, 8)), world, draw_from(st.integers(0, 2**50)), draw_from(st.integers(0, 99))


def ranks(of, pool, world, seed, epoch) -> list[Order]:
    return [shuffled_order(np.arange(len(of)), of, pool, seed, epoch, rank, world) for rank in range(world)]


@given(epochs())
def test_ranks_are_disjoint_and_together_have_everything_once(case):
    of, *_ = case
    found = np.concatenate([order.windows for order in ranks(*case)])
    assert np.array_equal(np.sort(found), np.arange(len(of)))


@given(epochs())
def test_a_step_draws_only_from_the_blocks_in_the_pool(case):
    of, pool, *_ = case
    for order in ranks(*case):
        assert order.pool <= pool
        assert order.steps[0] == 0
        assert order.steps[-1] == len(order.windows)
        assert len(set(order.blocks.tolist())) == len(order.blocks)
        for step, (first, last) in enumerate(zip(order.steps[:-1], order.steps[1:], strict=True)):
            there = order.blocks[step : step + order.pool]
            assert set(of[order.windows[first:last]].tolist()) <= set(there.tolist())
        if len(order.windows):
            assert len(order.steps) - 1 == len(order.blocks) - order.pool + 1


@given(epochs(), st.booleans())
def test_the_same_arguments_give_the_same_order(case, blocks):
    of, pool, world, seed, epoch = case
    block = of if blocks else None
    one, two = (shuffled_order(np.arange(len(of)), block, pool, seed, epoch, 0, world) for _ in range(2))
    assert np.array_equal(one.windows, two.windows)
    assert np.array_equal(one.blocks, two.blocks)


@pytest.mark.parametrize("block", [None, np.repeat(np.arange(20), 50)])
def test_seeds_epochs_and_ranks_have_orders_of_their_own(block):
    def windows(seed, epoch):
        return tuple(shuffled_order(np.arange(1000), block, 4, seed, epoch).windows.tolist())

    assert len({windows(seed, epoch) for seed in range(5) for epoch in range(5)}) == 25


@given(epochs())
def test_sequential_order_is_ascending_a_block_at_a_time(case):
    of, _, world, *_ = case
    orders = [sequential_order(np.arange(len(of)), of, rank, world) for rank in range(world)]
    assert np.concatenate([order.windows for order in orders]).tolist() == list(range(len(of)))
    for order in orders:
        for step, (first, last) in enumerate(zip(order.steps[:-1], order.steps[1:], strict=True)):
            if len(order.blocks):
                assert set(of[order.windows[first:last]].tolist()) == {int(order.blocks[step])}


def test_neighbours_are_almost_as_far_apart_as_in_a_perfect_shuffle():
    of = np.repeat(np.arange(64), 500)
    distance = np.abs(np.diff(shuffled_order(np.arange(len(of)), of, 16, 3, 0).windows)).mean()
    assert distance > 0.9 * len(of) / 3


def test_every_step_is_a_mix_of_its_pool():
    of = np.repeat(np.arange(64), 500)
    order = shuffled_order(np.arange(len(of)), of, 16, 3, 0)
    for first, last in zip(order.steps[:-1], order.steps[1:], strict=True):
        blocks, counts = np.unique(of[order.windows[first:last]], return_counts=True)
        assert len(blocks) == 16
        assert counts.max() < 0.25 * counts.sum()


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(1, 200), st.floats(0.01, 3.5)), min_size=1, max_size=4),
    st.integers(0, 1000),
    st.integers(0, 5),
)
def test_a_weight_is_how_often_an_epoch_goes_through_a_group(groups, seed, epoch):
    counts, weights = zip(*groups, strict=True)
    windows = draw(counts, weights, seed, epoch)
    times = np.bincount(windows, minlength=sum(counts))
    assert np.array_equal(windows, np.sort(windows))
    first = 0
    for count, weight in groups:
        mine = times[first : first + count]
        assert set(mine.tolist()) <= {int(weight), int(weight) + 1}
        assert abs(mine.sum() - weight * count) <= 0.5
        first += count


def test_another_part_of_a_group_is_drawn_each_epoch():
    parts = {tuple(draw([1000], [0.1], 0, epoch).tolist()) for epoch in range(5)}
    assert len(parts) == 5
