"""The entries of a batch as tensors, their shapes checked, and names looked up: what `inputs.py` is made with."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..stores.errors import InvalidValueError, MissingFieldError
from ..stores.format.schema import UADD_STATISTICS
from ..stores.format.skeleton import H36M_17

# In a batch beside the store's fields: (B, 2) width and height of the frame, px.
FRAME_SIZE = "frame_size"
JOINTS = len(H36M_17)


def finite(values: Tensor) -> Tensor:
    """As `isfinite`, in half the time on a CPU."""
    return values.abs() < torch.inf


def take(batch: Mapping[str, Any], name: str, device: torch.device | str | None) -> Tensor:
    """One entry as float32, infinities made NaN: neither is a measurement, and only NaN survives a clip."""
    if name not in batch:
        raise MissingFieldError(f"the batch has no '{name}'; it has {', '.join(sorted(batch))}")
    values = torch.as_tensor(batch[name], device=device).float()
    return values.nan_to_num(torch.nan, torch.nan, torch.nan)


def check_shapes(raw: Mapping[str, Tensor], preset: str | None, widths: Mapping[str, int] | None = None) -> None:
    """Raise InvalidValueError where shapes do not go together. widths: of the streams of learned features, by field."""
    frames = tuple(raw["valid"].shape)
    joints = (*frames, JOINTS)
    expected = {FRAME_SIZE: (*frames[:1], 2), "valid": frames, "keypoints": (*joints, 2), "score": joints}
    if preset is not None:
        expected[f"uadd/{preset}"] = (*joints, len(UADD_STATISTICS[preset]))
    expected |= {field: (*joints, width) for field, width in (widths or {}).items()}
    for name, values in raw.items():
        if len(frames) != 2 or tuple(values.shape) != expected[name]:
            raise InvalidValueError(
                f"'{name}' of the batch is {tuple(values.shape)}, must be {expected[name]}: 'valid' is {frames}, (B, T)"
            )
    if not (raw[FRAME_SIZE] > 0).all():
        raise InvalidValueError(f"'{FRAME_SIZE}' of the batch has a width or height that is not above 0 px")


def choose(what: str, name: str, among: Iterable[str]) -> None:
    names = list(among)
    if name not in names:
        near = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise InvalidValueError(f"no {what} '{name}'; {hint}there are {', '.join(names)}")


def normalise_xy(xy: tuple[Tensor, ...], size: Tensor) -> Tensor:
    """Normalise pixels, x and y (B, T, 17) each, to 2x/w - 1 and 2y/w - h/w, (2, B, T, 17); `size` (B, 2) is w, h.

    One unit is half the frame's width.
    """
    return torch.stack(xy).mul_(2).sub_(size.T[..., None, None]).div_(size[:, :1, None])


def box_size(batch: Mapping[str, Any]) -> Tensor:
    """Compute b of method.md, section 5: mean of width and height of a frame's box of joints, in units of x and y.

    batch    `frame_size`, `keypoints` and `valid`, as for `Inputs`
    Returns  (B, T) float32, NaN where no joint is present. Its mean over a training set is `scale_to`.
    """
    raw = {name: take(batch, name, None) for name in (FRAME_SIZE, "keypoints", "valid")}
    check_shapes(raw, None)
    xy = normalise_xy(raw["keypoints"].unbind(-1), raw[FRAME_SIZE])
    return box_size_of(xy + absent(raw["valid"], xy))


def box_size_of(xy: Tensor) -> Tensor:
    """(B, T) of (2, B, T, 17), NaN where a joint is not present."""
    missing = xy.isnan()
    extent = xy.masked_fill(missing, -torch.inf).amax(-1) - xy.masked_fill(missing, torch.inf).amin(-1)
    return torch.where(missing.all(-1)[0], torch.nan, extent.mean(0))


def absent(valid: Tensor, xy: Tensor) -> Tensor:
    """(B, T, 17): 0 where the frame is valid and the joint's position (2, B, T, 17) is finite, NaN elsewhere."""
    return 0 * (xy[0] + xy[1]) + torch.where(valid > 0, 0.0, torch.nan)[..., None]
