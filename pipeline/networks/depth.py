"""Monocular depth: what an estimator is, Depth Anything batched on the device, and which of them a name means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ...stores.errors import InvalidValueError
from ..device.precision import Precision
from ..frames.resize import resize_bicubic
from .depth_models.decoder_map import on_patches
from .depth_models.depth_meaning import INVERSE, METRIC, meaning_of
from .depth_models.transformers_depth import DepthPro, TransformersDepth, build_transformers_depth
from .hugging_face import find_model, first_line, identity_of, transformers_package
from .models import DEFAULTS, resolve
from .weights.load import fit_state, load_state, random_seed, seeded
from .weights.model_folder import ModelFolder, preparation

# What the published models were trained with, as transformers' own processor has it: side, patches, colour statistics.
SIDE, PATCH = 518, 14
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class DepthEstimator(Protocol):
    """Estimates how far away everything in a picture is."""

    @property
    def name(self) -> str: ...

    def describe(self) -> dict[str, Any]:
        """Return all that decides the depth, as plain data for a store's fingerprint."""
        ...

    def estimate(self, frames: Tensor) -> Tensor:
        """Estimate depth (B, h, w) float32, at the network's own resolution, of frames (B, H, W, 3) uint8 RGB.

        Metres along the optical axis, unless `describe` says `metric: false`: then larger is farther, and factor and
        constant are not known. What is not finite stays so. One that has `uses_focal_length` also takes those of the
        frames, `focal_length` (B,) px, NaN where it is not known.
        """
        ...


