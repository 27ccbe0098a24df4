"""stores/report/page.py: a page for every kind of store, in sound HTML that fetches nothing and runs nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from auglift.stores.errors import MissingFileError
from auglift.stores.format.sequences import SequenceTable
from auglift.stores.reading.store import FeatureStore
from auglift.stores.report.page import Page, make_page
from auglift.stores.report.sheet import EACH, SIDE

from ...fakes.families import MadeFamily
from ...fakes.given import GivenStore, people
from ...fakes.stores import MadeStore

LENGTHS = (200, 120)
VOID = {"meta", "link", "br"}
TITLES = (
    "The store",
    "Left out and warned of",
    "Contact sheet",
    "Coverage by sequence",
    "Confidence and depth by joint",
    "Radius against confidence",
    "Depth against true depth",
    "Detector error by joint",
    "Jumps between people",
    "Time by stage",
)


class Sound(HTMLParser):
    """Holds that every element is closed, and notes what a browser would fetch or run."""

    def __init__(self, html: str):
        super().__init__()
        self.open: list[str] = []
        self.foreign: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.foreign += [tag] if tag in ("script", "iframe", "object", "img") else []
        for name, value in attrs:
            if name.startswith("on") or (name in ("src", "href", "data") and not str(value).startswith(("#", "data:"))):
                self.foreign.append(f"{tag} {name}={value}")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()


def check(page: Page) -> Page:
    assert Sound(page.html).foreign == []
    assert "url(" not in page.html
    json.dumps(page.numbers, allow_nan=False)
    assert re.findall(r"<h2>(.*?)</h2>", page.html)[1:] == list(TITLES)
    assert not re.search(r"\bnan\b|\binf\b", re.sub(r"<style>.*?</style>", "", page.html, flags=re.S))
    return page


def opened(made: MadeStore, path: Path, shards: int | None = None) -> FeatureStore:
    made.run(path, shards=shards)
    return FeatureStore.open(path, allow_incomplete=True)


def plain(**changes) -> GivenStore:
    return GivenStore(lengths=LENGTHS, shard_frames=64, given=people(sum(LENGTHS)), **changes)


def test_the_same_store_gives_the_same_bytes(tmp_path):
    store = opened(plain(), tmp_path / "s")
    assert check(make_page(store)) == make_page(store)
    assert "all 320 frames" in make_page(store).html


@pytest.mark.parametrize("shards", [0, 2])
def test_a_store_that_is_being_written_says_so_first(tmp_path, shards: int):
    made = plain()
    page = check(make_page(opened(made, tmp_path / "s", shards=shards)))
    level, text = page.numbers["findings"][0]
    assert level == "bad"
    assert text.startswith(f"This store is still being written: {shards} of 5 shards are finished")
    assert page.html.index("still being written") < page.html.index("<nav>")
    assert page.numbers["sample"]["of"] == 64 * shards


def test_a_store_without_truth_says_what_cannot_be_known(tmp_path):
    page = check(make_page(opened(plain(optional=()), tmp_path / "s")))
    assert "nobody can say here whether its depth is right" in page.html
    assert "no true 2D joints" in page.html
    assert page.numbers["depth_against_true_depth"]["descriptors"] == {}


def test_a_store_without_depth_has_a_page_all_the_same(tmp_path):
    page = check(make_page(opened(plain(presets=()), tmp_path / "s")))
    assert "made with --depth none" in page.html
    assert page.numbers["radius_against_confidence"]["descriptors"] == []
    assert page.numbers["detector_error_by_joint"]["all"]["median"] > 0


def test_families_are_compared_beside_the_stores_own_depth(tmp_path):
    opened(plain(), tmp_path / "s")
    MadeFamily().run(tmp_path / "s")
    page = check(make_page(FeatureStore.open(tmp_path / "s")))
    compared = page.numbers["depth_against_true_depth"]["descriptors"]
    assert set(compared) == {"uadd/paper", "uadd/paper@base"}
    assert abs(compared["uadd/paper@base"]["relief_rank"]) < 0.1 < compared["uadd/paper"]["relief_rank"]
    assert "radius/paper@base" in page.numbers["radius_against_confidence"]
    assert "@base: complete, depth other-depth" in page.html


def test_a_family_alone_gives_depth_to_a_store_that_has_none(tmp_path):
    opened(plain(presets=()), tmp_path / "s")
    MadeFamily().run(tmp_path / "s")
    page = check(make_page(FeatureStore.open(tmp_path / "s")))
    assert set(page.numbers["depth_against_true_depth"]["descriptors"]) == {"uadd/paper@base"}


def test_relative_depth_has_ranks_and_no_metres(tmp_path):
    made = plain(configuration={"depth": {"name": "relative-net", "metric": False}})
    page = check(make_page(opened(made, tmp_path / "s")))
    of = page.numbers["depth_against_true_depth"]["descriptors"]["uadd/paper"]
    assert of["relief_rank"] > 0.3
    assert (of["bias"], of["scale"], of["behind"]) == (None, None, None)


def test_nobody_anywhere_is_said_and_breaks_nothing(tmp_path):
    made = plain()
    made.given["valid"] = np.zeros(sum(LENGTHS))
    page = check(make_page(opened(made, tmp_path / "s")))
    assert "2 sequences have no person in any frame" in page.html


def test_missing_values_everywhere_break_nothing(tmp_path):
    made = plain()
    for name in ("score", "bbox", "uadd/paper", "radius/paper", "target/pose3d", "target/keypoints"):
        made.given[name][:] = np.nan
    check(make_page(opened(made, tmp_path / "s")))
    made.given["keypoints"][::2, 3] = np.nan
    made.given["score"][1] = 0.5
    check(make_page(opened(made, tmp_path / "t")))


def test_true_joints_in_the_detectors_place_are_named(tmp_path):
    made = plain(configuration={"pose": {"name": "ground-truth"}, "depth": {"name": "ground-truth"}})
    made.given["score"] = np.ones((sum(LENGTHS), 17))
    page = check(make_page(opened(made, tmp_path / "s")))
    assert "there is no error to show" in page.html
    assert "Every joint has the same confidence" in page.html
    assert list(page.numbers["contact_sheet"]["frames"]) == ["spread evenly"]


def test_what_a_store_calls_its_sequences_is_text_and_nothing_else(tmp_path):
    evil = '<script>alert("1")</script>&<b>'

    class Named(GivenStore):
        @property
        def sequences(self):
            return SequenceTable.from_sequences(
                [replace(row, id=f"{evil}{n}", subject=f"{evil}{n}") for n, row in enumerate(super().sequences)]
            )

    made = Named(lengths=LENGTHS, shard_frames=64, given=people(sum(LENGTHS)), warnings=(evil,))
    page = check(make_page(opened(made, tmp_path / "s")))
    assert "&lt;script&gt;" in page.html
    assert "<script" not in page.html


def test_pictures_come_from_the_reader_that_is_handed_in_and_lie_in_the_page(tmp_path):
    store = opened(plain(), tmp_path / "s")
    asked = []

    def reader(sequence, number, view):
        asked.append((sequence.id, number))
        assert view[2] - view[0] == pytest.approx(view[3] - view[1])
        return b"JPEG"

    page = check(make_page(store, reader))
    assert len(asked) == 3 * EACH
    assert page.html.count(f'<image href="data:image/jpeg;base64,SlBFRw==" width="{SIDE}"') == 3 * EACH


def test_a_source_that_is_not_at_hand_is_said_and_the_joints_are_shown(tmp_path):
    def reader(sequence, number, view):
        raise MissingFileError("the source 'walk.mp4' is not here")

    page = check(make_page(opened(plain(), tmp_path / "s"), reader))
    assert "shown without pictures. The first: the source &#x27;walk.mp4&#x27; is not here" in page.html
    assert page.html.count("class=bones") == 3 * EACH


def test_a_page_of_many_sequences_stays_small(tmp_path):
    lengths = (2,) * 1500
    made = GivenStore(lengths=lengths, shard_frames=512, given=people(sum(lengths)))
    page = check(make_page(opened(made, tmp_path / "s")))
    assert len(page.html) < 400_000
