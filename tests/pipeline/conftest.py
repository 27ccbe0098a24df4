"""One Ray for all tests that need one: starting it costs more than they do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

_started: list = []


@pytest.fixture
def cluster():
    pytest.importorskip("ray")
    from auglift.pipeline.cluster import Cluster, ray_module

    if not ray_module().is_initialized():  # not yet, or a test that needed another one ended it
        _started.append(Cluster(cpus=4, gpus=0).__enter__())
    return _started[-1]


@pytest.fixture(scope="session", autouse=True)
def _end_ray() -> Iterator[None]:
    yield
    if _started:
        _started[-1].__exit__()
