"""main.py over files as people have them: what is left out is named, what is odd is said and kept in the store."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path

import pytest
from click.testing import CliRunner

from auglift.cli.prep.main import main
from auglift.cli.store import main as store_main
from auglift.stores.reading.store import FeatureStore

from ...fakes.folders import digest_of_folder
from ...fakes.video import number_frames, write_images, write_video

TINY = ["--detector", "tiny", "--pose", "tiny", "--depth", "tiny", "--threads", "1"]
FRAMES = number_frames(6, 96, 128)


def prep(*arguments: object):
    return CliRunner().invoke(main, ["video", *map(str, arguments)])


def plan(*arguments: object) -> dict:
    """What a dry run says that it would do."""
    result = prep(*arguments, "--out", "x.zarr", "--dry-run", "--json")
    assert result.exit_code in (0, 1), result.output
    return {**json.loads(result.stdout), "exit_code": result.exit_code, "stderr": result.stderr}


@pytest.fixture(scope="module")
def odd(tmp_path_factory) -> Path:
    """A folder as people have them: odd names, a rate that varies, one that is 29.97, a damaged file, notes."""
    folder = tmp_path_factory.mktemp("odd")
    write_video(folder / "[red]walk[bold] :car:.mp4", FRAMES, fps=30)
    write_video(folder / "walk.mp4", FRAMES, fps=30)
    write_video(folder / "walk.mov", FRAMES, fps=Fraction(30000, 1001))
    write_video(folder / "uneven.mp4", FRAMES, fps=25, times=[0, 80, 200, 280, 400, 480])
    write_video(folder / "plain.mp4", FRAMES, fps=30).rename(folder / os.fsdecode(b"caf\xe9.mp4"))
    (folder / "bad.mp4").write_bytes(b"not a video")
    (folder / "notes.txt").write_text("a note")
    return folder


@pytest.fixture(scope="module")
def store(odd, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("store") / "odd.zarr"
    result = prep(odd, "--out", out, *TINY)
    assert result.exit_code == 1, result.output  # bad.mp4 is left out
    return out


def test_a_folder_of_odd_files_becomes_a_store_of_all_that_can_be_read(store):
    rows = list(FeatureStore.open(store).sequences)
    names = {row.id: (row.source, row.length) for row in rows}
    assert names == {
        "[red]walk[bold] :car:": ("[red]walk[bold] :car:.mp4", 6),
        "caf\\xe9": ("caf\\xe9.mp4", 6),
        "uneven": ("uneven.mp4", 6),
        "walk.mov": ("walk.mov", 6),
        "walk.mp4": ("walk.mp4", 6),
    }


def test_what_is_odd_is_said_before_the_job_and_kept_in_the_store_and_shown(odd, store):
    rendered_only, warning = FeatureStore.open(store).attributes["warnings"]
    assert "KNOWS RENDERED PEOPLE ONLY" in rendered_only
    assert warning.startswith("uneven: variable frame rate")
    said = plan(odd)
    assert said["warnings"] == [warning]
    assert warning in said["stderr"]
    assert warning in CliRunner().invoke(store_main, ["info", str(store)]).stdout
    assert warning in json.loads(CliRunner().invoke(store_main, ["info", "--json", str(store)]).stdout)["warnings"]


def test_what_is_left_out_is_named_and_the_exit_code_says_so(odd):
    said = plan(odd)
    assert said["exit_code"] == 1
    (bad,), (skipped,) = said["left_out"], said["skipped"]
    assert "bad.mp4 is not a video" in bad
    assert "1 other file in it not taken (notes.txt)" in skipped
    assert f"left out: {bad}" in said["stderr"]
    assert skipped in said["stderr"]


def test_the_end_of_a_job_tells_scripts_the_same(odd, tmp_path):
    result = prep(odd / "walk.mp4", odd / "bad.mp4", "--out", tmp_path / "x.zarr", *TINY, "--json", "--limit", 2)
    assert result.exit_code == 1
    end = json.loads(result.stdout.splitlines()[-1])
    assert (end["event"], len(end["warnings"]), len(end["left_out"]), end["skipped"]) == ("end", 1, 1, [])


def test_the_same_folder_gives_the_same_bytes_with_and_without_what_is_no_source(odd, store, tmp_path):
    out = tmp_path / "again.zarr"
    sources = sorted(path for path in odd.iterdir() if path.suffix in (".mp4", ".mov") and path.name != "bad.mp4")
    assert prep(*sources, "--out", out, *TINY).exit_code == 0
    assert digest_of_folder(out) == digest_of_folder(store)


def test_the_folder_one_stands_in_is_a_source(odd, tmp_path, monkeypatch):
    write_images(tmp_path / "run", FRAMES)
    monkeypatch.chdir(tmp_path / "run")
    assert plan(".")["sequences"] == {"run": 6}
    monkeypatch.chdir(odd)
    assert set(plan(".")["sequences"]) == set(plan(odd)["sequences"])


def test_a_batch_with_a_rate_just_missed_and_images_without_one_is_resampled_and_that_is_said(odd, tmp_path):
    write_images(tmp_path / "run", FRAMES)
    said = plan(odd / "walk.mp4", odd / "walk.mov", tmp_path / "run", "--fps", 30)
    assert said["sequences"] == {"walk.mp4": 6, "walk.mov": 6, "run": 6}
    assert said["exit_code"] == 0
    near, none = said["warnings"]
    assert near.startswith("walk.mov: has 29.97 fps")
    assert none.startswith("run: has no frame rate")


def test_sources_with_too_few_frames_a_second_are_counted(odd):
    result = prep(odd, "--fps", 60, "--out", "x.zarr", "--dry-run")
    assert result.exit_code == 2
    last = result.stderr.splitlines()[-1]
    assert "is more than there are, and 4 more of 5 sources" in last


def test_where_nothing_can_be_read_every_reason_is_given_and_nothing_written(odd, tmp_path):
    result = prep(odd / "bad.mp4", tmp_path / "none.mp4", "--out", tmp_path / "x.zarr", *TINY)
    assert result.exit_code == 2
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["left out", "left out", "error"]
    alone = prep(odd / "bad.mp4", "--out", tmp_path / "x.zarr", *TINY)
    assert alone.exit_code == 2
    assert len(alone.stderr.splitlines()) == 1
    assert not (tmp_path / "x.zarr").exists()


def test_of_many_left_out_the_first_are_shown_and_the_rest_counted(odd, tmp_path):
    missing = [tmp_path / f"{number}.mp4" for number in range(30)]
    said = plan(odd / "walk.mp4", *missing)
    assert len(said["left_out"]) == 30
    assert said["stderr"].count("no such video") == 10
    assert "and 20 more" in said["stderr"]
