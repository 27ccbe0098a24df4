"""2D pose: what an estimator is, and RTMPose with its crops, flip test and decoding batched on the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ...stores.errors import InvalidValueError
from ...stores.format.skeleton import COCO_17, H36M_FROM_COCO
from ..device.precision import Precision, fold_norms
from ..features.joints import to_h36m
from ..features.sampling import sample
from . import openmmlab
from .models import DEFAULTS, resolve
from .weights.load import fit_state, load_state, random_seed

_PADDING = 1.25  # MMPose's default; the configurations leave it out


class PoseEstimator(Protocol):
    """Finds the joints of people whose boxes are known: COCO-17, unless it has `to_h36m`.

    to_h36m  for each joint of H36M-17, which of the joints that `estimate` returns it is the mean of
    """

    @property
    def name(self) -> str: ...

    def describe(self) -> dict[str, Any]:
        """Return all that decides the joints, as plain data for a store's fingerprint."""
        ...

    def estimate(self, frames: Tensor, boxes: Tensor, frame_index: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate the joints in every box.

        frames       (B, H, W, 3)  uint8 RGB
        boxes        (M, 4)        px: x1, y1, x2, y2
        frame_index  (M,)          int: the frame each box belongs to
        Returns keypoints (M, 17, 2) float32 px of the frame, and scores (M, 17) float32, raw: they can exceed 1.
        """
        ...


class RTMPose:
    """RTMPose (Jiang 2023, arXiv 2303.07399) from an official configuration.

    A joint whose score is not positive had no response; it stands half a crop pixel outside its crop's first corner,
    where MMPose puts it.
    """

    def __init__(
        self, model: nn.Module, config: Any, identity: Mapping[str, str], device: torch.device, crop_batch: int
    ):
        self.name = identity["name"]
        self.crop_batch = crop_batch
        self._identity = dict(identity)
        self._device = device
        self._model: Any = model.to(device)
        self._precision = Precision()
        self.run: Callable[..., Any] = self._network
        self._sampling = ""  # of the last feature map at the joints; empty: the map is not kept
        self._map_channels = int(config.model.head.in_channels)
        steps = {step["type"].split(".")[-1]: step for step in config.test_dataloader.dataset.pipeline}
        if "TopdownAffine" not in steps or steps["TopdownAffine"].get("use_udp"):
            raise InvalidValueError(f"{self.name}: its configuration does not crop with MMPose's plain top-down affine")
        codec = config.model.head.decoder
        if codec.type != "SimCCLabel" or codec.get("use_dark") or config.model.head.out_channels != len(COCO_17):
            raise InvalidValueError(f"{self.name}: its configuration does not decode COCO-17 joints from plain SimCC")
        self.input_size: tuple[int, int] = tuple(steps["TopdownAffine"]["input_size"])  # (width, height)
        self._padding = float(steps.get("GetBBoxCenterScale", {}).get("padding", _PADDING))
        self._split = float(codec.simcc_split_ratio)
        self._flip_test = bool(config.model.get("test_cfg", {}).get("flip_test", False))
        # Pixel i of the mirror image is pixel w - 1 - i: bin b is bin k (w - 1) - b, not k w - 1 - b.
        self._flip_shift = round(self._split) - 1
        self._mirror = torch.from_numpy(COCO_17.flip).to(device)
        self._size = torch.tensor(self.input_size, dtype=torch.float32, device=device)
        self._normalise = openmmlab.Normalisation(config.model.data_preprocessor, device)

    def describe(self) -> dict[str, Any]:
        return {
            **self._identity,
            "input_size": list(self.input_size),
            "box_padding": self._padding,
            "flip_test": self._flip_test,
            **({"flip_shift_bins": self._flip_shift} if self._flip_test else {}),
            "crop_batch": self.crop_batch,
        }

    def estimate(self, frames: Tensor, boxes: Tensor, frame_index: Tensor) -> tuple[Tensor, Tensor]:
        """See `PoseEstimator`. No boxes, no joints: (0, 17, 2) and (0, 17)."""
        keypoints, score, _ = self._estimate(frames, boxes, frame_index)
        return keypoints, score

    def with_features(self, sampling: str) -> dict[str, Any]:
        """See `PoseWithFeatures`: the last map of `extract_feat`, which the head reads."""
        self._sampling = sampling
        about = {key: self._identity[key] for key in ("name", "weights") if key in self._identity}
        return {**about, "input_size": list(self.input_size), "channels": self._map_channels, "sampling": sampling}

    def estimate_with_features(
        self, frames: Tensor, boxes: Tensor, frame_index: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See `PoseWithFeatures`."""
        keypoints, score, features = self._estimate(frames, boxes, frame_index)
        if not features:
            return keypoints, score, keypoints.new_empty(0, len(H36M_FROM_COCO), self._map_channels)
        return keypoints, score, torch.cat(features)

    @torch.inference_mode()
    def features_at(self, frames: Tensor, boxes: Tensor, frame_index: Tensor, joints: Tensor) -> Tensor:
        """See `PoseWithFeatures`."""
        centre, extent = crop_frame(boxes[:, :4].to(self._device, torch.float32), self.input_size, self._padding)
        places = into_crop(joints.to(self._device, torch.float32), centre, extent, self.input_size)
        found = [places.new_empty(0, places.shape[1], self._map_channels)]
        for start in range(0, len(boxes), self.crop_batch):
            part = slice(start, start + self.crop_batch)
            crops = crop(frames, frame_index[part], centre[part], extent[part], self.input_size)
            maps = self.run(self._normalise(crops))[2]
            found.append(sample(maps, places[part], self.input_size, self._sampling))
        return torch.cat(found)

    @torch.inference_mode()
    def _estimate(self, frames: Tensor, boxes: Tensor, frame_index: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Joints, scores, and where the map is kept by part of the crops its features."""
        features: list[Tensor] = []
        centre, extent = crop_frame(boxes[:, :4].to(self._device, torch.float32), self.input_size, self._padding)
        keypoints = torch.empty(len(boxes), len(COCO_17), 2, device=self._device)
        score = torch.empty(len(boxes), len(COCO_17), device=self._device)
        for start in range(0, len(boxes), self.crop_batch):
            part = slice(start, start + self.crop_batch)
            crops = crop(frames, frame_index[part], centre[part], extent[part], self.input_size)
            x, y, *maps = self.responses(self._normalise(crops))
            in_crop, score[part] = decode_simcc(x, y, self._split)
            corner = centre[part] - 0.5 * extent[part]
            keypoints[part] = in_crop / self._size * extent[part, None] + corner[:, None]
            if maps:
                places = to_h36m(in_crop, H36M_FROM_COCO)
                features.append(sample(maps[0], places, self.input_size, self._sampling))
        return keypoints, score, features

    def responses(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Run the network: normalised crops (M, 3, h, w) to SimCC responses along x (M, 17, w k) and y (M, 17, h k).

        With the flip test, the mean of a crop's own and its mirror image's mirrored back, pixel for pixel. MMPose
        mirrors bin for bin: with two bins a pixel all joints are then a quarter of a crop pixel too far right.
        Where the last feature map is kept, it comes third, of the crops themselves: (M, C, h', w').
        """
        if not self._flip_test:
            return self.run(inputs)
        x, y, *maps = self.run(torch.cat([inputs, inputs.flip(-1)]))
        (x, mirrored_x), (y, mirrored_y) = x.chunk(2), y.chunk(2)
        back = mirrored_x[:, self._mirror].flip(-1)[..., self._flip_shift :]
        # The last bins, beyond the last pixel's centre, have no mirror image.
        back = torch.cat([back, x[..., back.shape[-1] :]], dim=-1)
        x, y = (x + back) * 0.5, (y + mirrored_y[:, self._mirror]) * 0.5
        return x, y, *(each[: len(inputs)] for each in maps)

    def compute_in(self, precision: Precision) -> None:
        """Compute so from now on; once, for weights are rounded."""
        self._precision = precision
        self._identity |= precision.describe()
        if self._device.type == "cuda":
            fold_norms(self._model)
            self._model.to(memory_format=torch.channels_last)
        for part in ("backbone", "neck"):
            if hasattr(self._model, part):
                precision.prepare(getattr(self._model, part))

    def run_by(self, run: Callable[[Tensor], Any], how: str) -> None:
        """Let `run` stand in the network's place: compiled, or another library's. `how` goes into `describe`."""
        self.run = run
        self._identity["run_by"] = how

    def input_shape(self, crops: int, frame_size: tuple[int, int] | None = None) -> tuple[int, ...]:
        """Of what the network gets for so many crops, of frames of whatever size."""
        return crops, 3, self.input_size[1], self.input_size[0]

    def _network(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Responses along x and y, and the last feature map where it is kept.

        The head is small, and its maxima are looked for: it computes in float32.
        """
        if self._device.type == "cuda":
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        with self._precision.context(self._device):
            maps = self._model.extract_feat(inputs)
        x, y = self._model.head([each.float() for each in maps])
        return (x, y, maps[-1]) if self._sampling else (x, y)


def build_pose(
    name: str = DEFAULTS["pose"],
    weights: str | Path | None = None,
    device: torch.device | str = "cpu",
    crop_batch: int | None = None,
) -> RTMPose:
    """Build the named pose network with its weights, on the device.

    crop_batch  crops a forward pass (each twice with the flip test): bounds memory; None: 16, and 64 on a GPU
    Raises MissingFileError (weights), InvalidValueError (name, weights, crop_batch), MissingExtraError.
    """
    device = torch.device(device)
    if crop_batch is None:
        crop_batch = 64 if device.type == "cuda" else 16
    if crop_batch < 1:
        raise InvalidValueError(f"crop_batch must be at least 1, not {crop_batch}")
    spec = resolve(name, "pose")
    state, identity = load_state(spec, weights)
    config = openmmlab.read_config(spec.config)
    model = openmmlab.build(config, "mmpose", random_seed(weights))
    if state is not None:
        fit_state(model, state, spec.name)
    return RTMPose(model, config, identity, device, crop_batch)


def crop_frame(boxes: Tensor, input_size: tuple[int, int], padding: float) -> tuple[Tensor, Tensor]:
    """Return centre (M, 2) and extent (M, 2), in px of the frame, of the crop about each box (M, 4).

    The box grown by `padding`, and then on its shorter side until its aspect is that of the input (width, height).
    """
    centre = (boxes[:, 2:] + boxes[:, :2]) * 0.5
    width, height = ((boxes[:, 2:] - boxes[:, :2]) * padding).unbind(1)
    aspect = input_size[0] / input_size[1]
    wide = width > height * aspect
    extent = torch.stack([torch.where(wide, width, height * aspect), torch.where(wide, width / aspect, height)], dim=1)
    return centre, extent


def into_crop(points: Tensor, centre: Tensor, extent: Tensor, size: tuple[int, int], udp: bool = False) -> Tensor:
    """Where points (M, J, 2), px of the frame, lie in the crops (M) of `crop`: px of the crop."""
    corner, length = (centre - 0.5 * extent)[:, None], extent[:, None]
    along = [
        (points[..., axis] - corner[..., axis]) / length[..., axis] * (side - 1 if udp else side)
        for axis, side in enumerate(size)
    ]
    return torch.stack(along, dim=-1)


def crop(
    frames: Tensor, frame_index: Tensor, centre: Tensor, extent: Tensor, size: tuple[int, int], udp: bool = False
) -> Tensor:
    """Cut crops (M, h, w, 3), float32 in whole grey levels, of frames (B, H, W, 3) uint8; bilinear, black outside.

    MMPose's geometry: input pixel (i, j) lies at ((i, j) - size / 2) * s + centre, s = extent of x / width of input.
    With `udp` (Huang 2020, arXiv 1911.07524) a crop spans from its first pixel's centre to its last one's: s = extent /
    (size - 1), and the first pixel lies at centre - extent / 2.
    Without rotation rows and columns part, and the frames are read where they are, four times a crop pixel.
    """
    width, height = size
    columns, rows = (torch.arange(side, device=centre.device) for side in size)
    if udp:
        corner, step = centre - 0.5 * extent, extent / (extent.new_tensor(size) - 1)
        x, y = columns * step[:, :1] + corner[:, :1], rows * step[:, 1:] + corner[:, 1:]
    else:
        step = extent[:, :1] / width
        x = (columns - 0.5 * width) * step + centre[:, :1]
        y = (rows - 0.5 * height) * step + centre[:, 1:]
    across_taps, down_taps = _corners(x, frames.shape[2]), _corners(y, frames.shape[1])
    frame = frame_index.to(frames.device)[:, None, None]
    crops = torch.zeros(len(centre), height, width, 3, device=frames.device)
    for row, down in down_taps:
        line = torch.zeros_like(crops)
        for column, across in across_taps:
            line.addcmul_(frames[frame, row[:, :, None], column[:, None, :]].float(), across[:, None, :, None])
        crops.addcmul_(line, down[:, :, None, None])
    return crops.round_()


def _corners(at: Tensor, length: int) -> list[tuple[Tensor, Tensor]]:
    """The two pixels each position lies between, as (index inside, weight); a pixel outside weighs nothing."""
    first = at.floor()
    corners = []
    for pixel, weight in ((first, first + 1 - at), (first + 1, at - first)):
        inside = (pixel >= 0) & (pixel <= length - 1)
        corners.append((torch.where(inside, pixel, 0).long(), torch.where(inside, weight, 0.0)))
    return corners


def decode_simcc(x: Tensor, y: Tensor, split: float) -> tuple[Tensor, Tensor]:
    """Decode SimCC responses to joints, as MMPose's codec decodes them without refinement.

    x, y   (M, J, w split) and (M, J, h split)
    split  bins a pixel of the crop
    Returns positions (M, J, 2) in px of the crop, the first maximum of each, and scores (M, J), the lower of the two
    maxima; where that is not positive the position is (-1, -1) / split.
    """
    (high_x, at_x), (high_y, at_y) = x.max(dim=-1), y.max(dim=-1)
    score = torch.where(high_x > high_y, high_y, high_x)
    at = torch.stack([at_x, at_y], dim=-1).to(score.dtype)
    return torch.where(score[..., None] <= 0, -1.0, at) / split, score
