"""cli/prep/workers.py: workers that cannot be had are one line and exit 2; a dry run says how long it would take."""

from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner

from auglift.cli.prep.main import main
from auglift.pipeline.execution import ray_cluster as cluster_module

from ...fakes.depth import write_tiny_depth
from ...fakes.video import number_frames, write_video

NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "walk.mp4"
    write_video(path, number_frames(12, width=160, height=120), fps=30)
    return path


def prep(*arguments: object, **environment: str):
    return CliRunner().invoke(main, ["video", *map(str, arguments)], env=environment)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(["--gpus", "2"], "no GPU was found on this machine", marks=NO_GPU),
        pytest.param(["--executor", "ray"], "no GPU was found on this machine", marks=NO_GPU),
        (["--workers", "2"], "add --gpus 0"),
        (["--gpus", "0", "--workers", "2", "--device", "cuda"], "contradict"),
        (["--gpus", "2", "--device", "cpu"], "--gpus 0"),
        (["--executor", "serial", "--gpus", "0", "--workers", "2"], "one worker"),
        (["--calibrate"], "--dry-run"),
    ],
)
def test_what_cannot_be_had_is_one_line_and_exit_2(clip, tmp_path, options, said):
    result = prep(clip, "--out", tmp_path / "x.zarr", "--weights", "random", *options)
    assert result.exit_code == 2
    assert said in result.output
    assert not (tmp_path / "x.zarr").exists()


def test_more_gpus_than_there_are_says_how_many_there_are(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    result = prep(clip, "--out", tmp_path / "x.zarr", "--gpus", "4")
    assert result.exit_code == 2
    assert "--gpus 4 is more than the 3 there are on this machine" in result.output


def test_an_address_in_the_environment_is_taken_and_one_without_a_cluster_is_an_error(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_module.ray_module(), "is_initialized", lambda: False)
    result = prep(clip, "--out", tmp_path / "x.zarr", "--gpus", "0", RAY_ADDRESS="127.0.0.1:9")
    assert result.exit_code == 2
    assert "no Ray cluster responds at --address 127.0.0.1:9" in result.output


def test_without_ray_one_worker_works_and_two_name_the_extra(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_module, "find_spec", lambda name: None)
    result = prep(clip, "--out", tmp_path / "x.zarr", "--gpus", "0", "--workers", "2")
    assert result.exit_code == 2
    assert "pip install 'auglift[prep]'" in result.output


def test_a_calibrated_dry_run_says_how_long_the_job_would_take_and_writes_nothing(clip, tmp_path):
    depth = write_tiny_depth(tmp_path)
    small = ["--detector", "rtmdet-nano", "--pose", "rtmpose-t", "--depth", depth, "--weights", "random"]
    out = tmp_path / "x.zarr"
    result = prep(clip, "--out", out, *small, "--batch", 2, "--threads", 1, "--dry-run", "--calibrate", "--json")
    assert result.exit_code == 0, result.output
    estimate = json.loads(result.stdout)["estimate"]
    assert estimate["measured_frames"] == 6
    assert estimate["seconds"] == pytest.approx(12 / estimate["frames_per_second"], rel=0.1)
    assert not out.exists()
