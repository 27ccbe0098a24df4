"""stores/export/motionbert.py: clips and the file they are cut from, by rules restated here."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from auglift.stores.errors import InvalidValueError
from auglift.stores.export import export
from auglift.stores.export.h36m_names import CAMERAS, SIZES, takes
from auglift.stores.export.motionbert_image import factor, in_picture
from auglift.stores.reading.store import FeatureStore

from ...fakes.filmed import row, write_store

LENGTHS = (25, 9, 40, 21)
RNG = np.random.default_rng(0)


def people(frames: int) -> np.ndarray:
    """(T, 17, 3) m in a camera's frame, some metres before it."""
    return RNG.normal(0, 0.4, (frames, 17, 3)) + np.array([0.2, -0.1, 4.5])


POSE = people(sum(LENGTHS))
SPLITS = ("train", "train", "test", "train")


def made(path: Path, dataset: str = "made", **given) -> FeatureStore:
    rows = [
        row(f"S1/{name}.{camera}", length, split=split, action=name, camera=camera, width=SIZES[camera][0],
            height=SIZES[camera][1])
        for length, split, name, camera in zip(
            LENGTHS, SPLITS, ("Greeting", "Greeting 1", "TakingPhoto", "Photo 1"), CAMERAS, strict=True
        )
    ]  # fmt: skip
    return write_store(path, rows, {"target/pose3d": POSE, **given}, dataset)


def clips(folder: Path, part: str) -> list[dict[str, np.ndarray]]:
    return [pickle.loads(path.read_bytes()) for path in sorted((folder / part).iterdir())]


def by_hand(pose: np.ndarray, fx=1145.0, fy=1144.0, cx=512.0, cy=515.0) -> np.ndarray:
    """One frame (17, 3) m to px, joint by joint."""
    root = pose[0, 2]
    a_metre = (fx * (1000 / (root * 1000)) + cx) - (fx * (-1000 / (root * 1000)) + cx) + 1  # px of 2 m, both ends
    return np.array([[x / z * fx + cx, y / z * fy + cy, a_metre / 2 * (z - root)] for x, y, z in pose])


def test_the_truth_is_in_the_picture_and_its_depth_in_px_of_the_pelvis_distance():
    image = in_picture(POSE[:3], np.tile([1145.0, 1144.0, 512.0, 515.0], (3, 1)))
    for frame in range(3):
        np.testing.assert_allclose(image[frame], by_hand(POSE[frame]))


def test_mmpose_puts_the_truth_into_the_picture_at_the_same_place():
    pytest.importorskip("mmpose", reason="MMPose is not installed")
    pytest.importorskip("auglift.pipeline.networks.openmmlab").prepare()
    from mmpose.codecs.utils.camera_image_projection import camera_to_image_coord

    camera = {"f": np.array([1145.0, 1144.0]), "c": np.array([512.0, 515.0])}
    theirs, scale = camera_to_image_coord(0, POSE[:5], camera)  # thousands of px, and metres to one of these
    image = in_picture(POSE[:5], np.tile([1145.0, 1144.0, 512.0, 515.0], (5, 1)))
    np.testing.assert_allclose(image, 1000 * theirs, rtol=1e-9)
    # Its factor goes by the pelvis' distance alone, ours by all joints: near, not the same.
    np.testing.assert_allclose(factor(image, POSE[:5]), scale, rtol=0.1)


def test_the_factor_brings_px_back_to_mm_as_near_to_the_pose_as_one_number_can():
    image = in_picture(POSE[:5], np.tile([1145.0, 1144.0, 512.0, 515.0], (5, 1)))
    found = factor(image, POSE[:5])
    for frame in range(5):
        flat, solid = (values[frame] - values[frame, 0] for values in (image, 1000 * POSE))
        # lambda, px a mm, by search; the factor is its inverse
        tried = np.linspace(0.05, 1, 20_000)
        errors = [((solid * share - flat) ** 2).sum() for share in tried]
        assert 1 / found[frame] == pytest.approx(tried[int(np.argmin(errors))], abs=1e-4)


