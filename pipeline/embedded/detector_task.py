"""What the tiny detector learns: batches of frames with boxes, drawn from a cache, and RTMDet's loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..networks import openmmlab, tiny
from .augment import Rng, cover, paint, warp
from .batch import Batch, stack
from .cache import FrameCache

# A person with a larger share hidden, or a smaller box, need not be found.
MOST_HIDDEN, SMALLEST = 0.85, 6.0


def build_detector(seed: int) -> nn.Module:
    """Build the detector with random weights, trainable."""
    config = openmmlab.load("mmengine.config").Config(tiny.DETECTOR)
    model: Any = openmmlab.build(config, "mmdet", seed)
    model.bbox_head.train_cfg = config.__class__({"allowed_border": -1, "pos_weight": -1, "debug": False})
    # Made from their classes: what a registry finds depends on which package was used last.
    parts = openmmlab.load("mmdet.models.task_modules")
    model.bbox_head.assigner = parts.DynamicSoftLabelAssigner(topk=13, iou_calculator={"type": "mmdet.BboxOverlaps2D"})
    model.bbox_head.sampler = parts.PseudoSampler()
    return model.train().requires_grad_(True)


def wanted_people(boxes: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Return (P,) bool: which people of a frame a detector should find. boxes (P, 4) px, hidden (P,) share."""
    sides = boxes[:, 2:] - boxes[:, :2]
    with np.errstate(invalid="ignore"):
        return (sides.min(1) >= SMALLEST) & ~(hidden > MOST_HIDDEN) & np.isfinite(hidden)


def detector_sample(cache: FrameCache, indices: np.ndarray, rng: Rng | None) -> Batch:
    """Draw a batch: images (B, S, S, 3) uint8 and boxes (B, P, 4) px, NaN where there is no person."""
    side, images, people = tiny.DETECTOR_SIDE, [], []
    for index in indices:
        image, boxes = np.asarray(cache.image[index]), cache.boxes[index].copy()
        boxes[~wanted_people(boxes, cache.hidden[index])] = np.nan
        scale, shift = side / image.shape[1], np.zeros(2)
        if rng is not None:
            scale *= np.exp(rng.uniform(np.log(0.7), np.log(1.7)))
            # A window smaller than the frame is drawn about a person, so that most images show one.
            centre = np.nan_to_num(boxes[0, :2] + boxes[0, 2:], nan=side) / 2 * scale
            free = side - image.shape[1] * scale
            if free < 0:
                shift = np.clip(side * rng.uniform(0.2, 0.8, 2) - centre, free, 0)
            else:
                shift = rng.uniform(0, 1, 2) * free
        flip = rng is not None and rng.random() < 0.5
        matrix = np.array([[scale, 0, shift[0] + (scale - 1) / 2], [0, scale, shift[1] + (scale - 1) / 2]])
        if scale != 1 or shift.any():
            image = warp(image, matrix, (side, side), 114)
        full = boxes * scale + np.tile(shift, 2)
        boxes = full.clip(0, side)
        with np.errstate(invalid="ignore"):
            left = (boxes[:, 2:] - boxes[:, :2]).prod(1) / (full[:, 2:] - full[:, :2]).prod(1)
            boxes[(left < 0.2) | ((boxes[:, 2:] - boxes[:, :2]).min(1) < SMALLEST)] = np.nan
        if flip:
            image = image[:, ::-1]
            boxes[:, [0, 2]] = side - boxes[:, [2, 0]]
        if rng is not None:
            if rng.random() < 0.3:
                image, _ = cover(np.ascontiguousarray(image), rng, most=2, largest=0.2)
            image = paint(np.ascontiguousarray(image), rng)
        images.append(image)
        people.append(boxes)
    return {"images": stack(images), "boxes": torch.from_numpy(np.stack(people)).float()}


def detector_loss(model: Any, batch: Batch) -> dict[str, Tensor]:
    """Return RTMDet's loss: quality focal loss and GIoU loss over its dynamic assignment."""
    settings = tiny.DETECTOR["model"]["data_preprocessor"]
    inputs = openmmlab.Normalisation(settings, batch["images"].device)(batch["images"].float())
    instances = openmmlab.load("mmengine.structures").InstanceData
    truth = []
    for boxes in batch["boxes"]:
        boxes = boxes[torch.isfinite(boxes).all(1)]
        truth.append(instances(bboxes=boxes, labels=torch.zeros(len(boxes), dtype=torch.long, device=boxes.device)))
    metas = [{"img_shape": inputs.shape[-2:], "pad_shape": inputs.shape[-2:]}] * len(truth)
    maps = model.bbox_head(model.extract_feat(inputs.contiguous(memory_format=torch.channels_last)))
    losses = model.bbox_head.loss_by_feat(*maps, batch_gt_instances=truth, batch_img_metas=metas)
    return {
        "classes": torch.stack(list(losses["loss_cls"])).sum(),
        "boxes": torch.stack(list(losses["loss_bbox"])).sum(),
    }
