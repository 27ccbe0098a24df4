"""stores/writing/statistics.py: the ranges in a finished store are those NumPy finds in the whole arrays."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from auglift.stores.format.schema import FIELDS
from auglift.stores.writing.statistics import RunningRange

from ...fakes.stores import MadeStore

values = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=6),
    elements=st.floats(-1e6, 1e6, width=32) | st.sampled_from([np.nan, np.inf, -np.inf]),
)


@given(values, st.data())
def test_however_the_frames_are_cut_the_range_is_that_of_the_finite_values(frames, data):
    ranges = RunningRange(frames.shape[1:])
    cuts = sorted(data.draw(st.sets(st.integers(1, len(frames)))) | {len(frames)})
    for start, stop in zip([0, *cuts[:-1]], cuts, strict=True):
        ranges.add(frames[start:stop])
    found = ranges.to_json()
    flat = frames.reshape(len(frames), -1)
    for column, (count, mean, low, high) in enumerate(
        zip(*(np.array(found[key], dtype=object).ravel() for key in ("finite", "mean", "min", "max")), strict=True)
    ):
        finite = flat[:, column][np.isfinite(flat[:, column])].astype(np.float64)
        assert count == len(finite)
        if len(finite) == 0:
            assert mean is low is high is None
        else:
            scale = np.abs(finite).max() + 1e-30
            assert (mean, low, high) == pytest.approx((finite.mean(), finite.min(), finite.max()), abs=1e-5 * scale)


def test_a_finished_store_holds_them_joint_by_joint(tmp_path):
    made = MadeStore()
    made.run(tmp_path / "s")
    found = json.loads((tmp_path / "s" / "statistics.json").read_text())
    assert set(found) == {s.name for s in made.layout.fields} - {"valid", "source_frame"}
    for name in found:
        expected = made.values(FIELDS[name]).astype(np.float64)
        np.testing.assert_allclose(np.array(found[name]["min"], float), np.nanmin(expected, axis=0), rtol=1e-5)
        np.testing.assert_allclose(np.array(found[name]["max"], float), np.nanmax(expected, axis=0), rtol=1e-5)
        np.testing.assert_allclose(np.array(found[name]["mean"], float), np.nanmean(expected, axis=0), rtol=1e-5)
        np.testing.assert_array_equal(found[name]["finite"], np.isfinite(expected).sum(axis=0))


def test_wide_fields_are_left_to_training(tmp_path):
    made = MadeStore(only=("valid", "score", "feature/depth"), optional=("feature/depth",))
    made.run(tmp_path / "s")
    assert set(json.loads((tmp_path / "s" / "statistics.json").read_text())) == {"score"}
