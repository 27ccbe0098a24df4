"""Errors of every joint of every frame in millimetres, and the figures that papers make of them.

All take `predicted` and `target` (..., J, 3), metres, camera frame, as arrays or tensors, and `mask` (..., J), True
where the joint counts; None: all of them do. Both poses are first moved so that their `root` joint lies at the origin;
`root=None` leaves them where they are. A joint whose truth is not finite never counts, nor does any of a frame whose
true root is not. A prediction that is not finite where the joint counts is infinitely wrong. Errors are float64, and
NaN where the joint does not count, so that the figure of any group is the mean over what is left of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..stores.errors import InvalidValueError
from ..stores.format.skeleton import H36M_17

MM = 1000.0
ROOT = H36M_17.index("pelvis")
PCK_THRESHOLD = 150.0
AUC_THRESHOLDS = tuple(range(0, 151, 5))

# The joints that MPI-INF-3DHP's own evaluation groups: all but pelvis, spine and the one between neck and head top.
JOINTS_3DHP_14 = tuple(j for j, name in enumerate(H36M_17.joints) if name not in ("pelvis", "spine", "nose"))


def position_error(predicted: Any, target: Any, mask: Any = None, root: int | None = ROOT) -> Tensor:
    """Return (..., J) mm: distance (MPJPE)."""
    predicted, target, counts = _prepare(predicted, target, mask, root)
    return _distance(predicted, target, counts)


def scaled_error(predicted: Any, target: Any, mask: Any = None, root: int | None = ROOT) -> Tensor:
    """Return (..., J) mm: distance, each frame scaled by s = sum<g, p> / sum<p, p> over its joints (N-MPJPE)."""
    predicted, target, counts = _prepare(predicted, target, mask, root)
    p, g = _only(predicted, counts), _only(target, counts)
    power = p.square().sum((-2, -1), keepdim=True)
    scale = torch.where(power > 0, (p * g).sum((-2, -1), keepdim=True) / power, 0)
    return _distance(scale * predicted, target, counts)


def aligned_error(predicted: Any, target: Any, mask: Any = None, root: int | None = ROOT) -> Tensor:
    """Return (..., J) mm: distance after the similarity that brings a frame nearest to its truth (P-MPJPE).

    Rotation, translation and one scale by least squares over the joints that count; reflections are excluded
    (Umeyama 1991).
    """
    predicted, target, counts = _prepare(predicted, target, mask, root)
    count = counts.sum(-1)[..., None, None].clamp(min=1)
    p = predicted - _only(predicted, counts).sum(-2, keepdim=True) / count
    g = target - _only(target, counts).sum(-2, keepdim=True) / count
    p_counted, g_counted = _only(p, counts), _only(g, counts)
    covariance = g_counted.mT @ p_counted
    broken = ~covariance.isfinite().all((-2, -1))
    u, s, vt = torch.linalg.svd(torch.where(broken[..., None, None], 0, covariance))
    sign = torch.ones_like(s)
    sign[..., 2] = torch.linalg.det(u @ vt).sign()
    rotation = (u * sign[..., None, :]) @ vt
    power = p_counted.square().sum((-2, -1))
    scale = torch.where(power > 0, (s * sign).sum(-1) / power, 0)[..., None, None]
    error = _distance(scale * p @ rotation.mT, g, counts)
    return torch.where(broken[..., None] & counts, torch.inf, error)


def velocity_error(
    predicted: Any, target: Any, mask: Any = None, root: int | None = ROOT, sequence: Any = None
) -> Tensor:
    """Return (..., T, J) mm a frame, of (..., T, J, 3): the error of the step from the frame before (MPJVE).

    sequence  (T,) whole numbers: a step between frames of different ones is none. The frames must follow one another
    The first frame of a sequence, and a step from or to a joint that does not count, are NaN.
    """
    predicted, target, counts = _prepare(predicted, target, mask, root)
    if target.ndim < 3:
        raise InvalidValueError(f"velocity needs frames, (..., T, J, 3), got {tuple(target.shape)}")
    both = counts[..., 1:, :] & counts[..., :-1, :]
    if sequence is not None:
        sequence = torch.as_tensor(sequence, device=target.device)
        if sequence.shape != target.shape[-3:-2]:
            raise InvalidValueError(f"sequence {tuple(sequence.shape)}: must be ({target.shape[-3]},), one a frame")
        both = both & (sequence[1:] == sequence[:-1])[:, None]
    steps = _distance(predicted.diff(dim=-3), target.diff(dim=-3), both)
    first = torch.full_like(target[..., :1, :, 0], torch.nan)
    return torch.cat([first, steps], dim=-2)


def ordinal_right(predicted: Any, target: Any, mask: Any = None, root: int | None = ROOT) -> Tensor:
    """Return (..., J (J - 1) / 2): 1 where a pair's order in depth is right, 0 where wrong, NaN where it is unknown.

    136 pairs for 17 joints, in the order (0, 1), (0, 2), ...
    """
    predicted, target, counts = _prepare(predicted, target, mask, root)
    i, j = torch.triu_indices(target.shape[-2], target.shape[-2], offset=1, device=target.device)
    p, g = (pose[..., i, 2] - pose[..., j, 2] for pose in (predicted, target))
    return torch.where(counts[..., i] & counts[..., j], (p.sign() == g.sign()).double(), torch.nan)


def pck(error: Tensor, threshold: float = PCK_THRESHOLD) -> float:
    """Return the per cent of joints that count whose error, mm, is below the threshold; NaN where none counts."""
    count = int((~error.isnan()).sum())
    return 100 * int((error < threshold).sum()) / count if count else math.nan


def auc(error: Tensor) -> float:
    """Return the mean of `pck` at 0, 5, ..., 150 mm, per cent (MPI-INF-3DHP)."""
    return sum(pck(error, threshold) for threshold in AUC_THRESHOLDS) / len(AUC_THRESHOLDS)


def mean(error: Tensor) -> float:
    """Return the mean over what counts; NaN where nothing does."""
    return error.nanmean().item()


@dataclass(frozen=True)
class Measure:
    """A figure: the mean of `each` of the errors of the function `of`, over those that count (the others are NaN)."""

    of: str
    each: Callable[[Tensor], Tensor]
    unit: str
    more_is_better: bool = False

    def reduce(self, error: Tensor) -> float:
        """Return the figure of these errors; NaN where none counts."""
        return mean(self.each(error))


def _itself(error: Tensor) -> Tensor:
    return error


def _below(error: Tensor) -> Tensor:
    """Per cent: 100 where `pck` counts the joint, else 0."""
    return torch.where(error.isnan(), torch.nan, 100 * (error < PCK_THRESHOLD).to(error.dtype))


def _under_curve(error: Tensor) -> Tensor:
    """Per cent of the thresholds of `auc` that the error is below."""
    thresholds = torch.tensor(AUC_THRESHOLDS, dtype=error.dtype, device=error.device)
    above = len(AUC_THRESHOLDS) - torch.searchsorted(thresholds, error.contiguous(), right=True)
    return torch.where(error.isnan(), torch.nan, above.to(error.dtype) * (100 / len(AUC_THRESHOLDS)))


def _per_cent(right: Tensor) -> Tensor:
    return 100 * right


ERRORS: dict[str, Callable[..., Tensor]] = {
    "position": position_error,
    "aligned": aligned_error,
    "scaled": scaled_error,
    "velocity": velocity_error,
    "ordinal": ordinal_right,
}

MEASURES: dict[str, Measure] = {
    "mpjpe": Measure("position", _itself, "mm"),
    "p_mpjpe": Measure("aligned", _itself, "mm"),
    "n_mpjpe": Measure("scaled", _itself, "mm"),
    "mpjve": Measure("velocity", _itself, "mm/frame"),
    "pck": Measure("position", _below, "%", more_is_better=True),
    "auc": Measure("position", _under_curve, "%", more_is_better=True),
    "ordinal": Measure("ordinal", _per_cent, "%", more_is_better=True),
}


def errors(
    predicted: Any, target: Any, mask: Any = None, joints: Sequence[int] | None = None, sequence: Any = None
) -> dict[str, Tensor]:
    """Return every error of (T, J, 3), to be grouped freely: `MEASURES[name].reduce(errors[MEASURES[name].of][group])`.

    joints    those that count (`JOINTS_3DHP_14`); the root is the origin even where it is not among them
    sequence  (T,), see `velocity_error`
    """
    if joints is not None:
        chosen = torch.zeros(torch.as_tensor(target).shape[:-1], dtype=torch.bool)
        chosen[..., list(joints)] = True
        mask = chosen if mask is None else chosen & torch.as_tensor(mask).bool().cpu()
    extra = {"velocity": {"sequence": sequence}}
    return {name: error(predicted, target, mask, **extra.get(name, {})) for name, error in ERRORS.items()}


def measure(
    predicted: Any, target: Any, mask: Any = None, joints: Sequence[int] | None = None, sequence: Any = None
) -> dict[str, float]:
    """Return every figure of `MEASURES` over (T, J, 3): mm, and per cent for shares. See `errors` for the arguments."""
    found = errors(predicted, target, mask, joints, sequence)
    return {name: m.reduce(found[m.of]) for name, m in MEASURES.items()}


def _prepare(predicted: Any, target: Any, mask: Any, root: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """Float64 tensors about the root, and which joints count; the truth is 0 where it is not finite."""
    target = torch.as_tensor(target).double()
    predicted = torch.as_tensor(predicted).to(target)
    if predicted.shape != target.shape or target.ndim < 2 or target.shape[-1] != 3:
        raise InvalidValueError(
            f"predicted {tuple(predicted.shape)} and target {tuple(target.shape)}: both must be the same (..., J, 3)"
        )
    if root is not None:
        predicted = predicted - predicted[..., root, None, :]
        target = target - target[..., root, None, :]
    counts = target.isfinite().all(-1)
    if mask is not None:
        mask = torch.as_tensor(mask, device=target.device).bool()
        if mask.shape != counts.shape:
            raise InvalidValueError(f"mask {tuple(mask.shape)}: must be {tuple(counts.shape)}, the target's joints")
        counts = counts & mask
    return predicted, _only(target, counts), counts


def _only(pose: Tensor, counts: Tensor) -> Tensor:
    return torch.where(counts[..., None], pose, 0)


def _distance(predicted: Tensor, target: Tensor, counts: Tensor) -> Tensor:
    distance = torch.linalg.vector_norm(predicted - target, dim=-1) * MM
    return torch.where(counts, distance.nan_to_num(nan=torch.inf), torch.nan)
