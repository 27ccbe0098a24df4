"""Person boxes: what a detector is, RTMDet batched on the device, and which person of a frame is taken."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ...stores.errors import InvalidValueError
from . import openmmlab
from .models import DEFAULTS, resolve
from .weights.load import fit_state, load_state, random_seed

# The score a person needs. 0.3 is what MMPose's own top-down demonstration takes. Random weights score every box near
# the 0.01 that RTMDet's last layer starts from: with them every box counts, so that a trial run gets past detection.
SCORE_THRESHOLD = 0.3
RANDOM_SCORE_THRESHOLD = 0.0


class Detector(Protocol):
    """Finds people."""

    @property
    def name(self) -> str: ...

    def describe(self) -> dict[str, Any]:
        """Return all that decides the boxes, as plain data for a store's fingerprint."""
        ...

    def detect(self, frames: Tensor) -> list[Tensor]:
        """Find boxes (n, 5) float32 in each frame (B, H, W, 3) uint8 RGB: x1, y1, x2, y2 in px, score; best first."""
        ...


class RTMDet:
    """RTMDet (Lyu 2022, arXiv 2212.07784) from an official configuration: one class of it, a batch of frames at a time.

    A box may extend beyond the frame by the padding of the network's input, as in MMDetection.
    """

    def __init__(
        self, model: nn.Module, config: Any, identity: Mapping[str, str], device: torch.device, score_threshold: float
    ):
        self.name = identity["name"]
        self.score_threshold = score_threshold
        self._identity = dict(identity)
        self._device = device
        self._model: Any = model.to(device)
        steps = {step["type"].split(".")[-1]: step for step in config.test_dataloader.dataset.pipeline}
        if not {"Resize", "Pad"} <= steps.keys() or not steps["Resize"].get("keep_ratio"):
            raise InvalidValueError(f"{self.name}: its configuration does not resize with the aspect kept, then pad")
        self._scale = tuple(steps["Resize"]["scale"])
        self._size = tuple(steps["Pad"]["size"])  # (width, height)
        self._normalise = openmmlab.Normalisation(config.model.data_preprocessor, device)
        padding = torch.tensor(steps["Pad"]["pad_val"]["img"], dtype=torch.float32, device=device)
        self._padding = self._normalise(padding.view(1, 1, 1, 3).flip(-1))  # the configuration's is BGR
        classes = config.test_dataloader.dataset.get("metainfo", {}).get("classes")
        classes = classes or openmmlab.load("mmdet.datasets").CocoDataset.METAINFO["classes"]
        self._person = classes.index("person")
        head = self._model.bbox_head
        if head.num_classes != len(classes):
            raise InvalidValueError(f"{self.name} knows {head.num_classes} classes, its configuration {len(classes)}")
        # The head decodes the channels it is given; it is given one. Classes do not suppress one another.
        head.cls_out_channels = 1
        self._test_cfg = self._model.bbox_head.test_cfg.copy()
        self._test_cfg.score_thr = score_threshold
        # The configurations for 80 classes keep 30,000 candidates a level, to measure average precision down to the
        # last box. Of one class, above the threshold, a thousand are more than there are people.
        self._test_cfg.nms_pre = min(int(self._test_cfg.nms_pre), 1000)

    def describe(self) -> dict[str, Any]:
        return {
            **self._identity,
            "input_size": list(self._size),
            "score_threshold": self.score_threshold,
            "nms_iou_threshold": float(self._test_cfg.nms["iou_threshold"]),
            "candidates": int(self._test_cfg.nms_pre),
            "max_boxes": int(self._test_cfg.max_per_img),
        }

    @torch.inference_mode()
    def detect(self, frames: Tensor) -> list[Tensor]:
        """See `Detector`. No frames, no lists; a frame without people, (0, 5)."""
        if len(frames) == 0:
            return []
        inputs, scale = self.inputs(frames)
        scores, distances = self._model.bbox_head(self._model.extract_feat(inputs))
        person = slice(self._person, self._person + 1)
        found = self._model.bbox_head.predict_by_feat(
            [level[:, person] for level in scores],
            list(distances),
            batch_img_metas=[{"img_shape": inputs.shape[-2:], "scale_factor": scale}] * len(frames),
            cfg=self._test_cfg,
            rescale=True,
        )
        return [torch.cat([each.bboxes, each.scores[:, None]], dim=1).float() for each in found]

    def inputs(self, frames: Tensor) -> tuple[Tensor, tuple[float, float]]:
        """Make the network's input (B, 3, h, w) and its (x, y) scale to the frame, of frames (B, H, W, 3) uint8 RGB."""
        height, width = frames.shape[1:3]
        new_width, new_height = fit_size((width, height), self._scale)
        pixels = self._normalise(resize(frames, (new_width, new_height)))
        inputs = self._padding.expand(len(frames), 3, self._size[1], self._size[0]).clone()
        inputs[:, :, :new_height, :new_width] = pixels
        return inputs, (new_width / width, new_height / height)


