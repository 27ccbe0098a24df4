"""cli/evaluate.py: several stores: all are checked first, and what one has given is not lost by another."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from auglift.cli import evaluate as command
from auglift.cli.evaluate import main
from auglift.lifters.inputs import Inputs
from auglift.lifters.training.setup import Setup, parse_changes
from auglift.lifters.training.train import train
from auglift.stores.format.layout import array_key
from auglift.stores.reading.store import FeatureStore
from tests.fakes.people import PeopleStore, people

SHORT = (4, 3, 5)


class WithoutTruth(PeopleStore):
    """Of every third frame nothing is known."""

    def values(self, spec):
        values = super().values(spec)
        if spec.name == "target/pose3d":
            values[::3] = np.nan
        return values


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of windows of 9 frames, and stores to test it on."""
    folder = tmp_path_factory.mktemp("stores")
    store = people(folder / "train.zarr").url
    changes = parse_changes("simple_baseline", ["width=16", "blocks=1"])
    train(Setup((store,), "simple_baseline", Inputs("xy"), 9, 64, 1, changes, device="cpu"), folder / "run")
    for seed, name in enumerate("abc"):
        people(folder / f"{name}.zarr", split="test", lengths=(30, 30), seed=seed)
    people(folder / "short.zarr", split="test", lengths=SHORT, seed=7)
    people(folder / "blind.zarr", split="test", optional=())
    PeopleStore(split="test", shard_frames=50).run(folder / "half.zarr", shards=2)
    WithoutTruth(split="test", lengths=(30, 30), bad=(4, 6)).run(folder / "sparse.zarr")
    damaged = people(folder / "damaged.zarr", split="test", lengths=(30, 30))
    path = folder / "damaged.zarr" / array_key(damaged.fields["keypoints"], 0)
    path.write_bytes(path.read_bytes()[:100] + b"\xff" + path.read_bytes()[101:])
    return folder


def call(folder: Path, *stores: str, more: tuple[str, ...] = ()):
    paths = [str(folder / f"{name}.zarr") for name in stores]
    return CliRunner().invoke(main, [str(folder / "run"), *paths, "--device", "cpu", "--threads", "1", *more])


def figures(done) -> dict[str, dict]:
    return {Path(one["store"]).stem: one for one in json.loads(done.stdout)}


def test_a_damaged_store_is_named_and_costs_the_others_nothing(folder: Path, tmp_path: Path):
    table = tmp_path / "figures.csv"
    done = call(folder, "a", "damaged", "c", more=("--json", "--csv", str(table)))
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {folder / 'damaged.zarr'}: ")
    assert "keypoints" in line
    alone = {name: figures(call(folder, name, more=("--json",)))[name] for name in "ac"}
    assert figures(done) == alone
    with table.open(newline="") as file:
        stores = {Path(row["store"]).stem for row in csv.DictReader(file)}
    assert stores == {"a", "c"}


@pytest.mark.parametrize(
    ("wrong", "words"), [("blind", "no ground truth"), ("half", "not complete"), ("nowhere", "there is no store")]
)
def test_a_store_that_will_not_do_is_refused_before_the_first_is_measured(
    folder: Path, monkeypatch: pytest.MonkeyPatch, wrong: str, words: str
):
    def predict(*_):
        raise AssertionError("measured")

    monkeypatch.setattr("auglift.lifters.evaluation.evaluate.predict", predict)
    done = call(folder, "a", wrong)
    assert done.exit_code == 2
    assert words in done.stderr.splitlines()[-1]
    assert done.stdout == ""


def test_a_table_that_cannot_be_written_is_refused_before_anything_is_measured(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("auglift.lifters.evaluation.evaluate.predict", lambda *_: pytest.fail("measured"))
    for path in (tmp_path / "no" / "such.csv", tmp_path):
        done = call(folder, "a", more=("--csv", str(path)))
        assert done.exit_code == 2
        assert "cannot be written" in done.stderr.splitlines()[-1]


def test_ctrl_c_in_the_second_store_shows_what_the_first_has_given(folder: Path, monkeypatch: pytest.MonkeyPatch):
    from auglift.lifters.evaluation import evaluate

    before = evaluate.tally
    calls: list[int] = []

    def tally(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return before(*arguments)

    monkeypatch.setattr(evaluate, "tally", tally)
    done = call(folder, "a", "b", more=("--json",))
    assert done.exit_code == 130
    assert list(figures(done)) == ["a"]


def test_sequences_shorter_than_a_window_have_the_figures_that_they_have_beside_a_longer_one(folder: Path):
    alone = figures(call(folder, "short", more=("--json",)))["short"]["by"]["sequence"]
    people(folder / "beside.zarr", split="test", lengths=(*SHORT, 30), seed=7)
    beside = figures(call(folder, "beside", more=("--json",)))["beside"]["by"]["sequence"]
    short, longer = (FeatureStore.open(folder / f"{name}.zarr") for name in ("short", "beside"))
    for name in ("keypoints", "target/pose3d"):  # the same frames of the same people
        np.testing.assert_array_equal(short.read(name), longer.read(name, 0, sum(SHORT)))
    assert set(beside) == {*alone, "test-3"}
    for sequence, measures in alone.items():
        assert measures == pytest.approx(beside[sequence], rel=1e-6)


def test_frames_without_truth_are_counted_on_the_screen_and_in_the_json(folder: Path):
    done = call(folder, "sparse")
    assert done.exit_code == 0
    assert "39 frames of 2 sequences, 2 left out: nobody was found in them, 19 left out: they have no" in done.stderr
    one = figures(call(folder, "sparse", more=("--json",)))["sparse"]
    assert (one["frames"], one["left_out"], one["without_truth"]) == (39, 2, 19)
    assert one["measures"]["mpjve"] is not None  # of two neighbours that are known


def test_a_table_of_many_rows_shows_the_worst_and_says_where_all_are(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(command, "ROWS", 1)
    every = figures(call(folder, "a", more=("--json",)))["a"]["by"]["sequence"]
    worst, best = sorted(every, key=lambda name: -every[name]["mpjpe"])
    done = call(folder, "a", more=("--by", "sequence"))
    assert worst in done.stdout
    assert best not in done.stdout
    assert "the 1 worst of 2; --csv and --json have them all" in done.stdout


def test_names_in_square_brackets_are_shown_as_they_are(folder: Path):
    people(folder / "x[bold].zarr", split="test", lengths=(10,))
    done = call(folder, "x[bold]")
    assert done.stdout.count("x[bold].zarr") == done.stderr.count("x[bold].zarr") == 1
