"""shard_queue.py: whatever fails or dies, every shard is with one worker at a time and ends once."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from auglift.pipeline.execution.scheduling.shard_queue import MAX_IN_FLIGHT, ShardQueue


@given(
    st.integers(0, 30), st.integers(1, 5), st.lists(st.sampled_from(["done", "failed", "lost"]), max_size=60), st.data()
)
def test_every_shard_ends_once_and_is_with_one_worker_at_a_time(shards, workers, fates, data):
    queue = ShardQueue(range(shards), attempts=3)
    alive = list(range(workers))
    ended: Counter[int] = Counter()
    failures: Counter[int] = Counter()
    held: dict[int, list[int]] = {worker: [] for worker in alive}
    fates = iter(fates)
    while queue.unfinished:
        for worker in alive:
            while (shard := queue.next_for(worker, len(alive))) is not None:
                assert all(shard not in given for given in held.values())
                held[worker].append(shard)
        busy = [worker for worker in alive if held[worker]]
        assert busy, "shards wait and no worker has one"
        assert all(len(given) <= MAX_IN_FLIGHT for given in held.values())
        worker = data.draw(st.sampled_from(busy))
        assert queue.running(worker) == held[worker][0]
        shard = held[worker].pop(0)
        match next(fates, "done"):
            case "done":
                queue.done(worker, shard)
                ended[shard] += 1
            case fate:
                failures[shard] += 1
                given_up = queue.failed(worker, shard)
                assert (given_up == 3) if failures[shard] == 3 else given_up is None
                ended[shard] += given_up is not None
                if fate == "lost":
                    queue.lost(worker)
                    alive.remove(worker)
                    del held[worker]
                    alive.append(max([worker, *alive]) + workers)
                    held[alive[-1]] = []
    assert ended == Counter(range(shards))


def test_a_shard_that_failed_goes_to_another_worker():
    queue = ShardQueue([0, 1, 2, 3, 4, 5], attempts=3)
    assert queue.next_for(7, 2) == 0
    queue.failed(7, 0)
    assert queue.next_for(7, 2) == 1
    assert queue.next_for(8, 2) == 0


def test_a_shard_that_failed_is_tried_again_by_the_only_worker_there_is():
    queue = ShardQueue([0], attempts=3)
    queue.next_for(7, 1)
    queue.failed(7, 0)
    assert queue.next_for(7, 1) == 0


def test_the_last_shards_do_not_wait_behind_a_busy_worker():
    queue = ShardQueue(range(4), attempts=3)
    assert [queue.next_for(0, 3), queue.next_for(0, 3)] == [0, None]
    assert [queue.next_for(1, 3), queue.next_for(2, 3)] == [1, 2]
    queue.done(1, 1)
    assert queue.next_for(1, 3) == 3


def test_a_shard_that_a_lost_worker_had_not_begun_costs_no_attempt():
    queue = ShardQueue(range(9), attempts=1)
    assert [queue.next_for(0, 1), queue.next_for(0, 1)] == [0, 1]
    queue.failed(0, 0)  # the shard that it was doing
    queue.lost(0)
    assert queue.next_for(5, 1) == 1
    assert queue.failures == {0: 1}
