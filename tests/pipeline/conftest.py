"""One Ray for all tests that need one, as starting it costs more than they do; frames of a real video."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

_started: list = []


@pytest.fixture
def cluster():
    pytest.importorskip("ray")
    from auglift.pipeline.execution.ray_cluster import Cluster, ray_module

    if not ray_module().is_initialized():  # not yet, or a test that needed another one ended it
        _started.append(Cluster(cpus=4, gpus=0).__enter__())
    return _started[-1]


@pytest.fixture(scope="session", autouse=True)
def _end_ray() -> Iterator[None]:
    yield
    if _started:
        _started[-1].__exit__()


@pytest.fixture(scope="session")
def frames(shared_data: Path) -> np.ndarray:
    """(3, 1920, 1080, 3) uint8 RGB: a person balancing, another one looking on."""
    with av.open(str(shared_data / "pose2sim" / "single" / "cam01.mp4")) as video:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in itertools.islice(video.decode(video=0), 3)])
