"""pipeline/frames/names.py: a name for every source that is text, short, and no other source's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from auglift.pipeline.frames.names import natural, on_disk, readable, unique_ids
from auglift.stores.errors import InvalidValueError


@pytest.mark.parametrize(
    ("paths", "ids"),
    [
        (["x/a.mp4", "x/b.mp4"], ["a", "b"]),
        (["x/a.mp4", "y/a.mp4", "y/c.mp4"], ["x/a", "y/a", "c"]),
        (["z/x/a.mp4", "w/x/a.mp4"], ["z/x/a", "w/x/a"]),
        (["x/a.mp4", "x/a.mov"], ["a.mp4", "a.mov"]),
        (["x/a.mp4", "x/a.mov", "y/a.mp4"], ["a.mp4", "a.mov", "a"]),
        (["x/a.mp4", "x/a.mov", "x/a.mp4.mov"], ["a.mp4", "a.mov", "a.mp4.mov"]),
        (["x/a.mp4", "y/a.mov"], ["x/a", "y/a"]),
        (["v1.2/take.1.mp4"], ["take.1"]),
    ],
)
def test_an_id_is_the_stem_with_what_is_needed_to_tell_it_apart(paths, ids):
    assert unique_ids([Path(path) for path in paths]) == ids


def test_the_folder_one_stands_in_has_its_own_name(tmp_path, monkeypatch):
    (tmp_path / "walk" / "inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "walk" / "inner")
    assert unique_ids([Path(), Path("..")]) == ["inner", "walk"]
    assert unique_ids([Path("/")]) == ["root"]


def test_a_folder_and_a_video_of_one_name_differ(tmp_path):
    (tmp_path / "walk").mkdir()
    assert unique_ids([tmp_path / "walk", tmp_path / "walk.mp4"]) == ["walk", "walk.mp4"]


def test_what_lies_deeper_keeps_its_folders():
    assert unique_ids([Path("x/S1/a.mp4"), Path("x/b.mp4")], [1, 0]) == ["S1/a", "b"]


def test_one_source_named_twice_is_refused_also_by_two_paths():
    with pytest.raises(InvalidValueError, match="given twice"):
        unique_ids([Path("x/a.mp4"), Path("x/a.mp4")])
    with pytest.raises(InvalidValueError, match="given twice"):
        unique_ids([Path("x/a.mp4"), Path("y/../x/a.mp4")])


folders = st.lists(st.sampled_from(["x", "y", "x.y", "é"]), max_size=3).map(tuple)
files = st.sampled_from(["a.mp4", "a.mov", "a", "a.mp4.mov", "b.mp4", "a\udce9.mp4", "a\n.mp4"])


@given(st.lists(st.tuples(folders, files), min_size=1, max_size=12, unique=True))
def test_ids_of_distinct_sources_are_distinct_text(parts):
    ids = unique_ids([Path("/", *above, name) for above, name in parts])
    assert len(set(ids)) == len(ids)
    assert all(id.encode() and id.isprintable() for id in ids)


@given(st.binary(max_size=40).filter(lambda name: b"\\" not in name))
@example(b"\xc2\x85.mp4")  # a control character, in UTF-8
@example(b"\x85.mp4")  # the byte of the same number, in Latin-1
def test_any_file_name_becomes_text_and_can_be_found_again(name):
    text = os.fsdecode(name)
    readable(text).encode()  # no surrogate is left
    assert "\n" not in readable(text)
    assert on_disk(readable(text)) == text


def test_ordinary_names_stay_as_they_are():
    for name in ("walk 1.mp4", "Gehen – Übung.mov", "歩く.mp4", "Bildschirm\u202f9.mov", "[cam] {1} :x:.mp4"):
        assert readable(name) == name


def test_names_are_in_the_order_people_expect():
    assert sorted(["img10", "img2", "a", "img02"], key=natural) == ["a", "img02", "img2", "img10"]
