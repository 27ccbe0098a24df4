"""A few rendered frames."""

from __future__ import annotations

import pytest

from auglift.pipeline.embedded.cache import CachePlan, FrameCache, render_cache

PLAN = CachePlan("train", seed=7, clips=5, per_clip=2)


@pytest.fixture(scope="session")
def frames(tmp_path_factory) -> FrameCache:
    """Ten frames of five clips, two of them of the street."""
    return render_cache(tmp_path_factory.mktemp("frames"), PLAN)
