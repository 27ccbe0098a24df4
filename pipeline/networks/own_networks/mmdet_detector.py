"""Any detector of MMDetection from its own configuration: its own test pipeline, a batch of frames at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....stores.errors import InvalidValueError
from .. import openmmlab
from ..detect import RANDOM_SCORE_THRESHOLD, SCORE_THRESHOLD, tabulate
from .config_file import ConfigFile, Opened, attempt, open_config, step_name, test_dataset
from .labels import person_class


class MMDetDetector:
    """People as MMDetection's own inference finds them. Slower than `RTMDet`: frames are prepared on the host."""

    def __init__(self, opened: Opened, device: torch.device, score_threshold: float):
        self.name = opened.identity["name"]
        self.score_threshold = score_threshold
        self._identity = opened.identity
        self._device = device
        self._model = opened.model.to(device)
        if not hasattr(self._model, "predict") or not hasattr(self._model, "data_preprocessor"):
            raise InvalidValueError(f"{self.name} is a {type(self._model).__name__}, not a detector of MMDetection's")
        classes = _classes(opened)
        self._person = person_class(classes, self.name)
        self._class = classes[self._person]
        self._prepare = self._pipeline(opened.config)

    def _pipeline(self, config: Any) -> Any:
        """The configuration's own steps without the loading of files and of labels."""
        steps = [
            step
            for step in test_dataset(config, self.name)["pipeline"]
            if not step_name(step).startswith(("LoadImage", "LoadAnnotations", "LoadProposals"))
        ]
        openmmlab.load("mmdet.datasets")
        registry = openmmlab.load("mmdet.registry").TRANSFORMS

        def build() -> list[Any]:
            with openmmlab.quietly(), registry.switch_scope_and_registry("mmdet") as transforms:
                return [transforms.build(dict(step)) for step in steps]

        return attempt(f"{self.name}: its test pipeline cannot be built", build)

    def describe(self) -> dict[str, Any]:
        return {**self._identity, "score_threshold": self.score_threshold, "class": self._class}

    def boxes(self, frames: Tensor, most: int) -> Tensor:
        """See `Detector`; the host waits for the frames."""
        return tabulate(self.detect(frames), most, self._device)

    @torch.inference_mode()
    def detect(self, frames: Tensor) -> list[Tensor]:
        """Return the boxes (n, 5) of each frame, as many as there are. No frames, no lists."""
        if len(frames) == 0:
            return []
        prepared = [self._prepared(frame) for frame in frames.cpu().numpy()]
        batch = {key: [each[key] for each in prepared] for key in ("inputs", "data_samples")}
        batch = self._model.data_preprocessor(batch, False)
        found = self._model.predict(batch["inputs"], batch["data_samples"], rescale=True)
        return [self._people(each.pred_instances) for each in found]

    def _prepared(self, frame: np.ndarray) -> dict[str, Any]:
        """One frame (H, W, 3) RGB as the network's own pipeline hands it on; OpenMMLab reads pictures as BGR."""
        height, width = frame.shape[:2]
        results: Any = {
            "img": np.ascontiguousarray(frame[..., ::-1]),
            "img_id": 0,
            "img_path": "",
            "img_shape": (height, width),
            "ori_shape": (height, width),
        }
        for step in self._prepare:
            results = step(results)
        return results

    def _people(self, found: Any) -> Tensor:
        is_wanted = (found.labels == self._person) & (found.scores >= self.score_threshold)
        boxes, scores = found.bboxes[is_wanted].float(), found.scores[is_wanted].float()
        order = scores.argsort(descending=True, stable=True)
        return torch.cat([boxes[order], scores[order, None]], dim=1)

    def try_out(self) -> None:
        """InvalidValueError or MissingExtraError where it does not run: a compiled op that is missing, say."""
        frames = torch.zeros(1, 64, 64, 3, dtype=torch.uint8, device=self._device)
        attempt(f"{self.name} does not run on a frame", lambda: self.detect(frames))


def build_mmdet(
    named: ConfigFile, weights: str | Path | None, device: torch.device, score_threshold: float | None = None
) -> MMDetDetector:
    """The detector of a configuration with its checkpoint, on the device.

    score_threshold  None: 0.3, and 0 for random weights
    Raises what `open_config` does, and InvalidValueError where it knows no people.
    """
    opened = open_config(named, "detector", "mmdet", weights)
    if score_threshold is None:
        score_threshold = SCORE_THRESHOLD if opened.seed is None else RANDOM_SCORE_THRESHOLD
    detector = MMDetDetector(opened, device, score_threshold)
    detector.try_out()
    return detector


def _classes(opened: Opened) -> list[str]:
    """By what the checkpoint says, else the configuration, else the data set that it tests on."""
    dataset = test_dataset(opened.config, opened.identity["name"])
    for meta in (opened.dataset_meta, dataset.get("metainfo") or {}):
        for key in ("classes", "CLASSES"):  # until and since MMDetection 3.0
            if meta.get(key):
                classes = meta[key]
                return [classes] if isinstance(classes, str) else [str(name) for name in classes]
    openmmlab.load("mmdet.datasets")
    kind = dataset.get("type")
    registered = kind if isinstance(kind, type) else openmmlab.load("mmdet.registry").DATASETS.get(kind)
    classes = getattr(registered, "METAINFO", {}).get("classes")
    if not classes:
        raise InvalidValueError(f"{opened.identity['name']}: neither its files nor its data set name its classes")
    return [classes] if isinstance(classes, str) else list(classes)
