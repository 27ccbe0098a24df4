"""Losses of a lifter: plain functions of predicted and true joints, metres in, a scalar out.

All take `predicted` and `target` (..., J, 3) and `mask` (..., J), True where the joint counts; None: all of them do.
A joint whose target is not finite never counts. A prediction that is not finite, where the joint counts, makes the loss
NaN, so that training can stop. Where no joint counts the loss is 0, and so is its gradient.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ..stores.errors import InvalidValueError
from ..stores.format.skeleton import H36M_17

# MixSTE's weights: the further out a joint is on its limb, the more it weighs.
_BY_JOINT = {"head": 1.5, "shoulder": 1.5, "knee": 2.5, "ankle": 2.5, "elbow": 4.0, "wrist": 4.0}
JOINT_WEIGHTS = tuple(_BY_JOINT.get(name.rpartition("_")[2], 1.0) for name in H36M_17.joints)


def mpjpe(predicted: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the mean distance, m (VideoPose3D)."""
    target, mask = _countable(predicted, target, mask)
    return _mean(_distance(predicted, target, mask), mask)


def weighted_mpjpe(
    predicted: Tensor, target: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
) -> Tensor:
    """Return the mean of weight times distance, m; weights broadcast to (..., J), default `JOINT_WEIGHTS`."""
    target, mask = _countable(predicted, target, mask)
    if weights is None:
        weights = predicted.new_tensor(JOINT_WEIGHTS)
    return _mean(_distance(predicted, target, mask) * weights, mask)


def n_mpjpe(predicted: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the mean distance, m, each frame scaled by s = sum<g, p> / sum<p, p> over joints (Rhodin et al. 2018).

    Unlike in the measure of this name, s is never below 0: a small pose turned inside out would be as good as the true
    one, and the further it shrank the steeper the way back; a training that begins there would stay there.
    """
    target, mask = _countable(predicted, target, mask)
    counted = torch.where(mask[..., None], predicted, 0)
    power = counted.square().sum((-2, -1), keepdim=True)
    scale = (target * counted).sum((-2, -1), keepdim=True) / power.clamp(min=torch.finfo(power.dtype).tiny)
    return _mean(_distance(scale.clamp(min=0) * predicted, target, mask), mask)


def velocity(predicted: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the mean distance of steps between frames, m, of (..., T, J, 3); 0 for one frame (VideoPose3D's MPJVE).

    A step counts where both its frames do.
    """
    target, mask = _countable(predicted, target, mask)
    both = mask[..., 1:, :] & mask[..., :-1, :]
    return _mean(_distance(predicted.diff(dim=-3), target.diff(dim=-3), both), both)


def mse(predicted: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the mean squared error of a coordinate, m² (Martinez et al. 2017)."""
    target, mask = _countable(predicted, target, mask)
    return _mean(torch.where(mask[..., None], predicted - target, 0).square().mean(-1), mask)


Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]

LOSSES: dict[str, Loss] = {
    "mpjpe": mpjpe,
    "weighted_mpjpe": weighted_mpjpe,
    "n_mpjpe": n_mpjpe,
    "velocity": velocity,
    "mse": mse,
}


def combined(weights: Mapping[str, float], more: Mapping[str, Loss] | None = None) -> Loss:
    """Sum losses by name, each times its weight: `combined({"mpjpe": 1, "n_mpjpe": 0.5, "velocity": 20})`.

    more   losses beside `LOSSES`, a lifter's own
    """
    known = {**LOSSES, **(more or {})}
    if not weights:
        raise InvalidValueError(f"no loss named; there are {', '.join(known)}")
    for name in weights:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            raise InvalidValueError(f"no loss '{name}'; {hint}there are {', '.join(known)}")

    def loss(predicted: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        terms = [weight * known[name](predicted, target, mask) for name, weight in weights.items()]
        return torch.stack(terms).sum()

    return loss


def _countable(predicted: Tensor, target: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Target with 0 where it does not count (0 * NaN would be NaN in a gradient), and the mask of what does."""
    if predicted.shape != target.shape or target.shape[-1:] != (3,) or target.ndim < 2:
        raise InvalidValueError(
            f"predicted {tuple(predicted.shape)} and target {tuple(target.shape)}: both must be the same (..., J, 3)"
        )
    finite = target.isfinite().all(-1)
    if mask is not None:
        if mask.shape != finite.shape:
            raise InvalidValueError(f"mask {tuple(mask.shape)}: must be {tuple(finite.shape)}, the target's joints")
        finite = finite & mask.bool()
    return torch.where(finite[..., None], target, 0), finite


def _distance(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    return torch.linalg.vector_norm(torch.where(mask[..., None], predicted - target, 0), dim=-1)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    return values.sum() / mask.sum().clamp(min=1)
