"""One small store of people for all trainings of a test file."""

from __future__ import annotations

import pytest

from tests.fakes.people import people


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return people(tmp_path_factory.mktemp("train") / "people.zarr", bad=(5, 6, 130)).url
