"""`auglift-prep video` with networks that the user brings, from the command line to the store and a training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from auglift.cli.prep.main import main
from auglift.cli.store import main as store_main
from auglift.pipeline.networks import openmmlab
from auglift.stores.reading.store import FeatureStore

from ...fakes.configs import HALPE_26, official, write_checkpoint, write_config
from ...fakes.depth import write_tiny_depth

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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--pose", "absent.py:weights.pth"), "--pose: there is no configuration absent.py"),
        (("--detector", "absent.py:weights.pth"), "--detector: there is no configuration absent.py"),
        (("--depth-size", "3"), "--depth-size"),
    ],
)
def test_what_is_not_there_is_an_error_in_one_line(tmp_path, shared_data, options, message):
    clip = shared_data / "pose2sim" / "single" / "cam01.mp4"
    rest = [*({"--pose": "tiny", "--detector": "tiny", "--depth": "tiny"} | dict([options])).items()]
    done = prep(clip, tmp_path / "x.zarr", *(word for pair in rest for word in pair))
    assert done.exit_code == 2 or done.exit_code == 1
    assert message in done.output
    assert "Traceback" not in done.output