def test_clips_lie_where_motionberts_own_cut_them_and_hold_its_unit(tmp_path):
    store = made(tmp_path / "s")
    done = export(store, "motionbert", tmp_path / "o", clip_frames=9, clip_stride=4)
    folder = tmp_path / "o" / "MB3D_f9s4" / "made-auglift"
    assert done.paths == [folder]
    # (sequence's start, clip's first frame in it): every fourth frame in training, one after another in testing.
    starts = {"train": [0, 4, 8, 12, 16, 25, 74, 78, 82, 86], "test": [34, 43, 52, 61]}
    keypoints, score = store.read("keypoints"), store.read("score")
    for part, expected in starts.items():
        found = clips(folder, part)
        assert len(found) == len(expected)
        for clip, start in zip(found, expected, strict=True):
            span = slice(start, start + 9)
            width, height = (
                SIZES[CAMERAS[int(np.searchsorted(np.cumsum(LENGTHS), start, "right"))]][i] for i in (0, 1)
            )
            assert {key: (value.shape, value.dtype.str) for key, value in clip.items()} == {
                "data_input": ((9, 17, 3), "<f4"), "data_label": ((9, 17, 3), "<f4")}  # fmt: skip
            np.testing.assert_allclose(
                clip["data_input"][..., :2], keypoints[span] / width * 2 - [1, height / width], atol=1e-6
            )
            np.testing.assert_array_equal(clip["data_input"][..., 2], np.clip(score[span], 0, 1))
            image = np.stack([by_hand(pose) for pose in POSE[span].astype(np.float32).astype(np.float64)])
            label = np.concatenate([image[..., :2] / width * 2 - [1, height / width], image[..., 2:] / width * 2], -1)
            np.testing.assert_allclose(clip["data_label"], label, atol=1e-5)


def test_without_anybody_joints_are_interpolated_with_confidence_0(tmp_path):
    valid = np.ones(sum(LENGTHS), np.uint8)
    valid[3] = 0
    store = made(tmp_path / "s", valid=valid)
    done = export(store, "motionbert", tmp_path / "o", clip_frames=9)
    clip = clips(tmp_path / "o/MB3D_f9s3/made-auglift", "train")[0]
    assert (clip["data_input"][3, :, 2] == 0).all()
    assert (clip["data_input"][[2, 4], :, 2] > 0).any(axis=1).all()
    np.testing.assert_allclose(clip["data_input"][3, :, :2], clip["data_input"][[2, 4], :, :2].mean(axis=0), atol=1e-5)
    assert any("1 of 95 frames have nobody in them" in note for note in done.notes)


def test_the_true_joints_can_be_learned_from(tmp_path):
    export(made(tmp_path / "s"), "motionbert", tmp_path / "o", clip_frames=9, joints="truth")
    for clip in clips(tmp_path / "o/MB3D_f9s3/made-auglift", "test"):
        np.testing.assert_array_equal(clip["data_input"][..., :2], clip["data_label"][..., :2])
        assert (clip["data_input"][..., 2] == 1).all()


def test_of_human36m_the_source_holds_every_frame_under_the_archives_names(tmp_path):
    store = made(tmp_path / "s", "h36m")
    export(store, "motionbert", tmp_path / "o", clip_frames=9)
    source = pickle.loads((tmp_path / "o/h36m_auglift_cam_source.pkl").read_bytes())
    assert list(source) == ["train", "test"]
    train, test = source["train"], source["test"]
    assert {key: len(value) for key, value in train.items()} == dict.fromkeys(
        ("joint_2d", "confidence", "joint3d_image", "camera_name", "source"), 55
    )
    assert set(test) - set(train) == {"2.5d_factor", "joints_2.5d_image", "action"}
    names = [*["s_01_act_05_subact_02_ca_01"] * 25, *["s_01_act_05_subact_01_ca_02"] * 9]
    assert train["source"] == names + ["s_01_act_12_subact_01_ca_04"] * 21
    assert test["source"] == ["s_01_act_12_subact_02_ca_03"] * 40
    assert set(test["action"]) == {"Photo"}
    assert test["camera_name"] == [CAMERAS[2]] * 40
    np.testing.assert_array_equal(test["joint_2d"], store.read("keypoints", 34, 74))
    image = np.stack([by_hand(pose) for pose in POSE[34:74]])
    np.testing.assert_allclose(test["joint3d_image"], image, atol=0.01)
    np.testing.assert_allclose(
        test["joints_2.5d_image"], test["joint3d_image"] * test["2.5d_factor"][:, None, None], rtol=1e-6
    )


