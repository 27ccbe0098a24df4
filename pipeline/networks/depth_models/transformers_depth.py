"""Any depth network of transformers behind its image processor; and Depth Pro, which wants the focal length."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ....stores.errors import AugliftError, InvalidValueError
from ..hugging_face import first_line, load_model, load_processor
from ..weights.model_folder import ModelFolder
from .depth_meaning import METRIC, Meaning, meaning_of

_WHAT = "depth model"


class TransformersDepth:
    """Any model that `AutoModelForDepthEstimation` loads, behind its own image processor, on the host.

    Slower than `DepthAnything`: every frame is prepared by itself. What is inverse is turned, see `Meaning`.
    """

    def __init__(self, model: Any, processor: Any, identity: Mapping[str, str], meaning: Meaning, device: torch.device):
        self.name = identity["name"]
        self._identity = dict(identity)
        self._processor = processor
        self._meaning = meaning
        self._device = device
        self._model = model.to(device).eval().requires_grad_(False)
        self._architecture: str = model.config.model_type
        if getattr(processor, "do_center_crop", False):
            raise InvalidValueError(f"{self.name}: its image processor crops, so that its depth misses the borders")
        # ZoeDepth pads the frame and lets its post-processing take that away again; the map is to be of the frame.
        if getattr(processor, "do_pad", False):
            processor.do_pad = False

    def describe(self) -> dict[str, Any]:
        return {
            **self._identity,
            "architecture": self._architecture,
            "processor": json.loads(json.dumps(self._processor.to_dict(), default=str, sort_keys=True)),
            **self._meaning.describe(),
            "precision": "float32",
        }

    @torch.inference_mode()
    def estimate(self, frames: Tensor) -> Tensor:
        """See `DepthEstimator`."""
        prepared = self._processor(images=list(frames.cpu().numpy()), return_tensors="pt")
        depth = self._model(prepared["pixel_values"].to(self._device)).predicted_depth
        return self._meaning.sign * depth.reshape(len(frames), *depth.shape[-2:]).float()

    def resize_to(self, side: int) -> None:
        """Let the short side of the network's input be `side` px; InvalidValueError where it has no such size."""
        size = dict(self._processor.size) if getattr(self._processor, "size", None) else {}
        size = {key: value for key, value in size.items() if value is not None}
        if not size or not size.keys() <= {"height", "width", "shortest_edge"}:
            said = ", ".join(f"{key} {value}" for key, value in size.items()) or "none"
            raise InvalidValueError(
                f"--depth-size {side}: {self.name} has no size to be changed (its image processor says {said})"
            )
        patch = getattr(self._model.config, "patch_size", 1)
        multiple = getattr(self._processor, "ensure_multiple_of", 1)
        step = max(multiple or 1, patch if isinstance(patch, int) else 1)
        factor = side / min(size.values())
        resized = {key: max(step, round(value * factor / step) * step) for key, value in size.items()}
        self._processor.size = type(self._processor.size)(**resized)
        try:
            self.estimate(torch.zeros(1, 48, 64, 3, dtype=torch.uint8))
        except AugliftError:
            raise
        except Exception as error:  # whatever an architecture says to a size that it was not made for
            raise InvalidValueError(f"--depth-size {side}: {self.name} cannot take it: {first_line(error)}") from error


class DepthPro:
    """Depth Pro (Bochkovskii 2024, arXiv 2410.02073): inverse depth of a canonical camera, and a field of view.

    Metres need the focal length: the data set's where it is known, else the network's own guess, frame by frame.
    Prepared on the device, as its processor does it: normalised, then resized to a square, bilinear and not smoothed.
    """

    uses_focal_length = True

    def __init__(self, model: Any, processor: Mapping[str, Any], identity: Mapping[str, str], device: torch.device):
        self.name = identity["name"]
        self._identity = dict(identity)
        self._device = device
        self._model = model.to(device).eval().requires_grad_(False)
        if not self._model.config.use_fov_model:
            raise InvalidValueError(f"{self.name} does not estimate the field of view (use_fov_model), so no metres")
        config = model.config
        # The whole picture is the finest of the scales that are cut into patches.
        side = round(config.patch_size / min(config.scaled_images_ratios))
        size = processor.get("size") or {}
        self._side = int(size.get("height", side)) if isinstance(size, Mapping) else side
        self._mean = torch.tensor(processor.get("image_mean") or [0.5] * 3, device=device).view(3, 1, 1)
        self._std = torch.tensor(processor.get("image_std") or [0.5] * 3, device=device).view(3, 1, 1)

    def describe(self) -> dict[str, Any]:
        return {
            **self._identity,
            "architecture": "depth_pro",
            "side": self._side,
            "mean": [round(float(value), 6) for value in self._mean.flatten()],
            "std": [round(float(value), 6) for value in self._std.flatten()],
            **METRIC.describe(),
            "focal_length": "of the data set, else estimated",
            "precision": "float32",
        }

    @torch.inference_mode()
    def estimate(self, frames: Tensor, focal_length: Tensor | None = None) -> Tensor:
        """See `DepthEstimator`.

        focal_length  (B,) px of the frame, along x; NaN or None: not known, then estimated
        """
        pixels = frames.to(self._device).permute(0, 3, 1, 2) / 255
        inputs = F.interpolate((pixels - self._mean) / self._std, (self._side, self._side), mode="bilinear")
        outputs = self._model(inputs)
        width = frames.shape[2]
        focal = 0.5 * width / torch.tan(0.5 * torch.deg2rad(outputs.field_of_view.reshape(-1).float()))
        if focal_length is not None:
            known = focal_length.to(focal)
            focal = torch.where(known.isfinite() & (known > 0), known, focal)
        inverse = outputs.predicted_depth.reshape(len(frames), *outputs.predicted_depth.shape[-2:]).float()
        return 1 / (inverse * (width / focal)[:, None, None]).clamp(1e-4, 1e4)


def build_transformers_depth(
    found: ModelFolder, seed: int | None, identity: Mapping[str, str], device: torch.device, size: int | None
) -> TransformersDepth | DepthPro:
    """The model of a folder; size: the short side of its input, None: its own.

    InvalidValueError for a family whose numbers are not known, a size that it cannot take, and files that do not load.
    """
    meaning = meaning_of(found.config, identity["name"])
    if found.config.get("model_type") == "depth_pro":
        if size is not None:
            raise InvalidValueError(f"--depth-size {size}: {identity['name']} is a Depth Pro, which has one size")
        model = load_model(found, "AutoModelForDepthEstimation", _WHAT, seed)
        return DepthPro(model, found.processor, identity, device)
    processor = load_processor(found, _WHAT)
    model = load_model(found, "AutoModelForDepthEstimation", _WHAT, seed)
    depth = TransformersDepth(model, processor, identity, meaning, device)
    if size is not None:
        depth.resize_to(size)
    return depth
