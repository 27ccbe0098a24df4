"""pipeline/keypoints/formats: the same people, whoever wrote them down; each file is recognised by what is in it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from auglift.pipeline.keypoints.detections import Detections
from auglift.pipeline.keypoints.formats.table import FORMATS, digest, format_of, read_detections
from auglift.stores.errors import InvalidValueError, MissingFileError
from auglift.stores.export import export
from auglift.stores.format.skeleton import COCO_17, H36M_17

from ...fakes import keypoints as fake
from ...fakes.filmed import row, write_store
from ...fakes.hostile import Hostile

JOINTS = COCO_17.joints
HALPE = ["".join(part.capitalize() for part in name.split("_")) for name in JOINTS]  # as Sports2D spells them: LeftHip
WALK = fake.walk(6)
OTHER = np.stack([fake.person(JOINTS, (30, 60), 40, seed) for seed in range(6)])
# One person; then two; nobody in the fourth frame.
FRAMES = [[WALK[0]], [WALK[1], OTHER[1]], [WALK[2]], [], [WALK[4]], [WALK[5]]]
ROWS = [(number, each) for number, people in enumerate(FRAMES) for each in people]


def read(place: Path | str) -> Detections:
    format = format_of(str(place))
    return read_detections(str(place), format, digest(str(place), format))


def write(name: str, folder: Path) -> Path:
    if name == "openpose":
        return fake.write_openpose(folder / "walk_json", FRAMES)
    if name == "mmpose":
        return fake.write_mmpose(folder / "walk.json", FRAMES)
    if name == "mmpose demo":
        return fake.write_mmpose(folder / "results_walk.json", FRAMES, first=1, joints=JOINTS)
    if name == "mmpose pictures":
        (folder / "walk").mkdir()
        for number, people in enumerate(FRAMES):
            (folder / "walk" / f"{number:04d}.json").write_text(json.dumps(fake.mmpose_instances(people)))
        return folder / "walk"
    made = fake.coco_results(FRAMES)
    if name == "alphapose":
        made = fake.coco_results(FRAMES, lambda number: f"{number}.jpg")
    if name == "coco data set":
        made = {
            "images": [
                {"id": 70 + n, "file_name": f"f{n}.jpg", "width": 160, "height": 120} for n in (5, 4, 3, 2, 1, 0)
            ],
            "annotations": [{**each, "image_id": each["image_id"] + 70} for each in made],
            "categories": [{"id": 1, "keypoints": list(JOINTS)}],
        }
    (folder / "walk.json").write_text(json.dumps(made))
    return folder / "walk.json"


LISTS = {
    "openpose": "openpose",
    "mmpose": "mmpose",
    "mmpose demo": "mmpose",
    "mmpose pictures": "mmpose-frames",
    "coco": "coco",
    "alphapose": "coco",
    "coco data set": "coco",
}


@pytest.mark.parametrize("name", LISTS)
def test_people_are_read_as_they_were_written_frame_by_frame(name, tmp_path):
    path = write(name, tmp_path)
    assert format_of(str(path)) == LISTS[name]
    (sequence,) = read(path).sequences
    first = 1 if name == "mmpose demo" else 0
    assert sequence.frame.tolist() == [number + first for number, _ in ROWS]
    values = np.stack([each for _, each in ROWS])
    np.testing.assert_allclose(sequence.keypoints, values[..., :2])
    assert sequence.score is not None
    np.testing.assert_allclose(sequence.score, values[..., 2])
    if sequence.covered is not None:
        assert sequence.covered.tolist() == list(range(first, 6 + first))
    assert (sequence.covered is None) == (name in ("coco", "alphapose"))


def test_videopose3d_has_a_sequence_for_each_subject_action_and_camera(tmp_path):
    positions = {
        "S1": {
            "Walking 1": [np.full((3, 17, 2), 10.0 * c, np.float32) for c in range(4)],
            "Photo": [np.ones((2, 17, 3))],
        },
        "walk.mp4": {"custom": [WALK[..., :2].astype(np.float32)]},
    }
    sizes = {"walk.mp4": {"w": 160, "h": 120}}
    path = fake.write_videopose3d(
        tmp_path / "data_2d.npz", positions, fake.symmetry(H36M_17.left_right), video_metadata=sizes
    )
    found = read(path)
    assert format_of(str(path)) == "videopose3d"
    assert found.skeleton == "h36m-17"
    by_name = {sequence.names[0]: sequence for sequence in found.sequences}
    assert set(by_name) == {*(f"S1/Walking 1/{c}" for c in range(4)), "S1/Photo/0", "walk.mp4"}
    assert by_name["S1/Walking 1/2"].keypoints[0, 0].tolist() == [20, 20]
    assert by_name["S1/Photo/0"].score is not None
    assert by_name["walk.mp4"].size == (160, 120)
    np.testing.assert_allclose(by_name["walk.mp4"].keypoints, WALK[..., :2], rtol=1e-6)
    coco = fake.write_videopose3d(tmp_path / "c.npz", positions, fake.symmetry(COCO_17.left_right)[::-1])
    assert read(coco).skeleton == "coco-17"


def test_our_own_export_for_videopose3d_comes_back(tmp_path):
    store = write_store(tmp_path / "s", [row("a/b", 5, width=640, height=480), row("c", 4)], {})
    (path,) = export(store, "videopose3d-custom", tmp_path).paths
    for sequence in read(path).sequences:
        (mine,) = (each for each in store.sequences if each.id == sequence.name)
        np.testing.assert_array_equal(sequence.keypoints, store.read("keypoints", mine.start, mine.stop))
        assert sequence.size == (mine.width, mine.height)


def test_a_pickle_that_runs_code_is_refused_before_it_does(tmp_path):
    trap = tmp_path / "it-ran"
    np.savez(tmp_path / "x.npz", positions_2d=np.array(Hostile(Path.mkdir, trap), object))
    with pytest.raises(InvalidValueError, match="refused"):
        read(tmp_path / "x.npz")
    assert not trap.exists()
    with np.load(tmp_path / "x.npz", allow_pickle=True) as file:  # the check sees what it must
        file["positions_2d"]
    assert trap.exists()


@pytest.mark.parametrize("fps", [None, 30.0])
def test_a_netcdf_of_movement_holds_its_individuals_by_name(tmp_path, fps):
    both = np.stack([WALK, OTHER], axis=-1)  # (time, keypoint, 3, individual)
    both[3, :, :, 0] = np.nan
    path = fake.write_movement(
        tmp_path / "x.nc", both[:, :, :2].transpose(0, 2, 1, 3), both[:, :, 2], JOINTS, ["Ann", "Bob"], fps
    )
    found = read(path)
    (sequence,) = found.sequences
    assert format_of(str(path)) == "movement"
    assert found.joints == JOINTS
    assert sequence.fps == fps
    assert sequence.frame.tolist() == np.repeat(np.arange(6), 2).tolist()
    assert sequence.person is not None
    bob = sequence.person == "Bob"
    np.testing.assert_array_equal(sequence.keypoints[bob], OTHER[..., :2])
    np.testing.assert_array_equal(sequence.keypoints[~bob], both[:, :, :2, 0])
    assert sequence.score is not None
    np.testing.assert_array_equal(sequence.score[bob], OTHER[..., 2])


def test_a_classic_netcdf_as_xarray_writes_it_is_read_too(tmp_path):
    import xarray

    dimensions = ("time", "space", "keypoint", "individual")
    made = xarray.Dataset(
        {"position": (dimensions, WALK[:, :, :2].transpose(0, 2, 1)[..., None])},
        {"time": np.arange(6), "space": ["x", "y"], "keypoint": list(JOINTS), "individual": ["Ann"]},
        {"ds_type": "poses", "time_unit": "frames"},
    )
    made.to_netcdf(tmp_path / "x.nc", engine="scipy")
    (sequence,) = read(tmp_path / "x.nc").sequences
    np.testing.assert_array_equal(sequence.keypoints, WALK[..., :2])
    assert sequence.score is None
    assert sequence.person is None
    assert read(tmp_path / "x.nc").joints == JOINTS


def test_another_store_gives_its_people_by_the_frames_of_its_source(tmp_path):
    valid = np.ones(9, np.uint8)
    valid[3] = 0
    frames = np.array([0, 2, 4, 6, 8, 0, 1, 1, 2])
    store = write_store(tmp_path / "s.zarr", [row("a", 5), row("b", 4)], {"valid": valid, "source_frame": frames})
    found = read(tmp_path / "s.zarr")
    assert format_of(str(tmp_path / "s.zarr")) == "auglift"
    assert found.skeleton == "h36m-17"
    a, b = found.sequences
    assert (a.names, b.names) == (("a",), ("b",))
    assert a.frame.tolist() == [0, 2, 4, 8]
    assert a.covered is not None
    assert a.covered.tolist() == [0, 2, 4, 6, 8]
    assert b.frame.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(a.keypoints, store.read("keypoints")[[0, 1, 2, 4]])
    np.testing.assert_array_equal(b.score, store.read("score")[[5, 6, 8]])
    assert a.size == (1000, 1000)


def test_sports2d_has_a_file_a_person_in_px_and_its_first_frame_by_its_time(tmp_path):
    fake.write_trc(tmp_path / "walk_Sports2D_px_person00.trc", WALK[..., :2], HALPE, 30, first=2)
    fake.write_trc(tmp_path / "walk_Sports2D_px_person01.trc", OTHER[..., :2], HALPE, 30, first=2)
    fake.write_trc(tmp_path / "walk_Sports2D_m_person00.trc", WALK[..., :2] / 100, HALPE, 30)
    found = read(tmp_path)
    assert format_of(str(tmp_path)) == "sports2d"
    assert found.joints == tuple(HALPE)
    (sequence,) = found.sequences
    assert sequence.names == ("walk",)
    assert sequence.fps == 30
    assert sequence.frame.tolist() == np.repeat(np.arange(2, 8), 2).tolist()
    assert sequence.person is not None
    np.testing.assert_allclose(sequence.keypoints[sequence.person == "person01"], OTHER[..., :2], rtol=1e-5)
    alone = read(tmp_path / "walk_Sports2D_px_person00.trc").sequences[0]
    np.testing.assert_allclose(alone.keypoints, WALK[..., :2], rtol=1e-5)
    assert alone.score is None
    fake.write_trc(tmp_path / "solid.trc", WALK, HALPE, 30)
    with pytest.raises(InvalidValueError, match="joints in space"):
        read(tmp_path / "solid.trc")


def test_joints_that_openpose_has_not_found_are_not_at_the_corner_of_the_picture(tmp_path):
    lost = WALK[0].copy()
    lost[4] = 0
    (sequence,) = read(fake.write_openpose(tmp_path / "x", [[lost]])).sequences
    assert np.isnan(sequence.keypoints[0, 4]).all()
    assert np.isfinite(np.delete(sequence.keypoints[0], 4, axis=0)).all()


def test_cocos_flags_say_which_joints_are_known_and_are_no_confidences(tmp_path):
    flagged = WALK[0].copy()
    flagged[:, 2] = 2
    flagged[3, 2], flagged[5, 2] = 1, 0
    (tmp_path / "x.json").write_text(json.dumps(fake.coco_results([[flagged]])))
    (sequence,) = read(tmp_path / "x.json").sequences
    assert sequence.score is None
    assert np.flatnonzero(np.isnan(sequence.keypoints[0]).any(axis=1)).tolist() == [5]


def test_real_annotations_of_coco_are_read(shared_data):
    found = read(shared_data / "coco" / "annotation.json")
    content = json.loads((shared_data / "coco" / "annotation.json").read_text())
    people = [each for each in content["annotations"] if each.get("keypoints")]
    (sequence,) = found.sequences
    assert len(sequence.frame) == len(people) > 0
    assert found.joints == JOINTS
    assert sequence.size == (content["images"][0]["width"], content["images"][0]["height"])
    known = np.array(people[0]["keypoints"]).reshape(17, 3)[:, 2] > 0
    assert (np.isfinite(sequence.keypoints[0]).all(axis=1) == known).all()


def test_a_folder_holds_several_videos_by_folder_prefix_or_file(tmp_path):
    for number, camera in enumerate(("cam01", "cam02")):
        fake.write_openpose(tmp_path / "a" / f"{camera}_json", [[WALK[number]]], camera)
        fake.write_openpose(tmp_path / "b", [[WALK[number]]], camera)
        (tmp_path / "c").mkdir(exist_ok=True)
        fake.write_mmpose(tmp_path / "c" / f"{camera}.json", [[WALK[number]]])
    for folder in "abc":
        found = read(tmp_path / folder)
        assert [sequence.names[0] for sequence in found.sequences] == ["cam01", "cam02"]
        np.testing.assert_allclose(found.sequences[1].keypoints[0], WALK[1, :, :2])


BAD = {
    "empty.json": ("", "no file of 2D joints that is known"),
    "broken.json": ('{"people": [', "is no JSON"),
    "other.json": ('{"a": 1}', "JSON of another kind"),
    "one-frame.json": ('{"people": []}', "name the folder that holds all of them"),
    "nobody.json": ('[{"frame_id": 0, "instances": []}]', "holds nobody"),
    "twice.json": ('[{"frame_id": 0, "instances": []}, {"frame_id": 0, "instances": []}]', "some are twice"),
    "solid.json": ('[{"frame_id": 0, "instances": [{"keypoints": [[1, 2, 3]]}]}]', r"\(1, 3\), not \(joints, 2\)"),
    "short.json": ('[{"image_id": 0, "keypoints": [1, 2]}]', "not three a joint"),
    "text.json": ('[{"image_id": 0, "keypoints": ["a", 2, 3]}]', "are no numbers"),
    "unnumbered.json": ('[{"image_id": "front", "keypoints": [1, 2, 3]}]', "no number of a frame"),
    "mixed.json": (
        '[{"image_id": 0, "keypoints": [1, 2, 3]}, {"image_id": 1, "keypoints": [1, 2, 3, 4, 5, 6]}]',
        "people of 1 and of 2 joints",
    ),
    "data.txt": ("x y z", "--keypoints takes another auglift store; VideoPose3D's npz"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_is_named_with_what_can(name, tmp_path):
    text, problem = BAD[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidValueError, match=problem):
        read(tmp_path / name)


def test_npz_and_netcdf_of_other_things_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", positions_3d=np.zeros(3))
    np.savez(tmp_path / "b.npz", positions_2d=np.zeros((3, 17, 2)))
    np.savez(tmp_path / "c.npz", positions_2d=np.array({"S1": {"a": [np.zeros((3, 17))]}}, object))
    fake.write_movement(tmp_path / "d.nc", np.zeros((2, 2, 3, 1)), None, list("abc"), ["x"])
    (tmp_path / "e.nc").write_bytes((tmp_path / "d.nc").read_bytes()[:300])
    for name, problem in {
        "a.npz": "no file of 2D joints that is known",
        "b.npz": "no pickled dictionary",
        "c.npz": r"holds \(3, 17\)",
        "e.nc": "cannot be read as netCDF",
    }.items():
        with pytest.raises(InvalidValueError, match=problem):
            read(tmp_path / name)
    (tmp_path / "f.pkl").write_bytes(pickle.dumps({}))
    with pytest.raises(InvalidValueError, match="no file of 2D joints"):
        read(tmp_path / "f.pkl")
    with pytest.raises(MissingFileError, match="no 2D joints at"):
        read(tmp_path / "g.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidValueError, match="a folder without a JSON file or a TRC"):
        read(tmp_path / "empty")


def test_a_file_that_changed_since_it_was_looked_at_is_refused(tmp_path):
    path = write("coco", tmp_path)
    sha256 = digest(str(path), "coco")
    path.write_text(path.read_text().replace('"score"', '"Score"'))
    with pytest.raises(InvalidValueError, match="has changed"):
        read_detections(str(path), "coco", sha256)


def test_the_digest_is_of_bytes_and_names_and_not_of_places_or_times(tmp_path):
    a, b = (fake.write_openpose(tmp_path / name, FRAMES) for name in "ab")
    assert digest(str(a), "openpose") == digest(str(b), "openpose")
    first = next(b.iterdir())
    first.rename(b / "walk_000000000099_keypoints.json")
    assert digest(str(a), "openpose") != digest(str(b), "openpose")


def test_every_format_says_what_it_is():
    assert all(known.meaning for known in FORMATS.values())
