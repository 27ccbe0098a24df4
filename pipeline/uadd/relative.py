"""UADD of relative depth: a scale of the person's own, frame by frame, instead of the network's arbitrary one."""

from __future__ import annotations

import torch
from torch import Tensor

from ...stores.format.skeleton import H36M_17

_TORSO = [
    H36M_17.index(name)
    for name in ("pelvis", "right_hip", "left_hip", "spine", "thorax", "left_shoulder", "right_shoulder")
]
# A torso that faces the camera has hardly any spread: what would be divided by is then noise.
_LEAST_SHARE = 0.25


def scale_free(stats: Tensor, depths: int) -> Tensor:
    """The statistics of relative depth, without the factor and the constant that the network left open.

    stats   (B, 17, S)  relative depth, larger where things are farther; H36M-17; the first of S is d
    depths  how many of the S are depths; what follows (positions, px) stays
    0 is the median d of the torso's joints (pelvis, hips, spine, thorax, shoulders; of an even number the lower one),
    and 1 the torso's spread: largest less smallest d of these joints, but at least a quarter of that of all joints. The
    same for a d + b, whatever b and positive a are. NaN in a frame with fewer than two torso joints that have depth, or
    without any spread.
    """
    d = stats[..., 0]
    torso = d[:, _TORSO]
    spread = torch.maximum(_spread(torso), _LEAST_SHARE * _spread(d))
    usable = (torso.isfinite().sum(1) > 1) & (spread > 0)
    spread = torch.where(usable, spread, torch.nan)[:, None, None]
    middle = torso.nanmedian(1).values[:, None, None]
    return torch.cat([(stats[..., :depths] - middle) / spread, stats[..., depths:]], dim=-1)


def _spread(d: Tensor) -> Tensor:
    """(B, J) to (B,): largest less smallest of what is known; NaN where nothing is."""
    known = d.isfinite()
    high, low = (torch.where(known, d, end) for end in (-torch.inf, torch.inf))
    return torch.where(known.any(1), high.amax(1) - low.amin(1), torch.nan)
