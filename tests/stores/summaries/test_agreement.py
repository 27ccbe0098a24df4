"""stores/summaries/agreement.py: the same person, the same left and right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from auglift.stores.format.skeleton import H36M_17
from auglift.stores.summaries.agreement import agreement, in_words
from auglift.stores.summaries.info import summary

from ...fakes.stores import make_store


class Replaced:
    """A store whose keypoints are the true ones, moved and with joints exchanged."""

    def __init__(self, store, move: float, order: np.ndarray):
        self.store, self.move, self.order = store, move, order

    def __getattr__(self, name):
        return getattr(self.store, name)

    def read(self, name, start, stop):
        if name != "keypoints":
            return self.store.read(name, start, stop)
        return self.store.read("target/keypoints", start, stop)[:, self.order] + np.float32(self.move)


def found_of(store: Any) -> dict[str, float]:
    found = agreement(store)
    assert found is not None
    return found


def swapped(joints: tuple[str, ...]) -> np.ndarray:
    order = np.arange(17)
    for left, right in H36M_17.left_right:
        if H36M_17.joints[left].removeprefix("left_") in joints:
            order[[left, right]] = right, left
    return order


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("stores") / "x.zarr")


def test_what_was_moved_and_exchanged_is_reported(store):
    found = found_of(Replaced(store, 3.0, np.arange(17)))
    assert found["distance"] == pytest.approx(3 * 2**0.5, rel=1e-4)
    assert (found["legs"], found["arms"]) == (1.0, 1.0)
    assert "EXCHANGED" not in in_words(found)
    found = found_of(Replaced(store, 0.0, swapped(("hip", "knee", "ankle"))))
    assert (found["legs"], found["arms"]) == (0.0, 1.0)
    assert "OF THE LEGS LOOK EXCHANGED" in in_words(found)


def test_frames_without_a_person_or_truth_do_not_count(store):
    found = found_of(store)
    valid = store.read("valid", 0, store.frames) > 0
    true = np.isfinite(store.read("target/keypoints", 0, store.frames)).all((1, 2))
    assert found["frames"] == int((valid & true).sum())
    assert summary(store)["agreement"] == found


def test_without_truth_or_a_detector_there_is_nothing_to_tell(tmp_path):
    assert agreement(make_store(tmp_path / "a.zarr", optional=())) is None
    assert agreement(make_store(tmp_path / "b.zarr", configuration={"pose": {"name": "ground-truth"}})) is None
