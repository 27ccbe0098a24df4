"""Trainings on standardised inputs and on the oracle: what a run keeps, resumes and begins with, and is measured on."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from auglift.lifters.evaluation.evaluate import evaluate
from auglift.lifters.inputs import Inputs
from auglift.lifters.training.checkpoint import BEST, LAST, RUN, Run
from auglift.lifters.training.start import starting_model
from auglift.lifters.training.train import train
from auglift.stores.errors import CorruptStoreError, InvalidValueError, MissingFieldError
from auglift.stores.format.schema import Field
from auglift.stores.reading.store import FeatureStore
from tests.fakes.people import PeopleStore, people

from .trainings import TINY, Notes, StopAfter, assert_same_weights, losses, setup_of

ALL = "uadd@root@centred@standard"


def columns(store: str, inputs: Inputs, ids: list[str]) -> np.ndarray:
    """(F, 17, C) channels of the frames of these sequences that show a person, NaN where not measured."""
    opened = FeatureStore.open(store)
    found = []
    for row in opened.sequences:
        if row.id in ids:
            batch = {name: opened.read(name, row.start, row.stop)[None] for name in inputs.fields}
            batch["frame_size"] = np.array([[row.width, row.height]], np.float32)
            values, mask = inputs(batch)
            found.append(np.where(mask[0], values[0].double(), np.nan)[batch["valid"][0] > 0])
    return np.concatenate(found)


@pytest.mark.parametrize("lifter", TINY)
def test_a_run_keeps_the_statistics_of_what_it_was_trained_on_and_is_measured_with_them(
    store: str, tmp_path: Path, lifter: str
):
    train(setup_of(store, lifter, ALL, epochs=1), tmp_path)
    run = Run(tmp_path)
    plain = Inputs("uadd", depth_origin="root", centred=True)
    assert run.setup.inputs == Inputs("uadd", depth_origin="root", centred=True, standard=True)
    content = json.loads((tmp_path / RUN).read_text())
    held_out = [name for names in content["data"]["held_out"] for name in names]
    assert held_out
    ids = [row.id for row in FeatureStore.open(store).sequences if row.id not in held_out]
    values = columns(store, plain, ids)
    mirrored = plain.flip(torch.from_numpy(values)).numpy()
    both = np.concatenate([values, mirrored])
    assert run.inputs.statistics is not None
    np.testing.assert_allclose(run.inputs.statistics.mean, np.nanmean(both, axis=0), atol=1e-6)
    np.testing.assert_allclose(run.inputs.statistics.deviation, np.nanstd(both, axis=0), atol=1e-6)
    assert content["description"]["inputs"]["statistics"]["mean"] == np.array(run.inputs.statistics.mean).tolist()

    other = people(tmp_path / "other.zarr", lengths=(20, 20), split="test", seed=8)
    (found,) = evaluate(run, [other.url], device="cpu")
    assert math.isfinite(found.measures["mpjpe"])
    run.expect(inputs=run.setup.inputs)


def test_a_stopped_run_goes_on_with_its_statistics_to_the_same_weights(store: str, tmp_path: Path):
    setup = setup_of(store, inputs="xy@standard")
    train(setup, tmp_path / "whole")
    assert not train(setup, tmp_path / "parts", stop=StopAfter(3)).finished
    train(setup, tmp_path / "parts")
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")


def test_a_checkpoint_with_the_statistics_of_another_training_set_is_refused(store: str, tmp_path: Path):
    other = people(tmp_path / "other.zarr", seed=11)
    for name, url in (("a", store), ("b", other.url)):
        train(setup_of(url, inputs="xy@standard", epochs=1), tmp_path / name)
    (tmp_path / "a" / BEST).write_bytes((tmp_path / "b" / BEST).read_bytes())
    with pytest.raises(InvalidValueError, match=r"or training set than .*inputs\.statistics\.") as error:
        Run(tmp_path / "a").model()
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600
    (tmp_path / "a" / LAST).write_bytes((tmp_path / "b" / LAST).read_bytes())
    with pytest.raises(InvalidValueError, match="training set than"):
        train(setup_of(store, inputs="xy@standard", epochs=1), tmp_path / "a")


def test_a_run_whose_statistics_were_lost_or_changed_is_refused(store: str, tmp_path: Path):
    train(setup_of(store, inputs="xy@standard", epochs=1), tmp_path)
    content = json.loads((tmp_path / RUN).read_text())
    content["description"]["inputs"]["statistics"]["mean"][1][0] += 1.0
    (tmp_path / RUN).write_text(json.dumps(content))
    with pytest.raises(CorruptStoreError, match="differ for mirror images"):
        Run(tmp_path)


def test_a_widened_lifter_begins_with_the_statistics_and_the_output_of_the_run_it_comes_from(
    store: str, tmp_path: Path
):
    narrow_set = people(tmp_path / "narrow.zarr", seed=12)
    train(setup_of(narrow_set.url, inputs="xy@centred@standard", epochs=1), tmp_path / "xy")
    setup = setup_of(store, inputs="uadd@centred@standard", init=str(tmp_path / "xy"), epochs=1)
    wide = starting_model(setup, [FeatureStore.open(store)]).eval()
    notes = Notes()
    train(setup, tmp_path / "uadd", notes)
    assert any(f"x, y are standardised as in {tmp_path / 'xy'}" in said for said in notes.said)
    theirs, ours = Run(tmp_path / "xy"), Run(tmp_path / "uadd").inputs
    assert theirs.inputs.statistics is not None
    assert ours.statistics is not None
    assert np.array_equal(np.array(ours.statistics.mean)[:, :2], theirs.inputs.statistics.mean)
    opened = FeatureStore.open(store)
    batch = {name: opened.read(name, 10, 13)[None] for name in ours.fields}
    batch["frame_size"] = np.array([[1000.0, 1000.0]], np.float32)
    torch.testing.assert_close(wide(ours(batch)[0]), theirs.model()(theirs.inputs(batch)[0]))


@pytest.mark.parametrize(("theirs", "ours"), [("xy@standard", "uadd"), ("xy", "uadd@centred")])
def test_weights_of_inputs_that_were_treated_otherwise_are_no_beginning(
    store: str, tmp_path: Path, theirs: str, ours: str
):
    train(setup_of(store, inputs=theirs, epochs=1), tmp_path / "a")
    with pytest.raises(InvalidValueError, match=r"are @\w+, those of .* are not") as error:
        train(setup_of(store, inputs=ours, init=str(tmp_path / "a")), tmp_path / "b")
    assert "\n" not in str(error.value)


def test_a_channel_that_never_changes_is_named_and_trains_all_the_same(tmp_path: Path):
    class TruePose(PeopleStore):
        def values(self, spec: Field) -> np.ndarray:
            return np.ones_like(super().values(spec)) if spec.name == "score" else super().values(spec)

    TruePose().run(tmp_path / "true.zarr")
    notes = Notes()
    setup = setup_of(str(tmp_path / "true.zarr"), inputs="xyc@standard", epochs=1)
    assert train(setup, tmp_path / "run", notes).finished
    assert any(said.startswith("c: the same in every frame to train on, so 0") for said in notes.said)


def test_the_oracle_trains_on_every_kind_of_lifter_and_is_worth_what_2d_does_not_say(store: str, tmp_path: Path):
    found = {}
    for lifter in ("simple_baseline", "video_pose3d", "dstformer"):
        train(setup_of(store, lifter, "ordinal3", epochs=1), tmp_path / lifter)
    for inputs in ("xy", "ordinal3"):
        setup = setup_of(store, inputs=inputs, sets=("width=64", "lr=3e-3"), window=1, epochs=25, held_out=0.0)
        train(setup, tmp_path / inputs)
        (one,) = evaluate(Run(tmp_path / inputs), [store], split="train", device="cpu")
        found[inputs] = one.measures["mpjpe"]
    assert found["ordinal3"] < 0.8 * found["xy"]


def test_the_oracle_needs_a_store_with_truth(tmp_path: Path):
    blind = people(tmp_path / "blind.zarr", optional=())
    with pytest.raises(MissingFieldError, match="no ground truth"):
        train(setup_of(blind.url, inputs="ordinal3"), tmp_path / "run")
