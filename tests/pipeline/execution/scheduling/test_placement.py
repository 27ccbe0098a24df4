"""pipeline/execution/scheduling/placement.py: where workers start, and where they do not start any more."""

from __future__ import annotations

from auglift.pipeline.execution.scheduling.placement import (
    DEATHS_WITHOUT_DELAY,
    MAX_DEATHS,
    REFRESH_SECONDS,
    Place,
    Placement,
)

A0, A1, B0 = Place("a", "alpha", 0), Place("a", "alpha", 1), Place("b", "beta", 0)


def test_one_worker_of_each_node_loads_first():
    placement = Placement(lambda: [A0, B0, A1], nodes=60)
    assert placement.startable([], now=0) == [A0, B0]
    assert placement.startable([A0, B0], now=1) == []
    placement.loaded(A0)
    assert placement.startable([A0, B0], now=2) == [A1]


def test_a_place_where_workers_keep_dying_waits_longer_and_is_then_given_up():
    placement = Placement(lambda: [A0], nodes=60)
    now, waits = 0.0, []
    for _ in range(MAX_DEATHS):
        placement.died(A0, now)
        begin = now
        while not placement.startable([], now) and not placement.exhausted([], now):
            now += 1
        waits.append(now - begin)
    assert waits[:DEATHS_WITHOUT_DELAY] == [0] * DEATHS_WITHOUT_DELAY
    assert waits[DEATHS_WITHOUT_DELAY:-1] == sorted(waits[DEATHS_WITHOUT_DELAY:-1])
    assert waits[DEATHS_WITHOUT_DELAY] > 0
    assert placement.exhausted([], now)


def test_a_death_after_a_finished_shard_does_not_count_against_the_place():
    placement = Placement(lambda: [A0], nodes=60)
    for now in range(20):
        placement.finished(A0)
        placement.died(A0, now)
        assert placement.startable([], now) == [A0]


def test_a_node_that_cannot_do_the_job_is_excluded_with_all_its_places():
    placement = Placement(lambda: [A0, B0, A1], nodes=60)
    placement.loaded(A1)
    assert placement.exclude(A0, "no data")
    assert not placement.exclude(A1, "no data")
    assert placement.startable([], now=0) == [B0]
    assert placement.excluded == {"a": "no data (alpha)"}


def test_the_job_waits_a_while_for_lost_nodes_to_come_back():
    places = [A0]
    placement = Placement(lambda: places, nodes=60)
    assert placement.startable([], now=0) == [A0]
    places.clear()
    placement.died(A0, now=1)
    assert placement.startable([], now=1) == []
    assert not placement.exhausted([], now=1)
    assert not placement.exhausted([], now=60)
    assert placement.exhausted([], now=61)
    places.append(Place("a2", "alpha", 0))
    assert placement.startable([], now=61 + REFRESH_SECONDS) == places
    assert not placement.exhausted(places, now=100)
    assert not placement.exhausted([], now=101)
