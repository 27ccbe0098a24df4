"""Measure a lifter on what was held out, while it is trained."""

from __future__ import annotations

from typing import Any

import torch

from ...stores.reading.windows import WindowLoader
from ..data.batches import examples, predict
from ..metrics import position_error
from ..models import Lifter
from .setup import Setup


@torch.no_grad()
def validate(
    model: Lifter, loader: WindowLoader, setup: Setup, flip: bool, device: torch.device, autocast: Any
) -> tuple[float, float]:
    """Return the sum of the errors, mm, of all joints that count, and how many those are."""
    training = model.training
    model.eval()
    total, count = torch.zeros((), dtype=torch.float64), 0
    loader.set_epoch(0)
    for batch in loader:
        given = examples(batch, setup.inputs, model, device)
        with autocast:
            predicted = predict(model, given.inputs, setup.inputs, flip)
        errors = position_error(predicted.cpu(), given.target.cpu(), given.mask.cpu())
        total += errors.nansum()
        count += int((~errors.isnan()).sum())
        del batch
    model.train(training)
    return float(total), count
