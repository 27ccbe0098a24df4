"""A store says what its depth is in: its arrays, `info`, the card, and the comparison with the true depth."""

from __future__ import annotations

import numpy as np
import pytest

from auglift.stores.format.depth_unit import METRES, RELATIVE, depth_unit, in_unit
from auglift.stores.format.schema import FIELDS
from auglift.stores.reading.store import FeatureStore
from auglift.stores.summaries.card import card
from auglift.stores.summaries.info import summary
from auglift.stores.summaries.relief import in_words, relief

from ...fakes.stores import MadeStore, make_store

CONFIGURATION = {"depth": {"name": "relative-depth", "metric": False, "unit": "relative"}}


@pytest.fixture(scope="module")
def relative(tmp_path_factory):
    class Made(MadeStore):
        @property
        def layout(self):
            found = super().layout
            fields = tuple(in_unit(spec, depth_unit(self.configuration)) for spec in found.fields)
            return type(found)(fields, found.frames, found.shard_frames)

    url = tmp_path_factory.mktemp("stores") / "relative.zarr"
    Made(presets=("paper", "spatial"), configuration=CONFIGURATION).run(url)
    return FeatureStore.open(url)


@pytest.mark.parametrize(
    ("configuration", "unit"),
    [
        ({}, METRES),
        ({"depth": {"name": "ground-truth"}}, METRES),
        ({"depth": {"name": "depth-anything-v2-large", "metric": True}}, METRES),
        (CONFIGURATION, RELATIVE),
    ],
)
def test_the_configuration_says_the_unit(configuration, unit):
    assert depth_unit(configuration) == unit


def test_only_depths_are_in_the_unit():
    assert in_unit(FIELDS["uadd/spatial"], RELATIVE).unit == "relative (positions: px)"
    assert in_unit(FIELDS["uadd/paper"], METRES) is FIELDS["uadd/paper"]
    assert in_unit(FIELDS["target/pose3d"], RELATIVE).unit == "m"


def test_the_arrays_say_it_to_whoever_opens_them(relative):
    assert relative.fields["uadd/paper"].unit == "relative"
    assert relative.array("uadd/spatial").attrs["units"] == "relative (positions: px)"
    assert "1 its spread" in relative.fields["uadd/paper"].meaning
    assert relative.fields["target/pose3d"].unit == "m"


def test_info_and_card_say_it(relative, tmp_path):
    about = summary(relative)
    assert about["depth_unit"] == "relative"
    assert "No length in metres follows from it" in card(about, {"licences": {}, "terms": {}})
    metric = summary(make_store(tmp_path / "m.zarr"))
    assert metric["depth_unit"] == "m"
    assert "Depth is relative" not in card(metric, {"licences": {}, "terms": {}})


def test_relative_depth_is_compared_by_order_and_not_by_length(relative):
    told = relief(relative)
    assert told is not None
    assert all(set(of) == {"rank"} and np.isfinite(of["rank"]) for of in told.values())
    assert "relative depth, no metres" in in_words(told)
