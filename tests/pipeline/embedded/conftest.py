"""A few rendered frames, and one thread: small networks on shared cores would wait for one another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from auglift.pipeline.embedded.cache import CachePlan, FrameCache, render_cache

PLAN = CachePlan("train", seed=7, clips=5, per_clip=2)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def frames(tmp_path_factory) -> FrameCache:
    """Ten frames of five clips, two of them of the street."""
    return render_cache(tmp_path_factory.mktemp("frames"), PLAN)
