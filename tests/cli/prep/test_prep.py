"""cli/prep/main.py: the main job as a user types it, with the real architectures and random weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray
from click.testing import CliRunner

from auglift.cli.prep.main import main
from auglift.stores.reading.store import FeatureStore

from ...fakes.depth import write_tiny_depth
from ...fakes.folders import digest_of_folder
from ...fakes.video import number_frames, truncate, write_video

ROOT = Path(__file__).resolve().parents[3]
SMALL = ["--detector", "rtmdet-nano", "--pose", "rtmpose-t"]


def prep(*arguments: object):
    return CliRunner().invoke(main, ["video", *map(str, arguments)])


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "walk.mp4"
    write_video(path, number_frames(12, width=160, height=120), fps=30)
    return path


@pytest.fixture(scope="module")
def trial(tmp_path_factory) -> list[str]:
    """The options of a trial run: real architectures, random weights, and a depth model that takes no time."""
    depth = write_tiny_depth(tmp_path_factory.mktemp("depth"))
    return [*SMALL, "--depth", str(depth), "--weights", "random", "--batch", "4", "--threads", "2"]


@pytest.fixture(scope="module")
def store(clip, trial, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("store") / "walk.zarr"
    result = prep(clip, "--out", out, *trial, "--shard-frames", 4)
    assert result.exit_code == 0, result.output
    return out


def test_a_video_becomes_a_store_that_xarray_opens(store):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened = xarray.open_zarr(store)
    assert opened.sizes["frame"] == 12
    assert opened["keypoints"].dims == ("frame", "joint", "xy")
    assert FeatureStore.open(store).read("source_frame").tolist() == list(range(12))


def test_the_store_says_in_capitals_that_its_weights_are_random(store):
    (warning,) = FeatureStore.open(store).attributes["warnings"]
    assert "RANDOM WEIGHTS" in warning


def test_the_same_command_gives_the_same_bytes(store, clip, trial, tmp_path):
    out = tmp_path / "again.zarr"
    assert prep(clip, "--out", out, *trial, "--shard-frames", 4).exit_code == 0
    assert digest_of_folder(out) == digest_of_folder(store)


def test_a_killed_command_run_again_gives_the_same_bytes(store, clip, trial, tmp_path):
    out = tmp_path / "killed.zarr"
    command = [
        sys.executable,
        "-c",
        "from auglift.cli.prep.main import main; main()",
        "video",
        clip,
        "--out",
        out,
        *trial,
    ]
    command += ["--shard-frames", "4"]
    job = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (out / "ledger").is_dir() or not any((out / "ledger").iterdir()):
        assert job.poll() is None, "the job ended before it was killed"
        time.sleep(0.002)
    job.send_signal(signal.SIGKILL)
    job.wait()
    result = prep(clip, "--out", out, *trial, "--shard-frames", 4)
    assert result.exit_code == 0, result.output
    assert digest_of_folder(out) == digest_of_folder(store)


def test_another_configuration_is_an_error_that_names_the_keys(store, clip, trial):
    result = prep(clip, "--out", store, *trial, "--shard-frames", 4, "--batch", 2)
    assert result.exit_code == 2
    assert "batch: 2 here, 4 in the store" in result.output


def test_a_dry_run_writes_nothing_and_loads_no_network(clip, tmp_path):
    out = tmp_path / "x.zarr"
    result = prep(clip, "--out", out, "--dry-run", "--json", "--limit", 7)
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert (said["frames"], said["shards"]) == (7, 1)
    assert said["bytes"] > 0
    assert not out.exists()


def test_json_tells_each_shard_and_the_end(clip, trial, tmp_path):
    result = prep(clip, "--out", tmp_path / "x.zarr", *trial, "--shard-frames", 6, "--json")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [event["event"] for event in events] == ["begin", "shard", "shard", "end"]
    assert events[-1]["counts"]["frames"] == 12
    assert events[-1]["seconds"]["depth"] > 0


def test_a_truncated_video_gives_the_frames_there_are_and_counts_the_rest(trial, tmp_path):
    path = tmp_path / "cut.mkv"
    write_video(path, number_frames(40, width=160, height=120), fps=30)
    truncate(path, 0.6)
    out = tmp_path / "x.zarr"
    result = prep(path, "--out", out, *trial)
    assert result.exit_code == 0, result.output
    opened = FeatureStore.open(out)
    assert 0 < opened.attributes["counts"]["valid"] <= opened.frames <= 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.mp4"], "missing.mp4"),
        (["--detector", "rtmdet-nanno"], "did you mean rtmdet-nano"),
        (["--uadd", "papr"], "there are all, paper"),
        (["--device", "cuda:9"], "--device"),
        (["--fps", "1000"], "is more than there are"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_2(clip, tmp_path, arguments, message):
    sources = [] if arguments[0].endswith(".mp4") else [clip]
    result = prep(*sources, *arguments, "--out", tmp_path / "x.zarr", "--weights", "random")
    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "x.zarr").exists()


def test_missing_weights_are_an_error_that_says_how_to_supply_them(clip, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    result = prep(clip, "--out", tmp_path / "x.zarr", *SMALL, "--weights", empty)
    assert result.exit_code == 2
    assert "rtmdet" in result.output
    assert "--weights" in result.output


def test_a_target_that_cannot_be_written_is_one_line_and_exit_2(clip, trial, tmp_path):
    file = tmp_path / "file"
    file.write_text("not a folder")
    result = prep(clip, "--out", file / "x.zarr", *trial)
    assert result.exit_code == 2
    assert "--out" in result.output


def test_one_bad_source_among_good_ones_is_left_out_and_said(clip, trial, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"not a video at all")
    out = tmp_path / "x.zarr"
    result = prep(clip, bad, "--out", out, *trial, "--limit", 4)
    assert result.exit_code == 1
    assert "bad.mp4" in result.output
    assert FeatureStore.open(out).frames == 4


def test_real_video_goes_through(shared_data, tmp_path):
    """The issue's own command, on two of the four cameras and two frames of each."""
    videos = sorted((shared_data / "pose2sim" / "single").glob("cam0[13].mp4"))
    out = tmp_path / "x.zarr"
    options = [*SMALL, "--depth", "depth-anything-v2-small", "--weights", "random"]
    result = prep(*videos, "--out", out, *options, "--limit", 2)
    assert result.exit_code == 0, result.output
    opened = FeatureStore.open(out)
    assert opened.sequences.table["width"].to_pylist() == [1080, 1088]
    valid = opened.read("valid").astype(bool)
    keypoints = opened.read("keypoints")
    assert np.isfinite(keypoints[valid]).all()
    assert np.isnan(keypoints[~valid]).all()


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_issues_command_killed_at_several_points_gives_the_same_bytes(shared_data, tmp_path):
    videos = sorted((shared_data / "pose2sim" / "single").glob("cam0*.mp4"))
    command = [sys.executable, "-c", "from auglift.cli.prep.main import main; main()", "video", *videos]
    command += ["--detector", "rtmdet-nano", "--pose", "rtmpose-s", "--depth", "depth-anything-v2-small"]
    command += ["--weights", "random", "--limit", "24", "--shard-frames", "16", "--out"]
    environment = {**os.environ, "PYTHONPATH": ""}
    undisturbed = tmp_path / "undisturbed.zarr"
    subprocess.run([*command, undisturbed], cwd=ROOT, env=environment, check=True)
    shards = len(list((undisturbed / "ledger").glob("*.json")))
    assert shards == 6
    killed = tmp_path / "killed.zarr"
    # One store, killed again and again: before its first shard is done, between shards, and before the last.
    for before_the_kill in (0, 1, 3, shards - 1):
        job = subprocess.Popen([*command, killed], cwd=ROOT, env=environment)
        while len(list((killed / "ledger").glob("*.json"))) < before_the_kill or not (killed / "zarr.json").exists():
            assert job.poll() is None, "the job ended before it was killed"
            time.sleep(0.01)
        time.sleep(1)
        job.send_signal(signal.SIGKILL)
        job.wait()
    subprocess.run([*command, killed], cwd=ROOT, env=environment, check=True)
    assert digest_of_folder(killed) == digest_of_folder(undisturbed)
