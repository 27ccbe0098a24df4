"""Fixtures every room's tests share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import torch

# pytest-xdist tells its workers of a terminal 80 columns wide; tables in a pipe have no edge.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.pop("COLUMNS", None)

# The machine may be busy and an import late: no example fails for being slow.
hypothesis.settings.register_profile("auglift", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("auglift")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real video, motion capture and photograph that lie beside the checkout; never committed."""
    root = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not root.is_dir():
        pytest.skip(f"needs the real data at {root}, which is not here")
    return root


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small tensors on shared cores: threads would wait for one another longer than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def published_depth() -> Path:
    """What a published Depth Anything file holds, tensor by tensor; beside the checkout like the real data."""
    path = Path(__file__).resolve().parents[2] / "shared" / "spec" / "published" / "depth-anything-v2-small.json"
    if not path.is_file():
        pytest.skip(f"needs the list of a published file's tensors at {path}, which is not here")
    return path


@pytest.fixture(scope="session")
def blazepose_weights(tmp_path_factory) -> Path:
    """A folder with BlazePose's two files; they come from the cache or, once, out of MediaPipe's wheel."""
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert: pip install 'auglift[prep,blazepose]'")
    from auglift.pipeline.networks.models import resolve
    from auglift.pipeline.networks.weights.load import locate
    from auglift.stores.errors import MissingFileError

    folder = tmp_path_factory.mktemp("blazepose")
    try:
        for kind in ("detector", "pose"):
            shutil.copy(locate(resolve("blazepose", kind)), folder)
    except MissingFileError as error:
        pytest.skip(f"needs MediaPipe's wheel: {error}")
    return folder
