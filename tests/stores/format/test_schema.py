"""stores/format/schema.py: the table of fields is the one of the design, and consistent in itself."""

from __future__ import annotations

import numpy as np
import pytest

from auglift.stores.errors import InvalidValueError
from auglift.stores.format.schema import ALWAYS, FIELDS, UADD_STATISTICS, field, fields_for

# design.md, section stores/
DESIGN = {
    "keypoints": ((17, 2), "float32"),
    "score": ((17,), "float32"),
    "bbox": ((5,), "float32"),
    "valid": ((), "uint8"),
    "source_frame": ((), "int32"),
    "uadd/paper": ((17, 3), "float32"),
    "radius/paper": ((17,), "float32"),
    "feature/pose": ((17, 1024), "float16"),
    "feature/depth": ((17, 256), "float16"),
    "target/pose3d": ((17, 3), "float32"),
    "target/keypoints": ((17, 2), "float32"),
}


@pytest.mark.parametrize("name", DESIGN)
def test_a_field_is_as_designed(name):
    assert (FIELDS[name].shape, FIELDS[name].dtype) == DESIGN[name]


def test_a_frame_of_learned_features_takes_what_the_method_says():
    assert round((FIELDS["feature/pose"].frame_bytes + FIELDS["feature/depth"].frame_bytes) / 1000, 1) == 43.5


@pytest.mark.parametrize("spec", FIELDS.values(), ids=lambda s: s.name)
def test_every_axis_has_a_name_every_component_too_and_every_field_a_unit_and_a_meaning(spec):
    assert len(spec.dimensions) == len(spec.shape)
    assert spec.unit
    assert spec.meaning
    if spec.components:
        assert len(spec.components) == spec.shape[-1]
    assert spec.name == field(spec.name).name


def test_a_dimension_has_one_length_wherever_it_stands_in_a_group():
    """Otherwise xarray refuses the group."""
    for group in ("", "uadd", "radius", "feature", "target"):
        lengths: dict[str, int] = {}
        for spec in FIELDS.values():
            if spec.name.rpartition("/")[0] == group:
                for name, length in zip(spec.dimensions, spec.shape, strict=True):
                    assert lengths.setdefault(name, length) == length


@pytest.mark.parametrize("spec", FIELDS.values(), ids=lambda s: s.name)
def test_empty_is_nan_for_numbers_and_zero_for_counts(spec):
    empty = spec.empty(3)
    assert empty.shape == (3, *spec.shape)
    assert empty.dtype == spec.dtype
    assert (np.isnan(empty) if empty.dtype.kind == "f" else empty == 0).all()


def test_fields_come_in_one_order_in_whatever_order_they_are_named():
    forwards = fields_for(["paper", "spatial"], ["target/pose3d", "feature/pose"])
    backwards = fields_for(["spatial", "paper"], ["feature/pose", "target/pose3d"])
    assert forwards == backwards
    assert {spec.name for spec in forwards} == {
        *ALWAYS,
        *("uadd/paper", "radius/paper", "uadd/spatial", "radius/spatial", "target/pose3d", "feature/pose"),
    }


@pytest.mark.parametrize(("presets", "optional"), [(["papper"], []), (["paper"], ["feature/pos"])])
def test_a_name_that_does_not_exist_is_refused_with_those_that_do(presets, optional):
    with pytest.raises(InvalidValueError, match="there are") as error:
        fields_for(presets, optional)
    assert all(preset in str(error.value) for preset in (UADD_STATISTICS if not optional else FIELDS))
