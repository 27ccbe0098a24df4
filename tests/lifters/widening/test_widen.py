"""lifters/widening/widen.py: on our lifters, and on others' in every shape their first layer has."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from auglift.lifters.models import MODELS, build
from auglift.lifters.models.video_pose3d import VideoPose3D
from auglift.lifters.widening.widen import widen, widen_state_dict
from auglift.stores.errors import InvalidValueError

from .foreign_lifters import (
    FOREIGN,
    ChannelMajor,
    Flattened,
    Fussy,
    PerJoint,
    TwoStreams,
    sequential,
)

torch.set_num_threads(1)

SMALL: dict[str, dict[str, Any]] = {
    "simple_baseline": {"width": 32},
    "video_pose3d": {"width": 32},
    "poseformer": {"joint_width": 8, "heads": 4},
    "dstformer": {"width": 16, "representation_width": 24, "depth": 2, "heads": 4},
    "dstformer_lite": {"width": 24, "depth": 2, "heads": 4},
    "context_aware": {"width": 16, "fusion_depth": 2, "joint_depth": 2, "heads": 4},
}


def settle(model: nn.Module) -> nn.Module:
    """A trained model's statistics: no BatchNorm at its initial values."""
    for buffer in model.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    return model.eval()


def with_channels(narrow: Tensor, new: int, axis: int, kept: list[int]) -> Tensor:
    """The narrow input with other channels, full of numbers, between its own."""
    shape = list(narrow.shape)
    shape[axis] = new
    wide = 10 * torch.randn(shape)
    for place, channel in enumerate(kept):
        wide.select(axis, channel).copy_(narrow.select(axis, place))
    return wide


def flat(output: Any) -> Tensor:
    return output["pose"][0] if isinstance(output, dict) else output


@pytest.mark.parametrize("case", FOREIGN)
@pytest.mark.parametrize("kept", [[0, 1], [3, 1]])
def test_a_foreign_lifter_takes_more_channels_and_its_output_stays(case: str, kept: list[int]):
    make, shape, rest, options = FOREIGN[case]
    torch.manual_seed(0)
    model, x = settle(make()), torch.randn(shape)
    axis = options.get("channel_axis", -1)
    before = flat(model(x, *rest))
    modes = [module.training for module in model.modules()]
    widening = widen(model, 6, example=(x, *rest), kept=kept, **options)
    assert (widening.old, widening.new) == (2, 6)
    assert [module.training for module in model.modules()] == modes
    wide = with_channels(x, 6, axis, kept)
    torch.testing.assert_close(flat(model(wide, *rest)), before, rtol=1e-4, atol=1e-5)

    # The new channels are no dead wood: they have a gradient, and once trained they matter.
    flat(model(wide, *rest)).square().sum().backward()
    for name in widening.layers:
        weight = model.get_submodule(name).get_parameter("weight")
        assert weight.grad is not None
        assert ((weight == 0) & (weight.grad != 0)).sum() >= 4 * weight.shape[0]
        with torch.no_grad():
            weight -= weight.grad / weight.grad.abs().max()
    disturbed = wide.clone()
    disturbed.select(axis, 5).normal_()
    assert not torch.allclose(flat(model(disturbed, *rest)), flat(model(wide, *rest)))


@pytest.mark.parametrize("case", FOREIGN)
def test_a_widened_model_has_the_shapes_of_one_built_wide_and_loads_into_it(case: str):
    make, shape, rest, options = FOREIGN[case]
    model, x = settle(make()), torch.randn(shape)
    narrow_state = copy.deepcopy(model.state_dict())
    widening = widen(model, 7, example=(x, *rest), **options)
    built_wide = sequential_wide(7) if case == "sequential" else make(7)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    built_wide.load_state_dict(torch.load(file, weights_only=True))
    for a, b in zip(model.modules(), built_wide.modules(), strict=True):
        assert repr(a) == repr(b)
    wide = with_channels(x, 7, options.get("channel_axis", -1), [0, 1])
    assert torch.equal(flat(built_wide.eval()(wide, *rest)), flat(model(wide, *rest)))

    # A narrow checkpoint goes the same way, without the model.
    for name, values in widening.widen_state_dict(narrow_state).items():
        assert torch.equal(values, model.state_dict()[name]), name


