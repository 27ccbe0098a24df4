"""pipeline/keypoints/given.py: joints of a file for clips, one person a frame; another video's are refused."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from auglift.pipeline.frames.sources import SourceInfo
from auglift.pipeline.keypoints.given import KeypointOptions, give
from auglift.pipeline.networks.substitutes.given import GIVEN, GIVEN_BOX
from auglift.pipeline.plan import Clip, clip_of
from auglift.stores.errors import InvalidValueError
from auglift.stores.format.skeleton import COCO_17, H36M_17, coco_to_h36m

from ...fakes import keypoints as fake
from ...fakes.filmed import row, write_store

JOINTS = COCO_17.joints
WALK = fake.walk(6)
SMALL = np.stack([fake.person(JOINTS, (30, 60), 40, seed) for seed in range(6)])
SMALL[..., 2] = 0.1


def clip(
    id: str = "walk", frames: int = 6, size: tuple[int, int] = (160, 120), fps: float | None = 30, **known
) -> Clip:
    info = SourceInfo(Path(f"{id}.mp4"), "video", *size, fps, frames, "", False, ())
    return replace(clip_of(info, id, f"{id}.mp4", None, None), **known)


def given(path: Path | str, made: Clip | None = None, **options):
    clips, stand_in, notes, _ = give([made or clip()], KeypointOptions(str(path), **options))
    return clips[0], stand_in, notes


def read(made: Clip, frames=None, boxes=None) -> dict[str, np.ndarray]:
    assert made.keypoints is not None
    return made.keypoints.read(np.arange(6) if frames is None else np.array(frames), boxes)


def test_joints_and_confidences_are_those_of_the_file_as_h36m(tmp_path):
    made, stand_in, _ = given(fake.write_openpose(tmp_path / "walk", [[each] for each in WALK]), skeleton="coco-17")
    found = read(made)
    np.testing.assert_allclose(found[GIVEN], coco_to_h36m(WALK), rtol=1e-6)
    expected = coco_to_h36m(WALK)
    np.testing.assert_allclose(found[GIVEN_BOX][:, :2], expected[..., :2].min(axis=1), rtol=1e-6)
    np.testing.assert_allclose(found[GIVEN_BOX][:, 2:4], expected[..., :2].max(axis=1), rtol=1e-6)
    np.testing.assert_allclose(found[GIVEN_BOX][:, 4], expected[..., 2].mean(axis=1), rtol=1e-6)
    said = stand_in.describe()
    assert (said["format"], said["skeleton"], said["confidence"]) == ("openpose", "coco-17", "file")
    assert len(said["sha256"]) == 64


def test_any_batch_of_frames_gives_the_rows_of_all(tmp_path):
    made, _, _ = given(fake.write_mmpose(tmp_path / "walk.json", [[each] for each in WALK]))
    everything = read(made)
    for frames in ([0], [2, 2, 3], [5, 4]):
        for name, values in read(made, frames).items():
            np.testing.assert_array_equal(values, everything[name][frames])


def test_a_clip_with_joints_travels_without_them(tmp_path):
    made, _, _ = given(fake.write_mmpose(tmp_path / "walk.json", [[each] for each in WALK]))
    data = pickle.dumps(made)
    assert len(data) < 3000
    np.testing.assert_array_equal(read(pickle.loads(data))[GIVEN], read(made)[GIVEN])


def test_frames_without_anybody_are_nan(tmp_path):
    frames = [[each] for each in WALK]
    frames[3] = []
    frames[4] = [np.zeros((17, 3))]  # OpenPose's way to say that no joint was found
    made, _, _ = given(fake.write_openpose(tmp_path / "walk", frames))
    found = read(made)
    assert np.isnan(found[GIVEN][[3, 4]]).all()
    assert np.isnan(found[GIVEN_BOX][[3, 4]]).all()
    assert np.isfinite(found[GIVEN][[0, 1, 2, 5]]).all()
    assert any("nobody in 2 of 6 frames" in line for line in made.warnings)


def test_without_confidences_they_are_1_and_the_store_says_so(tmp_path):
    positions = {"walk": {"custom": [WALK[..., :2]]}}
    path = fake.write_videopose3d(tmp_path / "d.npz", positions, fake.symmetry(COCO_17.left_right))
    made, stand_in, notes = given(path)
    assert (read(made)[GIVEN][..., 2] == 1).all()
    assert stand_in.describe()["confidence"] == "1"
    assert any("comes without confidences: c = 1" in line for line in notes)


class Truth:
    fields = ()

    def describe(self):
        return {}

    def read(self, source_frames):
        return {}


def test_of_several_people_the_true_box_chooses_else_the_confidence(tmp_path):
    frames = [[small, big] for small, big in zip(SMALL, WALK, strict=True)]
    path = fake.write_mmpose(tmp_path / "walk.json", frames)
    made, _, _ = given(path)
    np.testing.assert_allclose(read(made)[GIVEN], coco_to_h36m(WALK), rtol=1e-6)
    assert any(
        "up to 2 people in 6 frames: the one whose joints have the highest mean confidence is taken" in line
        for line in made.warnings
    )
    box = np.concatenate([SMALL[..., :2].min(axis=1), SMALL[..., :2].max(axis=1)], axis=1)
    box[2] = np.nan  # where it is not known, confidence chooses
    expected = coco_to_h36m(np.where(np.arange(6)[:, None, None] == 2, WALK, SMALL))
    made, _, _ = given(path, clip(truth=Truth()))
    assert any("the one whose box covers the true one best" in line for line in made.warnings)
    np.testing.assert_allclose(read(made, boxes=box)[GIVEN], expected, rtol=1e-6)


def test_of_several_people_without_confidence_the_largest_is_taken(tmp_path):
    both = np.stack([SMALL[..., :2], WALK[..., :2]], axis=-1).transpose(0, 2, 1, 3)
    path = fake.write_movement(tmp_path / "walk.nc", both, None, JOINTS, ["Ann", "Bob"], 30)
    made, _, _ = given(path)
    np.testing.assert_allclose(read(made)[GIVEN][..., :2], coco_to_h36m(WALK[..., :2]), rtol=1e-6)
    assert any("the largest is taken, as nobody has a confidence" in line for line in made.warnings)


def test_a_person_may_be_named(tmp_path):
    both = np.stack([SMALL, WALK], axis=-1).transpose(0, 2, 1, 3)
    path = fake.write_movement(tmp_path / "walk.nc", both[:, :2], both[:, 2], JOINTS, ["Ann", "Bob"], 30)
    made, _, _ = given(path, person="Ann")
    np.testing.assert_allclose(read(made)[GIVEN], coco_to_h36m(SMALL), rtol=1e-6)
    assert made.keypoints is not None
    assert made.keypoints.describe()["person"] == "Ann"
    with pytest.raises(InvalidValueError, match="--keypoints-person Cid: it has Ann, Bob"):
        given(path, person="Cid")


def test_bad_confidences_and_joints_beyond_the_picture_are_data_counted_and_said(tmp_path):
    walk = WALK.copy()
    walk[0, 0, 2], walk[1, 1, 2], walk[2, 9, 2] = np.nan, -0.25, -1
    walk[3, 10, :2], walk[4, 15, :2] = [-5, 60], [80, 130]
    made, _, _ = given(fake.write_openpose(tmp_path / "walk", [[each] for each in walk]), skeleton="coco-17")
    found = read(made)
    nose, head, wrist = (H36M_17.index(joint) for joint in ("nose", "head", "left_wrist"))
    assert found[GIVEN][0, nose, 2] == 0
    assert found[GIVEN][1, head, 2] == pytest.approx((walk[1, 1, 2] + walk[1, 2, 2]) / 2)
    assert found[GIVEN][2, wrist, 2] == -1
    np.testing.assert_allclose(found[GIVEN][..., :2], coco_to_h36m(walk[..., :2]), rtol=1e-6)
    (line,) = made.warnings
    assert "2 of 102 joints lie outside the picture" in line
    assert "1 of 102 joints come without their confidence, taken for 0" in line
    assert "2 of 102 confidences are negative, used as 0" in line


def many(frames: int) -> list[list[np.ndarray]]:
    return [[each] for each in fake.walk(frames)]


NOT_OF_IT = {
    "too few frames": (lambda f: fake.write_mmpose(f / "w.json", many(5)), {}, r"5 frames \(0 to 4\), the video has 6"),
    "too many frames": (lambda f: fake.write_openpose(f / "w", many(9)), {}, r"9 frames \(0 to 8\), the video has 6"),
    "a later number": (
        lambda f: fake.write_openpose(f / "w", many(6)[:4], first=4),
        {},
        r"4 frames \(4 to 7\), the video has 6",
    ),
    "another rate": (
        lambda f: fake.write_movement(
            f / "w.nc", WALK[:, :, :2].transpose(0, 2, 1)[..., None], None, JOINTS, ["a"], 25
        ),
        {},
        "25 frames a second, the video of 30",
    ),
    "another size": (
        lambda f: fake.write_videopose3d(
            f / "w.npz",
            {"w": {"custom": [WALK[..., :2]]}},
            fake.symmetry(COCO_17.left_right),
            video_metadata={"w": {"w": 1280, "h": 960}},
        ),
        {},
        "a video of 1280 x 960, this one is 160 x 120",
    ),
    "places of a larger picture": (
        lambda f: fake.write_mmpose(f / "w.json", [[each * [8, 8, 1]] for each in WALK]),
        {},
        r"0% of its joints lie in the picture of 160 x 120: they span x \d+",
    ),
    "normalised coordinates": (
        lambda f: fake.write_mmpose(f / "w.json", [[each / [160, 120, 1]] for each in WALK]),
        {},
        "are 0.7 px tall .*: normalised coordinates or metres, where px are wanted",
    ),
    "percent": (
        lambda f: fake.write_mmpose(f / "w.json", [[each * [1, 1, 100]] for each in WALK]),
        {},
        "confidences have a median of [0-9.]+; they must be 0 to 1",
    ),
}


@pytest.mark.parametrize("what", NOT_OF_IT)
def test_a_file_of_another_video_is_refused_with_the_figures(what, tmp_path):
    write, options, problem = NOT_OF_IT[what]
    with pytest.raises(InvalidValueError, match=problem):
        given(write(tmp_path), **options)


def test_a_frame_more_or_fewer_at_the_end_is_taken_where_the_user_says_so(tmp_path):
    path = fake.write_mmpose(tmp_path / "w.json", many(5))
    made, _, _ = given(path, slack=1)
    found = read(made)[GIVEN]
    assert np.isnan(found[5]).all()
    assert np.isfinite(found[:5]).all()
    assert any("nobody in 1 of 6 frames" in line for line in made.warnings)
    with pytest.raises(InvalidValueError, match="the video has 7"):
        given(path, clip(frames=7), slack=1)


def write_results(path: Path, first: int, frames: int = 6) -> Path:
    path.write_text(json.dumps(fake.coco_results(many(frames), lambda number: number + first)))
    return path


@pytest.mark.parametrize("first", [0, 1])
def test_results_that_count_from_1_are_recognised_by_their_last_number(tmp_path, first):
    made, _, _ = given(write_results(tmp_path / "w.json", first))
    np.testing.assert_allclose(read(made)[GIVEN], coco_to_h36m(fake.walk(6)), rtol=1e-6)
    assert made.keypoints is not None
    assert made.keypoints.describe()["first"] == first
    assert any("frames are counted from 1" in line for line in made.warnings) == (first == 1)


def test_results_with_a_number_beyond_the_video_are_refused_unless_their_first_is_given(tmp_path):
    path = write_results(tmp_path / "w.json", 100)
    with pytest.raises(InvalidValueError, match=r"frames 100 to 105, the video has 6.*--keypoints-first"):
        given(path)
    made, _, _ = given(path, first=100)
    np.testing.assert_allclose(read(made)[GIVEN], coco_to_h36m(fake.walk(6)), rtol=1e-6)


def test_a_folder_numbered_from_anywhere_that_has_every_frame_is_taken_as_the_whole(tmp_path):
    made, _, _ = given(fake.write_openpose(tmp_path / "w", many(6), first=200))
    np.testing.assert_allclose(read(made)[GIVEN], coco_to_h36m(fake.walk(6)), rtol=1e-6)


def test_a_resampled_store_serves_the_frames_it_has_and_no_others(tmp_path):
    keypoints = np.random.default_rng(0).uniform(5, 110, (3, 17, 2)).astype(np.float32)
    frames = {"source_frame": np.array([0, 2, 4]), "keypoints": keypoints}
    write_store(tmp_path / "s.zarr", [row("walk", 3, width=160, height=120)], frames)
    with pytest.raises(InvalidValueError, match=r"nothing of 3 of the 6 frames wanted .*one frame in 2.; --fps"):
        given(tmp_path / "s.zarr")
    info = clip().info
    made, _, _ = given(tmp_path / "s.zarr", clip_of(info, "walk", "walk.mp4", 15, None))
    np.testing.assert_array_equal(read(made, [0, 2, 4])[GIVEN][..., :2], keypoints)
