"""truth.py: whatever truth is missing, a training is refused at the start or ends with a best checkpoint."""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auglift.lifters.data.holdout import hold_out
from auglift.lifters.data.truth import countable, truth_of
from auglift.lifters.evaluation.evaluate import evaluate
from auglift.lifters.inputs import Inputs
from auglift.lifters.training.checkpoint import BEST, LAST, Run
from auglift.lifters.training.setup import Setup, parse_changes
from auglift.lifters.training.train import NoWatcher, train
from auglift.stores.errors import InvalidValueError
from auglift.stores.format.skeleton import H36M_17
from auglift.stores.reading.store import FeatureStore
from tests.fakes.people import PeopleStore, people

PELVIS = H36M_17.index("pelvis")
LENGTHS = (14, 9, 16, 11, 12)  # of S1, S2, S3, S1, S2
FRAMES, STARTS = sum(LENGTHS), np.cumsum([0, *LENGTHS]).tolist()
SETS = {
    "simple_baseline": ["width=8", "blocks=1"],
    "dstformer": ["width=8", "representation_width=8", "depth=1", "heads=2"],
}


@dataclass(frozen=True)
class Erased(PeopleStore):
    """People whose truth is NaN where `erased` (F, 17) says so."""

    lengths: tuple[int, ...] = LENGTHS
    subjects: int = 3
    presets: tuple[str, ...] = ("paper",)
    shard_frames: int = 32
    erased: Any = None

    def values(self, spec):
        values = super().values(spec)
        if spec.name == "target/pose3d":
            # One number of a joint is enough: it may be any of the three.
            frame, joint = np.nonzero(self.erased)
            values[frame, joint, (frame + joint) % 3] = np.nan
        return values


def store_of(folder: Path, erased: np.ndarray, bad: tuple[int, ...] = ()) -> str:
    Erased(erased=erased, bad=bad).run(folder / "people.zarr")
    return str(folder / "people.zarr")


def setup_of(store: str, lifter: str = "simple_baseline", **more: Any) -> Setup:
    changes = parse_changes(lifter, SETS[lifter])
    options: dict[str, Any] = {"window": 3, "batch": 8, "epochs": 2, "device": "cpu", **more}
    return Setup((store,), lifter, Inputs("uadd"), changes=changes, **options)


def strict(text: str) -> dict[str, Any]:
    """JSON as its standard has it."""

    def refuse(name: str):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def erase(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, ...]]:
    """(F, 17) bool: which joints have no truth; and frames in which nobody was found."""
    erased, bad = np.zeros((FRAMES, 17), dtype=bool), set()
    for _ in range(draw(st.integers(1, 3))):
        sequences = draw(st.sets(st.integers(0, len(LENGTHS) - 1), min_size=1))
        step, first = draw(st.sampled_from([1, 1, 2, 5])), draw(st.integers(0, 4))
        frames = [f for n in sequences for f in range(STARTS[n], STARTS[n + 1]) if (f - STARTS[n] - first) % step == 0]
        what = draw(st.sampled_from(["all joints", "pelvis", "all but the pelvis", "some joints", "nobody"]))
        if what == "nobody":
            bad |= set(frames)
            continue
        every = set(range(17))
        some = {"all joints": every, "pelvis": {PELVIS}, "all but the pelvis": every - {PELVIS}}
        joints = some.get(what) or draw(st.sets(st.integers(0, 16), min_size=1))
        erased[np.ix_(frames, sorted(joints))] = True
    return erased, tuple(sorted(bad))


