"""lifters/training/train.py: what a training refuses, and what it says when its loss is no number."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from auglift.lifters.evaluation.evaluate import evaluate
from auglift.lifters.training.checkpoint import BEST, LAST, Run
from auglift.lifters.training.setup import Setup
from auglift.lifters.training.train import Outcome, TrainingDivergedError, train
from auglift.stores.errors import AugliftError, InvalidValueError, MissingFieldError, StoreIncompleteError
from tests.fakes.people import PeopleStore, people

from .trainings import Notes, assert_same_weights, setup_of, weights


def refused(error: type[AugliftError], words: str, setup: Setup, out: Path):
    with pytest.raises(error, match=words) as caught:
        train(setup, out)
    assert "\n" not in str(caught.value)
    assert not (out / LAST).exists()


def test_a_store_without_ground_truth_is_refused(tmp_path: Path):
    made = people(tmp_path / "a.zarr", optional=())
    refused(MissingFieldError, "no ground truth .*take a store", setup_of(made.url), tmp_path / "run")


def test_inputs_that_the_store_does_not_hold_are_refused_and_those_it_does_are_named(tmp_path: Path):
    made = people(tmp_path / "a.zarr", presets=("paper",))
    words = r"no uadd/spatial.*holds what xy, xyc, xyd/paper, xycd/paper, uadd needs"
    refused(MissingFieldError, words, setup_of(made.url, inputs="spatial"), tmp_path / "run")
    train(setup_of(made.url, inputs="xycd/paper", epochs=1), tmp_path / "run")


def test_a_window_longer_than_every_sequence_repeats_their_ends_and_it_is_said(store: str, tmp_path: Path):
    notes = Notes()
    outcome = train(setup_of(store, window=61), tmp_path, notes)
    assert math.isfinite(outcome.best_mpjpe)
    assert any("61 frames is longer than every sequence to train on (the longest has 60)" in n for n in notes.said)


def test_a_store_still_being_written_is_refused_unless_allowed(tmp_path: Path):
    PeopleStore(shard_frames=50).run(tmp_path / "a.zarr", shards=3)
    url = str(tmp_path / "a.zarr")
    refused(StoreIncompleteError, "not complete", setup_of(url), tmp_path / "run")
    with pytest.warns(UserWarning, match="still being written"):
        assert train(setup_of(url, allow_incomplete=True, held_out=0.0), tmp_path / "run").finished


def test_a_loss_that_is_no_number_stops_says_where_and_keeps_the_last_good_checkpoint(store: str, tmp_path: Path):
    def diverging(out: Path, epochs: int) -> Outcome:
        # From the second epoch on, every step is ten to the thirtieth times too long.
        return train(
            setup_of(store, sets=("factor=1e30", "schedule.unit='epoch'", "schedule.every=1"), epochs=epochs), out
        )

    with pytest.raises(TrainingDivergedError, match=r"epoch 2, step \d+ .*epoch 1 are kept in .*best.pt"):
        diverging(tmp_path / "run", 3)
    diverging(tmp_path / "good", 1)
    assert_same_weights(tmp_path / "run", tmp_path / "good")
    assert all(torch.isfinite(value).all() for value in weights(tmp_path / "run", LAST).values())
    (result,) = evaluate(Run(tmp_path / "run"), [store], device="cpu")
    assert math.isfinite(result.measures["mpjpe"])


def test_a_loss_that_is_no_number_in_the_first_epoch_says_that_nothing_is_kept(store: str, tmp_path: Path):
    with pytest.raises(TrainingDivergedError, match="nothing is kept"):
        train(setup_of(store, sets=("lr=1e30",)), tmp_path)


def test_a_checkpoint_of_another_run_is_refused_in_its_place(store: str, tmp_path: Path):
    for name, lifter, inputs in (("a", "simple_baseline", "uadd"), ("b", "video_pose3d", "uadd")):
        train(setup_of(store, lifter, inputs, epochs=1), tmp_path / name)
    train(setup_of(store, inputs="xy", epochs=1), tmp_path / "c")
    for other, words in (("b", "lifter"), ("c", "inputs")):
        (tmp_path / "a" / BEST).write_bytes((tmp_path / other / BEST).read_bytes())
        with pytest.raises(
            InvalidValueError, match=f"another lifter, skeleton, representation or training set.*{words}"
        ):
            Run(tmp_path / "a").model()


def test_weights_of_another_lifter_window_or_representation_are_no_beginning(store: str, tmp_path: Path):
    train(setup_of(store, inputs="uadd", epochs=1), tmp_path / "uadd")
    init = str(tmp_path / "uadd")
    for setup, words in (
        (setup_of(store, "video_pose3d", init=init), "is a simple_baseline, not a video_pose3d"),
        (setup_of(store, window=5, init=init), "window"),
        (setup_of(store, inputs="xy", init=init), "does not have"),
        (setup_of(store, sets=("width=32",), init=init), "model"),
    ):
        refused(InvalidValueError, words, setup, tmp_path / "run")
