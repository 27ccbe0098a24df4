"""stores/export/mmpose.py: annotations and detections as MMPose's Human36mDataset has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from auglift.stores.errors import InvalidValueError
from auglift.stores.export import export
from auglift.stores.format.schema import FIELDS
from auglift.stores.reading.store import FeatureStore

from ...fakes.filmed import row, write_store
from ...fakes.stores import MadeStore, make_store

MADE = MadeStore()


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> FeatureStore:
    return make_store(tmp_path_factory.mktemp("store") / "s.zarr")


@pytest.fixture(scope="module")
def dataset_class():
    """MMPose's own."""
    pytest.importorskip("mmpose", reason="MMPose is not installed")
    pytest.importorskip("auglift.pipeline.networks.openmmlab").prepare()
    from mmpose.datasets.datasets.body3d.h36m_dataset import Human36mDataset

    return Human36mDataset


def load(dataset_class, folder: Path, name: str = "fake", **options):
    return dataset_class(
        ann_file=f"annotations_{name}.npz",
        data_root=str(folder),
        data_prefix={"img": "images/"},
        test_mode=True,
        **options,
    )


def test_annotations_need_no_pickle_and_have_its_keys(store, tmp_path):
    annotations, detections, _ = export(store, "mmpose", tmp_path).paths
    with np.load(annotations) as found:  # allow_pickle is off by default
        shapes = {key: found[key].shape for key in found.files}
        kinds = {key: found[key].dtype.str[1:] for key in found.files if key != "imgname"}
        assert shapes == {"imgname": (50,), "center": (50, 2), "scale": (50,), "part": (50, 17, 3), "S": (50, 17, 4)}
        assert kinds == {"center": "f4", "scale": "f4", "part": "f4", "S": "f4"}
        known = MADE.values(FIELDS["valid"]) > 0
        box = MADE.values(FIELDS["bbox"])[known]
        np.testing.assert_allclose(found["center"][known], (box[:, :2] + box[:, 2:4]) / 2, rtol=1e-6)
        np.testing.assert_allclose(found["scale"][known] * 200, (box[:, 2:4] - box[:, :2]).max(axis=1), rtol=1e-5)
        assert found["imgname"][0] == "S1/S1_walk_0.cam1/S1_walk_0.cam1_000001.jpg"
        assert len(set(found["imgname"])) == 50
    assert np.load(detections).shape == (50, 17, 3)


def test_its_own_dataset_reads_the_annotations(store, tmp_path, dataset_class):
    export(store, "mmpose", tmp_path)
    dataset = load(dataset_class, tmp_path)
    known = MADE.values(FIELDS["valid"]) > 0
    assert len(dataset) == known.sum(), "frames without a person are not visible, and MMPose leaves those out"
    frames = iter(np.flatnonzero(known))
    for index in range(len(dataset)):
        item, frame = dataset.get_data_info(index), next(frames)
        np.testing.assert_array_equal(item["keypoints"][0], MADE.values(FIELDS["target/keypoints"])[frame])
        np.testing.assert_array_equal(item["lifting_target"][0], MADE.values(FIELDS["target/pose3d"])[frame])
        assert item["keypoints_visible"].all()


def test_its_windows_are_cut_inside_sequences_and_take_our_detections(store, tmp_path, dataset_class):
    export(store, "mmpose", tmp_path)
    options = {"keypoint_2d_src": "detection", "keypoint_2d_det_file": "detections_fake.npy"}
    dataset = load(dataset_class, tmp_path, seq_len=9, causal=False, **options)
    windows = [[int(i) for i in dataset.get_data_info(n)["img_ids"]] for n in range(len(dataset))]
    edges = [(row.start, row.stop) for row in store.sequences]
    assert len(windows) == sum(stop - start - 8 for start, stop in edges)
    for window in windows:
        assert any(start <= window[0] and window[-1] < stop for start, stop in edges)
    item = dataset.get_data_info(0)
    detected, score = MADE.values(FIELDS["keypoints"]), MADE.values(FIELDS["score"])
    known = MADE.values(FIELDS["valid"])[windows[0]] > 0
    np.testing.assert_array_equal(item["keypoints"][known], detected[windows[0]][known])
    np.testing.assert_array_equal(item["keypoints_visible"][known], score[windows[0]][known])
    assert (item["keypoints"][~known] == 0).all()


def cut(name: str) -> tuple[str, str, str]:
    """Subject, action and camera of a picture's name, as its Human36mDataset cuts them."""
    subject, rest = name.rsplit("/", 1)[-1].split("_", 1)
    action, rest = rest.split(".", 1)
    return subject, action, rest.split("_", 1)[0]


def test_names_that_it_would_cut_wrongly_are_changed_and_stay_apart(tmp_path):
    awkward = {"subject": "sub_1.x", "action": "walk.fast/2", "camera": "c_1"}
    store = write_store(tmp_path / "s", [row("a", 3, **awkward), row("b", 4, **awkward)], {})
    names = np.load(export(store, "mmpose", tmp_path / "out").paths[0])["imgname"]
    first, second = ("sub-1-x", "walk_fast_2", "c-1"), ("sub-1-x", "walk_fast_2-2", "c-1")
    assert [cut(name) for name in names] == [first] * 3 + [second] * 4


@pytest.mark.parametrize(
    ("missing", "sequences"),
    [
        (None, {"walk-part1": 2, "walk-part2": 5, "run": 6}),
        ("longest", {"walk": 5, "run": 6}),
        ("keep", {"walk": 9, "run": 7}),
    ],
)
def test_frames_without_truth_go_as_the_user_says(tmp_path, missing, sequences):
    """With zeros for truth its losses would pull poses to a point, unless they are set to look at visibility."""
    truth = np.random.default_rng(0).normal(0, 1, (16, 17, 3))
    truth[[2, 3, 15]] = np.nan
    rows = [row("a", 9), row("b", 7, action="run")]
    store = write_store(tmp_path / "s", rows, {"target/pose3d": truth})
    done = export(store, "mmpose", tmp_path / "out", missing=missing)
    with np.load(done.paths[0]) as found:
        actions = [cut(name)[1] for name in found["imgname"]]
        visible = found["S"][..., 3]
        numbers = [int(name[-10:-4]) for name in found["imgname"]]
    assert {action: actions.count(action) for action in dict.fromkeys(actions)} == sequences
    assert len(np.load(done.paths[1])) == len(actions) == done.frames
    assert int((visible == 0).all(axis=1).sum()) == (3 if missing == "keep" else 0)
    if missing is None:
        assert numbers == [1, 2, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6]


def test_a_store_without_truth_says_what_it_is_fit_for(tmp_path, dataset_class):
    store = write_store(tmp_path / "s", [row("a", 5)], {})
    done = export(store, "mmpose", tmp_path)
    assert "the store has no ground truth: S is zero and not visible, fit to predict from alone" in done.notes
    dataset = load(dataset_class, tmp_path, "made")
    assert len(dataset) == 5
    assert not dataset.get_data_info(0)["lifting_target_visible"].any()


def test_where_no_frame_has_truth_nothing_is_written(tmp_path):
    store = write_store(tmp_path / "s", [row("a", 5)], {"target/pose3d": np.full((5, 17, 3), np.nan)})
    with pytest.raises(InvalidValueError, match="it has no frame with ground truth"):
        export(store, "mmpose", tmp_path / "out")
    assert not (tmp_path / "out").exists()
