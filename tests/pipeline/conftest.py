"""One Ray for all tests that need one: starting it costs more than they do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def cluster() -> Iterator:
    pytest.importorskip("ray")
    from auglift.pipeline.cluster import Cluster

    with Cluster(cpus=4, gpus=0) as started:
        yield started
