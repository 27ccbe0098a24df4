"""lifters/models/video_pose3d.py: its two forms agree, and each frame sees what it should and nothing else."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from auglift.lifters.models import build
from auglift.stores.errors import InvalidValueError

from .small_lifters import shuffle_weights, small

torch.set_num_threads(1)


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from([(1, ()), (3, ()), (9, ()), (27, ()), (15, ()), (27, (3, 9)), (35, (7, 5))]),
    st.booleans(),
    st.integers(1, 12),
)
def test_the_dilated_form_says_of_every_frame_what_the_training_form_says_of_its_window(shape, causal, frames):
    window, kernels = shape
    model = shuffle_weights(small("video_pose3d", 3, window, kernels=list(kernels), causal=causal)).eval()
    sequence = torch.randn(2, frames, 17, 3)
    before = window - 1 if causal else window // 2
    with torch.no_grad():
        whole = model.for_sequences()(sequence)
        assert whole.shape == (2, frames, 17, 3)
        for t in range(frames):
            seen = torch.arange(t - before, t - before + window).clamp(0, frames - 1)
            torch.testing.assert_close(whole[:, t : t + 1], model(sequence[:, seen]), rtol=1e-5, atol=1e-5)


def test_the_two_forms_have_interchangeable_state_dicts():
    strided, dilated = small("video_pose3d", 3, 27), small("video_pose3d", 3, 27, dilated=True)
    shuffle_weights(dilated)
    strided.load_state_dict(dilated.state_dict())
    assert dilated.many_to_many
    assert not strided.many_to_many
    window = torch.randn(2, 27, 17, 3)
    torch.testing.assert_close(strided.eval()(window)[:, 0], dilated.eval()(window)[:, 13], rtol=1e-5, atol=1e-5)


def test_the_form_for_sequences_follows_the_training_of_the_other():
    model = small("video_pose3d", 3, 9)
    whole, sequence = model.for_sequences(), torch.randn(1, 20, 17, 3)
    before = whole(sequence)
    with torch.no_grad():
        model.shrink.bias += 1
    torch.testing.assert_close(whole(sequence), before + 1)


def test_a_causal_model_sees_no_later_frame():
    model = shuffle_weights(small("video_pose3d", 3, 27, causal=True)).for_sequences()
    sequence = torch.randn(1, 40, 17, 3, requires_grad=True)
    model(sequence)[0, 20].sum().backward()
    assert sequence.grad is not None
    moved = sequence.grad[0].abs().sum((1, 2))
    assert (moved[:21] > 0).all()
    assert (moved[21:] == 0).all()


@pytest.mark.parametrize("causal", [False, True])
def test_without_its_convolutions_a_block_hands_on_the_frame_that_is_predicted(causal: bool):
    model = shuffle_weights(small("video_pose3d", 3, 27, causal=causal)).eval()
    for block in model.blocks:
        nn.init.zeros_(block.mix_norm.weight)
        nn.init.zeros_(block.mix_norm.bias)
    inputs = torch.randn(1, 27, 17, 3, requires_grad=True)
    model(inputs).sum().backward()
    assert inputs.grad is not None
    last = 27 if causal else 15
    assert inputs.grad[0].abs().sum((1, 2)).nonzero().flatten().tolist() == list(range(last - 3, last))


@pytest.mark.parametrize("kernels", [[3, 3], [2, 27], [9, 9]])
def test_kernels_that_do_not_make_the_window_are_refused(kernels: list[int]):
    with pytest.raises(InvalidValueError, match="as their product"):
        build("video_pose3d", 2, 27, kernels=kernels)
