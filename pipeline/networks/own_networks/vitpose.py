"""ViTPose as transformers has it, from a folder or a repository: crops and decoding in batches here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ....stores.errors import InvalidValueError
from ..hugging_face import identity_of, load_model
from ..pose import crop, crop_frame
from ..weights.load import random_seed
from ..weights.model_folder import ModelFolder
from .config_file import attempt
from .heat_maps import decode_dark
from .joint_names import JointRows, joint_rows
from .labels import labels_of

FAMILY = "vitpose"  # transformers' `model_type`
_WHAT = "pose network"
_PADDING = 1.25  # of the box, as in its image processor, which has no setting for it
_COCO = 0  # the data set that a mixture of experts (ViTPose++) is asked as


class VitPose:
    """ViTPose (Xu 2022, arXiv 2204.12484) and ViTPose++: one forward pass a crop, without a flip test.

    names   of the network's joints
    A joint whose score is not positive had no response; it stands a cell outside its map's first corner.
    """

    def __init__(
        self,
        model: Any,
        processor: Mapping[str, Any],
        names: Sequence[str],
        identity: Mapping[str, str],
        device: torch.device,
        crop_batch: int,
    ):
        self.name = identity["name"]
        self.crop_batch = crop_batch
        self._identity = dict(identity)
        self._device = device
        self._model = model.to(device).eval().requires_grad_(False)
        self._names = list(names)
        self._joints: JointRows = joint_rows(self._names, self.name)
        backbone = model.config.backbone_config
        self._experts = int(getattr(backbone, "num_experts", 1))
        size = processor.get("size") or {"height": 256, "width": 192}
        self.input_size = (int(size["width"]), int(size["height"]))
        self._factor = float(processor.get("rescale_factor") or 1 / 255) if processor.get("do_rescale", True) else 1.0
        mean, std = _colours(processor, self.name) if processor.get("do_normalize", True) else ([0.0] * 3, [1.0] * 3)
        self._mean = torch.tensor(mean, device=device).view(3, 1, 1)
        self._std = torch.tensor(std, device=device).view(3, 1, 1)

    @property
    def to_h36m(self) -> tuple[tuple[int, ...], ...]:
        """For each joint of H36M-17, which of the joints that `estimate` returns it is the mean of."""
        return self._joints.rows

    def describe(self) -> dict[str, Any]:
        experts = {"expert": _COCO} if self._experts > 1 else {}
        return {
            **self._identity,
            "architecture": FAMILY,
            **experts,
            "input_size": list(self.input_size),
            "scale": self._factor,
            "mean": [round(float(value), 6) for value in self._mean.flatten()],
            "std": [round(float(value), 6) for value in self._std.flatten()],
            "box_padding": _PADDING,
            "udp": True,
            "decoder": "dark",
            "flip_test": False,
            "crop_batch": self.crop_batch,
            "joints": [self._names[number] for number in self._joints.used],
            "precision": "float32",
        }

    @torch.inference_mode()
    def estimate(self, frames: Tensor, boxes: Tensor, frame_index: Tensor) -> tuple[Tensor, Tensor]:
        """See `PoseEstimator`; (M, K, 2) and (M, K) of the joints that make H36M-17."""
        centre, extent = crop_frame(boxes[:, :4].to(self._device, torch.float32), self.input_size, _PADDING)
        used = list(self._joints.used)
        keypoints = torch.empty(len(boxes), len(used), 2, device=self._device)
        score = torch.empty(len(boxes), len(used), device=self._device)
        for start in range(0, len(boxes), self.crop_batch):
            part = slice(start, start + self.crop_batch)
            crops = crop(frames, frame_index[part], centre[part], extent[part], self.input_size, udp=True)
            maps = self._heat_maps(crops)[:, used]
            cells, score[part] = decode_dark(maps)
            # UDP: the crop reaches from the centre of a map's first cell to that of its last.
            across = extent[part, None] / (cells.new_tensor(maps.shape[:-3:-1]) - 1)
            keypoints[part] = cells * across + (centre[part] - 0.5 * extent[part])[:, None]
        return keypoints, score

    def _heat_maps(self, crops: Tensor) -> Tensor:
        """(M, K, h, w) of crops (M, H, W, 3) in grey levels."""
        inputs = (crops.permute(0, 3, 1, 2) * self._factor - self._mean) / self._std
        more = {}
        if self._experts > 1:
            more["dataset_index"] = torch.full((len(crops),), _COCO, device=self._device)
        return self._model(inputs, **more).heatmaps.float()

    def try_out(self) -> None:
        """InvalidValueError where it does not run, or finds another number of joints than it names."""
        width, height = self.input_size
        with torch.inference_mode():
            maps = attempt(
                f"{self.name} does not run on a crop of {width} x {height}",
                lambda: self._heat_maps(torch.zeros(1, height, width, 3, device=self._device)),
            )
        if maps.shape[1] != len(self._names):
            raise InvalidValueError(
                f"{self.name} finds {maps.shape[1]} joints, its id2label names {len(self._names)}: "
                f"{', '.join(self._names[:6])} ..."
            )


def build_vitpose(
    found: ModelFolder, name: str, weights: str | Path | None, device: torch.device, crop_batch: int | None = None
) -> VitPose:
    """The model of a folder, on the device. Its joints are those that its `id2label` names.

    crop_batch  crops a forward pass; None: 16, and 64 on a GPU
    Raises what `check_vitpose` does, and InvalidValueError for files that do not load or do not run.
    """
    names = check_vitpose(found, name)
    seed = random_seed(weights)
    model = load_model(found, "VitPoseForPoseEstimation", _WHAT, seed)
    batch = crop_batch or (64 if device.type == "cuda" else 16)
    pose = VitPose(model, found.processor, names, identity_of(found, name, seed), device, batch)
    pose.try_out()
    return pose


def check_vitpose(found: ModelFolder, name: str) -> list[str]:
    """Return the names of its joints; InvalidValueError where it is of another family, or its files do not say enough.

    Nothing is loaded.
    """
    family = str(found.config.get("model_type", ""))
    if family != FAMILY:
        raise InvalidValueError(
            f"{name} is of the family '{family}': of the models that transformers loads, --pose takes ViTPose's "
            f"('{FAMILY}') alone"
        )
    processor = found.processor
    if not str(processor.get("image_processor_type", "")).startswith("VitPoseImageProcessor"):
        said = processor.get("image_processor_type")
        wrong = f"names a {said}" if said else "is missing, or names no image processor"
        raise InvalidValueError(f"{name}: its preprocessor_config.json {wrong}; ViTPose has a VitPoseImageProcessor")
    size = processor.get("size")
    if processor.get("do_affine_transform") is False:
        raise InvalidValueError(f"{name}: its image processor does not cut out people (do_affine_transform)")
    if size is not None and not (isinstance(size, Mapping) and {"height", "width"} <= size.keys()):
        raise InvalidValueError(f"{name}: its image processor's size is {size}, not a height and a width")
    _colours(processor, name)
    names = labels_of(found, name, "joints")
    joint_rows(names, name)
    return names


def _colours(processor: Mapping[str, Any], name: str) -> tuple[list[float], list[float]]:
    """Mean and standard deviation; ImageNet's where it says none, as transformers has it."""
    mean, std = (
        processor.get("image_mean") or [0.485, 0.456, 0.406],
        processor.get("image_std") or [0.229, 0.224, 0.225],
    )
    if not all(isinstance(each, Sequence) and len(each) == 3 for each in (mean, std)):
        raise InvalidValueError(
            f"{name}: its image processor's mean and std are {mean} and {std}, not three numbers each"
        )
    return [float(value) for value in mean], [float(value) for value in std]
