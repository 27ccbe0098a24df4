"""`auglift-prep video` with networks that the user brings, from the command line to the store and a training."""

from __future__ import annotations

import json
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from click.testing import CliRunner

from auglift.cli.prep.main import main
from auglift.cli.store import main as store_main
from auglift.pipeline.networks import openmmlab
from auglift.pipeline.networks.weights import model_folder
from auglift.stores.reading.store import FeatureStore

from ...fakes.configs import HALPE_26, official, write_checkpoint, write_config
from ...fakes.depth import write_tiny_depth
from ...fakes.hub_models import RT_DETR, RT_DETR_PROCESSOR, VITPOSE, VITPOSE_PROCESSOR, write_model

pytestmark = pytest.mark.filterwarnings("ignore:The metainfo config file")


def prep(clip: Path, out: Path, *options: str):
    return CliRunner().invoke(main, ["video", str(clip), "--out", str(out), "--limit", "1", *options])


def test_a_users_pose_and_relative_depth_networks_make_a_store_that_says_so(tmp_path, shared_data):
    config = write_config(tmp_path / "halpe.py", HALPE_26)
    network = openmmlab.build(official(HALPE_26), "mmpose", seed=1)
    checkpoint = write_checkpoint(tmp_path / "halpe.pth", network.state_dict())
    depth = write_tiny_depth(tmp_path / "dpt")
    clip = shared_data / "pose2sim" / "single" / "cam01.mp4"
    options = ["--detector", "tiny", "--pose", f"{config}:{checkpoint}", "--depth", str(depth)]
    done = prep(clip, tmp_path / "x.zarr", *options, "--depth-size", "96", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout.splitlines()[-1])["counts"]["valid"] == 1
    store = FeatureStore.open(tmp_path / "x.zarr")
    assert store.configuration["pose"]["name"] == "halpe.py:halpe.pth"
    assert store.configuration["depth"]["processor"]["size"]["height"] == 96
    assert store.fields["uadd/paper"].unit == "relative"
    shown = CliRunner().invoke(store_main, ["info", store.url])
    assert "relative: larger is farther" in shown.output
    # Other weights are another store: the digest of the checkpoint is in the fingerprint.
    write_checkpoint(checkpoint, {key: value + 0 for key, value in network.state_dict().items()}, {"classes": ("x",)})
    again = prep(clip, tmp_path / "x.zarr", *options, "--depth-size", "96")
    assert again.exit_code != 0
    assert "pose.weights" in again.output


def test_folders_of_transformers_models_make_a_store_and_extend_it(tmp_path, shared_data):
    detector = write_model(tmp_path / "rtdetr", RT_DETR, RT_DETR_PROCESSOR, gain=1.5)
    pose = write_model(tmp_path / "vitpose", VITPOSE, VITPOSE_PROCESSOR)
    folder = shared_data / "pose2sim" / "single"
    options = ["--detector", str(detector), "--pose", str(pose), "--depth", "none", "--json"]
    done = prep(folder / "cam01.mp4", tmp_path / "x.zarr", *options)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout.splitlines()[-1])["counts"]["valid"] == 1
    store = FeatureStore.open(tmp_path / "x.zarr")
    assert [store.configuration[kind]["name"] for kind in ("detector", "pose")] == ["rtdetr", "vitpose"]
    assert store.configuration["pose"]["joints"][0] == "Nose"
    assert np.isfinite(store.read("keypoints", 0, 1)).all()
    trial = prep(folder / "cam01.mp4", tmp_path / "y.zarr", *options, "--weights", "random")
    assert "RANDOM WEIGHTS in rtdetr, vitpose" in trial.stderr
    more = ["extend", store.url, "--root", str(folder), "--name", "two", "--depth", "tiny", "--pose", str(pose)]
    for _ in range(2):  # a second time it is there, under the same name
        extended = CliRunner().invoke(main, more)
        assert extended.exit_code == 0, extended.output
    again = FeatureStore.open(store.url)
    np.testing.assert_array_equal(again.read("keypoints@two", 0, 1), store.read("keypoints", 0, 1))
    other = CliRunner().invoke(main, [*more[:-1], "tiny"])
    assert "of other networks (pose vitpose" in other.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--pose", "absent.py:weights.pth"), "--pose: there is no configuration absent.py"),
        (("--detector", "absent.py:weights.pth"), "--detector: there is no configuration absent.py"),
        (("--pose", "nobody/absent"), "no pose network nobody/absent: there is no such folder"),
        (("--detector", "/absent/folder"), "no detector model is called '/absent/folder'"),
        (("--depth-size", "3"), "--depth-size"),
    ],
)
def test_what_is_not_there_is_an_error_in_one_line(tmp_path, shared_data, monkeypatch, options, message):
    def refuse(*_: object, **__: object) -> str:
        raise OSError("no network in this test")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    monkeypatch.setattr(model_folder, "resolve_host", refuse)
    clip = shared_data / "pose2sim" / "single" / "cam01.mp4"
    rest = [*({"--pose": "tiny", "--detector": "tiny", "--depth": "tiny"} | dict([options])).items()]
    done = prep(clip, tmp_path / "x.zarr", *(word for pair in rest for word in pair))
    assert done.exit_code == 2 or done.exit_code == 1
    assert message in done.output
    assert "Traceback" not in done.output