@settings(max_examples=25)
@given(data=st.data(), lifter=st.sampled_from(list(SETS)), stride=st.sampled_from([1, 4]))
def test_a_training_is_refused_at_the_start_or_ends_with_a_best_checkpoint(data, lifter: str, stride: int):
    erased, bad = data.draw(st.composite(erase)())
    usable = [
        frame
        for frame in range(FRAMES)
        if frame not in bad and not erased[frame, PELVIS] and not all(erased[frame, [*range(1, 17)]])
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = store_of(folder, erased, bad)
        (trained,), (held,), _ = vars(hold_out([FeatureStore.open(url)], "train", 0.1)).values()
        numbers = [int(name.removeprefix("train-")) for name in trained]
        windows = [f for n in numbers for f in range(STARTS[n], STARTS[n + 1], stride) if f in usable]
        refusal, outcome = None, None
        try:
            outcome = train(setup_of(url, lifter, stride=stride), folder / "run")
        except InvalidValueError as error:
            refusal = str(error)
        if outcome is None:
            assert refusal is not None
            assert "\n" not in refusal
            assert not (folder / "run" / LAST).exists()
            # Nothing to learn from, or too few windows, of those that the stride does not pass by.
            assert ("window" if usable else "ground truth") in refusal
            assert not usable or len(windows) < 2 or lifter == "dstformer"
            return
        assert len(windows) >= 2 or lifter == "dstformer"  # whose windows may have truth beside their centre
        lines = (folder / "run" / "log.jsonl").read_text().splitlines()
        for record in map(strict, lines):
            assert all(math.isfinite(value) for value in record.values())
            assert ("held_out_mpjpe" in record) == bool(held)
            assert min(record["mpjpe"], record.get("held_out_mpjpe", 1)) > 0
        assert len(lines) == 2
        assert outcome.best_epoch >= 0
        assert math.isfinite(outcome.best_mpjpe) == bool(held)
        assert (folder / "run" / BEST).is_file()
        (result,) = evaluate(Run(folder / "run"), [url], device="cpu")
        assert (result.frames, result.left_out) == (len(usable), len(bad))
        assert result.without_truth == FRAMES - len(usable) - len(bad)
        assert all(math.isfinite(result.measures[name]) for name in ("mpjpe", "p_mpjpe", "pck", "auc"))
        assert result.measures["mpjpe"] > 0
        strict(json.dumps(result.as_dict()))


def where(*sequences: int) -> np.ndarray:
    erased = np.zeros((FRAMES, 17), dtype=bool)
    for n in sequences:
        erased[STARTS[n] : STARTS[n + 1]] = True
    return erased


def test_the_last_subjects_with_truth_are_held_out_and_those_without_it_are_not(tmp_path: Path):
    store = FeatureStore.open(store_of(tmp_path, where(2)))
    held = hold_out([store], "train", 0.1)
    assert held.held_out == (("train-1", "train-4"),)  # S2: of S3 nothing is known
    assert "subjects S2 (there are 2)" in held.rule


def test_a_subject_whom_no_detector_found_is_not_held_out(tmp_path: Path):
    nobody = tuple(range(STARTS[2], STARTS[3]))
    held = hold_out([FeatureStore.open(store_of(tmp_path, where(), nobody))], "train", 0.1)
    assert held.held_out == (("train-1", "train-4"),)


def test_of_one_subject_with_truth_sequences_are_held_out_and_of_one_sequence_nothing(tmp_path: Path):
    for name, erased, expected, words in (
        ("a", where(1, 2, 4), ("train-3",), "of one subject there is truth"),
        ("b", where(1, 2, 3, 4), (), "a single sequence of it has ground truth"),
    ):
        (tmp_path / name).mkdir()
        held = hold_out([FeatureStore.open(store_of(tmp_path / name, erased))], "train", 0.1)
        assert held.held_out == (expected,)
        assert words in held.rule


def test_how_much_is_held_out_is_counted_in_frames_with_truth(tmp_path: Path):
    erased = where()
    erased[STARTS[2] : STARTS[3] - 1] = True  # of S3, the last subject, one frame of 16 is left
    held = hold_out([FeatureStore.open(store_of(tmp_path, erased))], "train", 0.1)
    assert held.held_out == (("train-1", "train-2", "train-4"),)


@pytest.mark.parametrize("joints", [range(17), [PELVIS], [j for j in range(17) if j != PELVIS]])
def test_truth_that_is_missing_everywhere_is_refused_before_a_folder_is_made(tmp_path: Path, joints):
    erased = where()
    erased[:, list(joints)] = True
    url = store_of(tmp_path, erased)
    with pytest.raises(InvalidValueError, match=r"has no ground truth in any of the 62 frames chosen.*take a store"):
        train(setup_of(url), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    good = people(tmp_path / "good.zarr", presets=("paper",))
    train(setup_of(good.url, epochs=1), tmp_path / "good")
    with pytest.raises(InvalidValueError, match="cannot be measured on it"):
        list(evaluate(Run(tmp_path / "good"), [good.url, url], device="cpu"))


def test_truth_where_nobody_was_found_is_refused_for_that(tmp_path: Path):
    url = store_of(tmp_path, where(1, 2, 3, 4), tuple(range(LENGTHS[0])))
    with pytest.raises(InvalidValueError, match=r"of the 14 frames of .* that have ground truth none shows a person"):
        train(setup_of(url), tmp_path / "run")


def test_frames_without_truth_are_counted_and_said(tmp_path: Path):
    said: list[str] = []

    class Notes(NoWatcher):
        def message(self, message: str) -> None:
            said.append(message)

    train(setup_of(store_of(tmp_path, where(1))), tmp_path / "run", Notes())
    assert any("9 of 62 frames have no ground truth and are left out" in note for note in said)


def test_frames_without_truth_change_nothing_but_that_they_are_left_out(tmp_path: Path):
    """The figures are those of the frames that have truth, by any grouping."""
    for name in ("whole", "part"):
        (tmp_path / name).mkdir()
    whole, part = (store_of(tmp_path / n, e) for n, e in (("whole", where()), ("part", where(1, 3))))
    train(setup_of(whole, epochs=1), tmp_path / "run")
    ours, theirs = evaluate(Run(tmp_path / "run"), [part, whole], device="cpu")
    assert list(ours.by["sequence"]) == ["train-0", "train-2", "train-4"]
    for sequence, measures in ours.by["sequence"].items():
        assert measures == pytest.approx(theirs.by["sequence"][sequence], nan_ok=True)
    assert (ours.frames, ours.without_truth, theirs.without_truth) == (42, 20, 0)


@settings(max_examples=50)
@given(data=st.data())
def test_what_counts_as_truth_is_what_a_frame_at_a_time_says(data):
    pose = np.random.default_rng(0).normal(size=(12, 17, 3)).astype(np.float32)
    for _ in range(data.draw(st.integers(0, 300))):
        index = tuple(data.draw(st.integers(0, n - 1)) for n in pose.shape)
        pose[index] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    expected = []
    for frame in pose.tolist():
        finite = [all(map(math.isfinite, joint)) for joint in frame]
        expected.append(finite[PELVIS] and sum(finite) > 1)
    assert countable(pose).tolist() == expected


def test_a_store_with_all_its_truth_is_not_read_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = people(tmp_path / "a.zarr", lengths=(20, 20), bad=(3,))
    read: list[str] = []
    monkeypatch.setattr(
        "auglift.lifters.data.truth.ShardReader.read",
        lambda self, name, low, high, out: (read.append(name), out.fill(1)),
    )
    assert truth_of(store).known.all()
    assert read == ["valid"]
