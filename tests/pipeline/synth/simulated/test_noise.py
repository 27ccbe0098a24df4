"""The constants of a simulated sensor: what each does to the numbers, and which values there cannot be."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from auglift.pipeline.synth.simulated.noise import NOISES, Noise, choose_noise
from auglift.pipeline.synth.simulated.sensor import _smooth, confidence, joint_errors
from auglift.stores.errors import InvalidValueError

SEEN = np.ones((4000, 17), bool)
GAUSSIAN = Noise(tails=0, lasting=0, bias=0)


def errors(noise: Noise, visible: np.ndarray = SEEN) -> np.ndarray:
    return joint_errors(noise, np.random.default_rng(3), visible, fps=25.0)


def test_a_visible_joint_errs_by_its_scale_and_its_place_on_the_body():
    deviation = errors(GAUSSIAN).std(axis=(0, 2))
    assert deviation[9] == pytest.approx(0.8 * 0.0071, rel=0.03)  # nose
    assert deviation[13] == pytest.approx(1.3 * 0.0071, rel=0.03)  # left wrist


def test_fewer_degrees_of_freedom_give_more_gross_errors_of_the_same_scale():
    sizes = {tails: np.abs(errors(replace(GAUSSIAN, tails=tails))[:, 8, 0]) for tails in (0, 5, 2.5)}
    medians = [np.median(size) for size in sizes.values()]
    far = [np.mean(size > 4 * 0.0071) for size in sizes.values()]
    assert max(medians) < 1.25 * min(medians)
    assert far[0] < far[1] < far[2]


def test_a_hidden_joint_errs_more_and_by_a_part_that_stays():
    hidden = errors(replace(GAUSSIAN, hidden=3.0, bias=0.5), ~SEEN)
    np.testing.assert_allclose(hidden - hidden.mean(0), 3 * (errors(GAUSSIAN) - errors(GAUSSIAN).mean(0)), atol=1e-9)
    assert hidden.mean(0).std() == pytest.approx(0.5, rel=0.4)


def test_the_lasting_part_of_an_error_keeps_as_much_of_itself_as_its_memory_says():
    error = errors(replace(GAUSSIAN, lasting=1.0, memory=0.4))[:, 8, 0]
    assert np.corrcoef(error[:-10], error[10:])[0, 1] == pytest.approx(np.exp(-1), abs=0.1)  # 0.4 s at 25 a second
    passing = errors(GAUSSIAN)[:, 8, 0]
    assert abs(np.corrcoef(passing[:-1], passing[1:])[0, 1]) < 0.05


def test_confidence_falls_with_the_error_and_with_what_hides_the_joint():
    noise, rng = replace(Noise(), spread=0.0), np.random.default_rng(0)
    size = np.array([[0.0] * 17, [noise.decay] * 17])
    seen = confidence(noise, rng, np.ones((2, 17), bool), size)
    hidden = confidence(noise, rng, np.zeros((2, 17), bool), size)
    np.testing.assert_allclose(seen[:, 0], [0.93, 0.93 / np.e])
    np.testing.assert_allclose(hidden[:, 0], [0.62, 0.62 / np.e])


def test_the_smooth_error_has_the_reach_and_the_size_it_says():
    rng = np.random.default_rng(1)
    fields = np.stack([_smooth(rng, 60, 4.0) for _ in range(40)])
    assert fields.std() == pytest.approx(1, rel=0.05)
    along = np.mean(fields[:, :, :-4] * fields[:, :, 4:])  # as far apart as it reaches
    assert along == pytest.approx(np.exp(-0.5), abs=0.05)
    assert abs(np.mean(fields[:, :, :-20] * fields[:, :, 20:])) < 0.08


def test_a_set_of_constants_is_named_and_changed_as_a_user_writes_it():
    chosen = choose_noise("useless:relief=0.1:map=252")
    assert asdict(chosen) == asdict(Noise(useless=1, relief=0.1, map=252))
    assert choose_noise("standard") == Noise()
    every = choose_noise("none:coco=1")
    assert {*every.of_depth(), *every.of_joints()} >= set(asdict(Noise()))
    assert "coco" not in Noise().of_joints()  # as in the stores from before it was a choice


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("perfect", "no set of constants named 'perfect'; there are standard, exact, useless, none"),
        ("standard:reliefs=1", "no constant 'reliefs', did you mean relief?"),
        ("standard:relief=much", "'relief=much': constants are NAME=NUMBER"),
        ("standard:relief=-0.1", "relief=-0.1 must be a finite number that is not negative"),
        ("standard:scale=nan", "scale=nan must be a finite number"),
        ("standard:steady=1.5", "steady=1.5 is a share; it must be at most 1"),
        ("standard:map=3", "map=3 is too small"),
        ("standard:map=100.5", "map=100.5 must be a whole number"),
        ("standard:tails=1", "tails=1: errors would have no finite variance"),
        ("standard:decay=0", "decay and smooth are lengths to divide by"),
        ("standard:map=64:blur=20", "blur=20 is over an eighth of map=64"),
    ],
)
def test_noise_that_cannot_be_is_an_error_of_one_line(text, says):
    with pytest.raises(InvalidValueError) as caught:
        choose_noise(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_depth_map_has_no_more_cells_than_the_frame_has_pixels():
    NOISES["standard"].require_fit(518)
    with pytest.raises(InvalidValueError, match="map=518 is larger than the frame, 256 px; lower it"):
        NOISES["standard"].require_fit(256)
