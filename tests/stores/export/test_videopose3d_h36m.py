"""stores/export/videopose3d/h36m.py: VideoPose3D's rules for its `-d h36m`, restated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from auglift.stores.errors import InvalidValueError
from auglift.stores.export import export
from auglift.stores.format.sequences import SequenceTable

from ...fakes.filmed import CAMERAS, SIZES, h36m_store, rig, turn, write_checkout

KEPT = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]  # of its 32 joints
ACTIONS = {"Directions", "Discussion", "Eating", "Greeting", "Phoning", "Photo", "Posing", "Purchases", "Sitting"}
ACTIONS |= {"SittingDown", "Smoking", "Waiting", "WalkDog", "Walking", "WalkTogether"}
RIGS = {"S1": rig(1), "S9": rig(9)}
TAKES = {("S1", "Walking 1"): 12, ("S1", "TakingPhoto"): 7, ("S9", "WalkingDog 1"): 9, ("S9", "WalkTogether"): 5}


def as_run_py(folder: Path, rigs=RIGS) -> tuple[dict, dict]:
    """Truth in the cameras' frames and normalised 2D joints, {subject: {action: [(T, 17, d), by camera]}}. Its rules:

    a file of 2D joints and one of truth, by these names; the truth is (T, 32, 3) float32 in the world, of subjects
    whose four cameras it knows, and it keeps 17 joints; every take of the truth is in the 2D joints, once a camera, in
    as many frames or more; 2D joints are normalised, in place, by the size of that camera in its own table.
    """
    with np.load(folder / "data_3d_h36m.npz", allow_pickle=True) as found:
        world = found["positions_3d"].item()
    with np.load(folder / "data_2d_h36m_auglift.npz", allow_pickle=True) as found:
        keypoints, metadata = found["positions_2d"].item(), found["metadata"].item()
    assert [sorted(side) for side in metadata["keypoints_symmetry"]] == [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]]
    assert metadata["num_joints"] == 17
    truth: dict = {}
    for subject, takes in world.items():
        for action, positions in takes.items():
            assert (positions.dtype, positions.shape[1:]) == (np.float32, (32, 3))
            views = truth.setdefault(subject, {})[action] = [
                turn(q * [1, -1, -1, -1], positions[:, KEPT] - t / 1000)
                for q, t in zip(rigs[subject].orientation, rigs[subject].translation, strict=True)
            ]
            assert len(keypoints[subject][action]) == len(views)
            assert all(len(kps) >= len(view) for kps, view in zip(keypoints[subject][action], views, strict=True))
    for takes in keypoints.values():
        for views in takes.values():
            assert len(views) == len(CAMERAS)
            for kps, (width, height) in zip(views, SIZES, strict=True):
                assert (kps.dtype, kps.shape[1:]) == (np.float32, (17, 2))
                kps[..., :2] = kps[..., :2] / width * 2 - [1, height / width]
                assert np.isfinite(kps).all()
    return truth, keypoints


def lengths(found: dict) -> dict[tuple[str, str], int]:
    return {(subject, action): len(views[0]) for subject, takes in found.items() for action, views in takes.items()}


@pytest.fixture
def checkout(tmp_path) -> Path:
    return write_checkout(tmp_path / "VideoPose3D", RIGS)


def test_names_nesting_and_counts_are_its_own(tmp_path, checkout):
    store, _ = h36m_store(tmp_path / "s", RIGS, TAKES)
    done = export(store, "videopose3d", checkout / "data")
    assert [path.name for path in done.paths] == ["data_2d_h36m_auglift.npz", "data_3d_h36m.npz"]
    assert done.frames == store.frames == 4 * 33
    assert done.notes == ["for VideoPose3D's run.py -d h36m -k auglift -str S1 -ste S9"]
    truth, keypoints = as_run_py(checkout / "data")
    expected = {("S1", "Walking 1"): 12, ("S1", "Photo"): 7, ("S9", "WalkDog 1"): 9, ("S9", "WalkTogether"): 5}
    assert lengths(truth) == lengths(keypoints) == expected
    assert {action.split(" ")[0] for _, action in expected} <= ACTIONS, "its evaluation groups by the first word"


def test_its_world_to_camera_gives_the_truth_of_the_store(tmp_path, checkout):
    store, _ = h36m_store(tmp_path / "s", RIGS, TAKES)
    export(store, "videopose3d", checkout / "data")
    truth, keypoints = as_run_py(checkout / "data")
    names = {"TakingPhoto": "Photo", "WalkingDog 1": "WalkDog 1"}
    for row in store.sequences:
        action, camera = names.get(row.action, row.action), CAMERAS.index(row.camera)
        stored = store.read("target/pose3d", row.start, row.stop)
        np.testing.assert_allclose(truth[row.subject][action][camera], stored, atol=5e-6)
        middle = np.array([row.width, row.height]) / 2
        expected = (store.read("keypoints", row.start, row.stop) - middle) / middle[0]
        np.testing.assert_allclose(keypoints[row.subject][action][camera], expected, atol=1e-6)


def test_joints_that_it_drops_lie_among_those_that_it_keeps(tmp_path, checkout):
    store, worlds = h36m_store(tmp_path / "s", RIGS, TAKES)
    export(store, "videopose3d", checkout / "data")
    world = np.load(checkout / "data" / "data_3d_h36m.npz", allow_pickle=True)["positions_3d"].item()
    found = world["S1"]["Walking 1"]
    np.testing.assert_allclose(found[:, KEPT], worlds["S1", "Walking 1"], atol=5e-6)
    assert all((found[:, joint, None] == found[:, KEPT]).all(axis=2).any(axis=1).all() for joint in range(32))


def test_the_order_of_rows_in_the_store_does_not_matter(tmp_path, checkout):
    store, _ = h36m_store(tmp_path / "s", RIGS, TAKES)
    shuffled = SequenceTable(store.sequences.table.take(np.random.default_rng(0).permutation(len(store.sequences))))
    export(store, "videopose3d", checkout / "data")
    first = as_run_py(checkout / "data")
    export(store, "videopose3d", checkout / "data", shuffled, overwrite=True)
    for before, after in zip(first, as_run_py(checkout / "data"), strict=True):
        assert lengths(before) == lengths(after)
        for subject, action in lengths(before):
            np.testing.assert_array_equal(before[subject][action], after[subject][action])


def test_a_take_that_lacks_a_camera_is_left_out_and_named(tmp_path, checkout):
    """As Human3.6M's S11 Directions is, whose video by one camera is damaged."""
    store, _ = h36m_store(tmp_path / "s", RIGS, TAKES)
    kept = [n for n, row in enumerate(store.sequences) if (row.action, row.camera) != ("Walking 1", "55011271")]
    done = export(store, "videopose3d", checkout / "data", SequenceTable(store.sequences.table.take(kept)))
    why = "VideoPose3D wants all four cameras of a take; this one lacks 55011271"
    assert done.left_out == [(f"S1/Walking 1.{camera}", why) for camera in CAMERAS if camera != "55011271"]
    assert "Walking 1" not in as_run_py(checkout / "data")[1]["S1"]
    one = store.sequences.select(camera="54138969")
    with pytest.raises(InvalidValueError, match=r"wants all four .*videopose3d-custom takes any sequence"):
        export(store, "videopose3d", tmp_path / "none", one)
    assert len(export(store, "videopose3d-custom", tmp_path / "custom", one).paths) == 2


