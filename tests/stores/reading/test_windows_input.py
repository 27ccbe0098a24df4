"""stores/reading/windows.py: stores and options that cannot be are refused before anything is read."""

from __future__ import annotations

import json

import pyarrow.compute as pc
import pytest

from auglift.stores.errors import InvalidValueError, MissingFieldError, MissingFileError
from auglift.stores.format.layout import GROUP
from auglift.stores.locations.choose import locate
from auglift.stores.reading.windows import WindowLoader
from tests.fakes.stores import MadeStore, ids, make_store


def change_attributes(path, **changes) -> None:
    location = locate(path)
    group = json.loads(location.read(GROUP))
    group["attributes"] |= changes
    location.write(GROUP, json.dumps(group).encode())


class TestBadInput:
    def test_the_error_for_a_missing_field_lists_the_fields(self, stores):
        with pytest.raises(MissingFieldError, match=r"has no uadd/fixed; it holds keypoints, score"):
            WindowLoader(stores[0], ["keypoints", "uadd/fixed"], 9)

    @pytest.mark.parametrize("window", [0, -1, 2, 80, 353])
    def test_windows_are_odd_and_at_most_351(self, stores, window):
        with pytest.raises(InvalidValueError, match=r"odd, 1 to 351"):
            WindowLoader(stores, ["score"], window)

    @pytest.mark.parametrize("stride", [0, -3])
    def test_a_stride_below_one(self, stores, stride):
        with pytest.raises(InvalidValueError, match="stride"):
            WindowLoader(stores, ["score"], 9, stride)

    @pytest.mark.parametrize("options", [{"select": {"split": "val"}}, {"where": pc.field("fps") > 60}])
    def test_an_empty_selection_is_shown_what_there_is(self, stores, options):
        with pytest.raises(InvalidValueError, match=r"a\.zarr: no sequence has .*split: 'test', 'train'"):
            WindowLoader(stores, ["score"], 9, **options)

    def test_a_selection_without_a_valid_centre(self, tmp_path):
        for seed in range(100):
            made = MadeStore(lengths=(1, 3), seed=seed)
            if not made.values(next(f for f in made.layout.fields if f.name == "valid"))[0]:
                break
        store = make_store(tmp_path / "s.zarr", lengths=(1, 3), seed=seed)
        with pytest.raises(
            InvalidValueError, match=r"no window is left of 1 centres .*: 1 are not valid; keep_invalid"
        ):
            WindowLoader(store, ["score"], 1, where=pc.field("length") == 1)

    def test_stores_of_different_skeletons(self, stores, tmp_path):
        make_store(tmp_path / "c.zarr")
        change_attributes(tmp_path / "c.zarr", skeleton={"name": "coco-17", "joints": []})
        with pytest.raises(InvalidValueError, match=r"c\.zarr have different skeletons \(.*name: .*coco-17"):
            WindowLoader([stores[0], tmp_path / "c.zarr"], ["score"], 3)

    def test_stores_of_different_presets(self, tmp_path):
        for name, radius in (("a", 30), ("b", 20)):
            make_store(tmp_path / name, configuration={"uadd": {"paper": {"r_max": radius}}})
        with pytest.raises(InvalidValueError, match=r"different presets 'paper' \(r_max: 30 in .*a, 20 there\)"):
            WindowLoader([tmp_path / "a", tmp_path / "b"], ["uadd/paper"], 3)
        assert WindowLoader([tmp_path / "a", tmp_path / "b"], ["score"], 3).windows

    def test_a_store_without_the_preset_of_the_other(self, tmp_path):
        for name, preset in (("a", "paper"), ("b", "fixed")):
            make_store(tmp_path / name, presets=(preset,))
        with pytest.raises(MissingFieldError, match=r"b has no uadd/paper; it holds .*uadd/fixed"):
            WindowLoader([tmp_path / "a", tmp_path / "b"], ["uadd/paper"], 3)

    def test_a_store_of_a_newer_format(self, tmp_path):
        make_store(tmp_path / "s.zarr")
        change_attributes(tmp_path / "s.zarr", format_version=99)
        with pytest.raises(InvalidValueError, match="upgrade auglift"):
            WindowLoader(tmp_path / "s.zarr", ["score"], 3)

    def test_no_store_at_all(self, tmp_path):
        with pytest.raises(MissingFileError, match="there is no store"):
            WindowLoader(tmp_path / "nowhere", ["score"], 3)
        with pytest.raises(InvalidValueError, match="no store was given"):
            WindowLoader([], ["score"], 3)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"batch_size": 0}, "batch size 0"),
            ({"rank": 2, "world_size": 2}, "rank 2 of 2"),
            ({"weights": [1]}, "must be 2, one a store"),
            ({"weights": [1, 0]}, "above 0"),
            ({"memory": "2GB"}, "number of bytes"),
            ({"memory": 1000}, r"memory of 0\.0 MB is too small .* give at least"),
            ({"centre_fields": ["keypoints"]}, "must be among the fields"),
        ],
    )
    def test_options_that_make_no_sense(self, stores, options, message):
        with pytest.raises(InvalidValueError, match=message):
            WindowLoader(stores, ["score"], 3, **options)

    def test_the_least_memory_that_an_error_names_is_enough(self, stores):
        with pytest.raises(InvalidValueError) as refused:
            WindowLoader(stores, ["score"], 9, memory=1000)
        megabytes = float(str(refused.value).split("at least ")[1].split(" MB")[0])
        loader = WindowLoader(stores, ["score"], 9, memory=int(megabytes * 1e6) + 100_000)
        assert sorted(ids(loader)) == sorted(ids(WindowLoader(stores, ["score"], 9)))
