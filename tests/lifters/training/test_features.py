"""Trainings on learned features: percentiles of the training set, kept; whatever does not fit is refused in a line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auglift.lifters.data.batches import open_stores
from auglift.lifters.data.features import percentiles
from auglift.lifters.data.holdout import chosen, hold_out
from auglift.lifters.evaluation.evaluate import evaluate
from auglift.lifters.models import Streamed
from auglift.lifters.training.checkpoint import Run
from auglift.lifters.training.setup import baseline_of, inputs_by_name, name_of_inputs
from auglift.lifters.training.train import train
from auglift.stores.errors import AugliftError, InvalidValueError, MissingFieldError
from auglift.stores.format.schema import Field, feature_field
from auglift.stores.reading.store import FeatureStore
from auglift.stores.writing.shards import StoreLayout
from tests.fakes.people import PeopleStore

from .trainings import StopAfter, assert_same_weights, losses, setup_of

WIDTHS = {"pose": 8, "depth": 4}


class FeaturePeople(PeopleStore):
    """People whose learned features know how far away a joint is, which 2D does not; the network is `maker`."""

    maker, widths = "made", WIDTHS

    @property
    def layout(self) -> StoreLayout:
        layout = super().layout
        features = tuple(feature_field(stream, width) for stream, width in self.widths.items())
        return replace(layout, fields=(*layout.fields, *features))

    @property
    def plan(self) -> dict[str, Any]:
        made = {s: {"name": self.maker, "channels": w, "sampling": "nearest_4"} for s, w in self.widths.items()}
        self.configuration["features"] = made
        return super().plan

    def values(self, spec: Field) -> np.ndarray:
        if not spec.name.startswith("feature/"):
            return super().values(spec)
        rng = np.random.default_rng(len(spec.name))
        depth = self._pose[..., 2:] - self._pose[:, :1, 2:]
        values = depth * 40 * rng.normal(size=spec.shape[-1:]) + rng.normal(0, 1, (*depth.shape[:2], spec.shape[-1]))
        values[list(self.bad)] = np.nan
        return values.astype(spec.dtype)


def store_of(path: Path, maker: str = "made", widths: dict[str, int] | None = None, **more: Any) -> str:
    kind = type("Made", (FeaturePeople,), {"maker": maker, "widths": widths or WIDTHS})
    configuration = {"batch": 4, "depth": {"name": "fake-depth"}}
    kind(configuration=configuration, **more).run(path)
    return str(path)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> str:
    return store_of(tmp_path_factory.mktemp("features") / "s.zarr", bad=(3, 4))


@pytest.fixture(scope="module")
def run(store, tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("run") / "v2"
    assert train(setup_of(store, "poseformer", inputs="v2"), folder).finished
    return Run(folder)


def test_the_checkpoint_keeps_percentiles_of_the_training_set_alone(store, run):
    opened = FeatureStore.open(store)
    ids = hold_out([opened], "train", 0.1).train[0]
    rows = opened.sequences.select(id=list(ids))
    frames = np.concatenate([np.arange(s, s + n) for s, n in zip(rows.starts, rows.lengths, strict=True)])
    assert len(frames) < opened.frames
    model = run.model()
    assert isinstance(model, Streamed)
    for stream in WIDTHS:
        values = opened.read(f"feature/{stream}")[frames].astype(np.float32)
        known = values[np.isfinite(values).all(-1)]
        for name, rank in (("low", 1), ("high", 99)):
            found = getattr(model.normalised[stream], name).numpy()
            np.testing.assert_allclose(found, np.percentile(known, rank, axis=0), rtol=1e-5, atol=1e-5)


def test_of_a_large_training_set_frames_that_lie_evenly_over_it_stand_for_all(store):
    opened = FeatureStore.open(store)
    few = percentiles([opened], [chosen(opened, "train")], "feature/pose", most=64)
    again = percentiles([opened], [chosen(opened, "train")], "feature/pose", most=64)
    whole = percentiles([opened], [chosen(opened, "train")], "feature/pose")
    for a, b, c in zip(few, again, whole, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)
        assert np.abs(a - c).max() < 0.3 * np.abs(c).max()


@pytest.mark.parametrize("inputs", ["v2", "image", "image+uadd", "v2@root@scaled", "image@dscale"])
@pytest.mark.parametrize("lifter", ["simple_baseline", "context_aware"])
def test_every_representation_with_features_trains_and_is_measured(store, tmp_path, lifter, inputs):
    assert train(setup_of(store, lifter, inputs=inputs, window=1, epochs=1), tmp_path / "run").finished
    (figures,) = evaluate(Run(tmp_path / "run"), [store], device="cpu")
    assert np.isfinite(figures.measures["mpjpe"])


def test_where_features_know_what_2d_cannot_a_lifter_learns_it_from_them(tmp_path):
    training = store_of(tmp_path / "train.zarr", lengths=(100,) * 8)
    unseen = store_of(tmp_path / "test.zarr", lengths=(60,) * 4, split="test", seed=9)
    figures = {}
    for inputs in ("xy", "image"):
        sets = ("width=128", "dropout=0.1", "lr=3e-3", "loss.mpjpe=1")
        assert train(setup_of(training, inputs=inputs, sets=sets, window=1, batch=64, epochs=8), tmp_path / inputs)
        (result,) = evaluate(Run(tmp_path / inputs), [unseen], device="cpu")
        figures[inputs] = result.measures["mpjpe"]
    assert figures["image"] < 0.8 * figures["xy"]


def test_a_stopped_training_goes_on_with_the_percentiles_it_had(store, tmp_path):
    setup = setup_of(store, "poseformer", inputs="v2", ema=0.9)
    assert train(setup, tmp_path / "undisturbed").finished
    assert not train(setup, tmp_path / "stopped", stop=StopAfter(2)).finished
    assert train(setup, tmp_path / "stopped").finished
    assert losses(tmp_path / "stopped") == losses(tmp_path / "undisturbed")
    assert_same_weights(tmp_path / "stopped", tmp_path / "undisturbed")


def test_a_run_without_features_is_the_beginning_of_one_with_them(store, tmp_path):
    assert train(setup_of(store, inputs="uadd", epochs=1), tmp_path / "uadd").finished
    begun = setup_of(store, inputs="v2", epochs=1, init=str(tmp_path / "uadd"), sets=("lr=1e-12",))
    assert train(begun, tmp_path / "v2").finished
    opened = FeatureStore.open(store)
    measured = [next(iter(evaluate(Run(tmp_path / name), [store], device="cpu"))) for name in ("uadd", "v2")]
    assert measured[0].measures["p_mpjpe"] == pytest.approx(measured[1].measures["p_mpjpe"], rel=0.05)
    assert Run(tmp_path / "v2").model().channels == 6 + 12
    assert opened.frames == 240


OWN = """
from torch import nn
class Plain(nn.Module):
    many_to_many = False
    def __init__(self, channels, window, joints=17):
        super().__init__()
        self.layer = nn.Linear(channels * window * joints, 3 * joints)
    def forward(self, inputs):
        return self.layer(inputs.flatten(1)).view(-1, 1, inputs.shape[2], 3)
