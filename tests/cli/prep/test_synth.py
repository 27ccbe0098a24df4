"""cli/prep/synth.py: rendered clips into a store as a user types it; stopped anywhere, it goes on to the same bytes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from auglift.cli.prep.main import main
from auglift.cli.store import main as store_main
from auglift.stores.reading.store import FeatureStore

from ...fakes.folders import digest_of_folder

ROOT = Path(__file__).resolve().parents[3]
TRUE = ["--pose", "ground-truth", "--depth", "ground-truth", "--threads", "1", "--device", "cpu"]
SMALL = ["--domain", "studio", "--clips", "4", "--frames", "6", "--size", "64", "--renderers", "1"]


def prep(*arguments: object):
    return CliRunner().invoke(main, ["synth", *map(str, arguments)])


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with a store and the cache it was made from."""
    folder = tmp_path_factory.mktemp("made")
    result = prep(*SMALL, *TRUE, "--cache", folder / "cache", "--out", folder / "x.zarr")
    assert result.exit_code == 0, result.output
    return folder


def test_a_call_makes_a_store_of_both_splits(made):
    store = FeatureStore.open(made / "x.zarr")
    assert [row.split for row in store.sequences] == ["train"] * 3 + ["test"]
    assert {"target/pose3d", "target/keypoints", "uadd/paper"} <= set(store.fields)
    assert store.sequences.frames == 24


def test_a_killed_call_run_again_gives_the_same_bytes(made, tmp_path):
    call = [*SMALL, *TRUE, "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "x.zarr")]
    job = subprocess.Popen(
        [sys.executable, "-m", "auglift.cli.prep.main", "synth", *call],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not list(tmp_path.glob("cache/synth/*/*/video.mp4")):
        assert job.poll() is None, "the job ended before it was killed"
        time.sleep(0.002)
    job.send_signal(signal.SIGKILL)
    job.wait()
    assert not (tmp_path / "x.zarr" / "ledger").exists()
    result = prep(*call)
    assert result.exit_code == 0, result.output
    assert digest_of_folder(tmp_path) == digest_of_folder(made)


def test_another_store_draws_nothing_anew(made, tmp_path):
    before = digest_of_folder(made / "cache")
    result = prep(*SMALL, *TRUE, "--cache", made / "cache", "--out", tmp_path / "x.zarr", "--uadd", "paper")
    assert result.exit_code == 0, result.output
    assert "drawing" not in result.output
    assert digest_of_folder(made / "cache") == before


def test_a_dry_run_draws_nothing(tmp_path):
    result = prep(*SMALL, *TRUE, "--cache", tmp_path / "c", "--out", tmp_path / "x", "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["frames"] == 24
    assert list(tmp_path.iterdir()) == []


def test_recorded_motion_is_said_to_be_recorded(shared_data, tmp_path):
    call = ["--domain", "studio", "--clips", 6, "--frames", 2, "--size", 64, "--split", "train", "--renderers", 1]
    out = tmp_path / "x.zarr"
    result = prep(*call, *TRUE, "--mocap", shared_data / "cmu_mocap", "--cache", tmp_path / "c", "--out", out)
    assert result.exit_code == 0, result.output
    store = FeatureStore.open(out)
    motions = {id: about["truth"]["motion"] for id, about in store.configuration["sequences"].items()}
    assert set(motions.values()) == {"recorded", "procedural"}
    for row in store.sequences:
        assert (motions[row.id] == "recorded") == row.action.startswith("cmu:train/")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--domain", "strete"], "no domain named 'strete'; did you mean 'street'?"),
        (["--split", "val"], "no split named 'val'; there are: train, test, all"),
        (["--mocap", "nowhere.tar.xz"], "no motion capture archive at nowhere.tar.xz"),
        (["--size", "65"], "--size 65: H.264 wants an even number of pixels; try 66"),
        (["--pose", "rtmpose-s", "--weights", "nowhere"], "nowhere does not exist; give the folder that holds"),
        (["--depth", "tinny"], "did you mean tiny"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_2_and_leaves_nothing(tmp_path, changes, message):
    result = prep(*SMALL, *TRUE, "--cache", tmp_path / "c", "--out", tmp_path / "x", *changes)
    assert result.exit_code == 2
    assert message in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_one_line_and_exit_2(tmp_path):
    (tmp_path / "file").write_text("")
    result = prep(*SMALL, *TRUE, "--cache", tmp_path / "file" / "c", "--out", tmp_path / "x")
    assert result.exit_code == 2
    assert "make room, or name another folder with --cache" in result.output
    assert not (tmp_path / "x").exists()


def test_a_picture_is_drawn_of_the_store_and_its_videos(made, tmp_path):
    store, out = str(made / "x.zarr"), str(tmp_path / "x.png")
    result = CliRunner().invoke(store_main, ["picture", store, "--videos", str(made), "--count", "2", "--out", out])
    assert result.exit_code == 0, result.output
    assert Image.open(out).width > 600


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x.zarr", "x.zarr", "--frame", "1"], "--frame counts the frames of one store"),
        (["x.zarr", "--videos", "nowhere"], "name its folder with --videos"),
        (["nothing.zarr"], "there is no store"),
    ],
)
def test_a_picture_that_cannot_be_drawn_is_one_line_and_exit_2(made, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(made)
    result = CliRunner().invoke(store_main, ["picture", *arguments, "--out", str(tmp_path / "x.png")])
    assert result.exit_code == 2
    assert message in result.output
    assert list(tmp_path.iterdir()) == []


def test_the_tiny_networks_are_the_default():
    options = {option.name: option.default for option in main.commands["synth"].params}
    assert [options[kind] for kind in ("detector", "pose", "depth")] == ["tiny"] * 3
    video = {option.name: option.default for option in main.commands["video"].params}
    assert video["depth"] == "depth-anything-v2-large"
