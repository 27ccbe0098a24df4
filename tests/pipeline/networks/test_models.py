"""pipeline/networks/models.py: the named models against the installed packages."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from auglift.pipeline.networks import models, openmmlab
from auglift.stores.errors import InvalidValueError

PUBLISHED = {  # what the installed packages say of their own checkpoints
    "mmdet/.mim/configs/rtmdet/metafile.yml": ["rtmdet-tiny", "rtmdet-s", "rtmdet-m", "rtmdet-l"],
    "mmpose/.mim/configs/body_2d_keypoint/rtmpose/body8/rtmpose_body8-coco.yml": [
        name for name in models.names("pose") if name.startswith("rtmpose-")
    ],
}


def package_file(path: str) -> Path:
    found = openmmlab.importlib.util.find_spec(path.partition("/")[0])
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parents[1] / path


@pytest.mark.parametrize(("path", "names"), PUBLISHED.items())
def test_addresses_are_those_the_installed_packages_publish(path, names):
    listed = yaml.safe_load(package_file(path).read_text())["Models"]
    weights_of = {Path(entry["Config"]).name: entry["Weights"] for entry in listed}
    assert {name: models.MODELS[name].origin for name in names} == {
        name: weights_of[Path(str(models.MODELS[name].config)).name] for name in names
    }


def test_the_person_detectors_address_is_mmposes_own():
    text = package_file("mmpose/apis/inferencers/utils/default_det_models.py").read_text()
    assert models.MODELS["rtmdet-m-person"].file in text


@pytest.mark.parametrize("spec", models.MODELS.values(), ids=lambda spec: spec.name)
def test_every_row_is_whole(spec):
    assert spec.licence in ("Apache-2.0", "CC-BY-NC-4.0")
    assert ("not for commercial use" in spec.note) is ("NC" in spec.licence)
    if isinstance(spec.config, str):
        assert package_file(spec.config).is_file()
        assert len(spec.sha256) in (8, 64)
        assert spec.sha256.startswith(models.digest_in_name(spec.file))
    else:
        json.dumps(spec.config)


@pytest.mark.parametrize(
    "name",
    [
        *(row.name for row in models.MODELS.values() if row.kind == "detector" and row.family == "openmmlab"),
        *("tiny-pose", "rtmpose-t", "rtmpose-s", "rtmpose-l-384x288"),
    ],
)
def test_a_rows_size_is_that_of_the_file_or_else_of_the_network(name):
    """OpenMMLab's detectors' files hold an average of the weights too, and the training's logs."""
    spec = models.MODELS[name]
    package = "mmdet" if spec.kind == "detector" else "mmpose"
    network = openmmlab.build(openmmlab.read_config(spec.config), package)
    if spec.is_size_known and not name.startswith("tiny-"):
        assert 2 * megabytes(network) < spec.megabytes < 2.2 * megabytes(network) + 40
    else:
        assert megabytes(network) == pytest.approx(spec.megabytes, rel=0.05)


def test_only_a_size_that_is_known_is_shown_as_the_files():
    assert models.MODELS["rtmdet-m"].note == "224.3 MB, Apache-2.0"
    assert models.MODELS["rtmpose-l-384x288"].note == "113 MB or more, Apache-2.0"
    assert models.resolve("owner/name", "depth").note == "see its page"


@pytest.mark.parametrize("name", models.names("depth"))
def test_a_depth_row_builds_without_the_hub(name):
    from transformers import AutoConfig, AutoModelForDepthEstimation

    spec = models.MODELS[name]
    assert isinstance(spec.config, dict)
    with torch.device("meta"):
        network = AutoModelForDepthEstimation.from_config(AutoConfig.for_model(**spec.config))
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count * 4 / 1e6 == pytest.approx(spec.megabytes, rel=0.01)
    assert network.config.max_depth == spec.max_depth


def megabytes(network: nn.Module) -> float:
    """As a checkpoint stores it: shared weights once."""
    return sum({value.data_ptr(): value.nbytes for value in network.state_dict().values()}.values()) / 1e6


def test_the_papers_networks_are_the_defaults():
    assert {kind: models.resolve(name, kind).name for kind, name in models.DEFAULTS.items()} == {  # type: ignore[arg-type]
        "detector": "rtmdet-m",
        "pose": "rtmpose-l-384x288",
        "depth": "depth-anything-v2-large",
    }
    assert models.resolve("RTMPose-l ", "pose").input_size == (288, 384)


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        (
            "rtmdet-xl",
            "detector",
            "no detector model is called 'rtmdet-xl': did you mean rtmdet-l? There are rtm",
        ),
        ("rtmpose", "pose", "did you mean rtmpose-"),
        ("?", "pose", "no pose model is called '?': There are rtmpose-t, "),
        ("rtmpose-s", "detector", "rtmpose-s is a pose model, not a detector model: choose one of rtmdet-nano, "),
        ("zoe", "depth", "or a Hugging Face repository, owner/name"),
    ],
)
def test_the_error_for_an_unknown_name_has_the_nearest_and_the_list(name, kind, message):
    with pytest.raises(InvalidValueError) as error:
        models.resolve(name, kind)
    assert message in str(error.value)


@pytest.mark.parametrize("kind", ["detector", "pose", "depth"])
def test_any_repository_of_the_hub_may_be_a_model_of_that_kind(kind):
    spec = models.resolve("Intel/zoedepth-nyu", kind)
    assert (spec.repository, spec.kind) == ("Intel/zoedepth-nyu", kind)
    assert (spec.file, spec.config) == ("model.safetensors", None)
    assert not models.is_named("Intel/zoedepth-nyu", kind)


def test_the_table_itself_needs_no_torch():
    code = "import auglift.pipeline.networks.models, sys; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
