"""lifters/models/hyperparameters.py: the published defaults, and changes to them."""

from __future__ import annotations

import inspect
import json

import pytest

from auglift.lifters.models import MODELS, build, hyperparameters
from auglift.lifters.models.video_pose3d import VideoPose3D
from auglift.stores.errors import InvalidValueError


@pytest.mark.parametrize("name", MODELS)
def test_the_toml_names_every_argument_of_its_architecture_with_the_same_kind_of_value(name: str):
    arguments = set(inspect.signature(MODELS[name]).parameters) - {"channels", "window", "joints", "streams"}
    assert set(hyperparameters(name).model) == arguments


@pytest.mark.parametrize(
    ("name", "rate", "factor", "batch", "loss"),
    [
        ("simple_baseline", 1e-3, 0.96, 512, {"mse": 1}),
        ("video_pose3d", 1e-3, 0.95, 1024, {"mpjpe": 1}),
        ("poseformer", 2e-4, 0.99, 512, {"mpjpe": 1}),
        ("dstformer", 2e-4, 0.99, 32, {"mpjpe": 1, "n_mpjpe": 0.5, "velocity": 20}),
        ("dstformer_lite", 2e-4, 0.99, 32, {"mpjpe": 1, "n_mpjpe": 0.5, "velocity": 20}),
    ],
)
def test_the_defaults_are_those_of_method_md(name: str, rate: float, factor: float, batch: int, loss: dict):
    settings_ = hyperparameters(name)
    assert (settings_.optimiser.learning_rate, settings_.schedule.factor) == (rate, factor)
    assert settings_.training.batch == batch
    assert settings_.loss == loss


@pytest.mark.parametrize("name", MODELS)
def test_hyperparameters_survive_json_with_what_was_changed(name: str):
    changed = hyperparameters(name, {"training": {"epochs": 3}, "loss": {"mse": 2}, "optimiser": {"amsgrad": True}})
    assert (changed.training.epochs, changed.loss, changed.optimiser.amsgrad) == (3, {"mse": 2.0}, True)
    assert changed.training.batch == hyperparameters(name).training.batch
    assert hyperparameters(name, json.loads(json.dumps(changed.as_dict()))) == changed


def test_a_name_may_be_written_with_hyphens():
    assert hyperparameters("dstformer-lite") == hyperparameters("dstformer_lite")


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("posformer", {}, "did you mean 'poseformer'"),
        ("poseformer", {"optimizer": {}}, "did you mean 'optimiser'"),
        ("poseformer", {"optimiser": {"learning_rat": 1.0}}, "did you mean 'learning_rate'"),
        ("poseformer", {"model": {"head": 4}}, "did you mean 'heads'"),
        ("poseformer", {"loss": {"mpjp": 1.0}}, "did you mean 'mpjpe'"),
        ("poseformer", {"loss": {}}, "loss is empty"),
        ("poseformer", {"training": {"epochs": 2.5}}, "must be a int"),
        ("poseformer", {"training": {"batch": 0}}, "above 0"),
        ("poseformer", {"model": {"heads": True}}, "must be a int"),
        ("poseformer", {"optimiser": {"learning_rate": "fast"}}, "must be a float"),
        ("poseformer", {"optimiser": {"name": "sgd"}}, "there are adam, adamw"),
        ("poseformer", {"schedule": {"batch_norm_momentum": [0.1]}}, r"\[first, last\]"),
        ("poseformer", {"training": 3}, "must be a table"),
    ],
)
def test_a_change_that_cannot_be_is_refused(name: str, changes: dict, words: str):
    with pytest.raises(InvalidValueError, match=words):
        hyperparameters(name, changes)


def test_building_with_an_argument_the_model_has_not_names_the_nearest():
    with pytest.raises(InvalidValueError, match="did you mean 'drop_path'"):
        build("poseformer", 2, 9, droppath=0.1)
    assert isinstance(build("video-pose3d", 2, 27, width=8), VideoPose3D)
