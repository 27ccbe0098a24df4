"""auglift-store report: what a user types, and what Chromium makes of the page."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from auglift.cli.store import main
from auglift.stores.reading.store import FeatureStore

from ..fakes.chromium import browser, chromium
from ..fakes.given import GivenStore, people
from ..fakes.video import number_frames, write_video

LENGTHS = (200, 120)
WIDTHS = (380, 1280)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("look") / "walk.zarr"
    GivenStore(lengths=LENGTHS, shard_frames=64, given=people(sum(LENGTHS))).run(path)
    return path


def test_a_page_is_written_and_what_matters_is_said(store, tmp_path):
    out = tmp_path / "report.html"
    shown = run("report", store, "--out", out, "--no-pictures")
    assert shown.exit_code == 0, shown.stderr
    assert "good: uadd/paper: its relief has rank correlation" in shown.stdout
    assert f"wrote {out}" in shown.stdout
    assert out.read_text().startswith("<!doctype html>")
    assert not list(tmp_path.glob("*.partial"))


def test_the_numbers_are_one_line_of_json_with_or_without_a_page(store, tmp_path):
    alone = run("report", store, "--json")
    assert alone.stdout.count("\n") == 1
    beside = run("report", store, "--json", "--out", tmp_path / "r.html")
    numbers, same = json.loads(alone.stdout), json.loads(beside.stdout)
    assert same.pop("out") == str(tmp_path / "r.html")
    assert numbers.pop("out") is None
    del numbers["contact_sheet"], same["contact_sheet"]  # of which only the page looks for sources
    assert numbers == same
    assert numbers["depth_against_true_depth"]["descriptors"]["uadd/paper"]["relief_rank"] > 0.3


def test_the_times_that_a_pass_printed_are_shown_by_stage(store, tmp_path):
    times = tmp_path / "pass.jsonl"
    end = {"event": "end", "seconds": {"decode": 4.0, "detect": 30.0, "depth": 60.0, "total": 100.0}, "wall": 50.0}
    times.write_text('a warning\n{"event": "begin"}\n' + json.dumps({**end, "done": 320}) + "\n")
    shown = run("report", store, "--out", tmp_path / "r.html", "--times", times, "--json", "--no-pictures")
    assert json.loads(shown.stdout)["time_by_stage"] == {"stages": end["seconds"], "wall": 50.0, "frames": 320}
    assert "60%" in (tmp_path / "r.html").read_text()
    assert "6.4 frames a second" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--out", "report.pdf"), "must end in .html"),
        (("--out", "no/such/report.html"), "there is no folder no/such"),
        (("--out", "there.html"), "there.html is there already; --force replaces it"),
        (("--out", "new.html", "--times", "there.html"), "holds no times of a depth pass"),
        (("--out", "new.html", "--times", "no.jsonl"), "--times no.jsonl cannot be read"),
        (("--out", "new.html", "--videos", "nowhere"), "--videos nowhere: there is no such folder"),
    ],
)
def test_a_wrong_call_is_one_line_and_writes_nothing(store, tmp_path, monkeypatch, options, words: str):
    monkeypatch.chdir(tmp_path)
    Path("there.html").write_text("mine")
    shown = run("report", store, *options)
    assert shown.exit_code == 2
    assert shown.stderr.startswith("error: ")
    assert words in shown.stderr
    assert shown.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["there.html"]
    assert Path("there.html").read_text() == "mine"


def test_no_store_there_is_one_line(tmp_path):
    shown = run("report", tmp_path / "none.zarr", "--out", tmp_path / "r.html")
    assert shown.exit_code == 2
    assert shown.stderr.startswith("error: there is no store at")


def test_pictures_are_cut_from_the_sources_and_grey_beyond_their_edge(tmp_path):
    from auglift.pipeline.frames.sources import probe
    from auglift.pipeline.pictures.thumbnails import thumbnails

    frames = number_frames(LENGTHS[0], 64, 48)
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "0.mp4", frames)
    given = {**people(sum(LENGTHS)), "keypoints": np.tile(np.linspace((8, 8), (40, 40), 17), (sum(LENGTHS), 1, 1))}
    info = probe(tmp_path / "videos" / "0.mp4")
    made = GivenStore(lengths=LENGTHS, shard_frames=64, given=given)
    named = {row.id: {"digest": info.digest} for row in made.sequences}
    GivenStore(lengths=LENGTHS, shard_frames=64, given=given, configuration={"sequences": named}).run(tmp_path / "s")
    store = FeatureStore.open(tmp_path / "s")
    data = thumbnails(store, tmp_path, 64)(store.sequences[0], 7, (-16, 0, 32, 48))
    (tmp_path / "seven.jpg").write_bytes(data)
    picture = np.asarray(Image.open(tmp_path / "seven.jpg").convert("RGB")).astype(int)
    assert picture.shape == (64, 64, 3)
    assert np.abs(picture[:, :16] - 128).max() < 24  # beyond the left edge
    whole = np.asarray(Image.fromarray(frames[7][:48, :32]).resize((43, 64))).astype(int)
    assert np.abs(picture[:, 26:] - whole[:, 5:]).mean() < 16

    page = tmp_path / "r.html"
    shown = run("report", tmp_path / "s", "--out", page, "--videos", tmp_path)
    assert shown.exit_code == 0, shown.stderr
    assert "data:image/jpeg" in page.read_text()
    # The second sequence's source is nowhere.
    assert "shown without pictures" in page.read_text()


@pytest.mark.skipif(chromium() is None, reason="Chromium is not installed (Debian: apt-get install chromium)")
def test_in_chromium_a_telephone_and_a_screen_show_it_without_an_error_or_a_request(store, tmp_path):
    page = tmp_path / "report.html"
    run("report", store, "--out", page, "--no-pictures")
    heights = "[...document.querySelectorAll('svg text')].map(t => t.getBoundingClientRect().height)"
    smallest = f"Math.min(...{heights}.filter(h => h))"
    with browser() as opened:
        shots = {}
        for width in WIDTHS:
            for dark in (False, True):
                visit = opened.visit(page, width, dark, smallest)
                assert visit.logged == []
                assert visit.requested == [page.resolve().as_uri()]
                assert visit.scroll_width <= width, "the page scrolls sideways"
                assert visit.evaluated >= 10, "px of the smallest text in a drawing"
                shots[width, dark] = visit.png
        seen = {key: _corner(png, tmp_path) for key, png in shots.items()}
    for width in WIDTHS:
        assert seen[width, False] > 200 > 60 > seen[width, True]
    # A page that does what ours must not do is seen to do it: else the claims above would hold anything.
    other = tmp_path / "other.html"
    other.write_text("<body style='width:2000px'><img src='none.png'><script>undefined_name()</script>")
    with browser() as opened:
        visit = opened.visit(other, 380)
    assert visit.logged
    assert any(url.endswith("none.png") for url in visit.requested)
    assert visit.scroll_width >= 2000


def _corner(png: bytes, folder: Path) -> float:
    (folder / "shot.png").write_bytes(png)
    with Image.open(folder / "shot.png") as picture:
        return float(np.asarray(picture.convert("L"))[2, 2])


def test_the_page_needs_no_depth_pass_installed(store, tmp_path):
    """A trainer's installation has stores alone; its page has no pictures."""
    code = (
        "import sys\n"
        "for name in ('torch', 'av', 'cv2', 'PIL', 'matplotlib', 'scipy'): sys.modules[name] = None\n"
        "from auglift.stores.reading.store import FeatureStore\n"
        "from auglift.stores.report.page import make_page\n"
        f"print(len(make_page(FeatureStore.open({str(store)!r})).html))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10_000
