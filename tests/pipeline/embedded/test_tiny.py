"""The shipped networks: found, whole, small, loaded by the ordinary code, and as good as they are said to be."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from auglift.pipeline.build import NetworkOptions
from auglift.pipeline.embedded.cache import CachePlan, render_cache
from auglift.pipeline.embedded.evaluate import measure, predict, standard_errors, table
from auglift.pipeline.networks import models
from auglift.pipeline.networks.depth import DepthAnything, build_depth
from auglift.pipeline.networks.detect import build_detector
from auglift.pipeline.networks.pose import build_pose
from auglift.pipeline.networks.tiny import DEPTH_PATCH
from auglift.pipeline.networks.weights import load
from auglift.stores.errors import InvalidValueError, MissingFileError

BUILDERS = {"detector": build_detector, "pose": build_pose, "depth": build_depth}
KINDS = list(BUILDERS)


def shipped(kind) -> Path:
    return load.locate(models.resolve("tiny", kind))


def test_together_they_take_at_most_12_mb():
    assert sum(shipped(kind).stat().st_size for kind in KINDS) <= 12_000_000


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_float16_on_disk_and_float32_when_run(kind):
    with safe_open(shipped(kind), "pt") as file:
        kinds = {file.get_slice(key).get_dtype() for key in file.keys()}  # noqa: SIM118 (it is no mapping)
    assert kinds <= {"F16", "I64"}
    network = BUILDERS[kind]("tiny")
    assert {value.dtype for value in network._model.parameters()} == {torch.float32}
    assert not any(value.requires_grad for value in network._model.parameters())
    described = network.describe()
    assert described["name"] == f"tiny-{kind}"
    assert described["weights"] == f"sha256:{load.sha256(shipped(kind))}"


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_has_their_digest(kind):
    spec = models.resolve("Tiny", kind)
    assert len(spec.sha256) >= 8
    assert load.sha256(shipped(kind)).startswith(spec.sha256)
    assert spec.licence == "Apache-2.0"


def test_the_depth_networks_input_is_as_small_as_its_row_says():
    depth = build_depth("tiny")
    assert isinstance(depth, DepthAnything)
    side = models.resolve("tiny", "depth").input_size[0]
    assert depth.describe()["side"] == side
    for size in ((256, 256), (512, 512)):
        assert depth.inputs(torch.zeros(1, *size, 3, dtype=torch.uint8)).shape == (1, 3, side, side)
    wide = depth.inputs(torch.zeros(1, 360, 640, 3, dtype=torch.uint8)).shape
    assert wide == (1, 3, side, round(side * 640 / 360 / DEPTH_PATCH) * DEPTH_PATCH)
    assert depth.estimate(torch.zeros(1, 360, 640, 3, dtype=torch.uint8)).shape == (1, *wide[2:])


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_one_clear_error(kind, tmp_path, monkeypatch):
    copy = tmp_path / "embedded" / shipped(kind).name
    copy.parent.mkdir()
    shutil.copy(shipped(kind), copy)
    with copy.open("r+b") as file:
        file.seek(-100, 2)
        file.write(b"\xff")
    monkeypatch.setattr(load, "__file__", str(tmp_path / "networks" / "weights" / "load.py"))
    with pytest.raises(InvalidValueError, match=rf"{copy.name} is damaged: its SHA-256 begins \w+, not \w+\. Install"):
        BUILDERS[kind]("tiny")
    copy.unlink()
    with pytest.raises(MissingFileError, match=r"part of auglift and is not there: install it again, or .*train-tiny"):
        BUILDERS[kind]("tiny")


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_another_architecture_are_one_clear_error(kind, tmp_path):
    state = load_file(shipped(kind))
    key = next(key for key, value in state.items() if value.ndim > 1)
    state[key] = state[key][:-1]
    save_file(state, tmp_path / f"tiny-{kind}.safetensors")
    with pytest.raises(InvalidValueError) as error:
        BUILDERS[kind]("tiny", tmp_path)
    assert f"not those of tiny-{kind}" in str(error.value)
    assert key in str(error.value)
    assert "\n" not in str(error.value)


def test_the_error_for_missing_weights_names_them(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    nowhere = replace(models.resolve("rtmpose-s", "pose"), origin="ftp://nowhere/rtmpose.pth")
    with pytest.raises(MissingFileError, match="--pose tiny, which is shipped and knows rendered people only"):
        load.locate(nowhere)


def test_all_three_make_an_extractor_whose_features_are_finite():
    extractor = NetworkOptions("tiny", "tiny", "tiny", device="cpu", batch=2, threads=1).build()
    features = extractor.extract(np.full((2, 256, 256, 3), 90, np.uint8), np.array([True, True]))
    assert features["valid"].shape == (2,)
    assert features["keypoints"].shape == (2, 17, 2)
    settings = NetworkOptions("tiny", "tiny", "tiny", threads=1).settings(extractor)
    assert settings["depth"]["max_depth"] == 20


def test_they_hold_on_people_and_rooms_never_trained_on(tmp_path):
    """Twenty-four frames, six of each clip; bounds looser than the figures of docs/tiny-models.md."""
    cache = render_cache(tmp_path, CachePlan("test", seed=1, clips=4, per_clip=6))
    predictions = predict(cache)
    found = measure(cache, predictions)
    for name, (bound, more) in BOUNDS.items():
        assert found[name] >= bound if more else found[name] <= bound, (name, found)
    errors = standard_errors(cache, predictions, per_clip=6)
    # The error of a mean is known: abs_rel is that of the frames, and each clip has as many.
    clips = [measure(cache, predictions, np.arange(24) // 6 == clip)["abs_rel"] for clip in range(4)]
    assert errors["abs_rel"] == pytest.approx(np.std(clips, ddof=1) / 2)
    assert "| frames | | 24 |" in table({"all": found}, errors)


# measure -> bound, and whether more is better
BOUNDS: dict[str, tuple[float, bool]] = {
    "ap50": (0.9, True),
    "pckh": (0.7, True),
    "auc": (0.8, True),
    "abs_rel": (0.1, False),
    "joint_rank": (0.4, True),
}
