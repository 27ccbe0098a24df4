"""What changes as a training goes on: learning rate and BatchNorm's momentum, functions of epoch and step."""

from __future__ import annotations

from torch import nn, optim

from ..models import Hyperparameters

OPTIMISERS = {"adam": optim.Adam, "adamw": optim.AdamW}


def make_optimiser(model: nn.Module, parameters: Hyperparameters) -> optim.Optimizer:
    o = parameters.optimiser
    return OPTIMISERS[o.name](model.parameters(), lr=o.learning_rate, weight_decay=o.weight_decay, amsgrad=o.amsgrad)


def learning_rate(parameters: Hyperparameters, epoch: int, step: int) -> float:
    """Return the rate; epoch and step count from 0, the step from the beginning of the training."""
    schedule = parameters.schedule
    passed = (epoch if schedule.unit == "epoch" else step) // schedule.every
    return parameters.optimiser.learning_rate * schedule.factor**passed


def batch_norm_momentum(parameters: Hyperparameters, epoch: int, epochs: int) -> float | None:
    """Go from the first to the last exponentially over the epochs (VideoPose3D); None: left alone."""
    ends = parameters.schedule.batch_norm_momentum
    return ends[0] * (ends[1] / ends[0]) ** (epoch / epochs) if ends else None


def apply_schedule(
    model: nn.Module, optimiser: optim.Optimizer, parameters: Hyperparameters, epoch: int, epochs: int, step: int
) -> float:
    """Set what this step needs, and return the learning rate."""
    rate = learning_rate(parameters, epoch, step)
    for group in optimiser.param_groups:
        group["lr"] = rate
    momentum = batch_norm_momentum(parameters, epoch, epochs)
    if momentum is not None:
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = momentum
    return rate
