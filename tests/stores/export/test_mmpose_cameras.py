"""stores/export/mmpose_names.py: the cameras, as MMPose's dataset finds them and its codecs use them."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from auglift.stores.export import export

from ...fakes.filmed import row, write_store

INTRINSICS = {"fx": 1145.0, "fy": 1143.5, "cx": 512.0, "cy": 515.0}


def cameras(path: Path) -> dict:
    return pickle.loads(path.read_bytes())


def store_of(path: Path, *rows, truth: bool = True):
    frames = sum(one.length for one in rows)
    pose = np.random.default_rng(0).normal(0, 0.4, (frames, 17, 3)) + np.array([0, 0, 4])
    return write_store(path, rows, {"target/pose3d": pose} if truth else {})


def test_a_camera_is_plain_arrays_of_its_shapes(tmp_path):
    rows = [row("a", 3, camera="54138969", height=1002, **INTRINSICS), row("b", 3, camera="55011271")]
    found = cameras(export(store_of(tmp_path / "s", *rows), "mmpose", tmp_path / "out").paths[2])
    assert list(found) == [("S1", "54138969"), ("S1", "55011271")]
    camera = found["S1", "54138969"]
    shapes = {key: np.shape(value) for key, value in camera.items() if isinstance(value, np.ndarray)}
    assert shapes == {"R": (3, 3), "T": (3, 1), "f": (2, 1), "c": (2, 1), "k": (3, 1), "p": (2, 1)}
    assert {key: camera[key] for key in ("w", "h", "name", "id")} == {
        "w": 1000,
        "h": 1002,
        "name": "54138969",
        "id": "54138969",
    }
    assert camera["f"].ravel().tolist() == [1145.0, 1143.5]
    assert camera["c"].ravel().tolist() == [512.0, 515.0]


@pytest.fixture(scope="module")
def mmpose():
    found = pytest.importorskip("mmpose", reason="MMPose is not installed")
    pytest.importorskip("auglift.pipeline.networks.openmmlab").prepare()
    import mmpose.codecs
    import mmpose.datasets  # noqa: F401

    return found


def items(folder: Path, **options):
    from mmpose.datasets.datasets.body3d.h36m_dataset import Human36mDataset

    dataset = Human36mDataset(
        ann_file="annotations_made.npz",
        data_root=str(folder),
        data_prefix={"img": "images/"},
        camera_param_file="cameras_made.pkl",
        test_mode=True,
        causal=False,
        **options,
    )
    return [dataset.get_data_info(number) for number in range(len(dataset))]


def test_its_dataset_gives_every_picture_its_own_camera(tmp_path, mmpose):
    sizes = {"a": (640, 480), "b": (1080, 1920), "c": (1000, 1002)}
    rows = [row(id, 3, camera=id, width=w, height=h, **INTRINSICS) for id, (w, h) in sizes.items()]
    export(store_of(tmp_path / "s", *rows), "mmpose", tmp_path)
    found = [(item["camera_param"]["w"], item["camera_param"]["h"]) for item in items(tmp_path)]
    assert found == [size for size in sizes.values() for _ in range(3)]


def test_its_video_pose_lifting_codec_normalises_by_the_camera(tmp_path, mmpose):
    from mmpose.codecs import VideoPoseLifting

    export(store_of(tmp_path / "s", row("a", 3, width=640, height=480, **INTRINSICS)), "mmpose", tmp_path)
    for item in items(tmp_path):
        codec = VideoPoseLifting(num_keypoints=17, reshape_keypoints=False, normalize_camera=True)
        wanted = ("keypoints", "keypoints_visible", "lifting_target", "lifting_target_visible", "camera_param")
        encoded = codec.encode(**{key: item[key] for key in wanted})
        np.testing.assert_allclose(encoded["keypoint_labels"], (item["keypoints"] - [320, 240]) / 320, atol=1e-5)
        np.testing.assert_allclose(encoded["camera_param"]["f"].ravel(), [1145 / 320, 1143.5 / 320], rtol=1e-6)
        np.testing.assert_allclose(encoded["camera_param"]["c"].ravel(), [192 / 320, 275 / 320], rtol=1e-6)


def test_its_motionbert_codec_projects_the_truth_by_the_camera(tmp_path, mmpose):
    from mmpose.codecs import MotionBERTLabel

    export(store_of(tmp_path / "s", row("a", 3, height=1002, **INTRINSICS)), "mmpose", tmp_path)
    for item in items(tmp_path):
        codec = MotionBERTLabel(num_keypoints=17, mode="train")
        wanted = ("keypoints", "keypoints_visible", "lifting_target", "lifting_target_visible", "camera_param")
        label = codec.encode(**{key: item[key] for key in wanted})["lifting_target_label"][0]
        pose = item["lifting_target"][0].astype(np.float64)
        pixel = pose[:, :2] / pose[:, 2:] * [1145, 1143.5]
        np.testing.assert_allclose(label[:, :2], (pixel - pixel[0]) / 500, atol=1e-4)


def test_its_camera_takes_the_truth_to_pixels_and_has_no_other_world(tmp_path, mmpose):
    from mmpose.utils.camera import SimpleCamera

    store = store_of(tmp_path / "s", row("a", 3, **INTRINSICS))
    camera = SimpleCamera(cameras(export(store, "mmpose", tmp_path / "out").paths[2])["S1", "c"])
    pose = store.read("target/pose3d", 0, 1)[0]
    np.testing.assert_array_equal(camera.world_to_camera(pose), pose)
    expected = pose[:, :2] / pose[:, 2:] * [1145, 1143.5] + [512, 515]
    np.testing.assert_allclose(camera.camera_to_pixel(pose.copy())[:, :2], expected, rtol=1e-4)


def test_a_camera_that_is_not_calibrated_has_a_size_and_is_said(tmp_path, mmpose):
    from mmpose.codecs import VideoPoseLifting

    nan = dict.fromkeys(INTRINSICS, float("nan"))
    store = store_of(tmp_path / "s", row("a", 3, **nan), row("b", 3, camera="d", **INTRINSICS))
    done = export(store, "mmpose", tmp_path)
    found = cameras(done.paths[2])
    assert "f" not in found["S1", "c"]
    assert "c" not in found["S1", "c"]
    assert "1 of 2 cameras are not calibrated: they have a size, no f and c" in done.notes
    item = items(tmp_path)[0]
    wanted = ("keypoints", "keypoints_visible", "lifting_target", "lifting_target_visible", "camera_param")
    VideoPoseLifting(num_keypoints=17).encode(**{key: item[key] for key in wanted})


def test_calibrations_fitted_to_takes_are_one_camera_and_others_are_two(tmp_path):
    """Its dataset finds a camera by subject and name: a camera that was moved, or filmed in another size, has two."""
    takes = [
        row("a", 2, action="a", **INTRINSICS),
        row("b", 2, action="b", **{**INTRINSICS, "fx": 1147.0}),
        row("c", 2, action="c", **{**INTRINSICS, "fx": 1149.0}),
        row("d", 2, action="d", **{**INTRINSICS, "fx": 1500.0}),
        row("e", 2, action="e", height=720, **INTRINSICS),
    ]
    done = export(store_of(tmp_path / "s", *takes), "mmpose", tmp_path / "out")
    found = cameras(done.paths[2])
    assert {key: (camera["f"][0, 0], camera["h"]) for key, camera in found.items()} == {
        ("S1", "c"): (1147.0, 1000),
        ("S1", "c-2"): (1500.0, 1000),
        ("S1", "c-3"): (1145.0, 720),
    }
    names = np.load(done.paths[0])["imgname"]
    assert [name.split(".")[1].split("/")[0] for name in names[::2]] == ["c", "c", "c", "c-2", "c-3"]


def test_names_that_are_made_alike_stay_two_cameras(tmp_path):
    takes = [row("a", 2, camera="c_1"), row("b", 2, camera="c-1"), row("c", 2, camera="c.1")]
    found = cameras(export(store_of(tmp_path / "s", *takes), "mmpose", tmp_path / "out").paths[2])
    assert [(key[1], camera["id"]) for key, camera in found.items()] == [
        ("c-1", "c_1"),
        ("c-1-2", "c-1"),
        ("c-1-3", "c.1"),
    ]
