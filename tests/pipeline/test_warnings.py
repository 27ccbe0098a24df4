"""build.py: what a store says, once and for all, of the networks that made it."""

from __future__ import annotations

import pytest

from auglift.pipeline.build import warnings
from auglift.pipeline.networks.models import MODELS


def settings(**weights: str) -> dict:
    """Settings of tiny networks with the published weights, or others by kind."""
    return {
        kind: {"name": f"tiny-{kind}", "weights": weights.get(kind, f"sha256:{MODELS[f'tiny-{kind}'].sha256}")}
        for kind in ("detector", "pose", "depth")
    }


@pytest.mark.parametrize("dataset", ["video", "calibrated", "h36m"])
def test_tiny_networks_on_filmed_people_are_warned_of_in_capitals(dataset):
    (said,) = warnings({**settings(), "pose": {"name": "blazepose-full"}}, ["synth-gym", dataset])
    assert said.startswith("tiny-detector, tiny-depth KNOWS RENDERED PEOPLE ONLY")


def test_on_rendered_people_nothing_is_said_of_them():
    assert warnings(settings(), ["synth-studio", "synth-street"]) == ()


def test_random_weights_are_noise_and_no_more_is_said_of_them():
    (said,) = warnings(settings(detector="random:0", pose="random:0", depth="random:0"), ["video"])
    assert "THE FEATURES ARE NOISE" in said


def test_no_depth_is_nothing_to_warn_of():
    found = {**settings(), "depth": {"name": "none", "weights": "none"}}
    assert warnings(found, ["synth-gym"]) == ()
