"""Object detectors from a folder, with published settings and tensor names, against transformers' own processing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoModelForObjectDetection

from auglift.pipeline.networks.families import find_own, load_detector
from auglift.pipeline.networks.own_networks.transformers_detector import TransformersDetector
from auglift.pipeline.networks.weights import model_folder
from auglift.stores.errors import InvalidValueError, MissingExtraError, MissingFileError

from ....fakes.hub_models import DETR, RT_DETR, RT_DETR_PROCESSOR, YOLOS, changed, keeps_aspect, write_model

MODELS: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "rt-detr": (RT_DETR, RT_DETR_PROCESSOR),
    "yolos": (YOLOS, keeps_aspect("YolosImageProcessor", 64)),
    "detr": (DETR, keeps_aspect("DetrImageProcessor", 64)),
}
NOISE = 0.4  # some boxes of RT-DETR and YOLOS are then people's, others are not


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("hub")
    for name, (config, processor) in MODELS.items():
        write_model(root / name, config, processor, NOISE)
    return root


def built(folder: Path, weights: str | None = None) -> TransformersDetector:
    detector = load_detector(str(folder), weights, "cpu")
    assert isinstance(detector, TransformersDetector)
    return detector


def transformers_own(folder: Path, image: np.ndarray) -> tuple[torch.Tensor, list[str]]:
    """(n, 5) of people with a score above 0.3, best first, and the classes of all that is found."""
    processor: Any = AutoImageProcessor.from_pretrained(folder)
    model: Any = AutoModelForObjectDetection.from_pretrained(folder).eval()
    with torch.no_grad():
        outputs = model(**processor(images=image, return_tensors="pt"))
    found = processor.post_process_object_detection(outputs, threshold=0.3, target_sizes=[image.shape[:2]])[0]
    classes = [model.config.id2label[label] for label in found["labels"].tolist()]
    rows = [row for row, name in enumerate(classes) if name == "person"]
    rows.sort(key=lambda row: -found["scores"][row].item())
    return torch.cat([found["boxes"], found["scores"][:, None]], dim=1)[rows], classes


@pytest.mark.parametrize("name", MODELS)
def test_boxes_are_transformers_own_on_a_real_frame(folder, frames, name):
    # 640 x 640, which RT-DETR's preparation leaves as it is: a grey level more moves a random network's boxes far.
    images = np.ascontiguousarray(frames[:, 600:1240, 200:840])
    ours = built(folder / name).detect(torch.from_numpy(images))
    counts = []
    for image, found in zip(images, ours, strict=True):
        expected, classes = transformers_own(folder / name, image)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-2)
        counts.append((len(expected), len(classes)))
    assert min(people for people, _ in counts) > 0, counts
    if name in ("rt-detr", "yolos"):
        assert all(people < everything for people, everything in counts), "nothing but people: the class is not tried"


@pytest.mark.parametrize("colours", [False, True])
def test_pictures_are_prepared_as_its_processor_does_to_a_grey_level(folder, tmp_path, frames, colours):
    processor = changed(RT_DETR_PROCESSOR, do_normalize=colours, size={"height": 320, "width": 416})
    detector = built(write_model(tmp_path / "x", RT_DETR, processor))
    ours = detector.inputs(torch.from_numpy(frames))["pixel_values"]
    theirs = AutoImageProcessor.from_pretrained(tmp_path / "x")(images=list(frames), return_tensors="pt")[
        "pixel_values"
    ]
    level = 1 / 255 / (0.224 if colours else 1)
    assert ours.shape == theirs.shape == (3, 3, 320, 416)
    assert (ours - theirs).abs().max() < 1.01 * level
    assert (ours - theirs).abs().mean() < 0.1 * level


def test_a_frame_has_its_boxes_whatever_batch_it_is_in(folder, frames):
    detector = built(folder / "rt-detr")
    images = torch.from_numpy(np.ascontiguousarray(frames[:, 600:1240, 200:840]))
    together = detector.boxes(images, 4)
    assert together.shape == (3, 4, 5)
    for row in range(3):
        alone = detector.boxes(images[row : row + 1], 4)[0]
        torch.testing.assert_close(alone, together[row], rtol=1e-4, atol=1e-2, equal_nan=True)
    assert detector.detect(images[:0]) == []


def test_the_files_have_the_names_that_published_ones_have(folder):
    """As transformers 4.50 writes them, whose files the hub has; 5 has renamed some and reads both."""
    names = set(load_file(folder / "rt-detr" / "model.safetensors"))
    assert {
        "model.encoder.encoder.0.layers.0.self_attn.out_proj.weight",
        "model.decoder.layers.1.fc1.weight",
        "model.backbone.model.encoder.stages.0.layers.0.layer.0.convolution.weight",
        "model.decoder.class_embed.1.bias",
    } <= names


def test_of_random_weights_every_box_counts(folder, frames):
    detector = built(folder / "rt-detr", "random:1")
    described = detector.describe()
    assert (described["weights"], described["class"], described["score_threshold"]) == ("random:1", "any", 0.0)
    assert len(detector.detect(torch.from_numpy(frames[:1]))[0]) == RT_DETR["num_queries"]


def test_what_decides_is_in_the_fingerprint_as_plain_data(folder):
    described = built(folder / "yolos").describe()
    assert json.loads(json.dumps(described)) == described
    assert (described["name"], described["class"], described["score_threshold"]) == ("yolos", "person", 0.3)
    assert described["processor"]["size"] == {"shortest_edge": 64, "longest_edge": 256}
    assert described["weights"].startswith("sha256:")


def test_the_class_of_people_is_found_by_its_name(tmp_path):
    labels = {"0": "N/A", "1": "car", "2": "Pedestrian"}
    config = changed(RT_DETR, "label2id", id2label=labels)
    detector = built(write_model(tmp_path / "x", config, RT_DETR_PROCESSOR))
    assert (detector._person, detector.describe()["class"]) == (2, "Pedestrian")


REFUSED: dict[str, tuple[Mapping[str, Any], Mapping[str, Any], str]] = {
    "family": (changed(RT_DETR, model_type="vitpose"), RT_DETR_PROCESSOR, "'vitpose', which is no object detector"),
    "nobody": (
        changed(RT_DETR, "label2id", id2label={"0": "cat", "1": "dog", "2": "cow"}), RT_DETR_PROCESSOR,
        "finds no people: its classes are cat, dog, cow",
    ),
    "no classes": (changed(RT_DETR, "label2id", "id2label"), RT_DETR_PROCESSOR, "does not name its classes"),
    "processor": (RT_DETR, {}, r"preprocessor_config\.json, which says how to prepare pictures, is missing"),
    "other processor": (
        RT_DETR, {"image_processor_type": "ViTImageProcessor"}, "does not decode detections|does not run",
    ),
    "unknown processor": (RT_DETR, {"image_processor_type": "Nonsense"}, "cannot be loaded as a detector"),
}  # fmt: skip


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_used_is_refused_in_one_line(tmp_path, why):
    config, processor, message = REFUSED[why]
    (tmp_path / "config.json").write_text(json.dumps(config))
    if processor:
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    with pytest.raises(InvalidValueError, match=message) as caught:
        load_detector(str(tmp_path), "random", "cpu")
    assert "\n" not in str(caught.value)


def test_a_backbone_of_another_package_is_named(tmp_path):
    if find_spec("timm"):
        pytest.skip("timm is here")
    timms = changed(DETR, "backbone_config", backbone="resnet50", use_timm_backbone=True, use_pretrained_backbone=True)
    (tmp_path / "config.json").write_text(json.dumps(timms))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(keeps_aspect("DetrImageProcessor", 64)))
    with pytest.raises(MissingExtraError, match="needs the package timm: pip install timm") as caught:
        load_detector(str(tmp_path), "random", "cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("kind", "what"), [("detector", "detector"), ("pose", "pose network")])
def test_a_repository_that_cannot_be_had_is_one_line_before_anything_is_loaded(monkeypatch, kind, what):
    def refuse(*_: object, **__: object) -> str:
        raise OSError("no network in this test")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    monkeypatch.setattr(model_folder, "resolve_host", refuse)
    with pytest.raises(
        MissingFileError, match=f"no {what} owner/name: .*give its folder with --{kind} FOLDER"
    ) as caught:
        find_own("owner/name", kind, None)
    assert "\n" not in str(caught.value)


def test_a_repository_is_found_in_the_folder_of_weights(folder, tmp_path):
    (tmp_path / "PekingU").mkdir()
    (tmp_path / "PekingU" / "rtdetr_r50vd").symlink_to(folder / "rt-detr")
    found = load_detector("PekingU/rtdetr_r50vd", tmp_path, "cpu")
    assert found.describe()["name"] == "PekingU/rtdetr_r50vd"
    assert found.describe()["weights"] == built(folder / "rt-detr").describe()["weights"]
