"""`--detector blazepose --pose blazepose` as a user types it, on rendered people with exact truth."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from auglift.cli.prep.main import main
from auglift.stores.format.skeleton import H36M_17
from auglift.stores.reading.store import FeatureStore

from ...fakes.folders import digest_of_folder

SCENES = ["--domain", "studio", "--clips", "4", "--frames", "5", "--renderers", "1", "--depth", "none"]
BOTH = ["--detector", "blazepose", "--pose", "blazepose"]


def prep(cache: Path, out: Path, *more: object) -> Result:
    call = ["synth", *SCENES, "--cache", cache, "--out", out, "--json", *more]
    return CliRunner().invoke(main, [str(each) for each in call])


@pytest.fixture(scope="module")
def made(tmp_path_factory, blazepose_weights) -> Path:
    """A folder with a store and the cache it was made from."""
    folder = tmp_path_factory.mktemp("made")
    done = prep(folder / "cache", folder / "x.zarr", *BOTH, "--weights", blazepose_weights, "--threads", 1)
    assert done.exit_code == 0, done.output
    return folder


def test_joints_of_rendered_people_lie_within_a_twentieth_of_their_height(made):
    store = FeatureStore.open(made / "x.zarr")
    valid = store.read("valid") > 0
    assert valid.mean() > 0.9
    found, true = (store.read(name)[valid] for name in ("keypoints", "target/keypoints"))
    height = np.ptp(true[..., 1], axis=1)
    same = [n for n, joint in enumerate(H36M_17.joints) if joint not in ("head", "spine", "thorax", "pelvis")]
    apart = np.linalg.norm(found - true, axis=-1)[:, same] / height[:, None]
    assert np.nanmedian(apart) < 0.05
    assert store.attributes["warnings"] == []


def test_the_same_store_is_made_in_other_batches_on_more_threads_and_in_parts(made, blazepose_weights, tmp_path):
    """Settings that are part of a store's fingerprint differ; what was computed does not."""
    more = ["--weights", blazepose_weights, "--threads", 2, "--batch", 3, "--shard-frames", 7]
    assert prep(made / "cache", tmp_path / "y.zarr", *BOTH, *more).exit_code == 0
    one, other = FeatureStore.open(made / "x.zarr"), FeatureStore.open(tmp_path / "y.zarr")
    for name in one.fields:
        np.testing.assert_array_equal(one.read(name), other.read(name))


def test_the_same_command_gives_the_same_bytes(made, blazepose_weights, tmp_path):
    again = prep(made / "cache", tmp_path / "x.zarr", *BOTH, "--weights", blazepose_weights, "--threads", 1)
    assert again.exit_code == 0
    assert digest_of_folder(tmp_path / "x.zarr") == digest_of_folder(made / "x.zarr")


@pytest.mark.parametrize("networks", [("tiny", "blazepose"), ("blazepose", "tiny")])
def test_detector_and_pose_go_with_any_other(made, blazepose_weights, tmp_path, networks):
    detector, pose = networks
    more = ["--detector", detector, "--pose", pose, "--weights", blazepose_weights, "--threads", 1]
    done = prep(made / "cache", tmp_path / "x.zarr", *more)
    assert done.exit_code == 0, done.output
    end = json.loads(done.stdout.splitlines()[-1])
    assert end["counts"]["valid"] > 15
    assert end["agreement"]["distance"] < 8


def test_without_litert_one_line_says_how_to_install_it_before_anything_is_drawn(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    refused = prep(tmp_path / "cache", tmp_path / "x.zarr", *BOTH)
    assert refused.exit_code == 2
    assert "pip install 'auglift[prep,blazepose]'" in refused.output
    assert refused.stderr.strip().count("\n") == 0
    assert list(tmp_path.iterdir()) == []