def test_a_subject_whose_cameras_it_does_not_know_is_left_out(tmp_path, checkout):
    rigs = {**RIGS, "S2": rig(2)}
    store, _ = h36m_store(tmp_path / "s", rigs, {**TAKES, ("S2", "Walking"): 4})
    done = export(store, "videopose3d", checkout / "data")
    assert {id for id, _ in done.left_out} == {f"S2/Walking.{camera}" for camera in CAMERAS}
    assert "S2" not in as_run_py(checkout / "data")[1]


def test_truth_that_one_camera_lacks_comes_from_the_others(tmp_path, checkout):
    store, worlds = h36m_store(tmp_path / "s", RIGS, {("S1", "Walking"): 6})
    pose = store.read("target/pose3d")
    pose[2] = np.nan  # of the first camera alone
    store, worlds = h36m_store(tmp_path / "t", RIGS, {("S1", "Walking"): 6}, **{"target/pose3d": pose})
    done = export(store, "videopose3d", checkout / "data")
    assert not any("no ground truth" in note for note in done.notes)
    truth, _ = as_run_py(checkout / "data")
    np.testing.assert_allclose(truth["S1"]["Walking"][3], RIGS["S1"].see(worlds["S1", "Walking"], 3), atol=5e-6)


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ("split", {("S1", "Walking part 1"): 2, ("S1", "Walking part 2"): 3, ("S9", "Photo"): 4}),
        ("longest", {("S1", "Walking"): 3, ("S9", "Photo"): 4}),
        ("leave-out", {("S9", "Photo"): 4}),
    ],
)
def test_frames_without_truth_leave_no_nan(tmp_path, checkout, missing, expected):
    takes = {("S1", "Walking"): 6, ("S9", "Photo"): 4}
    pose = h36m_store(tmp_path / "s", RIGS, takes)[0].read("target/pose3d")
    pose[[2, 8, 14, 20]] = np.nan  # frame 2 of S1's take in all four cameras
    store, _ = h36m_store(tmp_path / "t", RIGS, takes, **{"target/pose3d": pose})
    done = export(store, "videopose3d", checkout / "data", missing=missing)
    truth, keypoints = as_run_py(checkout / "data")
    assert lengths(truth) == lengths(keypoints) == expected
    assert all(np.isfinite(view).all() for takes in truth.values() for views in takes.values() for view in views)
    assert "1 of 10 frames of takes, four cameras each, have no ground truth" in done.notes[0]
    gone = [f"S1/Walking.{camera}" for camera in CAMERAS] if missing == "leave-out" else []
    assert [id for id, _ in done.left_out] == gone