def sequential_wide(c: int) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(2), nn.Linear(17 * c, 34), nn.ReLU(), nn.Linear(34, 34), nn.Linear(34, 51))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("window", [1, 9])
@pytest.mark.parametrize("shown", [True, False])
def test_our_lifters_are_widened_with_an_example_and_without(name: str, window: int, shown: bool):
    torch.manual_seed(0)
    model = settle(build(name, 2, window, **SMALL[name]))
    x = torch.randn(3, window, 17, 2)
    before = model(x)
    state = copy.deepcopy(model.state_dict())
    widen(model, 6, example=x if shown else None)
    assert model.channels == 6
    torch.testing.assert_close(model(with_channels(x, 6, -1, [0, 1])), before, rtol=1e-4, atol=1e-5)
    fresh = build(name, 6, window, **SMALL[name])
    fresh.load_state_dict(model.state_dict())
    if window == 1 or name != "simple_baseline":
        fresh.load_state_dict(widen_state_dict(state, 6, old_channels=2))
    widen(model, 10, kept=range(6))
    torch.testing.assert_close(model(with_channels(x, 10, -1, [0, 1])), before, rtol=1e-4, atol=1e-5)


def test_a_widened_tcn_keeps_its_two_forms_together():
    model = settle(VideoPose3D(2, 9, width=16))
    assert isinstance(model, VideoPose3D)
    widen(model, 6)
    x = torch.randn(1, 9, 17, 6)
    whole = model.for_sequences()(x)
    torch.testing.assert_close(whole[:, 4:5], model(x), rtol=1e-5, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["linear", "conv1d", "conv2d"]),
    st.integers(1, 4),
    st.integers(0, 5),
    st.sampled_from([1, 2, 3, 17]),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_any_layout_any_layer_any_number_of_channels(kind, old, more, joints, channel_major, random):
    """The layout is never given: it is seen."""
    inputs = joints * old
    layer = {
        "linear": lambda: nn.Linear(inputs, 5),
        "conv1d": lambda: nn.Conv1d(inputs, 5, 3),
        "conv2d": lambda: nn.Conv2d(inputs, 5, (3, 1)),
    }[kind]()

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor) -> Tensor:
            x = (x.transpose(2, 3) if channel_major else x).flatten(2)
            if kind == "linear":
                return self.layer(x)
            signal = x.transpose(1, 2)
            return self.layer(signal if kind == "conv1d" else signal[..., None])

    model, x = Net(), torch.randn(2, 4, joints, old)
    before = model(x)
    kept = sorted(random.sample(range(old + more), old))
    widening = widen(model, old + more, example=x, kept=kept)
    if old > 1 and joints > 1:
        assert widening.layers == {"layer": "channel-major" if channel_major else "joint-major"}
    wide = with_channels(x, old + more, -1, kept)
    torch.testing.assert_close(model(wide), before, rtol=1e-4, atol=1e-4)


def test_without_an_example_two_layers_of_a_likely_shape_are_ambiguous_and_a_name_settles_it():
    model = sequential()
    with pytest.raises(InvalidValueError, match=r"several .* '1' \(Linear of 34\), '3' .*`layer`"):
        widen(model, 6)
    with pytest.raises(InvalidValueError, match=r"several .*'1' \(of 34\), '3' \(of 34\)"):
        widen_state_dict(model.state_dict(), 6)
    assert widen(model, 6, layer="1").layers == {"1": "joint-major"}
    assert model[1].in_features == 17 * 6
    assert widen_state_dict(sequential().state_dict(), 6, layer="1")["1.weight"].shape == (34, 17 * 6)


def test_two_layers_that_both_see_the_joints_are_ambiguous_even_with_an_example():
    model, x = TwoStreams(), torch.randn(2, 3, 17, 2)
    state = copy.deepcopy(model.state_dict())
    with pytest.raises(InvalidValueError, match=r"'near' \(Linear of 2\), 'far' \(Linear of 2\)"):
        widen(model, 6, example=x)
    # One of the two will not do either: the model itself would no longer run. It is left as it was.
    with pytest.raises(InvalidValueError, match="does not run on 6 channels"):
        widen(model, 6, example=x, layer="near")
    assert all(torch.equal(values, model.state_dict()[name]) for name, values in state.items())
    assert model.near.in_features == 2


def test_an_attribute_that_counts_channels_is_named_by_the_error_and_nothing_is_changed():
    model, x = Fussy(), torch.randn(2, 3, 17, 2)
    before = model(x)
    with pytest.raises(InvalidValueError, match=r"`attributes`: 'in_features'"):
        widen(model, 6, example=x)
    assert torch.equal(model(x), before)
    with pytest.raises(InvalidValueError, match="attribute 'training_rate' is None"):
        widen(model, 6, example=x, attributes=["training_rate"])
    assert torch.equal(model(x), before)


