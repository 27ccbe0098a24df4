"""pipeline/uadd/presets.py: constants, what they may be, and how a user names them."""

from __future__ import annotations

import json
import math

import pytest

from auglift.pipeline.build import choose_presets
from auglift.pipeline.uadd.descriptor import PRESETS
from auglift.stores.errors import AugliftError, InvalidValueError
from auglift.stores.format.schema import UADD_STATISTICS


def test_the_presets_name_the_statistics_the_store_has_fields_for():
    assert {name: preset.stats for name, preset in PRESETS.items()} == UADD_STATISTICS
    assert [preset.name for preset in PRESETS.values()] == list(PRESETS)


def test_a_preset_is_described_as_json_that_tells_every_constant():
    for preset in PRESETS.values():
        assert json.loads(json.dumps(preset.describe())) == preset.describe()
        for key, value in preset.constants.items():
            step = -0.5 if key in ("r_max", "high") else 0.5
            if preset.low == 0 and key == "low":
                step = 1
            assert preset.replace(**{key: value + step}).describe() != preset.describe()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"r_min": 0}, "r_min is 0 px"),
        ({"r_min": 31}, "r_min 31 is over r_max 30"),
        ({"r_max": math.nan}, "r_max is nan; it must be a finite number"),
        ({"r_max": 1e6}, "at most 256"),
        ({"beta": -1}, "beta is -1; it must not be negative"),
        ({"gamma": "2"}, "gamma is '2'"),
        ({"low": 101}, "low is 101; a percentile is 0 to 100"),
        ({"low": 0.001}, "in steps of 0.01"),
        ({"low": 95}, "low 95 is over high 90"),
        ({"radius": 4}, "has no constant 'radius'; it has k, beta, gamma, r_min, r_max, low, high"),
    ],
)
def test_constants_that_cannot_be_are_refused(change, says):
    with pytest.raises(AugliftError, match=says):
        PRESETS["quantile"].replace(**change)


def test_presets_are_chosen_by_name_with_constants_of_their_own():
    assert [preset.name for preset in choose_presets("all")] == list(PRESETS)
    (fixed,) = choose_presets("fixed:r=2")
    assert fixed.constants == {"r": 2.0}
    paper, spatial = choose_presets("spatial, paper:r_min=1:r_max=8")
    assert paper == PRESETS["paper"].replace(r_min=1, r_max=8)
    assert spatial == PRESETS["spatial"]
    assert choose_presets("all,paper:r_min=1")[0].constants["r_min"] == 1
    assert len(choose_presets("all,paper:r_min=1")) == len(PRESETS)


@pytest.mark.parametrize(
    "names", ["papr", "", "paper:r_min", "paper:r_min=x", "paper:radius=3", "paper:r_min=40", "all:r=1"]
)
def test_presets_that_cannot_be_are_refused(names):
    with pytest.raises(InvalidValueError):
        choose_presets(names)