def test_frames_of_another_size_are_the_same_once_it_has_normalised_them(tmp_path, checkout):
    store, _ = h36m_store(tmp_path / "s", RIGS, {("S1", "Walking"): 6})
    export(store, "videopose3d", checkout / "data")
    _, whole = as_run_py(checkout / "data")
    halves = store.sequences.table
    for key in ("width", "height"):
        place = halves.schema.get_field_index(key)
        halves = halves.set_column(place, halves.schema.field(key), [[n // 2 for n in halves[key].to_pylist()]])
    half = h36m_store(tmp_path / "t", RIGS, {("S1", "Walking"): 6}, keypoints=store.read("keypoints") / 2)[0]
    export(half, "videopose3d", checkout / "data", SequenceTable(halves), overwrite=True)
    _, found = as_run_py(checkout / "data")
    for ours, theirs in zip(found["S1"]["Walking"], whole["S1"]["Walking"], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_truth_that_other_cameras_filmed_is_refused(tmp_path, checkout):
    """Where the cameras of the store are not those in its code, its truth would be wrong in silence."""
    store, _ = h36m_store(tmp_path / "s", {"S1": rig(5), "S9": rig(6)}, TAKES)
    with pytest.raises(InvalidValueError, match=r"mm apart where VideoPose3D says that they stand"):
        export(store, "videopose3d", checkout / "data")


def test_cameras_that_do_not_run_together_are_left_out(tmp_path, checkout):
    sources = np.tile(np.arange(6), 8).astype(np.int32)
    sources[6:12] += 1  # the second camera of the first take
    takes = {("S1", "Walking"): 6, ("S9", "Photo"): 6}
    store, _ = h36m_store(tmp_path / "s", RIGS, takes, source_frame=sources)
    done = export(store, "videopose3d", checkout / "data")
    assert {why for _, why in done.left_out} == {"its four cameras do not show the same frames of their videos"}
    assert lengths(as_run_py(checkout / "data")[0]) == {("S9", "Photo"): 6}


# --- where its cameras are found


def test_its_folder_is_found_beside_its_data_named_or_missed(tmp_path, checkout):
    store, _ = h36m_store(tmp_path / "s", RIGS, TAKES)
    assert len(export(store, "videopose3d", checkout / "data").paths) == 2
    assert len(export(store, "videopose3d", tmp_path / "named", checkout=checkout).paths) == 2
    done = export(store, "videopose3d", tmp_path / "alone")
    assert [path.name for path in done.paths] == ["data_2d_h36m_auglift.npz"]
    assert "--checkout" in done.notes[0]
    assert "prepare_data_h36m.py" in done.notes[0]


def test_without_its_cameras_takes_stay_whole_as_its_own_truth_is(tmp_path):
    pose = h36m_store(tmp_path / "s", RIGS, {("S1", "Walking"): 6})[0].read("target/pose3d")
    pose[[2, 8, 14, 20]] = np.nan
    store, _ = h36m_store(tmp_path / "t", RIGS, {("S1", "Walking"): 6}, **{"target/pose3d": pose})
    export(store, "videopose3d", tmp_path / "out")
    found = np.load(tmp_path / "out" / "data_2d_h36m_auglift.npz", allow_pickle=True)["positions_2d"].item()
    assert lengths(found) == {("S1", "Walking"): 6}


def test_at_another_rate_than_its_own_truth_has_none_is_written(tmp_path):
    """It would pair frame n of 25 a second with frame n of 50."""
    store, _ = h36m_store(tmp_path / "s", RIGS, {("S1", "Walking"): 6})
    slow = store.sequences.table
    place = slow.schema.get_field_index("fps")
    slow = SequenceTable(slow.set_column(place, slow.schema.field("fps"), [[25.0] * len(slow)]))
    with pytest.raises(InvalidValueError, match="25 frames a second"):
        export(store, "videopose3d", tmp_path / "out", slow)
    checkout = write_checkout(tmp_path / "VideoPose3D", RIGS)
    assert len(export(store, "videopose3d", checkout / "data", slow).paths) == 2


@pytest.mark.parametrize("text", [None, "", "h36m_cameras_intrinsic_params = open('x')\n", "not Python ("])
def test_a_folder_that_is_not_its_repository_is_refused(tmp_path, text):
    store, _ = h36m_store(tmp_path / "s", RIGS, {("S1", "Walking"): 6})
    (tmp_path / "other" / "common").mkdir(parents=True)
    if text is not None:
        (tmp_path / "other" / "common" / "h36m_dataset.py").write_text(text)
    with pytest.raises(InvalidValueError, match=r"h36m_dataset.py (cannot be read|does not hold)"):
        export(store, "videopose3d", tmp_path / "out", checkout=tmp_path / "other")