def test_a_model_that_uses_its_channels_elsewhere_is_refused():
    class Clever(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Linear(2, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.embed(x) + x.sum(-1, keepdim=True)

    model = Clever()
    with pytest.raises(InvalidValueError, match="outputs change"):
        widen(model, 6, example=torch.randn(2, 3, 17, 2))
    assert model.embed.weight.shape == (4, 2)


def test_without_an_example_a_wide_input_is_too_little_to_go_by():
    with pytest.raises(InvalidValueError, match=r"cannot tell .* none of .*of 170"):
        widen(Flattened(), 6)
    assert widen(Flattened(), 6, layer="net.1", old_channels=2).layers == {"net.1": "joint-major"}
    assert widen(Flattened(), 6, old_channels=2).new == 6


def test_a_layout_that_was_given_is_used_where_none_is_seen():
    torch.manual_seed(0)
    model, x = ChannelMajor(), torch.randn(2, 5, 17, 2)
    before = model(x)
    widen(model, 4, layer="conv", layout="channel-major")
    torch.testing.assert_close(model(with_channels(x, 4, -1, [0, 1])), before, rtol=1e-4, atol=1e-5)


def test_a_module_that_is_itself_the_layer():
    layer, x = nn.Linear(2, 5), torch.randn(3, 17, 2)
    before = layer(x)
    widen(layer, 3, example=x)
    torch.testing.assert_close(layer(with_channels(x, 3, -1, [0, 1])), before)
    assert widen_state_dict(nn.Linear(2, 5).state_dict(), 3)["weight"].shape == (5, 3)


def test_what_was_frozen_stays_frozen_and_precision_and_randomness_are_kept():
    model = PerJoint().double()
    model.embed.requires_grad_(False)
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    widen(model, 6, example=torch.ones(2, 3, 17, 2, dtype=torch.float64))
    assert torch.equal(torch.rand(1), wanted)
    assert model.embed.weight.dtype == torch.float64
    assert not model.embed.weight.requires_grad


def test_statistics_of_a_model_in_training_are_not_touched():
    model = Flattened().train()
    before = copy.deepcopy(model.net[2].state_dict())
    widen(model, 6, example=torch.randn(4, 5, 17, 2))
    assert model.training
    assert model.net[2].training
    assert all(torch.equal(values, before[name]) for name, values in model.net[2].state_dict().items())


def tied() -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    return model


@pytest.mark.parametrize(
    ("model", "shape", "options", "words"),
    [
        (nn.Conv1d(4, 8, 1, groups=4), (2, 4, 17), {"channel_axis": 1}, "in 4 groups that part"),
        (nn.utils.parametrizations.weight_norm(nn.Linear(2, 3)), (2, 17, 2), {}, "computes its weight"),
        (tied(), (2, 17, 2), {"layer": "0"}, "shares its weight"),
        (nn.LayerNorm(2), (2, 17, 2), {}, "no layer was found"),
        (nn.Linear(2, 3), (2, 17, 2), {"layer": "lin"}, "no Linear, Conv1d or Conv2d 'lin'"),
        (nn.Linear(2, 3), (2, 17, 2), {"kept": [0, 9]}, "2 different places from 0 to 5"),
        (nn.Linear(2, 3), (2, 17, 2), {"kept": [1, 1]}, "2 different places"),
        (nn.Linear(2, 3), (2, 17, 2), {"layout": "joints"}, "there are joint-major, channel-major"),
        (nn.Linear(2, 3), (2, 17, 2), {"old_channels": 3}, "the example has 2 channels"),
        (nn.Linear(8, 3), (2, 17, 8), {}, "cannot be widened to 6"),
        (nn.Linear(2, 3), (2, 17, 5), {}, "does not run on the example"),
        (nn.Linear(17, 3), (2, 2, 17), {"channel_axis": 1, "layer": ""}, "no multiple of 2"),
    ],
)
def test_what_cannot_be_widened_says_why(model: nn.Module, shape: tuple[int, ...], options: dict, words: str):
    before = {name: values.clone() for name, values in model.state_dict().items()}
    with pytest.raises(InvalidValueError, match=words):
        widen(model, 6, example=torch.randn(shape), **options)
    assert all(torch.equal(values, model.state_dict()[name]) for name, values in before.items())


def test_a_state_dict_of_another_model_is_refused():
    model = PerJoint()
    widening = widen(model, 6, example=torch.randn(2, 3, 17, 2))
    with pytest.raises(InvalidValueError, match=r"no 'embed.weight'; nearest are"):
        widening.widen_state_dict(sequential().state_dict())
    with pytest.raises(InvalidValueError, match="no multiple of 2 channels"):
        widening.widen_state_dict({"embed.weight": torch.zeros(4, 3)})
