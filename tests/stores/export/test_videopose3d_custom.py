"""stores/export/videopose3d/custom.py: VideoPose3D's rules for its `-d custom`, restated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from auglift.stores.errors import InvalidValueError
from auglift.stores.export import export
from auglift.stores.format.skeleton import H36M_17
from auglift.stores.reading.store import FeatureStore

from ...fakes.filmed import row, write_store

ROWS = [row("a/1", 9, width=640, height=480), row("b", 7, width=1080, height=1920, subject="", action="")]


def store_of(path: Path, truth: bool = True, valid=(), unknown=()) -> FeatureStore:
    """16 frames; nobody in the frames `valid` says, no truth in those `unknown` says."""
    given = {"valid": np.ones(16, np.uint8), "keypoints": np.random.default_rng(1).uniform(1, 400, (16, 17, 2))}
    given["valid"][list(valid)] = 0
    given["keypoints"][list(valid)] = np.nan
    if truth:
        given["target/pose3d"] = np.random.default_rng(2).normal(0, 1, (16, 17, 3))
        given["target/pose3d"][list(unknown), 3] = np.nan
    return write_store(path, ROWS, given, "my clips")


def as_its_loader(path: Path) -> tuple[dict, dict]:
    """2D joints as its run.py has them in the end, and the file's metadata. Its rules for `-d custom`:

    a subject for every video in video_metadata, each with a size; its only action is "custom", and it has one camera;
    the 2D joints have exactly these subjects; they are normalised in place by that size.
    """
    with np.load(path, allow_pickle=True) as found:
        keypoints, metadata = found["positions_2d"].item(), found["metadata"].item()
    sizes = metadata["video_metadata"]
    assert keypoints.keys() == sizes.keys()
    for video, actions in keypoints.items():
        assert list(actions) == ["custom"]
        (kps,) = actions["custom"]
        assert (kps.dtype, kps.shape[1:]) == (np.float32, (17, 2))
        width, height = sizes[video]["w"], sizes[video]["h"]
        kps[..., :2] = kps[..., :2] / width * 2 - [1, height / width]
    return keypoints, metadata


def test_every_sequence_is_a_video_with_its_own_size(tmp_path):
    store = store_of(tmp_path / "s")
    done = export(store, "videopose3d", tmp_path / "out")
    assert [path.name for path in done.paths] == ["data_2d_custom_my-clips.npz", "data_3d_custom_my-clips.npz"]
    assert done.frames == 16
    assert any("run.py -d custom -k my-clips" in note for note in done.notes)
    keypoints, metadata = as_its_loader(done.paths[0])
    assert metadata["video_metadata"] == {"a/1": {"w": 640, "h": 480}, "b": {"w": 1080, "h": 1920}}
    for one in store.sequences:
        read = store.read("keypoints", one.start, one.stop).astype(np.float64)
        expected = (read - [one.width / 2, one.height / 2]) / (one.width / 2)
        np.testing.assert_allclose(keypoints[one.id]["custom"][0], expected, atol=1e-6)


def test_its_flip_swaps_left_and_right(tmp_path):
    """Its generator flips by `kps[:, left + right] = kps[:, right + left]`."""
    _, metadata = as_its_loader(export(store_of(tmp_path / "s"), "videopose3d", tmp_path / "out").paths[0])
    left, right = (list(side) for side in metadata["keypoints_symmetry"])
    order = np.arange(metadata["num_joints"])
    order[left + right] = order[right + left]
    np.testing.assert_array_equal(order, H36M_17.flip)
    assert left == [4, 5, 6, 11, 12, 13]


def test_the_truth_has_the_nesting_of_the_2d_joints(tmp_path):
    store = store_of(tmp_path / "s")
    path = export(store, "videopose3d", tmp_path / "out").paths[1]
    truth = np.load(path, allow_pickle=True)["positions_3d"].item()
    for one in store.sequences:
        np.testing.assert_array_equal(truth[one.id]["custom"][0], store.read("target/pose3d", one.start, one.stop))


def test_without_truth_there_are_2d_joints_alone(tmp_path):
    done = export(store_of(tmp_path / "s", truth=False), "videopose3d", tmp_path / "out")
    assert [path.name for path in done.paths] == ["data_2d_custom_my-clips.npz"]
    as_its_loader(done.paths[0])


def test_frames_without_a_person_are_interpolated_and_said(tmp_path):
    store = store_of(tmp_path / "s", valid=(0, 3, 4))
    done = export(store, "videopose3d", tmp_path / "out")
    assert "3 of 16 frames have nobody in them and are interpolated" in done.notes
    with np.load(done.paths[0], allow_pickle=True) as found:
        kps = found["positions_2d"].item()["a/1"]["custom"][0]
    read = store.read("keypoints", 0, 9)
    np.testing.assert_array_equal(kps[0], read[1])
    np.testing.assert_allclose(kps[3], read[2] + (read[5] - read[2]) / 3, rtol=1e-6)


def test_a_sequence_without_anybody_is_left_out_and_named(tmp_path):
    store = store_of(tmp_path / "s", valid=range(9))
    done = export(store, "videopose3d", tmp_path / "out")
    assert done.left_out == [("a/1", "nobody is found in it")]
    assert list(as_its_loader(done.paths[0])[0]) == ["b"]
    with pytest.raises(InvalidValueError, match="nobody is found"):
        export(store, "videopose3d", tmp_path / "none", store.sequences.select(id="a/1"))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("missing", "lengths"),
    [
        (None, {"a/1 part 1": 2, "a/1 part 2": 5, "b": 6}),
        ("split", {"a/1 part 1": 2, "a/1 part 2": 5, "b": 6}),
        ("longest", {"a/1": 5, "b": 6}),
        ("keep", {"a/1": 9, "b": 7}),
    ],
)
def test_frames_without_truth_go_as_the_user_says_and_2d_joints_with_them(tmp_path, missing, lengths):
    store = store_of(tmp_path / "s", unknown=(2, 3, 15))
    done = export(store, "videopose3d", tmp_path / "out", missing=missing)
    keypoints, _ = as_its_loader(done.paths[0])
    truth = np.load(done.paths[1], allow_pickle=True)["positions_3d"].item()
    for found in (keypoints, truth):
        assert {name: len(actions["custom"][0]) for name, actions in found.items()} == lengths
    assert done.frames == sum(lengths.values())
    holes = sum(int(np.isnan(actions["custom"][0]).any(axis=(1, 2)).sum()) for actions in truth.values())
    assert holes == (3 if missing == "keep" else 0)
    assert "3 of 16 frames have no ground truth" in done.notes[0]


def test_where_every_sequence_lacks_truth_leaving_them_out_leaves_nothing(tmp_path):
    store = store_of(tmp_path / "s", unknown=(2, 15))
    with pytest.raises(InvalidValueError, match=r"nothing to write .* left out, as it has frames without ground truth"):
        export(store, "videopose3d", tmp_path / "out", missing="leave-out")


def test_a_parts_name_is_never_anothers(tmp_path):
    rows = [row("a", 5), row("a part 1", 4)]
    truth = np.zeros((9, 17, 3))
    truth[2] = np.nan
    store = write_store(tmp_path / "s", rows, {"target/pose3d": truth})
    keypoints, _ = as_its_loader(export(store, "videopose3d", tmp_path / "out").paths[0])
    assert {name: len(a["custom"][0]) for name, a in keypoints.items()} == {
        "a part 1-2": 2,
        "a part 2": 2,
        "a part 1": 4,
    }
