"""stores/comparison/: every value that differs is found, and nothing that does not; by how much, and where first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from auglift.stores.comparison.diff import diff
from auglift.stores.comparison.values import Differences
from auglift.stores.derived.job import derive
from auglift.stores.derived.merge import merge_plan
from auglift.stores.derived.select import Selection, select_plan
from auglift.stores.format.schema import FIELDS
from auglift.stores.reading.store import FeatureStore

from ...fakes.derived import Part

SMALL = ("keypoints", "score", "valid", "source_frame")
MADE = Part(lengths=(23, 9, 18), only=SMALL)


class Changed(Part):
    """As MADE, but for some values: (field, frame) -> what is added."""

    deltas: ClassVar[dict[tuple[str, int], float]] = {}

    def values(self, spec):
        values = super().values(spec)
        for (name, frame), delta in self.deltas.items():
            if name == spec.name:
                values[frame] = values[frame] + np.asarray(delta, values.dtype)
        return values


def opened(path: Path, part: Part = MADE) -> FeatureStore:
    part.run(path)
    return FeatureStore.open(path)


def changed(path: Path, deltas, **changes) -> FeatureStore:
    kind = type("Kind", (Changed,), {"deltas": deltas})
    return opened(path, kind(**{**vars(MADE), **changes}))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> FeatureStore:
    return opened(tmp_path_factory.mktemp("made") / "s")


def test_a_store_and_its_rerun_are_the_same_and_no_shard_is_read(made, tmp_path, monkeypatch):
    other = opened(tmp_path / "s")
    monkeypatch.setattr(FeatureStore, "read", lambda *a, **k: pytest.fail("read"))
    found = diff(made, other)
    assert found["same"]
    assert found["values"]["keypoints"] == {
        "frames": 50, "values": 50 * 34, "differ": 0, "share": 0.0, "one_nan": 0, "largest": 0.0, "median": None,
        "first": None,
    }  # fmt: skip


def test_values_that_differ_are_counted_measured_and_found_in_the_first_frame(made, tmp_path):
    valid = np.flatnonzero(MADE.values(FIELDS["valid"]))
    early, late = [int(frame) for frame in valid[(valid >= 23)][[2, 5]]]  # in the second sequence, or later
    other = changed(tmp_path / "s", {("score", late): 0.5, ("score", early): 3.0})
    found = diff(made, other, values_only=True)
    assert not found["same"]
    ours, theirs = (store.read("score").astype(float) for store in (made, other))
    sizes = np.abs(ours - theirs)[(ours != theirs) & np.isfinite(ours)]
    value = found["values"]["score"]
    assert (value["differ"], value["values"]) == (34, 50 * 17)
    assert value["share"] == 34 / (50 * 17)
    assert value["largest"] == sizes.max()
    assert value["median"] == pytest.approx(sizes.min(), rel=0.001)  # the lower of the two in the middle
    row = next(row for row in made.sequences if row.start <= early < row.stop)
    assert value["first"] == {"sequence": row.id, "frame": early - row.start, "source_frame": early - row.start}
    assert [name for name, v in found["values"].items() if v["differ"]] == ["score"]


def test_other_shards_are_no_difference_in_values(made, tmp_path):
    other = opened(tmp_path / "s", replace(MADE, shard_frames=32))
    assert diff(made, other, values_only=True)["same"]
    found = diff(made, other)
    assert not found["same"]
    assert found["configuration"] == {"shard_frames": [16, 32]}


def test_sequences_are_matched_by_id_wherever_they_lie(made, tmp_path):
    for name, where in (("test", 'split == "test"'), ("train", 'split == "train"')):
        derive(select_plan(made.location, Selection(where)), tmp_path / name)
    derive(merge_plan([tmp_path / "test", tmp_path / "train"]), tmp_path / "c")
    found = diff(made, FeatureStore.open(tmp_path / "c"), values_only=True)
    assert found["sequences"] == {"only_here": [], "only_there": [], "changed": {}, "order": False}
    assert {v["frames"] for v in found["values"].values()} == {50}
    assert not any(v["differ"] for v in found["values"].values())
    part = diff(FeatureStore.open(tmp_path / "test"), made, values_only=True)
    assert len(part["sequences"]["only_there"]) == 2
    assert part["values"]["score"] == {**part["values"]["score"], "frames": 18, "differ": 0}


def test_other_fields_lengths_and_settings_are_named(made, tmp_path):
    other = opened(
        tmp_path / "s", replace(MADE, lengths=(23, 7, 18), only=("score", "valid", "bbox"), changes=(("batch", 9),))
    )
    found = diff(made, other)
    assert found["configuration"]["batch"] == [4, 9]
    assert found["fields"] == {"only_here": ["keypoints", "source_frame"], "only_there": ["bbox"], "changed": {}}
    assert found["sequences"]["changed"] == {"a/S1/walk 0/cam2": {"length": [9, 7]}}
    assert found["values"]["score"]["frames"] == 23 + 7 + 18


FLOATS = hnp.arrays(np.float32, (6, 3), elements=st.floats(width=32, allow_nan=True, allow_infinity=True))


@given(ours=FLOATS, theirs=FLOATS, copied=hnp.arrays(bool, (6, 3)))
def test_differences_agree_with_values_compared_one_by_one(ours, theirs, copied):
    theirs = np.where(copied, ours, theirs)
    found = Differences()
    found.add(ours[:2], theirs[:2], 0)
    found.add(ours[2:], theirs[2:], 1)
    pairs = [(float(a), float(b)) for a, b in zip(ours.flat, theirs.flat, strict=True)]
    different = [(a, b) for a, b in pairs if not (a == b or (a != a and b != b))]
    assert (found.compared, found.differ) == (18, len(different))
    assert found.only_one_nan == sum((a != a) != (b != b) for a, b in different)
    sizes = sorted(abs(a - b) for a, b in different if np.isfinite(a) and np.isfinite(b))
    assert found.largest == max(sizes, default=0.0)
    if not sizes:
        assert found.median is None
    elif 1e-30 < sizes[(len(sizes) - 1) // 2] < 1e38:
        assert found.median == pytest.approx(sizes[(len(sizes) - 1) // 2], rel=0.0005)
    rows = [
        row for row in range(6) if any(not (a == b or (a != a and b != b)) for a, b in pairs[3 * row : 3 * row + 3])
    ]
    assert found.first == ((0, rows[0]) if rows and rows[0] < 2 else (1, rows[0] - 2) if rows else None)


def test_integers_are_compared_too():
    found = Differences()
    found.add(np.array([1, 0, 1], np.uint8), np.array([1, 1, 0], np.uint8), 4)
    assert (found.differ, found.largest, found.first) == (2, 1.0, (4, 1))
