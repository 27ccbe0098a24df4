"""Stores of metric and of relative depth do not go into one training; each says which it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from auglift.lifters.data.batches import open_stores
from auglift.lifters.inputs import Inputs
from auglift.lifters.training.checkpoint import Run, begin, description
from auglift.stores.errors import InvalidValueError
from auglift.stores.reading.store import FeatureStore

from ...fakes.families import MadeFamily
from ...fakes.stores import make_store
from ..training.trainings import setup_of

RELATIVE = {"batch": 4, "depth": {"name": "Intel/dpt-large", "metric": False, "unit": "relative"}}


METRIC = {"depth": {"name": "other-depth", "metric": True}}


@pytest.fixture(scope="module")
def urls(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("stores")
    made = {
        "metric": make_store(folder / "metric.zarr"),
        "exact": make_store(folder / "exact.zarr", configuration={"depth": {"name": "ground-truth"}}),
        "relative": make_store(folder / "relative.zarr", configuration=RELATIVE),
        "also relative": make_store(folder / "also.zarr", configuration=RELATIVE, seed=1),
    }
    # Families: of each unit one on each store, and one on the metric store under another name.
    for store, family, configuration in (
        ("metric", "base", METRIC),
        ("relative", "base", RELATIVE),
        ("metric", "far", RELATIVE),
        ("relative", "near", METRIC),
        ("exact", "base", METRIC),
    ):
        MadeFamily(family, configuration=configuration).run(made[store].url)
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


def test_a_familys_own_unit_counts_and_not_that_of_its_store(urls):
    both = [urls["metric"], urls["relative"]]
    with pytest.raises(InvalidValueError, match=r"'m' in .*metric\.zarr and 'relative' in .*relative\.zarr") as caught:
        open_stores(both, Inputs("uadd", "paper@base"))
    assert "\n" not in str(caught.value)
    assert len(open_stores([urls["metric"], urls["exact"]], Inputs("uadd", "paper@base"))) == 2
    # A metric family of a relative store, a relative family of a metric one.
    assert len(open_stores([urls["relative"]], Inputs("uadd", "paper@near"))) == 1
    assert len(open_stores([urls["metric"]], Inputs("uadd", "paper@far"))) == 1


def run_on(folder: Path, url: str, inputs: str) -> Run:
    """A run that has begun on that store."""
    setup = setup_of(url, inputs=inputs)
    begin(folder, setup, description(setup, open_stores([url], setup.inputs)), {})
    return Run(folder)


@pytest.mark.parametrize(
    ("trained", "inputs", "evaluated", "units"),
    [
        ("metric", "uadd", "relative", ("relative", "m")),
        ("relative", "uadd", "metric", ("m", "relative")),
        ("relative", "uadd", "exact", ("m", "relative")),
        ("metric", "uadd/paper@base", "relative", ("relative", "m")),
        ("relative", "uadd/paper@base", "exact", ("m", "relative")),
    ],
)
def test_a_run_is_not_evaluated_on_the_other_kind_of_depth(urls, tmp_path, trained, inputs, evaluated, units):
    run = run_on(tmp_path, urls[trained], inputs)
    theirs, ours = units
    with pytest.raises(InvalidValueError, match=f"in the unit '{theirs}' in .*trained on depth in '{ours}'") as caught:
        run.check_store(FeatureStore.open(urls[evaluated]))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("trained", "inputs", "evaluated"),
    [("relative", "uadd", "also relative"), ("metric", "uadd/paper@base", "exact"), ("metric", "xyc", "relative")],
)
def test_a_run_is_evaluated_on_its_own_kind_and_without_depth_on_any(urls, tmp_path, trained, inputs, evaluated):
    run_on(tmp_path, urls[trained], inputs).check_store(FeatureStore.open(urls[evaluated]))
