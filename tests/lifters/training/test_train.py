"""lifters/training/train.py: what a training gives, goes on with and keeps."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from auglift.lifters.data.holdout import hold_out
from auglift.lifters.evaluation.evaluate import evaluate
from auglift.lifters.inputs import Inputs
from auglift.lifters.training.checkpoint import BEST, LAST, Run
from auglift.lifters.training.setup import Setup
from auglift.lifters.training.train import NoWatcher, train
from auglift.stores.errors import InvalidValueError
from auglift.stores.reading.store import FeatureStore
from tests.fakes.people import PeopleStore, people

from .trainings import TINY, Notes, StopAfter, assert_same_weights, losses, setup_of, weights

# The paper's claim, where it must hold --------------------------------------------------------------------------------


def test_where_2d_cannot_tell_and_depth_can_uadd_is_clearly_better_than_xy(tmp_path: Path):
    training = people(tmp_path / "train.zarr", lengths=(100,) * 12).url
    unseen = people(tmp_path / "test.zarr", lengths=(60,) * 4, split="test", seed=9).url
    figures = {}
    for inputs in ("xy", "uadd"):
        sets = ("width=128", "dropout=0.1", "lr=3e-3", "loss.mpjpe=1")
        setup = setup_of(training, inputs=inputs, sets=sets, window=1, batch=64, epochs=12)
        assert train(setup, tmp_path / inputs).finished
        (result,) = evaluate(Run(tmp_path / inputs), [unseen], device="cpu")
        figures[inputs] = result.measures
    assert figures["uadd"]["mpjpe"] < 0.8 * figures["xy"]["mpjpe"]
    assert figures["uadd"]["ordinal"] > figures["xy"]["ordinal"] + 5


# Going on -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lifter", "more"), [("simple_baseline", {"ema": 0.9}), ("poseformer", {}), ("dstformer", {})])
def test_a_training_stopped_at_any_step_has_the_losses_and_weights_of_an_undisturbed_one(
    store: str, tmp_path: Path, lifter: str, more: dict[str, Any]
):
    setup = setup_of(store, lifter, **more)
    assert train(setup, tmp_path / "undisturbed").finished
    stopped = [train(setup, tmp_path / "stopped", stop=StopAfter(n)).finished for n in (2, 3)]
    assert stopped == [False, False]
    torch.manual_seed(12345)  # whatever ran in between
    assert train(setup, tmp_path / "stopped").finished
    assert losses(tmp_path / "stopped") == losses(tmp_path / "undisturbed")
    for name in (BEST, LAST):
        assert_same_weights(tmp_path / "stopped", tmp_path / "undisturbed", name)


def test_a_finished_training_is_not_run_again(store: str, tmp_path: Path):
    first = train(setup_of(store), tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir() if path.is_file()}
    assert train(setup_of(store), tmp_path) == first
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir() if path.is_file()} == before


def test_a_killed_epoch_leaves_no_line_twice_in_the_log(store: str, tmp_path: Path):
    setup = setup_of(store, epochs=3)
    train(setup, tmp_path, stop=StopAfter(4))
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"epoch": 1, "loss": 77.0}\n{"epoch": 2, "lo')  # what a kill after the checkpoint may leave
    train(setup, tmp_path)
    assert [line["epoch"] for line in losses(tmp_path)] == [0, 1, 2]
    assert 77.0 not in [line["loss"] for line in losses(tmp_path)]


def test_a_seed_gives_the_same_training_and_another_seed_another(store: str, tmp_path: Path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(setup_of(store, seed=seed), tmp_path / name)
    assert losses(tmp_path / "a") == losses(tmp_path / "b") != losses(tmp_path / "c")
    assert_same_weights(tmp_path / "a", tmp_path / "b")


def test_a_folder_of_another_training_is_refused_and_what_differs_is_named(store: str, tmp_path: Path):
    train(setup_of(store, epochs=1), tmp_path)
    with pytest.raises(InvalidValueError, match=r"another training .*seed.*give another --out"):
        train(setup_of(store, epochs=1, seed=3), tmp_path)


# Validation -----------------------------------------------------------------------------------------------------------


def test_subjects_held_out_are_never_trained_on(store: str, tmp_path: Path):
    """Their ground truth is another, and not one training loss changes."""
    other = tmp_path / "other.zarr"

    class Changed(PeopleStore):
        def values(self, spec):
            values = super().values(spec)
            if spec.name == "target/pose3d":
                values[180:] *= 1.5  # the last sequence is that of the last subject, S4
            return values

    Changed(bad=(5, 6, 130)).run(other)
    train(setup_of(store), tmp_path / "a")
    train(setup_of(str(other)), tmp_path / "b")
    a, b = losses(tmp_path / "a"), losses(tmp_path / "b")
    assert [line["loss"] for line in a] == [line["loss"] for line in b]
    assert [line["held_out_mpjpe"] for line in a] != [line["held_out_mpjpe"] for line in b]


@pytest.mark.parametrize("lifter", ["simple_baseline", "video_pose3d"])
def test_the_best_checkpoint_has_the_figure_that_it_was_chosen_for(store: str, tmp_path: Path, lifter: str):
    outcome = train(setup_of(store, lifter, epochs=3), tmp_path)
    held = [line["held_out_mpjpe"] for line in losses(tmp_path)]
    assert outcome.best_mpjpe == min(held)
    assert outcome.best_epoch == held.index(min(held))
    (result,) = evaluate(Run(tmp_path), [store], split="train", device="cpu")
    assert result.by["sequence"]["train-3"]["mpjpe"] == pytest.approx(outcome.best_mpjpe, rel=1e-5)


def test_the_rule_of_holding_out_is_deterministic_and_says_what_it_did(tmp_path: Path):
    made = people(tmp_path / "a.zarr", lengths=(20,) * 10, subjects=5)
    held = hold_out([made], "train", 0.1)
    assert held == hold_out([FeatureStore.open(made.url)], "train", 0.1)
    assert held.held_out == (("train-4", "train-9"),)
    assert set(held.train[0]) | set(held.held_out[0]) == {row.id for row in made.sequences}
    assert "S5" in held.rule
    assert hold_out([made], "train", 0.5).held_out[0] == tuple(f"train-{n}" for n in (2, 3, 4, 7, 8, 9))
    assert hold_out([made], "train", 0.99).train[0] == ("train-0", "train-5")  # never all
    assert hold_out([made], "train", 0.0).held_out == ((),)


def test_one_subject_gives_up_sequences_and_one_sequence_nothing(tmp_path: Path):
    one = hold_out([people(tmp_path / "a.zarr", lengths=(20,) * 4, subjects=1)], "train", 0.1)
    assert one.held_out == (("train-3",),)
    assert "one subject" in one.rule
    alone = people(tmp_path / "b.zarr", lengths=(40,))
    none = hold_out([alone], "train", 0.1)
    assert none.held_out == ((),)
    assert "single sequence" in none.rule
    outcome = train(setup_of(alone.url, batch=16), tmp_path / "run")
    assert outcome.best_epoch == 1  # the last, where nothing chooses
    assert math.isnan(outcome.best_mpjpe)


def test_several_stores_are_trained_on_together_and_each_holds_out_its_own(tmp_path: Path):
    urls = [people(tmp_path / f"{n}.zarr", dataset=n, seed=s).url for s, n in enumerate(("one", "two"))]
    notes = Notes()
    setup = setup_of(urls[0])
    train(Setup(**{**vars(setup), "stores": tuple(urls)}), tmp_path / "run", notes)
    assert notes.said[0].count("held-out subjects S4") == 2
    assert json.loads((tmp_path / "run" / "run.json").read_text())["data"]["held_out"] == [["train-3"], ["train-3"]]


# Beginning with other weights -----------------------------------------------------------------------------------------


def test_a_wider_training_begins_with_the_predictions_of_the_narrow_one(store: str, tmp_path: Path):
    from auglift.lifters.training.start import starting_model

    train(setup_of(store, inputs="xy", epochs=1), tmp_path / "xy")
    setup = setup_of(store, inputs="uadd", init=str(tmp_path / "xy"))
    wide = starting_model(setup, [FeatureStore.open(store)]).eval()
    narrow = Run(tmp_path / "xy").model()
    given = torch.randn(5, 3, 17, 6)
    torch.testing.assert_close(wide(given), narrow(given[..., :2]))
    assert train(setup, tmp_path / "uadd").finished


# What a setting changes -----------------------------------------------------------------------------------------------


def test_the_momentum_of_batch_norm_is_the_models_own_as_it_trains(store: str, tmp_path: Path):
    def final_variance(sets: tuple[str, ...]) -> torch.Tensor:
        out = tmp_path / str(len(sets))
        train(setup_of(store, "video_pose3d", sets=sets, epochs=1), out)
        return weights(out, LAST)["norm.running_var"]

    own = final_variance(())
    fast = final_variance(("schedule.batch_norm_momentum=[0.9, 0.9]",))
    assert (own - 1).abs().mean() < 0.8 * (fast - 1).abs().mean()  # it begins at 1 and goes where the data are


def test_a_run_on_scaled_inputs_is_evaluated_on_scaled_inputs(store: str, tmp_path: Path):
    train(setup_of(store, inputs="uadd@root@scaled", epochs=1), tmp_path)
    assert Run(tmp_path).inputs == Inputs("uadd", depth_origin="root", scale_to=1.0)
    (scaled,) = evaluate(Run(tmp_path), [store], split="train", device="cpu")
    assert math.isfinite(scaled.measures["mpjpe"])


def test_a_limit_shortens_epochs_and_few_windows_shrink_the_batch(store: str, tmp_path: Path):
    class Steps(NoWatcher):
        def begin(self, epochs: int, steps: int, epoch: int, step: int) -> None:
            self.steps = steps

    steps = Steps()
    train(setup_of(store, limit=70, epochs=1), tmp_path / "a", steps)
    assert steps.steps == 2
    notes = Notes()
    train(setup_of(store, batch=100_000, epochs=1), tmp_path / "b", notes)
    assert any("fewer windows" in line for line in notes.said)


def test_half_precision_trains_too(store: str, tmp_path: Path):
    assert train(setup_of(store, amp="on", epochs=1), tmp_path).finished
    assert all(v.dtype != torch.bfloat16 for v in weights(tmp_path).values())


def test_without_tensorboard_it_says_so_and_trains(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    notes = Notes()
    assert train(setup_of(store, epochs=1), tmp_path, notes).finished
    assert any("tensorboard is not installed" in line for line in notes.said)
    assert not (tmp_path / "tensorboard").exists()


def test_tensorboard_has_the_figures_of_the_log(store: str, tmp_path: Path):
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    train(setup_of(store), tmp_path)
    board = reading.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    shown = [event.value for event in board.Scalars("held_out_mpjpe")]
    assert shown == pytest.approx([line["held_out_mpjpe"] for line in losses(tmp_path)], rel=1e-5)


@pytest.mark.slow
def test_two_processes_of_torchrun_train_one_lifter(store: str, tmp_path: Path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    command += ["-m", "auglift.cli.train", store, "--lifter", "poseformer", "--window", "3", "--device", "cpu"]
    command += ["--epochs", "2", "--batch", "32", "--out", str(tmp_path / "two"), "--threads", "1", "--json"]
    for assignment in TINY["poseformer"]:
        command += ["--set", assignment]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [line["epoch"] for line in losses(tmp_path / "two")] == [0, 1]
    events = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert [event for event in events if event != "note"] == ["begin", "epoch", "epoch", "end"]
    # Half the batch in each process, gradients averaged: the first loss is of other windows, but the same kind.
    train(setup_of(store, "poseformer"), tmp_path / "one")
    ours, theirs = losses(tmp_path / "two")[-1], losses(tmp_path / "one")[-1]
    assert ours["held_out_mpjpe"] == pytest.approx(theirs["held_out_mpjpe"], rel=0.2)
