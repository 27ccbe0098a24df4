"""Any object detector that transformers loads: prepared on the device where that is a plain resize, else by its own."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ....stores.errors import AugliftError, InvalidValueError
from ..detect import RANDOM_SCORE_THRESHOLD, SCORE_THRESHOLD, tabulate
from ..hugging_face import first_line, identity_of, load_model, load_processor, transformers_package
from ..weights.load import random_seed
from ..weights.model_folder import ModelFolder
from .labels import labels_of, person_class

_WHAT = "detector"
_BILINEAR = 2  # as Pillow counts its filters


class TransformersDetector:
    """People as an `AutoModelForObjectDetection` and its own post-processing find them.

    classes  of the network, by number
    Of random weights every box counts, of whatever class, so that a trial run gets past detection.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        classes: Sequence[str],
        identity: Mapping[str, str],
        device: torch.device,
        score_threshold: float,
        any_class: bool = False,
    ):
        self.name = identity["name"]
        self.score_threshold = score_threshold
        self._identity = dict(identity)
        self._device = device
        self._model = model.to(device).eval().requires_grad_(False)
        self._processor = processor
        self._person = None if any_class else person_class(classes, self.name)
        self._class = "any" if self._person is None else classes[self._person]
        self._plain_size = _plain_size(processor)
        decode = getattr(processor, "post_process_object_detection", None)
        if decode is None:
            raise InvalidValueError(f"{self.name}: its {type(processor).__name__} does not decode detections")
        self._decode = decode
        # RT-DETR's and its relatives' takes it as an argument, though the configuration knows it.
        focal = "use_focal_loss" in inspect.signature(decode).parameters and hasattr(model.config, "use_focal_loss")
        self._how = {"use_focal_loss": bool(model.config.use_focal_loss)} if focal else {}

    def describe(self) -> dict[str, Any]:
        return {
            **self._identity,
            "architecture": self._model.config.model_type,
            "processor": json.loads(json.dumps(self._processor.to_dict(), default=str, sort_keys=True)),
            "prepared_by": "auglift" if self._plain_size else type(self._processor).__name__,
            "score_threshold": self.score_threshold,
            "class": self._class,
            "precision": "float32",
        }

    def boxes(self, frames: Tensor, most: int) -> Tensor:
        """See `Detector`; the host waits for the result."""
        return tabulate(self.detect(frames), most, self._device)

    @torch.inference_mode()
    def detect(self, frames: Tensor) -> list[Tensor]:
        """Return the boxes (n, 5) of each frame (B, H, W, 3) uint8, as many as there are. No frames, no lists."""
        if len(frames) == 0:
            return []
        outputs = self._model(**self.inputs(frames))
        sizes = [(frames.shape[1], frames.shape[2])] * len(frames)
        found = self._decode(outputs, threshold=self.score_threshold, target_sizes=sizes, **self._how)
        return [self._people(each) for each in found]

    def inputs(self, frames: Tensor) -> dict[str, Tensor]:
        """What the network gets: `pixel_values` (B, 3, h, w) and, of some processors, a mask of them."""
        if self._plain_size is None:
            prepared = self._processor(images=list(frames.cpu().numpy()), return_tensors="pt")
            return {key: prepared[key].to(self._device) for key in ("pixel_values", "pixel_mask") if key in prepared}
        processor = self._processor
        # Frame by frame, so that only one is there in float32 and full size.
        small = torch.cat([_resize(frame.to(self._device), self._plain_size) for frame in frames])
        if processor.do_rescale:
            small *= processor.rescale_factor
        if processor.do_normalize:
            mean, std = (small.new_tensor(each).view(3, 1, 1) for each in (processor.image_mean, processor.image_std))
            small = (small - mean) / std
        return {"pixel_values": small}

    def _people(self, found: Mapping[str, Tensor]) -> Tensor:
        boxes, scores = found["boxes"].float(), found["scores"].float()
        if self._person is not None:
            is_person = found["labels"] == self._person
            boxes, scores = boxes[is_person], scores[is_person]
        order = scores.argsort(descending=True, stable=True)
        return torch.cat([boxes[order], scores[order, None]], dim=1)

    def try_out(self) -> None:
        """InvalidValueError where it does not run."""
        try:
            self.detect(torch.zeros(1, 96, 128, 3, dtype=torch.uint8, device=self._device))
        except AugliftError:
            raise
        except Exception as error:  # whatever an architecture or a processor says
            raise InvalidValueError(
                f"{self.name} does not run on a frame: {type(error).__name__}: {first_line(error)}"
            ) from error


def build_transformers_detector(
    found: ModelFolder, name: str, weights: str | Path | None, device: torch.device
) -> TransformersDetector:
    """The model of a folder and its image processor, on the device.

    Raises what `check_detector` does, InvalidValueError for files that do not load or do not run, and MissingExtraError
    where the architecture needs another package.
    """
    classes = check_detector(found, name)
    seed = random_seed(weights)
    processor = load_processor(found, _WHAT)
    model = load_model(found, "AutoModelForObjectDetection", _WHAT, seed)
    threshold = SCORE_THRESHOLD if seed is None else RANDOM_SCORE_THRESHOLD
    identity = identity_of(found, name, seed)
    detector = TransformersDetector(model, processor, classes, identity, device, threshold, seed is not None)
    detector.try_out()
    return detector


def check_detector(found: ModelFolder, name: str) -> list[str]:
    """Return its classes; InvalidValueError where it is no detector, finds no people, or its processor is missing.

    Nothing is loaded.
    """
    family = str(found.config.get("model_type", ""))
    transformers_package()
    from transformers.models.auto.modeling_auto import MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES as FAMILIES

    if family not in FAMILIES:
        raise InvalidValueError(
            f"{name} is of the family '{family}', which is no object detector of transformers': those are "
            f"{', '.join(sorted(FAMILIES))}"
        )
    if not found.processor:
        raise InvalidValueError(f"{name}: preprocessor_config.json, which says how to prepare pictures, is missing")
    classes = labels_of(found, name, "classes")
    person_class(classes, name)
    return classes


def _plain_size(processor: Any) -> tuple[int, int] | None:
    """(height, width) where a processor resizes to that and does no more than scale colours: RT-DETR's; else None."""
    size = {key: value for key, value in dict(processor.size or {}).items() if value is not None}
    is_plain = (
        type(processor).__name__.startswith("RTDetrImageProcessor")
        and size.keys() == {"height", "width"}
        and processor.do_resize
        and not processor.do_pad
        and int(processor.resample) == _BILINEAR
    )
    return (int(size["height"]), int(size["width"])) if is_plain else None


def _resize(frame: Tensor, size: tuple[int, int]) -> Tensor:
    """(1, 3, h, w) in whole grey levels, of a frame (H, W, 3) uint8; smoothed where it shrinks, as Pillow does it."""
    pixels = frame.permute(2, 0, 1)[None].float()
    return F.interpolate(pixels, size, mode="bilinear", antialias=True).round_().clamp_(0, 255)
