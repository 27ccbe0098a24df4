"""lifters/training/ema.py against the definition."""

from __future__ import annotations

import torch
from torch import nn

from auglift.lifters.training.ema import AveragedWeights


def test_averaged_weights_are_their_definition():
    linear = nn.Linear(2, 2)
    model = nn.Sequential(linear, nn.BatchNorm1d(2))
    average = AveragedWeights(model, 0.9)
    expected = linear.weight.detach().double().clone()
    for step in range(1, 6):
        with torch.no_grad():
            linear.weight += torch.randn(2, 2)
        average.update(model)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * linear.weight.detach().double()
    torch.testing.assert_close(average.weights["0.weight"].double(), expected, rtol=1e-5, atol=1e-6)
    own = linear.weight.detach().clone()
    with average.used_by(model):
        assert torch.equal(linear.weight, average.weights["0.weight"])
    assert torch.equal(linear.weight, own)
