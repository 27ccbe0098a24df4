"""What the tiny depth network learns: batches of frames with depth maps, drawn from a cache, and its loss."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from ..frames.resize import resize_bicubic
from ..networks import tiny
from ..networks.depth import MEAN, STD, build_depth_anything
from .augment import Rng, paint
from .batch import Batch, stack
from .cache import FrameCache

_CUT, _CUT_SHARE = 8, 0.75  # side of a part in patches, and the share of batches that are parts


def build_depth(seed: int) -> nn.Module:
    """Build the depth network with random weights, trainable."""
    from ..networks.weights.load import seeded

    with seeded(seed):
        model: Any = build_depth_anything(tiny.DEPTH)
        # transformers draws every weight with a standard deviation of 0.02. With so few channels each layer would keep
        # a sixth of its input, and the output would not depend on the image.
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
            elif isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
        for layer in model.neck.modules():
            if type(layer).__name__.endswith("PreActResidualLayer"):
                nn.init.kaiming_normal_(layer.convolution1.weight)  # after a ReLU
                nn.init.zeros_(layer.convolution2.weight)  # no effect at first
        nn.init.kaiming_normal_(model.head.conv2.weight)
        _set_positions(model.backbone.embeddings.position_embeddings)
        nn.init.normal_(model.head.conv3.weight, std=0.05)
    # A network starts at half of max_depth, twice as far as any person stands.
    nn.init.constant_(model.head.conv3.bias, -1.2)
    return model.to(memory_format=torch.channels_last).train().requires_grad_(True)


@torch.no_grad()
def _set_positions(embeddings: Tensor) -> None:
    """Write sines and cosines of row and column (Vaswani 2017) into (1, 1 + n * n, C): random ones learn too slowly."""
    count, channels = math.isqrt(embeddings.shape[1]), embeddings.shape[2] // 4
    waves = torch.arange(count)[:, None] / 100 ** (torch.arange(channels) / channels)
    waves = torch.cat([waves.sin(), waves.cos()], 1)
    rows, columns = waves[:, None].expand(-1, count, -1), waves[None].expand(count, -1, -1)
    embeddings[0, 1:] = torch.cat([rows, columns], 2).flatten(0, 1)


def depth_sample(cache: FrameCache, indices: np.ndarray, rng: Rng | None) -> Batch:
    """Draw a batch: images (B, s, s, 3) uint8, depth (B, s, s) m, person (B, s, s) uint8 as in `synth.video.Batch`,
    corner (B, 2).

    Frames are shifted and mirrored, never zoomed: that would be another camera at the same distance. Most batches are
    parts about the subject, whole patches from row and column `corner`: a third of the work, most of the information.
    """
    side, patch, images, depths, people, corners = tiny.DEPTH_SIDE, tiny.DEPTH_PATCH, [], [], [], []
    cut = _CUT if rng is not None and rng.random() < _CUT_SHARE else side // patch
    for index in indices:
        image, depth, person = (np.asarray(getattr(cache, name)[index]) for name in ("image", "depth", "person"))
        if rng is not None:
            size = image.shape[0]
            x, y = rng.integers(-size // 24, size // 24 + 1, 2)
            rows, columns = (np.clip(np.arange(size) + move, 0, size - 1) for move in (y, x))
            columns = columns[::-1] if rng.random() < 0.5 else columns
            image, depth, person = (array[rows][:, columns] for array in (image, depth, person))
            # Faster than the bicubic below and as free of aliases; small images are faster to paint.
            image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
            image = paint(image, rng) if rng.random() < 0.4 else image
        depth, person = nearest_depth(depth, person)
        depth, person = thinned(depth, side), thinned(person, side)
        corner = np.zeros(2, dtype=int)
        if rng is not None and cut * patch < side:
            rows, columns = np.nonzero(person == 1)
            middle = (rows.mean(), columns.mean()) if len(rows) else (side / 2, side / 2)
            corner = np.rint(np.array(middle) / patch - cut / 2 + rng.uniform(-2, 2, 2)).astype(int)
            corner = corner.clip(0, side // patch - cut)
            window = tuple(slice(start, start + cut * patch) for start in corner * patch)
            image, depth, person = image[window], depth[window], person[window]
        images.append(image)
        depths.append(depth)
        people.append(person)
        corners.append(corner)
    pixels = stack(images)
    resized = resize_bicubic(pixels, (side, side)) if rng is None else pixels.permute(0, 3, 1, 2)
    truth = {"depth": stack(depths).float(), "person": stack(people)}
    return {"images": resized, **truth, "corner": torch.from_numpy(np.stack(corners))}


def nearest_depth(depth: np.ndarray, person: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the depth (h, w) of the nearest surface within a pixel, and the label of its person.

    A limb is two pixels wide for this network. If the map were subsampled as it is, almost nothing of the limb would
    be left, and a joint would have the depth of the wall.
    """
    around = np.ones((3, 3), np.uint8)
    depth = depth.astype(np.float32)
    nearest = cv2.erode(depth, around)
    label_of = np.zeros_like(person)
    for mask, label in ((person > 1, 2), (person == 1, 1)):
        label_of[cv2.erode(np.where(mask, depth, np.float32(np.inf)), around) == nearest] = label
    return nearest, label_of


