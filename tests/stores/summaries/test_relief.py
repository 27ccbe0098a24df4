"""stores/summaries/relief.py: how much of the true depth is in the descriptor's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from auglift.stores.summaries.info import summary
from auglift.stores.summaries.relief import in_words, relief

from ...fakes.stores import make_store


class Seen:
    """A store whose descriptors say what `of` makes of the true depth (F, 17)."""

    def __init__(self, store, of):
        self.store, self.of = store, of

    def __getattr__(self, name):
        return getattr(self.store, name)

    def read(self, name, start, stop):
        found = self.store.read(name, start, stop)
        if name.startswith("uadd/"):
            found = found.copy()
            found[..., 0] = self.of(self.store.read("target/pose3d", start, stop)[..., 2])
        return found


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("stores") / "x.zarr")


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (lambda z: z + 3, 1.0),
        (lambda z: 2 * z, 1.0),  # another scale: the order is the same
        (lambda z: -z, -1.0),
        (lambda z: np.where(np.arange(17) == 4, np.nan, z), 1.0),  # a joint without depth does not count
    ],
)
def test_it_is_the_order_that_counts(store, of, expected: float):
    found = relief(Seen(store, of))  # pyright: ignore[reportArgumentType]
    assert found is not None
    assert [of["rank"] for of in found.values()] == pytest.approx([expected] * len(found), abs=1e-4)
    assert all(f"{preset}: rank correlation {expected:.2f}" in in_words(found) for preset in found)


def test_it_is_spearmans_with_equal_values_too(store):
    def steps(z: np.ndarray) -> np.ndarray:
        return np.round(3 * z)

    found = relief(Seen(store, steps))  # pyright: ignore[reportArgumentType]
    z = store.read("target/pose3d", 0, store.frames)[..., 2].astype(np.float64)
    z = z[np.isfinite(z).all(1)]
    d = steps(z.astype(np.float32)).astype(np.float64)
    expected = spearmanr((d - d[:, :1])[:, 1:].ravel(), (z - z[:, :1])[:, 1:].ravel()).statistic  # pyright: ignore
    assert found is not None
    assert [of["rank"] for of in found.values()] == pytest.approx([expected] * len(found), abs=1e-6)
    assert abs(expected) < 0.999


@pytest.mark.parametrize(("away", "expected"), [(0.4, 0.0), (0.6, 1 / 8), (-0.6, 0.0)])
def test_joints_that_see_the_background_are_counted(store, away: float, expected: float):
    wrists = np.isin(np.arange(17), [13, 16])
    found = relief(Seen(store, lambda z: z + away * wrists))  # pyright: ignore[reportArgumentType]
    assert found is not None
    assert [of["behind"] for of in found.values()] == pytest.approx([expected] * len(found))


def test_info_has_it(store):
    found = relief(store)
    assert found is not None
    assert summary(store)["relief"] == found


def test_without_truth_there_is_nothing_to_tell(tmp_path):
    assert relief(make_store(tmp_path / "a.zarr", optional=())) is None
