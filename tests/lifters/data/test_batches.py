"""lifters/data/batches.py: mirrored windows, and predictions of both of two mirrored inputs."""

from __future__ import annotations

import copy

import torch

from auglift.lifters.data.batches import flip_some, predict
from auglift.lifters.inputs import Inputs, flip_pose
from auglift.lifters.models import build


def test_flipped_windows_are_the_mirrored_world_and_flipping_twice_is_nothing():
    from auglift.lifters.data.batches import Examples

    inputs = Inputs("uadd")
    batch = Examples(torch.randn(6, 3, 17, 6), torch.randn(6, 1, 17, 3), torch.rand(6, 1, 17) < 0.5)
    which = torch.tensor([True, False, True, False, True, True])
    once = flip_some(copy.deepcopy(batch), inputs, which)
    twice = flip_some(copy.deepcopy(once), inputs, which)
    for ours, theirs in zip(vars(twice).values(), vars(batch).values(), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(once.inputs[1], batch.inputs[1])
    assert torch.equal(once.target[0, 0, 1, 0], -batch.target[0, 0, 4, 0])  # a right hip's x is a left hip's, negated
    assert torch.equal(once.mask[0, 0, 1], batch.mask[0, 0, 4])


def test_the_flip_test_gives_a_mirrored_pose_for_mirrored_inputs():
    inputs, model = Inputs("uadd"), build("simple_baseline", 6, 3, width=16).eval()
    given = torch.randn(4, 3, 17, 6)
    ours, mirrored = (predict(model, x, inputs, flip=True) for x in (given, inputs.flip(given)))
    torch.testing.assert_close(mirrored, flip_pose(ours))
    plain = predict(model, given, inputs, flip=False)
    torch.testing.assert_close(plain, model(given))
    assert not torch.allclose(plain, ours)
