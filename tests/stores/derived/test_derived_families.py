"""Families of further fields in merged and selected stores: taken along, and as complete as the store."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from auglift.stores.comparison.diff import diff
from auglift.stores.derived import job
from auglift.stores.derived.job import derive
from auglift.stores.derived.merge import merge_plan
from auglift.stores.derived.select import Selection, select_plan
from auglift.stores.errors import CorruptStoreError, InvalidValueError, MissingFieldError
from auglift.stores.reading.store import FeatureStore
from auglift.stores.summaries.lineage import lineage
from auglift.stores.writing.families import remove_family
from auglift.stores.writing.verify import verify

from ...fakes.derived import Part
from ...fakes.families import MadeFamily
from ...fakes.folders import digest_of_folder

SMALL = ("keypoints", "valid", "source_frame")
PARTS = [
    Part(lengths=(20, 12), prefix="a", only=SMALL, unreadable=(3,)),
    Part(lengths=(23, 9), prefix="b", only=SMALL, seed=1, unreadable=(30,)),
]
FAMILY = MadeFamily()


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("parts")
    paths = [folder / part.prefix for part in PARTS]
    for part, path in zip(PARTS, paths, strict=True):
        part.run(path)
        FAMILY.run(path)
    return paths


def test_a_merged_store_has_the_families_of_its_parts_with_their_values(paths, tmp_path):
    done = derive(merge_plan(paths), tmp_path / "c")
    assert (done.copied, done.written) == (4 * (3 + 2), 0)
    store, parts = FeatureStore.open(tmp_path / "c"), [FeatureStore.open(path) for path in paths]
    assert list(store.fields) == [*SMALL[:2], "source_frame", "uadd/paper@base", "radius/paper@base"]
    for name in store.fields:
        np.testing.assert_array_equal(store.read(name), np.concatenate([part.read(name) for part in parts]))
    assert verify(tmp_path / "c", deep=True) == []
    assert store.families["base"].attributes["counts"]["frames"] == 64


def test_families_are_chosen_by_field_by_group_and_by_name(paths, tmp_path):
    for number, (fields, families) in enumerate(
        [
            (("keypoints",), []),
            (("@base",), ["uadd/paper", "radius/paper"]),
            (("uadd/paper@base",), ["uadd/paper"]),
            (("radius",), ["radius/paper"]),
        ]
    ):
        derive(select_plan(paths[0], Selection(fields=fields)), tmp_path / str(number))
        store = FeatureStore.open(tmp_path / str(number))
        found = [name for family in store.families.values() for name in family.own_fields]
        assert found == families, fields
        assert verify(tmp_path / str(number), deep=True) == []
    with pytest.raises(MissingFieldError, match=r"has no @other; it holds .*uadd/paper@base"):
        select_plan(paths[0], Selection(fields=("@other",)))


def test_cut_anew_a_family_counts_the_frames_that_its_store_counts(paths, tmp_path):
    derive(select_plan(paths[1], Selection(where='id.endswith("cam2")')), tmp_path / "c")
    store, source = FeatureStore.open(tmp_path / "c"), FeatureStore.open(paths[1])
    assert store.frames == 9
    np.testing.assert_array_equal(store.read("uadd/paper@base"), source.read("uadd/paper@base", 23))
    assert store.families["base"].attributes["counts"]["frames"] == 9
    assert verify(tmp_path / "c", deep=True) == []


def test_a_family_that_only_one_store_has_or_that_was_made_otherwise_is_refused(paths, tmp_path):
    part = Part(lengths=(7,), prefix="c", seed=2, only=SMALL)
    part.run(tmp_path / "without")
    with pytest.raises(InvalidValueError, match=r"the new fields 'base' are only in .*remove-fields"):
        merge_plan([tmp_path / "without", paths[0]])
    MadeFamily(configuration={"depth": {"name": "another", "weights": "none"}}).run(tmp_path / "without")
    with pytest.raises(InvalidValueError, match=r'depth.name: "other-depth" in .*"another" in'):
        merge_plan([paths[0], tmp_path / "without"])


def test_a_family_that_cannot_be_read_is_an_error_and_never_left_out(tmp_path):
    PARTS[0].run(tmp_path / "a")
    FAMILY.run(tmp_path / "a")
    (tmp_path / "a" / "families" / "base" / "zarr.json").write_text("{}")
    with pytest.raises(CorruptStoreError, match=r"the family 'base' of .* cannot be read"):
        select_plan(tmp_path / "a", Selection())


def test_a_store_is_complete_only_when_its_families_are(paths, tmp_path, monkeypatch):
    monkeypatch.setattr(job, "_write_family", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        derive(merge_plan(paths), tmp_path / "c")
    assert FeatureStore.open(tmp_path / "c", allow_incomplete=True).status == "building"
    monkeypatch.undo()
    derive(merge_plan(paths), tmp_path / "c")
    derive(merge_plan(paths), tmp_path / "d")
    assert digest_of_folder(tmp_path / "c") == digest_of_folder(tmp_path / "d")


def test_the_lineage_has_extensions_where_they_happened(paths, tmp_path):
    derive(select_plan(paths[0], Selection()), tmp_path / "c")
    MadeFamily(name="later").run(tmp_path / "c")
    made = lineage(FeatureStore.open(tmp_path / "c"))
    assert [entry["command"] for entry in made] == [
        "auglift-prep",
        "auglift-prep extend",
        "auglift-store select",
        "auglift-prep extend",
    ]
    assert [entry["options"].get("name") for entry in made] == [None, "base", None, "later"]
    before = json.dumps(made[:3])
    remove_family(FeatureStore.open(tmp_path / "c").location, "later")
    assert json.dumps(lineage(FeatureStore.open(tmp_path / "c"))) == before


def test_diff_compares_families_too(paths, tmp_path):
    derive(select_plan(paths[0], Selection()), tmp_path / "c")
    assert diff(FeatureStore.open(paths[0]), FeatureStore.open(tmp_path / "c"), values_only=True)["same"]
    PARTS[0].run(tmp_path / "d")
    MadeFamily(seed=8).run(tmp_path / "d")
    found = diff(FeatureStore.open(paths[0]), FeatureStore.open(tmp_path / "d"))
    assert found["configuration"] == {"families.base.seed": [7, 8]}
    assert found["values"]["uadd/paper@base"]["share"] == 1.0
    assert found["values"]["keypoints"]["differ"] == 0
