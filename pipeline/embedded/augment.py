"""Augmentation: random changes of a frame before a network learns from it. Seeded; images are (h, w, 3) uint8."""

from __future__ import annotations

import cv2
import numpy as np

Rng = np.random.Generator
Image = np.ndarray

cv2.setNumThreads(0)  # the images are small, and the network needs the cores


def paint(image: Image, rng: Rng) -> Image:
    """Change light and colours, and add the errors of cameras and codecs: blur, noise, JPEG."""
    if rng.random() < 0.8:
        image = _colours(image, rng)
    if rng.random() < 0.25:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.3))
    if rng.random() < 0.3:
        noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(1, 9))
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.35:
        quality = int(rng.integers(25, 95))
        written = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        image = np.asarray(cv2.imdecode(written, cv2.IMREAD_COLOR))
    return image


def _colours(image: Image, rng: Rng) -> Image:
    """Change saturation, then gain, offset and gamma of each channel."""
    if rng.random() < 0.5:
        grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        share = rng.uniform(0.0, 1.4)
        image = cv2.addWeighted(image, share, grey, 1 - share, 0)
    gain = rng.uniform(0.7, 1.3) * rng.uniform(0.85, 1.15, 3)
    offset = rng.uniform(-20, 20) + rng.uniform(-8, 8, 3)
    gamma = np.exp(rng.uniform(-0.3, 0.3))
    levels = 255 * (np.arange(256)[:, None] / 255) ** gamma
    table = np.clip((levels - 128) * gain + 128 + offset, 0, 255).astype(np.uint8)
    if rng.random() < 0.1:
        table = table[:, rng.permutation(3)]
        image = image[..., rng.permutation(3)]
    return cv2.LUT(np.ascontiguousarray(image), table[None])


def cover(image: Image, rng: Rng, most: int, largest: float) -> tuple[Image, np.ndarray]:
    """Cover a copy of the image with up to `most` rectangles: of one colour, striped, or copied from elsewhere in it.

    largest  side of a rectangle, as a share of the image's
    Returns the copy and a mask (h, w) bool of the covered pixels.
    """
    image, height, width = image.copy(), *image.shape[:2]
    covered = np.zeros((height, width), dtype=bool)
    for _ in range(int(rng.integers(1, most + 1))):
        tall = max(2, int(rng.uniform(0.08, largest) * height))
        wide = max(2, int(rng.uniform(0.08, largest) * width))
        top, left = int(rng.integers(-tall // 2, height - tall // 2)), int(rng.integers(-wide // 2, width - wide // 2))
        rows, columns = slice(max(0, top), top + tall), slice(max(0, left), left + wide)
        h, w = image[rows, columns].shape[:2]
        kind = rng.random()
        if kind < 0.4:
            patch = np.broadcast_to(rng.integers(0, 256, 3), (h, w, 3))
        elif kind < 0.6:
            stripes = rng.integers(0, 256, (2, 3))[(np.arange(h) // int(rng.integers(2, 9))) % 2]
            patch = np.broadcast_to(stripes[:, None], (h, w, 3))
        else:
            y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
            patch = image[y : y + h, x : x + w].copy()
        image[rows, columns] = patch
        covered[rows, columns] = True
    return image, covered


def warp(image: Image, matrix: np.ndarray, size: tuple[int, int], border: int) -> Image:
    """Apply a (2, 3) affine map to the image. size: (width, height); border: grey level outside."""
    return cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderValue=(border, border, border))


def joint_in(mask: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Return (J,) bool: which points (J, 2) lie on set pixels of the mask (h, w). Points outside do not."""
    height, width = mask.shape
    at = np.floor(xy).astype(int)
    inside = (at >= 0).all(1) & (at[:, 0] < width) & (at[:, 1] < height)
    found = np.zeros(len(xy), dtype=bool)
    found[inside] = mask[at[inside, 1], at[inside, 0]]
    return found
