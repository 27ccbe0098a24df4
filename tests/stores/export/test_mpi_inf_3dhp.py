"""stores/export/mpi_inf_3dhp.py: P-STMO's two files by rules restated here, and the kind of ground truth named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from auglift.stores.errors import InvalidValueError
from auglift.stores.export import export
from auglift.stores.locations.choose import locate
from auglift.stores.reading.store import FeatureStore

from ...fakes.filmed import row, write_store

# By the names that the archive gives its 17 joints: head_top, neck, r shoulder elbow wrist, l shoulder elbow wrist,
# r hip knee ankle, l hip knee ankle, pelvis, spine, head; each as H36M-17's number.
IN_3DHP = [10, 8, 14, 15, 16, 11, 12, 13, 1, 2, 3, 4, 5, 6, 0, 7, 9]
RNG = np.random.default_rng(0)
ROWS = [
    row("S1/Seq1/0", 8, subject="S1", action="Seq1", camera="0", width=2048, height=2048, fps=25),
    row("S1/Seq1/4", 8, subject="S1", action="Seq1", camera="4", width=2048, height=2048, fps=25),
    row("S2/Seq2/0", 5, subject="S2", action="Seq2", camera="0", width=1024, height=1024, fps=50),
    row("TS1", 6, subject="TS1", action="", camera="", split="test", width=2048, height=2048),
    row("TS5", 7, subject="TS5", action="", camera="", split="test", width=1920, height=1080),
]
FRAMES = sum(one.length for one in ROWS)
POSE = RNG.normal(0, 0.5, (FRAMES, 17, 3)).astype(np.float32) + np.float32(4)
FLAT = RNG.uniform(10, 1000, (FRAMES, 17, 2)).astype(np.float32)


def made(path: Path, attributes: dict | None = None, dataset: str = "mpi-inf-3dhp", **given) -> FeatureStore:
    store = write_store(path, ROWS, {"target/pose3d": POSE, "target/keypoints": FLAT, **given}, dataset)
    if attributes is None:
        return store
    import json

    location = locate(path)
    group = json.loads(location.read("zarr.json"))
    group["attributes"] |= attributes
    location.write("zarr.json", json.dumps(group).encode())
    return FeatureStore.open(path)


def load(path: Path) -> dict:
    with np.load(path, allow_pickle=True) as file:
        return file["data"].item()


def test_joints_are_in_3dhps_order_mm_and_px_by_sequence_and_camera(tmp_path):
    done = export(made(tmp_path / "s"), "mpi-inf-3dhp", tmp_path / "o")
    assert [path.name for path in done.paths] == ["data_train_3dhp.npz", "data_test_3dhp.npz"]
    train, test = (load(path) for path in done.paths)
    assert {key: (list(cameras), fps) for key, (cameras, fps) in train.items()} == {
        "S1 Seq1": (["0", "4"], 25), "S2 Seq2": (["0"], 50)}  # fmt: skip
    camera = train["S1 Seq1"][0]["4"]
    np.testing.assert_allclose(camera["data_3d"], 1000 * POSE[8:16][:, IN_3DHP], rtol=1e-6)
    np.testing.assert_array_equal(camera["data_2d"], FLAT[8:16][:, IN_3DHP])
    np.testing.assert_array_equal(train["S2 Seq2"][0]["0"]["data_2d"], 2 * FLAT[16:21][:, IN_3DHP])
    assert list(test) == ["TS1", "TS5"]
    np.testing.assert_array_equal(test["TS5"]["data_2d"], FLAT[27:][:, IN_3DHP])
    assert test["TS1"]["valid"].tolist() == [1] * 6
    assert any("ground truth is annot3: metric" in note and "NOT comparable" in note for note in done.notes)
    assert done.frames == FRAMES


def test_frames_that_are_not_valid_stay_in_the_test_part_and_split_the_train_part(tmp_path):
    pose, flat = POSE.copy(), FLAT.copy()
    for frame in (3, 22, 23):
        pose[frame], flat[frame] = np.nan, np.nan
    given = {"target/pose3d": pose, "target/keypoints": flat}
    done = export(made(tmp_path / "s", **given), "mpi-inf-3dhp", tmp_path / "o")
    train, test = (load(path) for path in done.paths)
    lengths = {
        (key, camera): len(part["data_2d"]) for key, (cameras, _) in train.items() for camera, part in cameras.items()
    }
    assert lengths == {
        ("S1 Seq1-part1", "0"): 3,
        ("S1 Seq1-part2", "0"): 4,
        ("S1 Seq1", "4"): 8,
        ("S2 Seq2", "0"): 5,
    }
    assert all(len(key.split(" ")) == 2 for key in train), "its loader cuts the name at the one blank"
    assert test["TS1"]["valid"].tolist() == [1, 0, 0, 1, 1, 1]
    for name in ("data_2d", "data_3d"):
        assert np.isfinite(test["TS1"][name]).all()
        between = test["TS1"][name][0] * 2 / 3 + test["TS1"][name][3] / 3
        np.testing.assert_allclose(test["TS1"][name][1], between, rtol=1e-4)


def test_detected_joints_can_stand_in_for_the_true_ones(tmp_path):
    valid = np.ones(FRAMES, np.uint8)
    valid[22] = 0
    store = made(tmp_path / "s", valid=valid)
    done = export(store, "mpi-inf-3dhp", tmp_path / "o", joints="detected")
    test = load(done.paths[1])
    detected = store.read("keypoints", 21, 27)[:, IN_3DHP]
    detected[1] = (detected[0] + detected[2]) / 2
    np.testing.assert_allclose(test["TS1"]["data_2d"], detected, rtol=1e-5)
    assert test["TS1"]["valid"].tolist() == [1] * 6
    assert any("1 of 13 frames have nobody in them" in note for note in done.notes)


@pytest.mark.parametrize("held", ["annot3", "univ_annot3"])
def test_what_the_store_holds_decides_which_kind_of_truth_is_written(tmp_path, held):
    store = made(tmp_path / "s", {"ground_truth": {"annotation": held}})
    done = export(store, "mpi-inf-3dhp", tmp_path / "o", annotation=held)
    assert any(f"ground truth is {held}" in note for note in done.notes)
    (other,) = {"annot3", "univ_annot3"} - {held}
    with pytest.raises(InvalidValueError, match=rf"holds {held}, not {other}: auglift-prep .*--annotation {other}"):
        export(store, "mpi-inf-3dhp", tmp_path / "p", annotation=other)


def test_a_store_from_before_the_choice_holds_annot3(tmp_path):
    with pytest.raises(InvalidValueError, match="holds annot3, not univ_annot3"):
        export(made(tmp_path / "s"), "mpi-inf-3dhp", tmp_path / "o", annotation="univ_annot3")


def test_another_dataset_is_refused(tmp_path):
    with pytest.raises(InvalidValueError, match="is no store of MPI-INF-3DHP with ground truth"):
        export(made(tmp_path / "s", dataset="h36m"), "mpi-inf-3dhp", tmp_path / "o")


def test_only_the_split_that_is_there_is_written(tmp_path):
    store = made(tmp_path / "s")
    done = export(store, "mpi-inf-3dhp", tmp_path / "o", store.sequences.select(split="test"))
    assert [path.name for path in done.paths] == ["data_test_3dhp.npz"]
