"""Person boxes: what a detector is, and RTMDet, batched on the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ...stores.errors import InvalidValueError
from ..device.precision import Precision, exact_layers, fold_norms
from ..device.tables import kept_on_device
from . import openmmlab
from .boxes import best_boxes, candidates, rules_of
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

    def boxes(self, frames: Tensor, most: int) -> Tensor:
        """Find (B, most, 5) float32 in frames (B, H, W, 3) uint8 RGB: x1, y1, x2, y2 in px and score, best first.

        Behind a frame's last person its rows are NaN. On a GPU the host does not wait for the result.
        """
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
        self._precision = Precision()
        self.run: Callable[..., Any] = self._network
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
        self._rules = rules_of(head, self._test_cfg)
        self._cells: list[Tensor] = []

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
    def boxes(self, frames: Tensor, most: int) -> Tensor:
        """See `Detector`."""
        inputs, scale = self.inputs(frames)
        scores, distances = self.run(inputs)
        found, score = candidates(
            scores,
            distances,
            self._points([level.shape[-2:] for level in scores]),
            (inputs.shape[-2], inputs.shape[-1]),
            scale,
            self._rules,
        )
        return best_boxes(found, score, self._rules.overlap, most)

    def detect(self, frames: Tensor) -> list[Tensor]:
        """Return the boxes (n, 5) of each frame, as many as there are, up to the configuration's own limit."""
        if len(frames) == 0:
            return []
        found = self.boxes(frames, int(self._test_cfg.max_per_img))
        counts = found[..., 4].isfinite().sum(dim=1).tolist()
        return [each[:count] for each, count in zip(found, counts, strict=True)]

    def compute_in(self, precision: Precision) -> None:
        """Compute so from now on; once, for weights are rounded."""
        self._precision = precision
        self._identity |= precision.describe()
        if self._device.type == "cuda":
            fold_norms(self._model)
            self._model.to(memory_format=torch.channels_last)
        if precision.half is not None:
            exact_layers(self._model.bbox_head, ("rtm_cls", "rtm_reg"), self._device)
            precision.prepare(self._model)

    def run_by(self, run: Callable[[Tensor], Any], how: str) -> None:
        """Let `run` stand in the network's place: compiled, or another library's. `how` goes into `describe`."""
        self.run = run
        self._identity["run_by"] = how

    def input_shape(self, batch: int, frame_size: tuple[int, int] | None = None) -> tuple[int, ...]:
        """Of what the network gets for so many frames, of whatever size."""
        return batch, 3, self._size[1], self._size[0]

    def _network(self, inputs: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The maps of each level: logits of a person (B, 1, h, w) and distances (B, 4, h, w), float32."""
        if self._device.type == "cuda":
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        with self._precision.context(self._device):
            scores, distances = self._model.bbox_head(self._model.extract_feat(inputs))
        person = slice(self._person, self._person + 1)
        return [level[:, person].float() for level in scores], [level.float() for level in distances]

    def _points(self, sizes: Sequence[Sequence[int]]) -> list[Tensor]:
        """Where the cells of each level lie in the input, which always has the same size."""
        cells = self._cells
        if not cells:
            with torch.inference_mode(False):
                self._cells = cells = self._model.bbox_head.prior_generator.grid_priors(sizes, device=self._device)
        return cells

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
    return RTMDet(model, config, identity, torch.device(device), least_score(seed, score_threshold))


def least_score(seed: int | None, given: float | None = None) -> float:
    """Return the score that a person needs: what is given, else that for weights that are random (a seed) or not."""
    if given is not None:
        return given
    return SCORE_THRESHOLD if seed is None else RANDOM_SCORE_THRESHOLD


def best_first(boxes: Tensor, scores: Tensor) -> Tensor:
    """Return boxes (n, 4) and their scores (n,) as (n, 5) float32, by score; of equals the first stays the first."""
    boxes, scores = boxes.float(), scores.float()
    order = scores.argsort(descending=True, stable=True)
    return torch.cat([boxes[order], scores[order, None]], dim=1)


def tabulate(found: Sequence[Tensor], most: int, device: torch.device) -> Tensor:
    """Return boxes (n, 5) of each frame, best first, as a `Detector` gives them: (B, most, 5), NaN behind the last."""
    table = torch.full((len(found), most, 5), torch.nan)
    for row, boxes in zip(table, found, strict=True):
        row[: len(boxes)] = boxes[:most]
    return table.to(device)


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
    top, bottom, down = _taps(frames.shape[1], height, device=frames.device)
    left, right, across = _taps(frames.shape[2], width, device=frames.device)
    rows = torch.lerp(frames[:, top].float(), frames[:, bottom].float(), down[:, None, None])
    return torch.lerp(rows[:, :, left], rows[:, :, right], across[:, None]).add_(0.5).floor_()


@kept_on_device
def _taps(old: int, new: int) -> tuple[Tensor, Tensor, Tensor]:
    """For each of `new` pixels: the two of `old` it lies between, and how far it is from the first."""
    at = ((torch.arange(new, dtype=torch.float64) + 0.5) * (old / new) - 0.5).clamp(0, old - 1)
    first = at.floor()
    second = (first + 1).clamp(max=old - 1)
    return first.long(), second.long(), (at - first).float()


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """Return intersection over union of boxes (..., 4), pair by pair: (...), 0 where the union is empty."""
    sides = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    shared = sides.clamp(min=0).prod(dim=-1)
    area_a, area_b = ((x[..., 2:] - x[..., :2]).clamp(min=0).prod(dim=-1) for x in (a, b))
    united = area_a + area_b - shared
    return torch.where(united > 0, shared / united, 0.0)