"""


def test_a_lifter_of_ones_own_gets_features_embedded(store, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    setup = replace_lifter(store, f"{tmp_path}/own.py:Plain")
    assert train(setup, tmp_path / "run").finished
    model = Run(tmp_path / "run").model()
    assert isinstance(model, Streamed)
    assert model.lifter.channels == 6 + 32
    (figures,) = evaluate(Run(tmp_path / "run"), [store], device="cpu")
    assert np.isfinite(figures.measures["mpjpe"])


def replace_lifter(store: str, lifter: str):
    from auglift.lifters.training.setup import Setup

    return Setup((store,), lifter, inputs_by_name("v2"), window=1, batch=32, epochs=1, device="cpu")


# What does not fit ----------------------------------------------------------------------------------------------------


def refused(do) -> str:
    with pytest.raises(AugliftError) as error:
        do()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_store_without_features_says_how_to_get_some(tmp_path):
    PeopleStore().run(tmp_path / "plain.zarr")
    with pytest.raises(MissingFieldError, match=r"no feature/pose, feature/depth.*--features pose,depth --name v2"):
        open_stores([str(tmp_path / "plain.zarr")], inputs_by_name("v2"))


def test_features_of_two_networks_or_widths_do_not_go_into_one_training(store, tmp_path):
    other = store_of(tmp_path / "other.zarr", maker="another", seed=3)
    wider = store_of(tmp_path / "wider.zarr", widths={"pose": 9, "depth": 4}, seed=3)
    assert "name" in refused(lambda: open_stores([store, other], inputs_by_name("v2")))
    assert "pose.channels: 8" in refused(lambda: open_stores([store, wider], inputs_by_name("v2")))
    assert len(open_stores([store, other], inputs_by_name("uadd"))) == 2


def test_a_checkpoint_of_other_features_is_refused(run, tmp_path):
    other = store_of(tmp_path / "other.zarr", maker="another", seed=3)
    wider = store_of(tmp_path / "wider.zarr", widths={"pose": 9, "depth": 4}, seed=3)
    for url in (other, wider):
        assert "learned features of another kind" in refused(lambda url=url: list(evaluate(run, [url], device="cpu")))
    begun = setup_of(other, "poseformer", inputs="v2", init=str(run.folder))
    assert "features 'pose' of another kind" in refused(lambda: train(begun, tmp_path / "run"))


def test_features_of_no_frame_are_refused(tmp_path):
    url = store_of(tmp_path / "s.zarr", lengths=(40, 40), bad=tuple(range(80)))
    opened = FeatureStore.open(url)
    with pytest.raises(InvalidValueError, match="holds no feature in any frame"):
        percentiles([opened], [opened.sequences], "feature/pose")


@pytest.mark.parametrize(
    "name", ["v2", "image", "image+uadd@root", "v2@features=big@scaled", "xy@dscale", "uadd@dscale=3.6", "v2/quantile"]
)
def test_names_of_inputs_are_what_is_written_again(name):
    assert name_of_inputs(inputs_by_name(name)) == name


def test_the_baseline_of_scaled_2d_is_scaled_2d():
    assert baseline_of("uadd@dscale@root") == "xy@dscale"
    assert baseline_of("v2@features=v2") == "xy"
    assert inputs_by_name("xy@dscale").fields == ("valid", "keypoints", "uadd/paper")
    assert inputs_by_name("v2@base@features=v2").fields[-3:] == (
        "uadd/paper@base",
        "feature/pose@v2",
        "feature/depth@v2",
    )
