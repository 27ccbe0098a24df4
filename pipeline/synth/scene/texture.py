"""Patterns that surfaces wear: small tiles made once, with mip levels, looked up with a few gathers a pixel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ..seeding import Array, Rng, seeded

SIZE = 128  # texels a side of a tile
_LEVELS = SIZE.bit_length()
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Material:
    """How a surface looks. Colours are linear reflectances, 0..1; the pattern mixes the two.

    tile    metres that one repetition of the pattern covers
    grain   strength of large, soft blotches over the pattern
    glow    it shines by itself with its colour, whatever the light is (the sky)
    """

    colour: Colour
    second: Colour | None = None
    pattern: str = "plain"
    tile: float = 1.0
    grain: float = 0.15
    glow: bool = False


def _grid() -> tuple[Array, Array]:
    axis = (np.arange(SIZE) + 0.5) / SIZE
    return np.meshgrid(axis, axis)  # u along columns, v along rows


def _noise(rng: Rng, coarsest: int, octaves: int, falloff: float = 0.5) -> Array:
    """Tileable noise scaled to 0..1: random phases with a spectrum, octave by octave."""
    total = np.zeros((SIZE, SIZE))
    for octave in range(octaves):
        cells = coarsest * 2**octave
        values = rng.random((cells, cells))
        at = np.arange(SIZE) / SIZE * cells
        low = at.astype(int) % cells
        share = at - at.astype(int)
        share = share * share * (3 - 2 * share)
        rows = values[low] + (values[(low + 1) % cells] - values[low]) * share[:, None]
        total += falloff**octave * (rows[:, low] + (rows[:, (low + 1) % cells] - rows[:, low]) * share)
    total -= total.min()
    return total / total.max()


def _plain(rng: Rng) -> Array:
    return 0.10 * rng.random((SIZE, SIZE))


def _cells(rng: Rng, rows: int, columns: int, shift: float, joint: float) -> Array:
    """Bricks, tiles, planks: each cell a shade of its own, the joints between them dark (1)."""
    u, v = _grid()
    row = np.floor(v * rows).astype(int)
    along = u * columns + shift * (row % 2)
    column = np.floor(along).astype(int) % columns
    shade = rng.uniform(0, 0.5, (rows, columns))[row, column] + 0.12 * _noise(rng, 16, 3)
    edge = (np.mod(v * rows, 1) < joint) | (np.mod(along, 1) < joint * columns / rows)
    return np.where(edge, 1.0, shade)


def _windows(rng: Rng) -> Array:
    u, v = _grid()
    frame = (np.abs(np.mod(u * 3, 1) - 0.5) < 0.27) & (np.abs(np.mod(v * 3, 1) - 0.55) < 0.32)
    bar = np.abs(np.mod(u * 3, 1) - 0.5) < 0.025
    glass = 0.75 + 0.25 * rng.random((3, 3))[np.floor(v * 3).astype(int), np.floor(u * 3).astype(int)]
    return np.where(frame & ~bar, glass, 0.08 * _noise(rng, 16, 3))


def _picture(rng: Rng) -> Array:
    u, v = _grid()
    total = 0.6 * _noise(rng, 2, 3)
    for _ in range(7):
        cx, cy, w, h = rng.uniform((0.1, 0.1, 0.05, 0.05), (0.9, 0.9, 0.3, 0.3))
        total = np.where((np.abs(u - cx) < w) & (np.abs(v - cy) < h), rng.random(), total)
    return np.where((np.minimum(u, 1 - u) < 0.05) | (np.minimum(v, 1 - v) < 0.05), 0.95, total)


_PATTERNS: Mapping[str, Callable[[Rng], Array]] = {
    "plain": _plain,
    "noise": lambda rng: _noise(rng, 4, 5, 0.6),
    "blotches": lambda rng: np.clip((_noise(rng, 4, 3) - 0.45) * 6, 0, 1),
    "speckle": lambda rng: np.clip(_noise(rng, 4, 2) * 0.4 + (rng.random((SIZE, SIZE)) - 0.4), 0, 1),
    "grass": lambda rng: np.clip(0.55 * _noise(rng, 8, 4, 0.8) + 0.45 * rng.random((SIZE, SIZE)), 0, 1),
    "bricks": lambda rng: _cells(rng, 8, 4, 0.5, 0.10),
    "tiles": lambda rng: _cells(rng, 4, 4, 0.0, 0.04),
    "planks": lambda rng: _cells(rng, 8, 1, 0.5, 0.05),
    "stripes": lambda rng: (np.sin(2 * np.pi * 6 * _grid()[1]) > 0.1).astype(float),
    "pinstripes": lambda rng: (np.sin(2 * np.pi * 12 * _grid()[0]) > 0.6).astype(float),
    "checks": lambda rng: (np.floor(_grid()[0] * 8) + np.floor(_grid()[1] * 8)) % 2,
    "plaid": lambda rng: (
        0.5 * (np.sin(2 * np.pi * 4 * _grid()[0]) > 0.3) + 0.5 * (np.sin(2 * np.pi * 4 * _grid()[1]) > 0.3)
    ),
    "dots": lambda rng: (np.hypot(np.mod(_grid()[0] * 6, 1) - 0.5, np.mod(_grid()[1] * 6, 1) - 0.5) < 0.28).astype(
        float
    ),
    "windows": _windows,
    "picture": _picture,
    "clouds": lambda rng: np.clip((_noise(rng, 2, 5, 0.55) - 0.35) * 1.8, 0, 1),
}
PATTERNS = tuple(_PATTERNS)


@lru_cache(maxsize=1)
def _atlas() -> tuple[Array, Array]:
    """All tiles and their mip levels one after another, and (pattern, level) -> where each begins.

    Each repeats its first row and column at its end, so that a texel's neighbours are the next ones everywhere.
    """
    flat, start, length = [], np.zeros((len(PATTERNS), _LEVELS), dtype=np.int64), 0
    for index, (name, make) in enumerate(_PATTERNS.items()):
        tile = np.asarray(make(seeded("pattern", name)), dtype=np.float32)
        for level in range(_LEVELS):
            start[index, level] = length
            flat.append(np.pad(tile, (0, 1), mode="wrap").ravel())
            length += flat[-1].size
            if level + 1 < _LEVELS:
                tile = (tile[::2, ::2] + tile[1::2, ::2] + tile[::2, 1::2] + tile[1::2, 1::2]) / 4
    return np.concatenate(flat), start


class Wardrobe:
    """The materials of one scene as tensors, and how they look at a point.

    materials  M of them; a surface names its material by its place here
    """

    def __init__(self, materials: tuple[Material, ...], device: torch.device) -> None:
        flat, start = _atlas()
        kind = [PATTERNS.index(material.pattern) for material in materials]
        self._flat = torch.from_numpy(flat).to(device)
        self._start = torch.from_numpy(start[kind].ravel().astype(np.int32)).to(device)  # (M * levels)
        self._noise = int(start[PATTERNS.index("noise"), 0])
        first = np.array([material.colour for material in materials])
        second = np.array([material.second or material.colour for material in materials])
        rows = [*first.T, *(second - first).T]
        rows.append(np.array([SIZE / material.tile for material in materials]))
        rows.append(np.array([material.grain for material in materials]))
        self._table = torch.tensor(np.array(rows), dtype=torch.float32, device=device)  # (8, M)
        self.glow = torch.tensor([material.glow for material in materials], dtype=torch.float32, device=device)

    def reflectance(self, material: Tensor, u: Tensor, v: Tensor, footprint: Tensor, smooth: bool = True) -> Tensor:
        """Return linear reflectance (3, N) where surfaces of `material` (N,) int32 are met.

        u, v       (N,) metres on the surface
        footprint  (N,) metres that a pixel covers there: picks the mip level
        smooth     mix the four nearest texels, otherwise take the nearest
        """
        scale, grain = self._table[6].index_select(0, material), self._table[7].index_select(0, material)
        # The exponent of a float is its logarithm rounded down; half a level is added to round to the nearest.
        level = ((footprint * scale).mul_(2**0.5).clamp_(1, SIZE).view(torch.int32) >> 23) - 127
        start = self._start.index_select(0, material * _LEVELS + level)
        mask = (SIZE >> level) - 1
        shrink = ((127 - level) << 23).view(torch.float32).mul_(scale)  # 2^-level
        value = self._texel(start, mask, u * shrink, v * shrink, smooth)
        # Blotches five times as large as the tile keep it from looking repeated.
        scale *= 0.19
        blotch = self._texel(self._noise, SIZE - 1, u * scale + 40.5, v * scale + 17.5, False)
        bright = blotch.sub_(0.5).mul_(grain).add_(1)
        out = torch.empty((3, len(material)), dtype=torch.float32, device=material.device)
        for channel in range(3):
            first = self._table[channel].index_select(0, material)
            second = self._table[3 + channel].index_select(0, material)
            torch.addcmul(first, second, value, out=out[channel]).mul_(bright)
        return out

    def _texel(self, start: Tensor | int, mask: Tensor | int, x: Tensor, y: Tensor, smooth: bool) -> Tensor:
        if not smooth:
            return self._flat.index_select(0, self._place(start, mask, x.floor_(), y.floor_()))
        left, top = (x - 0.5).floor_(), (y - 0.5).floor_()
        fx, fy = x.sub_(left).sub_(0.5), y.sub_(top).sub_(0.5)
        above = self._place(start, mask, left, top)
        below = above + (mask + 2)
        right = self._flat[1:]
        upper = torch.lerp(self._flat.index_select(0, above), right.index_select(0, above), fx)
        lower = torch.lerp(self._flat.index_select(0, below), right.index_select(0, below), fx)
        return torch.lerp(upper, lower, fy)

    @staticmethod
    def _place(start: Tensor | int, mask: Tensor | int, column: Tensor, row: Tensor) -> Tensor:
        """(N,) int32 where in the atlas: texels of tiles that begin at `start` and are `mask` + 1 wide."""
        place = (row.to(torch.int32) & mask).mul_(mask + 2)
        return place.add_(column.to(torch.int32) & mask).add_(start)
