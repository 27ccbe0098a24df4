"""cli/prep/datasets.py: the archives' commands, from a check without networks to a finished store."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from auglift.cli.prep.main import main
from auglift.cli.store import main as store_main
from auglift.stores.reading.store import FeatureStore

from ...fakes.datasets import write
from ...fakes.datasets.scene import view, walk
from ...fakes.depth import write_tiny_depth


def prep(*arguments: object):
    return CliRunner().invoke(main, [*map(str, arguments)])


def write_3dhp(root: Path) -> None:
    write.write_3dhp_test(root, frames=3)


WRITERS = {
    "h36m": lambda root: write.write_h36m(root, ("S9",), frames=3),
    "3dhp": write_3dhp,
    "3dpw": lambda root: write.write_3dpw(root, frames=3 + 1),
    "fit3d": lambda root: write.write_fit3d(root, ("s10",), frames=3),
}


@pytest.fixture(scope="module")
def quick(tmp_path_factory) -> list[str]:
    """Ground-truth poses and a depth model that takes no time."""
    depth = write_tiny_depth(tmp_path_factory.mktemp("depth"))
    return ["--pose", "ground-truth", "--depth", str(depth), "--weights", "random", "--batch", "2", "--threads", "1"]


@pytest.mark.parametrize("name", WRITERS)
def test_an_archive_becomes_a_store_that_holds_its_truth(name, quick, tmp_path):
    WRITERS[name](tmp_path / "root")
    out = tmp_path / "x.zarr"
    result = prep(name, "--root", tmp_path / "root", "--split", "test", "--out", out, *quick)
    assert result.exit_code in (0, 1), result.output  # 1: subjects that the fake leaves out
    store = FeatureStore.open(out)
    pose = store.read("target/pose3d")
    first = store.sequences[0]
    sizes = {"h36m": (1000, 1002), "3dhp": (1920, 1080), "3dpw": (192, 108), "fit3d": (900, 900)}
    joints = [joint for joint in range(17) if name != "3dpw" or joint != 10]
    seen = view(0, sizes[name]).see(walk(2))
    np.testing.assert_allclose(pose[first.start : first.start + 2][:, joints], seen[:, joints], atol=1e-4)
    found = store.attributes["ground_truth"]
    assert found["problems"] == []
    assert found["median"]["reprojection"] < 0.1
    assert first.split == "test"


def test_check_needs_no_network_says_how_complete_and_leaves_nothing(tmp_path):
    write.write_h36m(tmp_path / "root", ("S9",), frames=3)
    (tmp_path / "root/S9/Videos/Walking.54138969.mp4").unlink()
    result = prep("h36m", "--root", tmp_path / "root", "--split", "test", "--out", tmp_path / "x", "--check", "--json")
    assert result.exit_code == 1, result.output
    said = json.loads(result.stdout)
    assert said["notes"][0].startswith("3 of 8 sequences can be used (37.5 %)")
    assert any("Walking.54138969.mp4 is not there" in note for note in said["notes"])
    assert not (tmp_path / "x").exists()


def test_truth_that_looks_wrong_is_refused_with_figures_unless_accepted(quick, tmp_path):
    """Ground truth a thousand times too small: metres taken for millimetres."""
    write.write_h36m(tmp_path / "root", ("S9",), frames=3)
    seen = view(0, (1000, 1002)).see(walk(3))
    for path in (tmp_path / "root").rglob("D3_Positions_mono/*.cdf"):
        write.write_cdf(path, write.spread(seen, write.IN_32, 32))
    call = ["h36m", "--root", tmp_path / "root", "--split", "test", "--out", tmp_path / "x.zarr"]
    result = prep(*call, *quick)
    assert result.exit_code == 2
    assert "height is 0.00" in result.output
    assert not (tmp_path / "x.zarr").exists()
    accepted = prep(*call, *quick, "--accept-suspicious")
    assert accepted.exit_code == 1, accepted.output
    assert FeatureStore.open(tmp_path / "x.zarr").attributes["ground_truth"]["problems"]


def test_a_wrong_root_is_one_line_and_exit_2(tmp_path):
    result = prep("fit3d", "--root", tmp_path, "--out", tmp_path / "x")
    assert result.exit_code == 2
    assert len(result.output.strip().splitlines()) == 1
    assert "train/s[0-9][0-9]" in result.output


@pytest.mark.parametrize("kind", ["annot3", "univ_annot3"])
def test_a_store_of_3dhp_says_which_truth_it_holds_and_is_exported_as_that(kind, quick, tmp_path):
    write_3dhp(tmp_path / "root")
    call = ["3dhp", "--root", tmp_path / "root", "--split", "test", "--annotation", kind, "--accept-suspicious"]
    result = prep(*call, "--out", tmp_path / "s.zarr", *quick)
    assert result.exit_code == 1, result.output  # five of the six subjects are not in this copy
    (other,) = {"annot3", "univ_annot3"} - {kind}
    command = ["export", tmp_path / "s.zarr", "--format", "mpi-inf-3dhp", "--out", tmp_path / "o"]
    refused = CliRunner().invoke(store_main, [*map(str, command), "--annotation", other])
    assert refused.exit_code == 2
    assert f"holds {kind}, not {other}" in refused.output
    done = CliRunner().invoke(store_main, [*map(str, command), "--annotation", kind, "--json"])
    assert done.exit_code == 0, done.output
    assert any(f"ground truth is {kind}" in note for note in json.loads(done.stdout)["notes"])
    with np.load(tmp_path / "o" / "data_test_3dhp.npz", allow_pickle=True) as file:
        pose = file["data"].item()["TS5"]["data_3d"]
    seen = view(0, (1920, 1080)).see(walk(3))
    expected = 1000 * (seen if kind == "annot3" else write.universal(seen))
    torso = np.linalg.norm(expected[:2, 8] - expected[:2, 0], axis=-1)
    np.testing.assert_allclose(np.linalg.norm(pose[:2, 1] - pose[:2, 14], axis=-1), torso, rtol=1e-4)


def test_the_archives_are_listed():
    listed = json.loads(prep("datasets", "--json").stdout)
    assert list(listed) == ["h36m", "mpi-inf-3dhp", "3dpw", "fit3d"]
    assert listed["h36m"]["splits"]["test"] == ["S9", "S11"]