def thinned(array: np.ndarray, side: int) -> np.ndarray:
    """Subsample a square array (n, n) at the centres of (side, side) equal cells."""
    at = ((np.arange(side) + 0.5) * (len(array) / side)).astype(int)
    return array[at][:, at]


def depth_of_part(model: Any, inputs: Tensor, corner: Tensor) -> Tensor:
    """Return depth (B, h, w) of parts (B, 3, h, w) of images. Each patch keeps its position in the whole image."""
    embeddings, whole = model.backbone.embeddings, tiny.DEPTH_SIDE // tiny.DEPTH_PATCH
    own, places = embeddings.position_embeddings.split([1, whole * whole], dim=1)
    rows, columns = (
        corner[:, axis, None] + torch.arange(inputs.shape[2 + axis] // tiny.DEPTH_PATCH, device=corner.device)
        for axis in (0, 1)
    )
    chosen = places[0].unflatten(0, (whole, whole))[rows[:, :, None], columns[:, None]].flatten(1, 2)
    chosen = torch.cat([own.expand(len(chosen), -1, -1), chosen], 1)
    embeddings.interpolate_pos_encoding = lambda *_: chosen  # of this object alone
    try:
        return model(inputs).predicted_depth
    finally:
        del embeddings.interpolate_pos_encoding


def depth_loss(model: Any, batch: Batch) -> dict[str, Tensor]:
    """Return the scale-invariant log loss (Eigen 2014), that of steps between neighbours, and of the subject's relief.

    The relief is in metres. People are a twentieth of an image and half of the loss.
    """
    mean = torch.tensor(MEAN, device=batch["images"].device).view(3, 1, 1)
    std = torch.tensor(STD, device=mean.device).view(3, 1, 1)
    inputs = ((batch["images"] / 255 - mean) / std).contiguous(memory_format=torch.channels_last)
    depth = depth_of_part(model, inputs, batch["corner"]).clamp(min=0.05)
    truth, person = batch["depth"].clamp(0.05, 19.5), batch["person"]
    shown, subject = (person > 0).float(), (person == 1).float()
    weight = 1 / person[0].numel() + shown / shown.sum((1, 2), keepdim=True).clamp(min=50)
    weight = weight / weight.sum()
    error = depth.log() - truth.log()
    silog = ((weight * error.square()).sum() - 0.5 * (weight * error).sum().square()).clamp(min=1e-8).sqrt()
    near = shown * 4 + 1
    steps = error.new_zeros(())
    for step in (1, 4):
        for axis in (1, 2):
            length = error.shape[axis]
            ahead, behind = (error.narrow(axis, start, length - step) for start in (step, 0))
            steps = steps + ((ahead - behind).abs() * near.narrow(axis, 0, length - step)).mean()
    pixels = subject.sum((1, 2)).clamp(min=1)
    metres = (depth - truth) * subject
    relief = metres - (metres.sum((1, 2)) / pixels)[:, None, None]
    counted = (pixels > 20).float()
    relief = ((relief.abs() * subject).sum((1, 2)) / pixels * counted).sum() / counted.sum().clamp(min=1)
    return {"silog": 2 * silog, "steps": steps, "relief": 4 * relief}
