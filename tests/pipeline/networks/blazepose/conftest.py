"""BlazePose's own files, taken from the cache or out of the wheel."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from auglift.pipeline.networks.models import resolve
from auglift.pipeline.networks.weights.load import locate
from auglift.stores.errors import MissingFileError


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """A folder with both; where LiteRT or the wheel cannot be had, the test is skipped."""
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert: pip install 'auglift[prep,blazepose]'")
    folder = tmp_path_factory.mktemp("blazepose")
    try:
        for kind in ("detector", "pose"):
            shutil.copy(locate(resolve("blazepose", kind)), folder)
    except MissingFileError as error:
        pytest.skip(f"needs MediaPipe's wheel: {error}")
    return folder
