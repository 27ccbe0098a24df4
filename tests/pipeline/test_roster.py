"""pipeline/roster.py: where workers are hired, and where no more."""

from __future__ import annotations

from auglift.pipeline.roster import FREE_STRIKES, PLACES_SECONDS, STRIKES, Place, Roster

A0, A1, B0 = Place("a", "alpha", 0), Place("a", "alpha", 1), Place("b", "beta", 0)


def test_of_each_node_one_worker_loads_first():
    roster = Roster(lambda: [A0, B0, A1], nodes=60)
    assert roster.hire([], now=0) == [A0, B0]
    assert roster.hire([A0, B0], now=1) == []
    roster.loaded(A0)
    assert roster.hire([A0, B0], now=2) == [A1]


def test_a_place_where_workers_keep_dying_waits_longer_and_is_then_left_alone():
    roster = Roster(lambda: [A0], nodes=60)
    now, waits = 0.0, []
    for _ in range(STRIKES):
        roster.died(A0, now)
        begin = now
        while not roster.hire([], now) and not roster.hopeless([], now):
            now += 1
        waits.append(now - begin)
    assert waits[:FREE_STRIKES] == [0] * FREE_STRIKES
    assert waits[FREE_STRIKES:-1] == sorted(waits[FREE_STRIKES:-1])
    assert waits[FREE_STRIKES] > 0
    assert roster.hopeless([], now)


def test_a_death_after_finished_shards_is_no_strike_against_the_place():
    roster = Roster(lambda: [A0], nodes=60)
    for now in range(20):
        roster.finished(A0)
        roster.died(A0, now)
        assert roster.hire([], now) == [A0]


def test_a_node_that_cannot_do_the_job_is_left_out_with_all_its_places():
    roster = Roster(lambda: [A0, B0, A1], nodes=60)
    roster.loaded(A1)
    assert roster.leave_out(A0, "no data")
    assert not roster.leave_out(A1, "no data")
    assert roster.hire([], now=0) == [B0]
    assert roster.left_out == {"a": "no data (alpha)"}


def test_lost_nodes_may_come_back_for_a_while():
    places = [A0]
    roster = Roster(lambda: places, nodes=60)
    assert roster.hire([], now=0) == [A0]
    places.clear()
    roster.died(A0, now=1)
    assert roster.hire([], now=1) == []
    assert not roster.hopeless([], now=1)
    assert not roster.hopeless([], now=60)
    assert roster.hopeless([], now=61)
    places.append(Place("a2", "alpha", 0))
    assert roster.hire([], now=61 + PLACES_SECONDS) == places
    assert not roster.hopeless(places, now=100)
    assert not roster.hopeless([], now=101)
