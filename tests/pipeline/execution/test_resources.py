"""resources.py: how many workers, with how many cores and GPUs each; an error of one line if they do not fit."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auglift.pipeline.execution.resources import CORES_OF_A_GPU_WORKER, Node, WorkerGroup, WorkerOptions, worker_group
from auglift.stores.errors import InvalidValueError

BIG = [Node("a", "alpha", 64, 8), Node("b", "beta", 64, 8)]


@pytest.mark.parametrize(
    ("options", "ray"),
    [
        ({}, False),
        ({"gpus": 1}, False),
        ({"gpus": 2}, True),
        ({"gpus": 1, "workers_per_gpu": 2}, True),
        ({"gpus": 0, "workers": 1}, False),
        ({"gpus": 0, "workers": 2}, True),
        ({"address": "auto"}, True),
        ({"executor": "ray", "gpus": 1}, True),
        ({"executor": "serial", "gpus": 1}, False),
    ],
)
def test_ray_is_used_for_more_than_one_worker_and_for_a_cluster(options, ray):
    assert WorkerOptions(**options).ray is ray


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"executor": "dask"}, "none of auto, serial, ray"),
        ({"workers": 4}, "add --gpus 0"),
        ({"workers": 4, "gpus": 4}, "add --gpus 0"),
        ({"executor": "serial", "gpus": 2}, "one worker"),
        ({"executor": "serial", "address": "auto"}, "one worker"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(InvalidValueError, match=message):
        WorkerOptions(**options)


def test_no_gpu_is_an_error_that_says_how_to_work_without_one():
    with pytest.raises(InvalidValueError, match=r"no GPU was found on this machine.*--gpus 0 --workers"):
        WorkerOptions(gpus=1).check_gpus(0)
    with pytest.raises(InvalidValueError, match="no GPU was found in the cluster at c:1"):
        worker_group(WorkerOptions(address="c:1"), [Node("a", "alpha", 8, 0)], None)
    WorkerOptions(gpus=0).check_gpus(0)
    WorkerOptions(address="c:1").check_gpus(0)


def test_more_gpus_than_there_are_is_an_error_that_says_how_many_there_are():
    with pytest.raises(InvalidValueError, match="--gpus 9 is more than the 8 there are on this machine"):
        WorkerOptions(gpus=9).check_gpus(8)
    with pytest.raises(InvalidValueError, match="--gpus 17 is more than the 16 there are in the cluster"):
        worker_group(WorkerOptions(gpus=17, address="c:1"), BIG, None)


def test_more_cores_than_there_are_is_an_error_that_lists_the_nodes():
    with pytest.raises(InvalidValueError, match=r"16 workers with 16 cores and 1 GPU each.*alpha: 64 cores, 8 GPUs"):
        worker_group(WorkerOptions(address="auto", cpus_per_worker=16), BIG, None)
    with pytest.raises(InvalidValueError, match="do not fit"):
        worker_group(WorkerOptions(gpus=0, workers=3), [Node("a", "alpha", 2, 0)], None)


def test_a_cluster_without_a_count_gives_all_its_gpus():
    assert worker_group(WorkerOptions(address="auto"), BIG, None).count == 16
    assert worker_group(WorkerOptions(address="auto", workers_per_gpu=2), BIG, None).count == 32


def test_cores_of_gpu_workers_do_not_depend_on_how_many_gpus_are_used():
    """Threads are in the fingerprint: a job that lost GPUs must be able to go on with the rest."""
    each = {worker_group(WorkerOptions(gpus=n, executor="ray"), BIG, None).cpus for n in (1, 3, 16)}
    assert each == {CORES_OF_A_GPU_WORKER}
    assert worker_group(WorkerOptions(gpus=1, executor="ray"), [Node("a", "alpha", 16, 8)], None).cpus == 2


def test_cores_are_shared_among_workers_without_gpus():
    assert worker_group(WorkerOptions(gpus=0, workers=4), [Node("a", "alpha", 16, 0)], None).cpus == 4
    assert worker_group(WorkerOptions(gpus=0, workers=3), [Node("a", "alpha", 16, 0)], None).cpus == 5
    assert worker_group(WorkerOptions(gpus=0, workers=2), [Node("a", "x", 4, 0), Node("b", "y", 4, 0)], None).cpus == 4


def test_threads_that_the_user_names_are_the_cores():
    assert worker_group(WorkerOptions(gpus=0, workers=2), [Node("a", "alpha", 16, 0)], 3).cpus == 3
    assert worker_group(WorkerOptions(gpus=0, workers=2, cpus_per_worker=2), [Node("a", "alpha", 16, 0)], 3).cpus == 2


nodes = st.lists(st.tuples(st.integers(0, 64), st.integers(0, 8)), max_size=6).map(
    lambda sizes: [Node(f"n{i}", f"host{i}", c, g) for i, (c, g) in enumerate(sizes)]
)


@given(nodes, st.integers(1, 100), st.integers(1, 8), st.integers(0, 5))
def test_places_never_use_more_than_a_node_has_and_leave_none_empty_that_fits(nodes, count, cpus, per_gpu):
    group = WorkerGroup(count, 1 / per_gpu if per_gpu else 0.0, cpus)
    places = group.places(nodes)
    used = Counter(place.node for place in places)
    for node in nodes:
        assert used[node.id] * cpus <= node.cpus
        assert used[node.id] <= node.gpus * per_gpu or not per_gpu
        room = node.cpus >= (used[node.id] + 1) * cpus and (not per_gpu or used[node.id] < node.gpus * per_gpu)
        assert len(places) == count or not room
    assert len(set(places)) == len(places) <= count


def test_workers_are_spread_over_the_nodes():
    assert [p.host for p in WorkerGroup(4, 1.0, 1).places(BIG)] == ["alpha", "beta", "alpha", "beta"]
