"""Read a feature map at joints: the cells about each, gathered for a whole batch at once without waiting on the host.

A map of n cells along a picture of w px: cell k covers the pixels [k w / n, (k + 1) w / n), so pixel x, whose own
middle is x, lies at (x + 1/2) n / w - 1/2 cells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ...stores.errors import InvalidValueError

DEFAULT = "nearest_4"


def sample(maps: Tensor, places: Tensor, size: tuple[int, int], how: str = DEFAULT) -> Tensor:
    """Sample every map at the joints of its row.

    maps     (M, C, h, w)  any floating type and memory format
    places   (M, J, 2)     px of the picture that the map covers, x and y; a pixel's middle is a whole number
    size     of that picture, px: width, height
    how      one of `SAMPLINGS`: nearest_4, the mean of the 2 x 2 cells about the joint, as far inside as the map is;
             nearest_1, the cell that the joint lies in; bilinear, of the four by distance, the border cells going on
    Returns (M, J, C) float32. NaN where a place is not finite or lies outside of the picture.
    """
    if how not in SAMPLINGS:
        raise InvalidValueError(f"no sampling '{how}'; there are {', '.join(SAMPLINGS)}")
    height, width = maps.shape[-2:]
    # Numbers, not tensors of two: a copy from ordinary memory would make the host wait for the device.
    along = [places[..., axis].float() for axis in (0, 1)]
    inside = torch.stack([(x >= -0.5) & (x < length - 0.5) for x, length in zip(along, size, strict=True)]).all(0)
    cells = (width, height)
    at = tuple(
        (torch.where(inside, x, 0.0) + 0.5) * n / length - 0.5 for x, n, length in zip(along, cells, size, strict=True)
    )
    rows = maps.permute(0, 2, 3, 1)  # channels last: a cell is read in one piece where the network keeps it so
    picture_of = torch.arange(len(maps), device=maps.device)[:, None]
    taken = None
    for x, y, weight in SAMPLINGS[how](at, cells):
        cell = rows[picture_of, y, x].float()
        cell = cell if weight is None else cell * weight[..., None]
        taken = cell if taken is None else taken + cell
    assert taken is not None
    return torch.where(inside[..., None], taken, torch.nan)


At = tuple[Tensor, ...]
Taps = list[tuple[Tensor, Tensor, Tensor | None]]


def _nearest_1(at: At, cells: tuple[int, int]) -> Taps:
    x, y = ((at[axis] + 0.5).floor().clamp(0, n - 1).long() for axis, n in enumerate(cells))
    return [(x, y, None)]


def _nearest_4(at: At, cells: tuple[int, int]) -> Taps:
    pairs = []
    for axis, n in enumerate(cells):
        first = at[axis].floor().clamp(0, max(n - 2, 0)).long()
        pairs.append((first, (first + 1).clamp(max=n - 1)))
    quarter = torch.full_like(at[0], 0.25)
    return [(x, y, quarter) for y in pairs[1] for x in pairs[0]]


def _bilinear(at: At, cells: tuple[int, int]) -> Taps:
    pairs = []
    for axis, n in enumerate(cells):
        place = at[axis].clamp(0, n - 1)
        first = place.floor()
        second = (first + 1).clamp(max=n - 1)
        pairs.append(((first.long(), 1 - (place - first)), (second.long(), place - first)))
    return [(x, y, across * down) for y, down in pairs[1] for x, across in pairs[0]]


SAMPLINGS: Mapping[str, Callable[[At, tuple[int, int]], Taps]] = {
    "nearest_4": _nearest_4,
    "nearest_1": _nearest_1,
    "bilinear": _bilinear,
}
