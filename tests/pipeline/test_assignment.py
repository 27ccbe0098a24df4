"""pipeline/assignment.py: whatever fails or dies, every shard has one owner at a time and ends once."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from auglift.pipeline.assignment import IN_FLIGHT, Assignment


@given(
    st.integers(0, 30), st.integers(1, 5), st.lists(st.sampled_from(["done", "failed", "lost"]), max_size=60), st.data()
)
def test_every_shard_ends_once_and_has_one_owner_at_a_time(shards, workers, fates, data):
    assignment = Assignment(range(shards), attempts=3)
    alive = list(range(workers))
    ended: Counter[int] = Counter()
    failures: Counter[int] = Counter()
    hands: dict[int, list[int]] = {worker: [] for worker in alive}
    fates = iter(fates)
    while assignment.unfinished:
        for worker in alive:
            while (shard := assignment.next_for(worker, len(alive))) is not None:
                assert all(shard not in held for held in hands.values())
                hands[worker].append(shard)
        busy = [worker for worker in alive if hands[worker]]
        assert busy, "shards wait and nobody has one"
        assert all(len(held) <= IN_FLIGHT for held in hands.values())
        worker = data.draw(st.sampled_from(busy))
        assert assignment.running(worker) == hands[worker][0]
        shard = hands[worker].pop(0)
        match next(fates, "done"):
            case "done":
                assignment.done(worker, shard)
                ended[shard] += 1
            case fate:
                failures[shard] += 1
                given_up = assignment.failed(worker, shard)
                assert (given_up == 3) if failures[shard] == 3 else given_up is None
                ended[shard] += given_up is not None
                if fate == "lost":
                    assignment.lost(worker)
                    alive.remove(worker)
                    del hands[worker]
                    alive.append(max([worker, *alive]) + workers)
                    hands[alive[-1]] = []
    assert ended == Counter(range(shards))


def test_a_shard_that_failed_goes_to_another_worker():
    assignment = Assignment([0, 1, 2, 3, 4, 5], attempts=3)
    assert assignment.next_for(7, 2) == 0
    assignment.failed(7, 0)
    assert assignment.next_for(7, 2) == 1
    assert assignment.next_for(8, 2) == 0


def test_a_shard_that_failed_is_tried_again_by_the_only_worker_there_is():
    assignment = Assignment([0], attempts=3)
    assignment.next_for(7, 1)
    assignment.failed(7, 0)
    assert assignment.next_for(7, 1) == 0


def test_the_last_shards_do_not_wait_behind_a_busy_worker():
    assignment = Assignment(range(4), attempts=3)
    assert [assignment.next_for(0, 3), assignment.next_for(0, 3)] == [0, None]
    assert [assignment.next_for(1, 3), assignment.next_for(2, 3)] == [1, 2]
    assignment.done(1, 1)
    assert assignment.next_for(1, 3) == 3


def test_what_a_lost_worker_had_not_begun_costs_no_attempt():
    assignment = Assignment(range(9), attempts=1)
    assert [assignment.next_for(0, 1), assignment.next_for(0, 1)] == [0, 1]
    assignment.failed(0, 0)  # what it was at
    assignment.lost(0)
    assert assignment.next_for(5, 1) == 1
    assert assignment.failures == {0: 1}
