"""`auglift-prep video` with files in the layout that their authors publish, from the command line to the store."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import save_file

from auglift.cli.prep.main import main
from auglift.pipeline.networks import openmmlab
from auglift.pipeline.networks.depth import build_depth_anything
from auglift.pipeline.networks.models import DEFAULTS, MODELS
from auglift.stores.reading.store import FeatureStore

from ...fakes.onnx_weights import write_rtmdet_nano
from ...fakes.published import REPOSITORY, old_names, published_state, write_repository
from ...fakes.video import write_video


def write_checkpoint(folder: Path, name: str) -> None:
    """Seeded weights in OpenMMLab's layout; a detector's find a person everywhere."""
    config = openmmlab.read_config(MODELS[name].config)
    state = openmmlab.build(config, "mmdet" if MODELS[name].kind == "detector" else "mmpose", seed=1).state_dict()
    for key in state:
        if "rtm_cls" in key and key.endswith("bias"):
            state[key] = torch.zeros_like(state[key])
    settings = config.model.data_preprocessor
    old = {f"data_preprocessor.{key}": torch.tensor(settings[key]).view(3, 1, 1) for key in ("mean", "std")}
    torch.save({"meta": {"epoch": 420}, "state_dict": {**old, **state}}, folder / f"{name}.pth")


def prep(video: Path, out: Path, *options: str) -> dict:
    """The store's counts."""
    result = CliRunner().invoke(main, ["video", str(video), "--out", str(out), "--json", *options])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])["counts"]


def test_a_person_is_found_by_real_weights_and_described_by_published_layouts(tmp_path, shared_data, published_depth):
    pytest.importorskip("onnx")
    weights = tmp_path / "weights"
    photograph = np.asarray(Image.open(next((shared_data / "coco").glob("*.jpg"))).convert("RGB"))
    video = write_video(tmp_path / "skier.mp4", np.stack([photograph[:424]] * 3), fps=25)
    write_repository(weights / REPOSITORY.rsplit("/", 1)[-1], published_depth)
    write_rtmdet_nano(weights / "rtmdet-nano.pth", shared_data / "rtmdet_nano" / "rtmdet-nano.onnx")
    write_checkpoint(weights, "rtmpose-t")
    names = ["--detector", "rtmdet-nano", "--pose", "rtmpose-t", "--depth", "depth-anything-v2-small"]
    options = [*names, "--weights", str(weights), "--limit", "2", "--batch", "2"]
    assert prep(video, tmp_path / "x.zarr", *options)["valid"] == 2
    store = FeatureStore.open(tmp_path / "x.zarr")
    depth = store.read("uadd/paper", 0, 2)[..., 0]
    assert np.isfinite(depth).any(axis=1).all()
    assert np.nanmin(depth) > 0
    assert np.nanmax(depth) < 20
    (warning,) = store.attributes["warnings"]
    assert warning == "weights of one's own, not the published ones, in rtmdet-nano, rtmpose-t, depth-anything-v2-small"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_default_command_runs_with_every_file_in_its_published_layout(tmp_path, shared_data, published_depth):
    weights, depth = tmp_path / "weights", MODELS[DEFAULTS["depth"]]
    assert isinstance(depth.config, dict)
    for kind in ("detector", "pose"):
        weights.mkdir(exist_ok=True)
        write_checkpoint(weights, DEFAULTS[kind])
    with torch.random.fork_rng(), torch.device("meta"):
        shapes = {key: value.shape for key, value in build_depth_anything(depth.config).state_dict().items()}
    described = tmp_path / "large.json"
    described.write_text(json.dumps({"tensors": {key: ["F32", list(shape)] for key, shape in shapes.items()}}))
    folder = weights / (depth.repository or "").rsplit("/", 1)[-1]
    folder.mkdir()
    save_file(old_names(published_state(described)), folder / "model.safetensors")
    assert set(old_names(shapes)) >= set(json.loads(published_depth.read_text())["tensors"])
    video = shared_data / "pose2sim" / "single" / "cam03.mp4"
    assert prep(video, tmp_path / "x.zarr", "--weights", str(weights), "--limit", "1")["valid"] == 1
