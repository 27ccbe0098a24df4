"""Monocular depth: what an estimator is, Depth Anything V2 batched on the device, and any model transformers loads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..stores.errors import InvalidValueError, MissingExtraError, MissingFileError
from .models import DEFAULTS, ModelSpec, resolve
from .weights import fit_state, load_state, random_seed, seeded, sha256

# What the published models were trained with, as transformers' own processor has it: side, multiple, colour statistics.
SIDE, MULTIPLE = 518, 14
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# Half precision where the device has fast matrix units for it; its ten bits of mantissa are a thousandth of the depth.
_AUTOCAST = {"cuda": torch.float16}


class DepthEstimator(Protocol):
    """Tells how far away everything in a picture is."""

    @property
    def name(self) -> str: ...

    def describe(self) -> dict[str, Any]:
        """All that decides the depth, as plain data for a store's fingerprint."""
        ...

    def estimate(self, frames: Tensor) -> Tensor:
        """Frames (B, H, W, 3) uint8 RGB, to depth (B, h, w) float32 at the network's own resolution.

        Metres along the optical axis, unless `describe` says `metric: false`. What is not finite stays so.
        """
        ...


class DepthAnything:
    """Depth Anything V2 (Yang 2024, arXiv 2406.09414), metric, through transformers' implementation of it."""

    def __init__(self, model: nn.Module, identity: Mapping[str, str], max_depth: float, device: torch.device):
        self.name = identity["name"]
        self._identity = dict(identity)
        self._max_depth = max_depth
        self._device = device
        self._autocast = _AUTOCAST.get(device.type)
        self._model = model.to(device).eval().requires_grad_(False)
        self._mean = torch.tensor(MEAN, device=device).view(3, 1, 1)
        self._std = torch.tensor(STD, device=device).view(3, 1, 1)

    def describe(self) -> dict[str, Any]:
        precision = "float32" if self._autocast is None else str(self._autocast).removeprefix("torch.")
        return {
            **self._identity,
            "side": SIDE,
            "metric": True,
            "max_depth": self._max_depth,
            "precision": precision,
        }

    def estimate(self, frames: Tensor) -> Tensor:
        """See `DepthEstimator`."""
        return self.forward(self.inputs(frames))

    @torch.inference_mode()
    def inputs(self, frames: Tensor) -> Tensor:
        """Frames (B, H, W, 3) uint8 RGB, to the network's input (B, 3, h, w): resized, then normalised."""
        size = input_size(frames.shape[1], frames.shape[2])
        pixels = resize_bicubic(frames.to(self._device), size) / 255
        return (pixels - self._mean) / self._std

    @torch.inference_mode()
    def forward(self, inputs: Tensor) -> Tensor:
        """The network alone: (B, 3, h, w) to metres (B, h, w)."""
        with torch.autocast(self._device.type, self._autocast, enabled=self._autocast is not None):
            depth = self._model(inputs).predicted_depth
        return depth.float()


class TransformersDepth:
    """Any model that `AutoModelForDepthEstimation` loads, behind its own image processor, on the host.

    Slower than `DepthAnything`: every frame is prepared by itself. Relative depth, which has no unit, is said to be so.
    """

    def __init__(self, model: Any, processor: Any, identity: Mapping[str, str], device: torch.device):
        self.name = identity["name"]
        self._identity = dict(identity)
        self._processor = processor
        self._device = device
        self._model = model.to(device).eval().requires_grad_(False)
        self._metric = getattr(model.config, "depth_estimation_type", "") == "metric" or model.config.model_type in (
            "zoedepth",
            "depth_pro",
        )

    def describe(self) -> dict[str, Any]:
        return {
            **self._identity,
            "architecture": self._model.config.model_type,
            "processor": json.loads(json.dumps(self._processor.to_dict(), default=str, sort_keys=True)),
            "metric": self._metric,
            "precision": "float32",
        }

    @torch.inference_mode()
    def estimate(self, frames: Tensor) -> Tensor:
        """See `DepthEstimator`."""
        prepared = self._processor(images=list(frames.cpu().numpy()), return_tensors="pt")
        return self._model(prepared["pixel_values"].to(self._device)).predicted_depth.float()


