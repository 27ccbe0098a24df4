"""Fixtures every room's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real video, motion capture and photograph that lie beside the checkout; never committed."""
    root = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not root.is_dir():
        pytest.skip(f"needs the real data at {root}, which is not here")
    return root