def build_detector(
    name: str = DEFAULTS["detector"],
    weights: str | Path | None = None,
    device: torch.device | str = "cpu",
    score_threshold: float | None = None,
) -> RTMDet:
    """Build the named detector with its weights, on the device.

    score_threshold  None: 0.3, and 0 for random weights
    Raises MissingFileError (weights), InvalidValueError (name, weights), MissingExtraError.
    """
    spec = resolve(name, "detector")
    seed = random_seed(weights)
    state, identity = load_state(spec, weights)
    config = openmmlab.read_config(spec.config)
    model = openmmlab.build(config, "mmdet", seed)
    if state is not None:
        fit_state(model, state, spec.name)
    if score_threshold is None:
        score_threshold = SCORE_THRESHOLD if seed is None else RANDOM_SCORE_THRESHOLD
    return RTMDet(model, config, identity, torch.device(device), score_threshold)


def fit_size(size: tuple[int, int], scale: tuple[int, ...]) -> tuple[int, int]:
    """Return the largest (width, height) of the same aspect whose sides are within `scale`, as mmcv rounds it."""
    factor = min(max(scale) / max(size), min(scale) / min(size))
    return max(1, int(size[0] * factor + 0.5)), max(1, int(size[1] * factor + 0.5))


def resize(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize frames (B, H, W, 3) uint8 to (B, h, w, 3) float32, whole grey levels; bilinear, pixel centres at half.

    Like cv2.resize and so without a low-pass filter: an output pixel looks at four input pixels. Hence only the rows
    that are looked at are converted, which for a large frame is the smaller part.
    """
    width, height = size
    top, bottom, down = _taps(frames.shape[1], height, frames.device)
    left, right, across = _taps(frames.shape[2], width, frames.device)
    rows = torch.lerp(frames[:, top].float(), frames[:, bottom].float(), down[:, None, None])
    return torch.lerp(rows[:, :, left], rows[:, :, right], across[:, None]).add_(0.5).floor_()


def _taps(old: int, new: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """For each of `new` pixels: the two of `old` it lies between, and how far it is from the first."""
    at = ((torch.arange(new, dtype=torch.float64) + 0.5) * (old / new) - 0.5).clamp(0, old - 1)
    first = at.floor()
    second = (first + 1).clamp(max=old - 1)
    return first.long().to(device), second.long().to(device), (at - first).float().to(device)


def choose_person(boxes: Tensor, scores: Tensor, truth: Tensor | None = None) -> int:
    """Choose the one of a frame's people (method.md, section 1); a function of this frame alone.

    boxes   (n, 4)   px, n at least 1, best detection first: of equals the first is taken
    scores  (n, 17)  keypoint scores; NaN counts as nothing
    truth   (4,)     px, the true box, if it is known: then the box of highest IoU with it, even if that is 0
    Without `truth`, or with NaN in it: the highest mean keypoint score.
    """
    if truth is not None and bool(torch.isfinite(truth).all()):
        merit = overlap(boxes, truth.to(boxes).expand_as(boxes))
    else:
        merit = scores.nan_to_num(nan=0.0).mean(dim=1)
    return int(merit.argmax())  # of equals, the first


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """Return intersection over union of boxes (n, 4) and (n, 4), pair by pair: (n,), 0 where the union is empty."""
    sides = torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])
    shared = sides.clamp(min=0).prod(dim=1)
    area_a, area_b = ((x[:, 2:] - x[:, :2]).clamp(min=0).prod(dim=1) for x in (a, b))
    united = area_a + area_b - shared
    return torch.where(united > 0, shared / united, 0.0)