def build_depth(
    name: str = DEFAULTS["depth"], weights: str | Path | None = None, device: torch.device | str = "cpu"
) -> DepthAnything | TransformersDepth:
    """The named depth network with its weights, on the device.

    name   a row of the table of models; a Hugging Face repository, `owner/name`; or a folder that holds a model as
           transformers saves it
    Raises MissingFileError (weights), InvalidValueError (name, weights), MissingExtraError.
    """
    device = torch.device(device)
    if Path(name).is_dir():
        return _from_folder(Path(name), name, device)
    spec = resolve(name, "depth")
    if spec.config is None:
        return _from_folder(_fetch(spec), spec.name, device)
    assert isinstance(spec.config, dict), spec
    assert spec.max_depth is not None, spec
    state, identity = load_state(spec, weights)
    with seeded(random_seed(weights) or 0):
        model = build_depth_anything(spec.config)
    if state is not None:
        fit_state(model, state, spec)
    return DepthAnything(model, identity, spec.max_depth, device)


def build_depth_anything(config: Mapping[str, Any]) -> nn.Module:
    """The architecture of a configuration as plain data, with transformers' own random initialisation."""
    transformers = _transformers()
    plain = {key: value for key, value in config.items() if key != "model_type"}
    # Newer transformers insist on a whole number of metres, older ones take either.
    plain["max_depth"] = int(plain["max_depth"]) if float(plain["max_depth"]).is_integer() else plain["max_depth"]
    return transformers.DepthAnythingForDepthEstimation(transformers.DepthAnythingConfig(**plain)).eval()


def input_size(height: int, width: int) -> tuple[int, int]:
    """(h, w) of the network's input, as transformers' processor has it: the side of the milder scale becomes 518 px.

    So the short side of what is larger than 518, the long side of what is smaller. The other keeps the aspect; both are
    rounded to multiples of 14, of which there is at least one: the processor would make nothing of a very thin frame.
    """
    by_height, by_width = SIDE / height, SIDE / width
    scale = by_width if abs(1 - by_width) < abs(1 - by_height) else by_height
    return _multiple(scale * height), _multiple(scale * width)


def _multiple(length: float) -> int:
    return max(MULTIPLE, round(length / MULTIPLE) * MULTIPLE)


def resize_bicubic(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Frames (B, H, W, 3) uint8, to (B, 3, h, w) float32 in whole grey levels, as PIL resizes them.

    PIL filters rows, rounds to grey levels, then filters columns and rounds again; so does this, on any device.
    """
    pixels = frames.permute(0, 3, 1, 2).float()
    for step in ((frames.shape[1], size[1]), size):
        if pixels.shape[-2:] != step:
            pixels = F.interpolate(pixels, step, mode="bicubic", antialias=True, align_corners=False)
            pixels = pixels.round_().clamp_(0, 255)
    return pixels


def _from_folder(folder: Path, name: str, device: torch.device) -> TransformersDepth:
    """A model and its processor as transformers saves them; weights from safetensors alone, and no code of theirs."""
    transformers = _transformers()
    weights = sorted(folder.glob("*.safetensors"))
    if not (folder / "config.json").is_file() or not weights:
        raise MissingFileError(
            f"{folder} holds no depth model: it needs config.json and *.safetensors, as transformers' save_pretrained "
            "writes them"
        )
    try:
        model = transformers.AutoModelForDepthEstimation.from_pretrained(
            folder, local_files_only=True, use_safetensors=True
        )
        processor = transformers.AutoImageProcessor.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # transformers raises whatever its parts do
        raise InvalidValueError(
            f"{folder} cannot be loaded as a depth model: {(str(error).strip() or repr(error)).splitlines()[0]}"
        ) from error
    digest = ",".join(sha256(path) for path in weights)
    return TransformersDepth(model, processor, {"name": name, "weights": f"sha256:{digest}"}, device)


def _fetch(spec: ModelSpec) -> Path:
    """The folder of a Hugging Face repository: from its cache, else from the hub."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtraError("Hugging Face models need huggingface_hub: pip install 'auglift[prep]'") from error
    repository = spec.repository or ""
    failure: Exception | None = None
    for only_cache in (True, False):
        try:
            folder = huggingface_hub.snapshot_download(
                repository, allow_patterns=["*.json", "*.safetensors"], local_files_only=only_cache
            )
            return Path(folder)
        except Exception as error:  # its HTTP library's errors have no base class of ours or Python's
            failure = error
    reason = (str(failure).strip() or type(failure).__name__).splitlines()[0]
    raise MissingFileError(
        f"no depth model {repository}: it is not in Hugging Face's cache and could not be fetched ({reason}). Fetch it "
        "elsewhere and give its folder with --depth FOLDER"
    ) from failure


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError("depth networks need transformers: pip install 'auglift[prep]'") from error
    return transformers
