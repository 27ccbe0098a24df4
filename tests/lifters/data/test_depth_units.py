"""Stores of metric and of relative depth do not go into one training; each says which it is."""

from __future__ import annotations

import pytest

from auglift.lifters.data.batches import open_stores
from auglift.lifters.inputs import Inputs
from auglift.stores.errors import InvalidValueError

from ...fakes.stores import make_store

RELATIVE = {"batch": 4, "depth": {"name": "Intel/dpt-large", "metric": False, "unit": "relative"}}


@pytest.fixture(scope="module")
def urls(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("stores")
    made = {
        "metric": make_store(folder / "metric.zarr"),
        "exact": make_store(folder / "exact.zarr", configuration={"depth": {"name": "ground-truth"}}),
        "relative": make_store(folder / "relative.zarr", configuration=RELATIVE),
        "also relative": make_store(folder / "also.zarr", configuration=RELATIVE, seed=1),
    }
    return {name: store.url for name, store in made.items()}


def test_a_relative_store_beside_a_metric_one_is_refused_in_one_line(urls):
    with pytest.raises(InvalidValueError, match=r"'m' in .*metric\.zarr and 'relative' in .*relative\.zarr") as caught:
        open_stores([urls["metric"], urls["relative"]], Inputs("uadd"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("names", [("metric", "exact"), ("relative", "also relative")])
def test_stores_of_one_kind_go_together(urls, names):
    assert len(open_stores([urls[name] for name in names], Inputs("uadd"))) == 2


@pytest.mark.parametrize("name", ["xy", "xyc"])
def test_where_depth_is_not_used_its_unit_does_not_matter(urls, name):
    assert len(open_stores([urls["metric"], urls["relative"]], Inputs(name))) == 2
