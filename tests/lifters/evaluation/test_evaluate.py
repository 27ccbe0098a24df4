"""lifters/evaluation/evaluate.py: what a trained lifter predicts for whole stores, and the figures made of it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from auglift.lifters.evaluation.evaluate import csv_rows, evaluate, predictions
from auglift.lifters.inputs import Inputs
from auglift.lifters.metrics import JOINTS_3DHP_14
from auglift.lifters.models import Lifter, build
from auglift.lifters.training.checkpoint import Run
from auglift.lifters.training.setup import Setup, inputs_by_name, parse_changes
from auglift.lifters.training.train import train
from auglift.stores.errors import InvalidValueError, MissingFieldError
from auglift.stores.format.skeleton import H36M_17
from auglift.stores.reading.store import FeatureStore
from tests.fakes.people import PeopleStore, people

BAD = (5, 6, 47)
LENGTHS = (30, 21, 24)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    path = tmp_path_factory.mktemp("evaluate") / "test.zarr"
    return people(path, lengths=LENGTHS, split="test", bad=BAD, seed=3)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    made = people(folder / "train.zarr")
    changes = parse_changes("simple_baseline", ["width=16", "blocks=1"])
    train(Setup((made.url,), "simple_baseline", Inputs("uadd"), 3, 64, 2, changes, device="cpu"), folder / "run")
    return Run(folder / "run")


def by_hand(model: Lifter, store: FeatureStore, inputs: Inputs, flip: bool) -> np.ndarray:
    """(F, 17, 3): a frame at a time, its window cut out with NumPy; NaN where the frame is not valid."""
    poses = np.full((store.frames, 17, 3), np.nan, dtype=np.float32)
    half = model.window // 2
    fields = {name: store.read(name) for name in inputs.fields}
    for row in store.sequences:
        for frame in range(row.start, row.stop):
            if not fields["valid"][frame]:
                continue
            window = np.clip(np.arange(frame - half, frame + half + 1), row.start, row.stop - 1)
            batch = {name: values[window][None] for name, values in fields.items()}
            batch["frame_size"] = np.array([[row.width, row.height]], dtype=np.float32)
            given, _ = inputs(batch)
            with torch.no_grad():
                pose = model(given)
                if flip:
                    mirrored = model(inputs.flip(given))[..., H36M_17.flip, :] * torch.tensor([-1, 1, 1])
                    pose = (pose + mirrored) / 2
            poses[frame] = pose[0, 0]
    return poses


@pytest.mark.parametrize("flip", [False, True])
def test_every_valid_frame_is_predicted_as_its_window_alone_would_be(store: FeatureStore, flip: bool):
    inputs = Inputs("uadd")
    model = build("video_pose3d", 6, 9, width=8).eval()
    found = predictions(model, store, inputs, flip=flip, batch=16)
    expected = by_hand(model, store, inputs, flip)
    assert found.frame.tolist() == [f for f in range(store.frames) if f not in BAD]
    assert found.left_out == len(BAD)
    np.testing.assert_allclose(found.pose.numpy(), expected[found.frame], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found.target.numpy(), store.read("target/pose3d")[found.frame])
    starts = np.cumsum([0, *LENGTHS])
    assert all(starts[row] <= frame < starts[row + 1] for frame, row in zip(found.frame, found.row, strict=True))


def test_a_causal_lifter_predicts_the_last_frame_of_its_window(store: FeatureStore):
    inputs = Inputs("xy")
    model = build("video_pose3d", 2, 9, width=8, causal=True).eval()
    found = predictions(model, store, inputs, flip=False)
    batch = {name: store.read(name, 32, 41)[None] for name in inputs.fields}  # frames of the second sequence
    given, _ = inputs({**batch, "frame_size": np.array([[1000, 1000]], dtype=np.float32)})
    with torch.no_grad():
        torch.testing.assert_close(found.pose[list(found.frame).index(40)], model(given)[0, 0], rtol=1e-4, atol=1e-5)


def test_a_lifter_of_whole_windows_predicts_every_valid_frame_as_the_mean_of_its_windows(store: FeatureStore):
    inputs = Inputs("uadd")
    model = build("dstformer", 6, 9, width=16, representation_width=16, depth=1).eval()
    found = predictions(model, store, inputs, flip=False, batch=45)
    total, count = np.zeros((store.frames, 17, 3)), np.zeros(store.frames)
    fields = {name: store.read(name) for name in inputs.fields}
    for row in store.sequences:
        for centre in range(row.start, row.stop, 5):  # windows of 9 that overlap by half
            window = np.arange(centre - 4, centre + 5)
            inside = (window >= row.start) & (window < row.stop)
            clipped = np.clip(window, row.start, row.stop - 1)
            batch = {name: values[clipped][None] for name, values in fields.items()}
            given, _ = inputs({**batch, "frame_size": np.array([[1000, 1000]], dtype=np.float32)})
            with torch.no_grad():
                pose = model(given)[0].numpy()
            total[window[inside]] += pose[inside]
            count[window[inside]] += 1
    assert found.frame.tolist() == [f for f in range(store.frames) if f not in BAD]
    np.testing.assert_allclose(found.pose.numpy(), (total / count[:, None, None])[found.frame], rtol=1e-4, atol=1e-4)


def test_figures_are_those_of_the_frames_predicted_and_groups_are_their_parts(run: Run, store: FeatureStore):
    (result,) = evaluate(run, [store.url], device="cpu")
    poses = by_hand(run.model(), store, run.inputs, flip=True)
    target = store.read("target/pose3d")
    p, g = poses - poses[:, :1], target - target[:, :1]
    error = 1000 * np.linalg.norm(p - g, axis=-1)
    assert result.frames == store.frames - len(BAD)
    assert result.left_out == len(BAD)
    assert result.measures["mpjpe"] == pytest.approx(np.nanmean(error), rel=1e-4)
    assert result.measures["pck"] == pytest.approx(100 * (error < 150).sum() / np.isfinite(error).sum(), abs=0.5)
    for n, (start, length) in enumerate(zip(np.cumsum([0, *LENGTHS]), LENGTHS, strict=False)):
        assert result.by["sequence"][f"test-{n}"]["mpjpe"] == pytest.approx(
            np.nanmean(error[start : start + length]), rel=1e-4
        )
    swing = np.r_[0:30, 51:75]
    assert result.by["action"]["swing"]["mpjpe"] == pytest.approx(np.nanmean(error[swing]), rel=1e-4)
    for joint, name in enumerate(H36M_17.joints):
        assert result.by["joint"][name]["mpjpe"] == pytest.approx(np.nanmean(error[:, joint]), rel=1e-4, abs=1e-6)


def test_velocity_is_of_neighbours_only(run: Run, store: FeatureStore):
    """Neither over the end of a sequence nor over a frame in which nobody was found."""
    (result,) = evaluate(run, [store.url], device="cpu")
    poses = by_hand(run.model(), store, run.inputs, flip=True)
    target = store.read("target/pose3d")
    p, g = poses - poses[:, :1], target - target[:, :1]
    ends = set(np.cumsum(LENGTHS).tolist())
    steps = [
        np.linalg.norm((p[f] - p[f - 1]) - (g[f] - g[f - 1]), axis=-1)
        for f in range(1, store.frames)
        if f not in ends and f not in BAD and f - 1 not in BAD
    ]
    assert result.measures["mpjve"] == pytest.approx(1000 * np.mean(steps), rel=1e-4)


def test_the_14_joints_of_3dhp_alone_count_where_chosen(run: Run, store: FeatureStore):
    (result,) = evaluate(run, [store.url], device="cpu", joints="3dhp14")
    assert list(result.by["joint"]) == [H36M_17.joints[j] for j in JOINTS_3DHP_14]
    mean = np.mean([values["mpjpe"] for values in result.by["joint"].values()])
    assert result.measures["mpjpe"] == pytest.approx(mean, rel=1e-6)
    with pytest.raises(InvalidValueError, match="no set of joints"):
        next(iter(evaluate(run, [store.url], device="cpu", joints="15")))


def test_a_limit_takes_every_nth_frame(run: Run, store: FeatureStore):
    (result,) = evaluate(run, [store.url], device="cpu", limit=20)
    assert 15 <= result.frames <= 20
    assert math.isfinite(result.measures["mpjpe"])
    assert result.as_dict()["measures"]["mpjve"] is None
    json.dumps(result.as_dict(), allow_nan=False)


def test_the_split_is_the_one_named_and_a_store_without_it_is_read_whole(run: Run, tmp_path: Path):
    made = people(tmp_path / "a.zarr", lengths=(20, 20))
    assert [r.frames for r in evaluate(run, [made.url], split="test", device="cpu")] == [40]
    assert [r.frames for r in evaluate(run, [made.url], split="train", device="cpu")] == [40]


def test_the_lines_of_the_csv_hold_every_figure(run: Run, store: FeatureStore):
    found = list(evaluate(run, [store.url, store.url], device="cpu"))
    lines = csv_rows(found)
    assert lines[0][:4] == ["store", "group", "name", "mpjpe"]
    groups = [line[1] for line in lines[1:]]
    assert [groups.count(g) for g in ("all", "action", "joint", "sequence")] == [2, 4, 34, 6]
    assert lines[1][3] == found[0].measures["mpjpe"]


def test_stores_that_mean_something_else_are_refused(run: Run, tmp_path: Path):
    class OtherSkeleton(PeopleStore):
        def begin(self, location):
            from auglift.stores.writing.shards import ShardWriter

            return ShardWriter.create(location, self.layout, self.sequences, self.plan, {"skeleton": "coco17"})

    OtherSkeleton().run(tmp_path / "skeleton.zarr")
    other = {"configuration": {"uadd": {"paper": {"radius_max": 60}}}}
    made = people(tmp_path / "settings.zarr", **other)
    blind = people(tmp_path / "blind.zarr", optional=())
    for url, error, words in (
        (str(tmp_path / "skeleton.zarr"), InvalidValueError, "skeleton"),
        (made.url, InvalidValueError, "descriptor 'paper' otherwise"),
        (blind.url, MissingFieldError, "no ground truth"),
        (people(tmp_path / "n.zarr", presets=("fixed",)).url, MissingFieldError, "holds what xy, xyc, xyd, xycd needs"),
    ):
        with pytest.raises(error, match=words):
            next(iter(evaluate(run, [url], device="cpu")))


def test_a_run_of_another_lifter_or_representation_than_named_is_refused(run: Run):
    run.expect("simple_baseline", inputs_by_name("uadd"))
    with pytest.raises(InvalidValueError, match="is a simple_baseline, not a poseformer"):
        run.expect("poseformer")
    with pytest.raises(InvalidValueError, match="trained on 'uadd', not on 'xy'"):
        run.expect(inputs=inputs_by_name("xy"))
