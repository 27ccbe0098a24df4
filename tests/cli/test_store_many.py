"""auglift-store with many sequences: the worst and the first are shown, all are in the JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from auglift.cli.look import WORST_SHOWN
from auglift.cli.store import LEFT_OUT_SHOWN, SEQUENCES_SHOWN, main

from ..fakes.filmed import h36m_store, rig, row, write_checkout, write_store

COUNT = 1200


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """1,200 sequences of a frame; nobody in every other one, no truth in every third."""
    path = tmp_path_factory.mktemp("many") / "s.zarr"
    valid, truth = np.ones(COUNT, np.uint8), np.zeros((COUNT, 17, 3))
    valid[::2] = 0
    truth[::3] = np.nan
    keypoints = np.where(valid[:, None, None] > 0, np.ones((COUNT, 17, 2)), np.nan)
    given = {"valid": valid, "target/pose3d": truth, "keypoints": keypoints}
    write_store(path, [row(f"s{number:04}", 1) for number in range(COUNT)], given, shard_frames=512)
    return path


def test_the_report_shows_the_worst_and_says_how_many_more(store):
    shown = run("report", store)
    assert shown.exit_code == 0
    assert shown.stdout.count(" 0.0%") == WORST_SHOWN
    assert f"and {COUNT - WORST_SHOWN} more (--json lists them)" in shown.stdout
    assert len(json.loads(run("report", store, "--json").stdout)["sequences"]) == COUNT


def test_the_table_of_sequences_shows_the_first_and_says_how_many_more(store):
    shown = run("sequences", store)
    assert f"s{SEQUENCES_SHOWN - 1:04}" in shown.stdout
    assert f"s{SEQUENCES_SHOWN:04}" not in shown.stdout
    assert f"and {COUNT - SEQUENCES_SHOWN} more; --json lists all\n1200 sequences, 1200 frames\n" in shown.stdout
    assert len(json.loads(run("sequences", store, "--json").stdout)) == COUNT


def test_an_export_names_what_it_leaves_out(store, tmp_path):
    shown = run("export", store, "--format", "videopose3d", "--out", tmp_path / "a")
    assert shown.exit_code == 0
    assert shown.stderr.count(" is left out: ") == LEFT_OUT_SHOWN
    assert "s0003 is left out: it has no frame with ground truth" in shown.stderr
    left_out = [n for n in range(COUNT) if n % 3 == 0 or n % 2 == 0]
    assert f"and {len(left_out) - LEFT_OUT_SHOWN} more (--json lists them)" in shown.stderr
    found = json.loads(run("export", store, "--format", "videopose3d", "--out", tmp_path / "b", "--json").stdout)
    assert sorted(each["sequence"] for each in found["left_out"]) == [f"s{n:04}" for n in left_out]
    assert {each["reason"] for each in found["left_out"]} == {
        "nobody is found in it",
        "it has no frame with ground truth",
    }


def test_an_export_for_human36m_looks_for_the_cameras_in_the_folder_named(tmp_path):
    rigs = {"S1": rig(1)}
    h36m_store(tmp_path / "s", rigs, {("S1", "Walking"): 6})
    checkout = write_checkout(tmp_path / "VideoPose3D", rigs)
    call = ("export", tmp_path / "s", "--format", "videopose3d", "--out", tmp_path / "out")
    shown = run(*call, "--checkout", checkout, "--missing", "longest", "--json")
    assert [Path(path).name for path in json.loads(shown.stdout)["paths"]] == [
        "data_2d_h36m_auglift.npz",
        "data_3d_h36m.npz",
    ]
    wrong = run(*call, "--checkout", tmp_path, "--force")
    assert wrong.exit_code == 2
    assert wrong.stderr.startswith("error: ")
    assert "--checkout names the folder of VideoPose3D's repository" in wrong.stderr
