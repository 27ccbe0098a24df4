"""Inputs that are centred or standardised: their statistics against NumPy's, their mirror images, what is refused."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auglift.lifters.inputs import REPRESENTATIONS, Inputs
from auglift.lifters.standard import Statistics
from auglift.stores.errors import InvalidValueError

from .test_inputs import MIRROR, bound, make_batch, mirrored

every_standard = st.builds(
    Inputs,
    st.sampled_from(sorted(name for name, one in REPRESENTATIONS.items() if not one.streams)),
    depth_origin=st.sampled_from(["nearest", "root"]),
    scale_to=st.sampled_from([None, 0.8]),
    centred=st.booleans(),
    standard=st.just(True),
)
seeds = st.integers(0, 2**32 - 1)


def raw(inputs: Inputs) -> Inputs:
    return dataclasses.replace(inputs, standard=False, statistics=None)


@settings(max_examples=25, deadline=None)
@given(every_standard, seeds, st.sampled_from([0.0, 0.2]))
def test_statistics_are_numpys_over_the_set_and_its_mirror_images(inputs: Inputs, seed: int, holes: float):
    batches = [make_batch(seed + n, holes, frames=4) for n in range(3)]
    pairs = [raw(inputs)(batch) for batch in (*batches, *map(mirrored, batches))]
    values = np.concatenate([np.where(m, v.double(), np.nan).reshape(-1, 17, inputs.count) for v, m in pairs])
    found = inputs.fit(batches).statistics
    assert found is not None
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(found.mean, np.nan_to_num(np.nanmean(values, axis=0)), atol=1e-5)
        np.testing.assert_allclose(found.deviation, np.nan_to_num(np.nanstd(values, axis=0)), atol=1e-5)


def test_learned_features_stay_as_they_are_beside_standardised_channels():
    batch = make_batch(0)
    alone = Inputs("uadd", standard=True).fit([batch])
    beside = bound(Inputs("v2", standard=True)).fit([{k: v for k, v in batch.items() if "feature" not in k}])
    assert beside.statistics == alone.statistics
    values, mask = beside(batch)
    bare, bare_mask = bound(Inputs("v2"))(batch)
    assert torch.equal(values[..., :6], alone(batch)[0])
    assert torch.equal(values[..., 6:], bare[..., 6:])
    assert torch.equal(mask, bare_mask)
    torch.testing.assert_close(beside.flip(values)[..., :6], alone.flip(values[..., :6]))


def test_statistics_do_not_depend_on_how_the_frames_are_cut_and_not_on_copies():
    inputs = Inputs("uadd", standard=True)
    whole = make_batch(3, 0.1, frames=1, batch=60)
    parts = [{name: values[n : n + 7] for name, values in whole.items()} for n in range(0, 60, 7)]
    one, other = inputs.fit([whole]).statistics, inputs.fit(parts).statistics
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(one.mean, other.mean, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(one.deviation, other.deviation, rtol=1e-12)
    copies = {name: np.concatenate([values, values], axis=1) for name, values in whole.items() if name != "frame_size"}
    copies |= {"frame_size": whole["frame_size"], "inside": np.tile([True, False], (60, 1))}
    assert inputs.fit([copies]).statistics == one


@settings(max_examples=25, deadline=None)
@given(every_standard, seeds, st.sampled_from([0.0, 0.2]))
def test_flips_commute_with_standardising(inputs: Inputs, seed: int, holes: float):
    """To the bit for the numbers that are standardised, and as the camera would have seen it through a mirror."""
    inputs = inputs.fit([make_batch(seed + 1, 0.1, frames=9)])
    batch = make_batch(seed, holes)
    values, _ = inputs(batch)
    torch.testing.assert_close(inputs.flip(values), inputs(mirrored(batch))[0], rtol=1e-3, atol=1e-3)
    assert inputs.statistics is not None
    mean, deviation = np.array(inputs.statistics.mean), np.array(inputs.statistics.deviation)
    sign = [-1.0 if channel.mirrored else 1.0 for channel in inputs.channels]
    np.testing.assert_array_equal(mean[MIRROR] * sign, mean)
    np.testing.assert_array_equal(deviation[MIRROR], deviation)


@settings(max_examples=25, deadline=None)
@given(every_standard, seeds)
def test_values_are_deviations_from_the_mean_cut_to_four(inputs: Inputs, seed: int):
    inputs = inputs.fit([make_batch(seed + 1, frames=9)])
    batch = make_batch(seed, 0.2)
    values, mask = inputs(batch)
    plain, plain_mask = raw(inputs)(batch)
    assert inputs.statistics is not None
    mean, deviation = (np.array(part) for part in (inputs.statistics.mean, inputs.statistics.deviation))
    never = deviation == 0
    wanted = np.where(never, 0, (plain.numpy() - mean) / np.where(never, 1, deviation)).clip(-4, 4)
    names = [channel.name for channel in inputs.channels]
    # No measurement is the mean, but no confidence is as far below it as it is.
    wanted[~mask.numpy() & (np.array(names) != "c")] = 0
    np.testing.assert_allclose(values.numpy(), wanted, atol=2e-4)
    assert torch.equal(mask, plain_mask)
    assert torch.equal(inputs.without_mask(batch), values)


def test_moving_a_person_in_the_frame_moves_the_pelvis_alone():
    batch = make_batch(4)
    moved = batch | {"keypoints": batch["keypoints"] + np.float32(9)}
    one, other = (Inputs("xy", centred=True)(each)[0] for each in (batch, moved))
    torch.testing.assert_close(one[..., 1:, :], other[..., 1:, :], rtol=0, atol=1e-5)
    shift = 2 * 9 / torch.from_numpy(batch["frame_size"][:, :1])
    torch.testing.assert_close(other[:, :, 0] - one[:, :, 0], shift[:, None].expand(2, 3, 2), rtol=1e-4, atol=1e-5)


def test_a_channel_that_never_changes_says_nothing_whatever_it_is_later():
    """The confidence of true joints is 1; of detected ones it is not."""
    true, detected = make_batch(5) | {"score": np.ones((2, 3, 17), np.float32)}, make_batch(6)
    inputs = Inputs("xyc", standard=True).fit([true])
    assert inputs.statistics is not None
    assert inputs.statistics.constant() == [2]
    for batch in (true, detected):
        values, _ = inputs(batch)
        assert not values[..., 2].any()
        assert values[..., :2].abs().min(-1).values.any()


def test_what_cannot_be_standardised_is_one_clear_error():
    inputs, batch = Inputs("xy", standard=True), make_batch(7)
    with pytest.raises(InvalidValueError, match=r"without a training set's statistics: call inputs\.fit"):
        inputs(batch)
    with pytest.raises(InvalidValueError, match="no frame to train on has a person"):
        inputs.fit([batch | {"valid": np.zeros((2, 3))}])
    with pytest.raises(InvalidValueError, match="no frame to train on has a person"):
        inputs.fit([])
    same = {"keypoints": np.full((2, 3, 17, 2), 0.0, np.float32) + batch["frame_size"][:, None, None] / 2}
    same["frame_size"] = batch["frame_size"]
    with pytest.raises(InvalidValueError, match="the same in all frames to train on; take more frames"):
        inputs.fit([batch | same])
    assert Inputs("xy").fit([]) == Inputs("xy")


def test_fitted_inputs_are_plain_data_and_come_back_from_json():
    inputs = Inputs("spatial", depth_origin="root", centred=True, standard=True).fit([make_batch(8, 0.1)])
    again = Inputs(**json.loads(json.dumps(inputs.as_dict(), allow_nan=False)))
    assert again == inputs
    assert hash(again) == hash(inputs)
    # What older runs hold is what is written for them still.
    assert set(Inputs("uadd").as_dict()) == {"name", "preset", "depth_origin", "depth_limit", "scale_to", "joints"}


def changed(joint: int, channel: int, value: float, part: str) -> dict[str, object]:
    statistics = Inputs("xy", standard=True).fit([make_batch(9)]).as_dict()["statistics"]
    statistics[part][joint][channel] = value
    return statistics


@pytest.mark.parametrize(
    ("statistics", "words"),
    [
        (changed(1, 0, 0.3, "mean"), "differ for mirror images"),
        (changed(2, 1, 9.0, "deviation"), "differ for mirror images"),
        (changed(0, 1, math.nan, "mean"), "NaN, infinity or a negative deviation"),
        (changed(0, 1, -1.0, "deviation"), "NaN, infinity or a negative deviation"),
        (Inputs("xyc", standard=True).fit([make_batch(9)]).statistics, r"these inputs have \(17, 2\)"),
        ({"mean": [[0, 0]] * 17}, "cannot be read"),
        ({"mean": "x", "deviation": 3}, "cannot be read"),
        ([1, 2], "cannot be read"),
    ],
)
def test_statistics_that_cannot_be_are_refused(statistics: object, words: str):
    with pytest.raises(InvalidValueError, match=words) as error:
        Inputs("xy", standard=True, statistics=statistics)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_statistics_without_standard_are_refused():
    with pytest.raises(InvalidValueError, match="not standard"):
        Inputs("xy", statistics=Statistics(((0.0, 0.0),) * 17, ((1.0, 1.0),) * 17))
