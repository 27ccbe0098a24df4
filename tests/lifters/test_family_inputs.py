"""Inputs made of fields that were added to a store: other names, the same arithmetic, and never two sets of joints."""

from __future__ import annotations

import pytest
import torch

from auglift.lifters.data.batches import open_stores
from auglift.lifters.inputs import Inputs
from auglift.lifters.training.checkpoint import uadd_of
from auglift.lifters.training.setup import baseline_of, inputs_by_name, name_of_inputs
from auglift.stores.errors import InvalidValueError, MissingFieldError
from auglift.stores.format.families import TAKEN, require_family_name
from auglift.stores.reading.windows import WindowLoader

from ..fakes.families import MadeFamily
from ..fakes.stores import MadeStore

DEPTH = MadeFamily("base", ("uadd/paper",), configuration={"uadd": {"paper": {"r_min": 2}}})
JOINTS = MadeFamily("small", ("keypoints", "score", "uadd/paper"), seed=9)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "s.zarr"
    MadeStore().run(path)
    for family in (DEPTH, JOINTS):
        family.run(path)
    return path


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("uadd/paper@base", ("valid", "keypoints", "score", "uadd/paper@base")),
        ("uadd@base", ("valid", "keypoints", "score", "uadd/paper@base")),
        ("uadd@base@root@scaled", ("valid", "keypoints", "score", "uadd/paper@base")),
        ("uadd@small@joints=small", ("valid", "keypoints@small", "score@small", "uadd/paper@small")),
        ("xy@joints=small", ("valid", "keypoints@small")),
    ],
)
def test_inputs_name_the_fields_of_a_family(store, text, fields):
    inputs = inputs_by_name(text)
    assert inputs.fields == fields
    assert inputs_by_name(name_of_inputs(inputs)) == inputs
    (opened,) = open_stores([str(store)], inputs)
    batch = next(iter(WindowLoader(opened, inputs.fields, window=3, batch_size=8)))
    as_own = {name.partition("@")[0]: values for name, values in batch.items()}
    plain = Inputs(inputs.name, None if inputs.preset is None else "paper", inputs.depth_origin, 1.0, inputs.scale_to)
    for ours, theirs in zip(inputs(batch), plain(as_own), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("text", "right"),
    [("uadd@small", "@joints=small"), ("uadd@base@joints=small", "no @joints"), ("uadd@joints=small", "no @joints")],
)
def test_depths_at_other_joints_than_those_beside_them_are_refused(store, text, right):
    with pytest.raises(InvalidValueError, match=f"write {right} in --inputs"):
        open_stores([str(store)], inputs_by_name(text))


def test_a_store_without_the_family_is_named(store):
    with pytest.raises(MissingFieldError, match="has no uadd/paper@other"):
        open_stores([str(store)], inputs_by_name("uadd@other"))


@pytest.mark.parametrize("text", ["uadd@Base", "uadd@a@b", "uadd@joints=", "uadd@x=1"])
def test_what_is_no_option_is_refused(text):
    with pytest.raises(InvalidValueError, match="have no option"):
        inputs_by_name(text)


def test_no_family_has_the_name_of_an_option():
    for name in TAKEN:
        with pytest.raises(InvalidValueError, match=f"cannot be called '{name}'"):
            require_family_name(name)


def test_the_baseline_is_two_dimensional_at_the_same_joints():
    assert baseline_of("uadd/paper@base@root") == "xy"
    assert baseline_of("uadd/paper@small@joints=small@root@scaled=0.8") == "xy@joints=small@scaled=0.8"


def test_the_descriptors_settings_are_those_of_the_family(store):
    (opened,) = open_stores([str(store)], inputs_by_name("uadd@base"))
    assert uadd_of(opened, "paper@base") == {"r_min": 2}
    assert uadd_of(opened, "paper") is None