def test_joints_of_smaller_frames_are_moved_to_the_sizes_in_its_code(tmp_path):
    small = [row("a", 12, camera=CAMERAS[0], width=500, height=501, fx=572.5, fy=572.0, cx=256.0, cy=257.5)]
    whole = [row("a", 12, camera=CAMERAS[0], width=1000, height=1002, fx=1145.0, fy=1144.0, cx=512.0, cy=515.0)]
    joints = RNG.uniform(10, 480, (12, 17, 2))
    found = []
    for name, rows, scale in (("small", small, 1), ("whole", whole, 2)):
        given = {"target/pose3d": POSE[:12], "keypoints": joints * scale}
        store = write_store(tmp_path / name, rows, given, "h36m")
        export(store, "motionbert", tmp_path / f"{name}-out", clip_frames=5)
        found.append(pickle.loads((tmp_path / f"{name}-out/h36m_auglift_cam_source.pkl").read_bytes())["train"])
    for key in ("joint_2d", "joint3d_image"):
        np.testing.assert_allclose(found[0][key], found[1][key], atol=1e-3)


def test_what_makes_no_clip_is_left_out_and_named(tmp_path):
    rows = [
        row("short", 5, split="train"),
        row("other", 30, split="validation"),
        row("uncalibrated", 30, split="train", fx=np.nan),
        row("empty", 30, split="train"),
        row("fine", 30, split="train"),
    ]
    valid = np.ones(125, np.uint8)
    valid[65:95] = 0
    store = write_store(tmp_path / "s", rows, {"target/pose3d": people(125), "valid": valid})
    done = export(store, "motionbert", tmp_path / "o", clip_frames=9)
    assert dict(done.left_out) == {
        "short": "it has no 9 frames together; --clip-frames makes shorter clips",
        "other": "its split is 'validation', and MotionBERT knows train and test",
        "uncalibrated": "its camera is not calibrated, and MotionBERT learns the truth in the picture",
        "empty": "nobody is found in it",
    }
    assert any("no sequence is of the split test" in note for note in done.notes)


def test_frames_without_truth_split_a_sequence_and_no_clip_crosses_them(tmp_path):
    pose = POSE.copy()
    pose[12] = np.nan
    export(made(tmp_path / "s", "h36m", **{"target/pose3d": pose}), "motionbert", tmp_path / "o", clip_frames=9)
    train = clips(tmp_path / "o/MB3D_f9s3/h36m-auglift", "train")
    assert all(np.isfinite(clip["data_label"]).all() for clip in train)
    assert len(train) == 2 + 2 + 1 + 5  # of 12 and 12 frames, of 9, of 21
    source = pickle.loads((tmp_path / "o/h36m_auglift_cam_source.pkl").read_bytes())["train"]["source"]
    assert list(dict.fromkeys(source))[:2] == ["s_01_act_05_subact_02_part1_ca_01", "s_01_act_05_subact_02_part2_ca_01"]


def test_clips_of_an_earlier_export_do_not_stay_and_other_files_are_not_touched(tmp_path):
    store = made(tmp_path / "s")
    folder = tmp_path / "o/MB3D_f9s4/made-auglift"
    export(store, "motionbert", tmp_path / "o", clip_frames=9, clip_stride=4)
    before = len(list((folder / "train").iterdir()))
    with pytest.raises(InvalidValueError, match="is there already"):
        export(store, "motionbert", tmp_path / "o", clip_frames=9, clip_stride=4)
    one = store.sequences.select(id="S1/Photo 1.60457274")
    export(store, "motionbert", tmp_path / "o", one, overwrite=True, clip_frames=9, clip_stride=4)
    assert len(list((folder / "train").iterdir())) == 4 < before
    (folder / "thesis.tex").write_text("")
    with pytest.raises(InvalidValueError, match=r"holds thesis\.tex"):
        export(store, "motionbert", tmp_path / "o", overwrite=True, clip_frames=9, clip_stride=4)


def test_takes_of_an_act_are_numbered_as_the_archive_does():
    assert takes(["Greeting", "Greeting 1"]) == {"Greeting": (5, 2), "Greeting 1": (5, 1)}
    assert takes(["Sitting 2", "Sitting 1"]) == {"Sitting 1": (9, 1), "Sitting 2": (9, 2)}
    assert takes(["WalkingDog 1", "WalkDog"]) == {"WalkingDog 1": (15, 1), "WalkDog": (15, 2)}
    assert len(set(takes(["Eating", "Eating 1", "Eating 2"]).values())) == 3
    # What the published evaluation leaves out, and the names that our adapter leaves out (pipeline/datasets/h36m.py).
    assert takes(["Greeting"])["Greeting"] == (5, 2)
    assert takes(["SittingDown"])["SittingDown"] == (10, 2)
    assert takes(["Waiting 1"])["Waiting 1"] == (13, 1)


def test_a_store_without_truth_is_refused(tmp_path):
    with pytest.raises(InvalidValueError, match="no ground truth, without which MotionBERT"):
        export(write_store(tmp_path / "s", [row("a", 30)], {}), "motionbert", tmp_path / "o")
