"""lifters/models/streams.py: learned features in front of any lifter, normalised, embedded and joined."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from auglift.lifters.models import MODELS, Streamed, build, channels_behind
from auglift.lifters.models.streams import EMBEDDED, WHOLE, Normalised
from auglift.lifters.widening.widen import widen

from .small_lifters import SMALL

WIDTHS = {"pose": 7, "depth": 5}


def streamed(name: str, window: int = 3) -> Any:
    torch.manual_seed(0)
    model = build(name, 6, window, streams=WIDTHS, **SMALL[name])
    assert isinstance(model, Streamed)
    return model


@pytest.mark.parametrize("name", MODELS)
def test_every_lifter_takes_streams_and_learns_with_every_weight_of_their_embeddings(name: str):
    model = streamed(name)
    assert model.channels == 6 + 12
    out = model(torch.randn(4, 3, 17, 18))
    assert out.shape == (4, 3 if model.many_to_many else 1, 17, 3)
    out.square().sum().backward()
    parts = [each.weight.grad for each in model.embedding.children()]
    if name in WHOLE:
        parts = [each.weight.grad for each in model.lifter.features]
    assert len(parts) == 2
    assert all(grad is not None and (grad.abs().sum(0) > 0).all() for grad in parts)


def test_a_stream_becomes_sixteen_numbers_beside_the_base_channels():
    model = streamed("simple_baseline")
    assert model.lifter.channels == 6 + 2 * EMBEDDED
    assert len(channels_behind("simple_baseline", ["x"] * 6, WIDTHS)) == 6 + 2 * EMBEDDED
    assert len(channels_behind("context_aware", ["x"] * 6, WIDTHS)) == 6 + 12
    model.fit("pose", torch.full((7,), -2.0), torch.full((7,), 2.0))
    seen: list[torch.Tensor] = []
    model.lifter.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    inputs = torch.randn(2, 3, 17, 18)
    model.eval()(inputs)
    (given,) = seen
    assert torch.equal(given[..., :6], inputs[..., :6])
    layer = model.embedding["pose"]
    expected = (inputs[..., 6:13].double() / 2).clamp(-1, 1) @ layer.weight.T.double() + layer.bias.double()
    torch.testing.assert_close(given[..., 6:22].double(), expected, rtol=1e-4, atol=1e-5)


def test_percentiles_lie_at_minus_one_and_one_and_nothing_beyond():
    normalised = Normalised(3)
    normalised.set(torch.tensor([0.0, -4.0, 2.0]), torch.tensor([10.0, 4.0, 2.0]))
    given = torch.tensor([[0.0, -4.0, 2.0], [10.0, 4.0, 2.0], [5.0, 0.0, 9.0], [99.0, -99.0, 0.0], [torch.nan] * 3])
    expected = torch.tensor([[-1.0, -1, 0], [1, 1, 0], [0, 0, 0], [1, -1, 0], [0, 0, 0]])
    assert torch.equal(normalised(given), expected)


@pytest.mark.parametrize("name", ["poseformer", "context_aware"])
def test_percentiles_are_in_the_state_and_come_back_with_it(name: str):
    model = streamed(name).eval()
    model.fit("depth", torch.arange(5.0) - 9, torch.arange(5.0) + 1)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other = streamed(name).eval()
    inputs = torch.randn(2, 3, 17, 18)
    assert not torch.equal(model(inputs), other(inputs))
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(model(inputs), other(inputs))
    with pytest.raises(RuntimeError, match="no part of it"):
        other.load_state_dict({**model.state_dict(), "strange.weight": torch.zeros(1)})


def test_what_is_not_known_changes_nothing_of_what_is():
    model = streamed("simple_baseline").eval()
    inputs = torch.randn(2, 3, 17, 18)
    unknown = inputs.clone()
    unknown[..., 6:] = torch.nan
    out = model(unknown)
    assert out.isfinite().all()
    assert not torch.equal(out, model(inputs))


class Foreign(nn.Module):
    """Somebody's lifter of x and y."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(17 * 2, 20), nn.Linear(20, 51)

    def forward(self, joints):
        return self.last(torch.relu(self.first(joints.flatten(2)))).view(*joints.shape[:2], 17, 3)


def test_a_foreign_lifter_that_is_widened_gives_what_it_gave_and_then_learns_from_streams():
    torch.manual_seed(0)
    foreign = Foreign()
    narrow = torch.randn(2, 1, 17, 2)
    before = foreign(narrow)
    widen(foreign, 2 + 2 * EMBEDDED, example=narrow)

    class Known(nn.Module):
        window, joints, many_to_many, losses, receptive_field = 1, 17, False, {}, 1
        channels = 2 + 2 * EMBEDDED

        def __init__(self):
            super().__init__()
            self.module = foreign

        def forward(self, inputs):
            return self.module(inputs)

    model = Streamed(Known(), WIDTHS)  # type: ignore[arg-type]
    inputs = torch.cat([narrow, torch.randn(2, 1, 17, 12)], -1)
    np.testing.assert_allclose(model(inputs).detach(), before.detach(), atol=1e-6)
    model(inputs).square().sum().backward()
    assert foreign.first.weight.grad is not None
    assert (foreign.first.weight.grad.abs() > 0).any(0).view(17, -1)[:, 2:].any()