class DepthAnything:
    """Depth Anything, V1 or V2 (Yang 2024, arXiv 2401.10891 and 2406.09414), through transformers' implementation.

    max_depth  metres at which it saturates; None for relative depth, whose sign is turned, see `depth_meaning`
    """

    def __init__(
        self,
        model: Any,
        identity: Mapping[str, str],
        max_depth: float | None,
        device: torch.device,
        side: int = SIDE,
        patch: int = PATCH,
        mean: tuple[float, ...] = MEAN,
        std: tuple[float, ...] = STD,
    ):
        self.name = identity["name"]
        self._identity = dict(identity)
        self._max_depth = max_depth
        self._meaning = INVERSE if max_depth is None else METRIC
        self._side = side
        self.patch = patch
        self._device = device
        self._precision = Precision()
        # Channels last: an eighth less time on a CPU.
        self.model = self._model = model.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
        self.run: Callable[[Tensor], Any] = self._network
        self.keeps_map = False
        self._colours = {} if (mean, std) == (MEAN, STD) else {"mean": list(mean), "std": list(std)}
        self._mean = torch.tensor(mean, device=device).view(3, 1, 1)
        self._std = torch.tensor(std, device=device).view(3, 1, 1)

    def describe(self) -> dict[str, Any]:
        precision = self._precision.name
        return {
            **self._identity,
            "side": self._side,
            **self._meaning.describe(),
            "max_depth": self._max_depth,
            "precision": precision,
            **self._colours,
        }

    def estimate(self, frames: Tensor) -> Tensor:
        """See `DepthEstimator`."""
        return self.forward(self.inputs(frames))

    @torch.inference_mode()
    def inputs(self, frames: Tensor) -> Tensor:
        """Make the network's input (B, 3, h, w) of frames (B, H, W, 3) uint8 RGB: resized, then normalised."""
        size = input_size(frames.shape[1], frames.shape[2], self._side, self.patch)
        pixels = resize_bicubic(frames.to(self._device), size) / 255
        return ((pixels - self._mean) / self._std).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def forward(self, inputs: Tensor) -> Tensor:
        """Run the network alone: (B, 3, h, w) to metres, or relative depth, (B, h, w).

        Its last layers always run in float32: half precision would lay depth on steps of up to 8 mm at 10 m.
        """
        return self._forward(inputs)[0]

    def _forward(self, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """Depth, its sign put right, and the decoder's map where it is kept."""
        found = self.run(inputs)
        depth, kept = found if self.keeps_map else (found, None)
        return depth if self._meaning.is_metric else self._meaning.sign * depth, kept

    def with_features(self, sampling: str) -> dict[str, Any]:
        """See `DepthWithFeatures`: the decoder's map that has a cell a patch."""
        self.keeps_map = True
        about = {key: self._identity[key] for key in ("name", "weights") if key in self._identity}
        channels = int(self._model.config.fusion_hidden_size)
        return {**about, "side": self._side, "channels": channels, "sampling": sampling}

    @torch.inference_mode()
    def estimate_with_map(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """See `DepthWithFeatures`."""
        depth, kept = self._forward(self.inputs(frames))
        assert kept is not None, "with_features comes first"
        return depth, kept

    def compute_in(self, precision: Precision) -> None:
        """Compute so from now on; once, for weights are rounded."""
        self._precision = precision
        for part in (self._model.backbone, self._model.neck):
            precision.prepare(part)

    def run_by(self, run: Callable[[Tensor], Any], how: str, precision: Precision | None = None) -> None:
        """Let `run` stand in the network's place: compiled, or another library's. `how` goes into `describe`.

        precision   that it computes in, where that is its own affair
        """
        self.run = run
        self._precision = precision or self._precision
        self._identity["run_by"] = how

    def input_shape(self, batch: int, frame_size: tuple[int, int] | None = None) -> tuple[int, ...]:
        """Of what the network gets for so many frames of (height, width); None: square ones."""
        return batch, 3, *input_size(*(frame_size or (self._side, self._side)), self._side, self.patch)

    def _network(self, inputs: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """What the network says, its sign as it is; and the map where it is kept."""
        patches = inputs.shape[-2] // self.patch, inputs.shape[-1] // self.patch
        with self._precision.context(self._device):
            maps = self._model.neck(self._model.backbone(inputs).feature_maps, *patches)
        depth = self._model.head([each.float() for each in maps], *patches)
        return (depth, on_patches(maps, patches)) if self.keeps_map else depth


def build_depth(
    name: str = DEFAULTS["depth"],
    weights: str | Path | None = None,
    device: torch.device | str = "cpu",
    size: int | None = None,
) -> DepthAnything | TransformersDepth | DepthPro:
    """Build the named depth network with its weights, on the device.

    name     a row of the table of models; a Hugging Face repository, `owner/name`; or a folder that holds a model as
             transformers saves it. Any Depth Anything runs as the named ones do, other models as `TransformersDepth`
    weights  as everywhere; `random` also leaves out the weights of a folder or repository, and a repository is looked
             for in the folder `weights`, by its own name, before Hugging Face's cache
    size     px of the short side of the network's input (see `input_size`), of whole patches; None: its own
    Raises MissingFileError (weights), InvalidValueError (name, weights), MissingExtraError.
    """
    device = torch.device(device)
    found = find_model(name, "depth", weights)
    if found is not None:
        return _from_folder(found, name, weights, device, size)
    spec = resolve(name, "depth")
    assert isinstance(spec.config, dict), spec
    assert spec.max_depth is not None, spec
    state, identity = load_state(spec, weights)
    with seeded(random_seed(weights) or 0):
        model = build_depth_anything(spec.config)
    if state is not None:
        fit_state(model, state, spec.name)
    patch = int(spec.config.get("patch_size", PATCH))
    return DepthAnything(model, identity, spec.max_depth, device, size or spec.input_size[0], patch)


def size_in(described: Mapping[str, Any]) -> int | None:
    """Return the size that makes a network as `describe` says; None: it has its own."""
    # What has a `max_depth` is a Depth Anything.
    return described.get("side") if "max_depth" in described else None


# The keys of a configuration that decide the architecture; hub files have more, which differ by version.
_ARCHITECTURE = (
    "backbone_config",
    "patch_size",
    "reassemble_hidden_size",
    "reassemble_factors",
    "neck_hidden_sizes",
    "fusion_hidden_size",
    "head_in_index",
    "head_hidden_size",
    "depth_estimation_type",
    "max_depth",
)


def build_depth_anything(config: Mapping[str, Any]) -> nn.Module:
    """Build the architecture of a configuration, plain data, with transformers' own random initialisation."""
    transformers = transformers_package()
    plain = {key: config[key] for key in _ARCHITECTURE if config.get(key) is not None}
    # Newer transformers insist on a whole number of metres, older ones take either; relative depth is scaled by 1.
    most = float(plain.get("max_depth", 1))
    plain["max_depth"] = int(most) if most.is_integer() else most
    return transformers.DepthAnythingForDepthEstimation(transformers.DepthAnythingConfig(**plain)).eval()


def input_size(height: int, width: int, side: int = SIDE, patch: int = PATCH) -> tuple[int, int]:
    """Return (h, w) of the network's input, as transformers' processor has it: the milder scale makes `side` px.

    So the short side of what is larger, the long side of what is smaller. The other keeps the aspect; both are rounded
    to whole patches, of which there is at least one: the processor would make nothing of a very thin frame.
    """
    by_height, by_width = side / height, side / width
    scale = by_width if abs(1 - by_width) < abs(1 - by_height) else by_height
    return _whole(scale * height, patch), _whole(scale * width, patch)


def _whole(length: float, patch: int) -> int:
    return max(patch, round(length / patch) * patch)


def _from_folder(
    found: ModelFolder, name: str, weights: str | Path | None, device: torch.device, size: int | None
) -> DepthAnything | TransformersDepth | DepthPro:
    """A model and its processor as transformers saves them; weights from safetensors alone, and no code of theirs."""
    seed = random_seed(weights)
    identity = identity_of(found, name, seed)
    prepared = preparation(found.processor)
    if prepared is None or prepared.multiple != found.config.get("patch_size") or not _is_depth_anything(found.config):
        return build_transformers_depth(found, seed, identity, device, size)
    with seeded(seed or 0):
        try:
            model = build_depth_anything(found.config)
        except Exception as error:  # transformers raises whatever its parts do
            raise InvalidValueError(f"{found.path / 'config.json'} is no depth model's: {first_line(error)}") from error
    if seed is None:
        fit_state(model, found.state(), name)
    max_depth = found.config.get("max_depth") or 1 if meaning_of(found.config, name).is_metric else None
    return DepthAnything(
        model, identity, max_depth, device, size or prepared.side, prepared.multiple, prepared.mean, prepared.std
    )


def _is_depth_anything(config: Mapping[str, Any]) -> bool:
    """Whether it is the architecture of the published ones; the giant's other layers are transformers' to convert."""
    backbone = config.get("backbone_config")
    return (
        config.get("model_type") == "depth_anything"
        and isinstance(backbone, Mapping)
        and backbone.get("model_type") == "dinov2"
        and not backbone.get("use_swiglu_ffn")
    )
