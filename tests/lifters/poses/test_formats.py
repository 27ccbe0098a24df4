"""Poses in other programs' files, read back by readers that are not ours, or that know nothing of the writer."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from auglift.lifters.poses import formats
from auglift.lifters.poses.poses import ClipPoses
from auglift.pipeline.datasets.formats.markers import read_trc
from auglift.pipeline.synth.motion.bvh import read_bvh
from auglift.pipeline.synth.motion.rig import rotation_about
from auglift.stores.errors import InvalidValueError, MissingExtraError, StoreWriteError
from auglift.stores.format.skeleton import H36M_17

FPS = 30.0
LOST = [4, 5]  # frames in which nobody was found


def body(frames: int = 12) -> np.ndarray:
    """(T, 17, 3) m, camera's axes: a person who faces the camera and bends arms, knees and back; bones keep lengths."""
    along = {"right_hip": (-0.1, 0, 0), "right_knee": (0, 0.4, 0), "right_ankle": (0, 0.4, 0), "left_hip": (0.1, 0, 0)}
    along |= {"left_knee": (0, 0.4, 0), "left_ankle": (0, 0.4, 0), "spine": (0, -0.25, 0), "thorax": (0, -0.25, 0)}
    along |= {"nose": (0, -0.2, -0.08), "head": (0, -0.15, 0.03), "left_shoulder": (0.16, 0.02, 0)}
    along |= {"left_elbow": (0.28, 0, 0), "left_wrist": (0.25, 0, 0), "right_shoulder": (-0.16, 0.02, 0)}
    along |= {"right_elbow": (-0.28, 0, 0), "right_wrist": (-0.25, 0, 0)}
    bends = {"left_shoulder": (2, 1.2), "right_shoulder": (2, -0.7), "left_elbow": (1, 1.0), "right_knee": (0, -0.9)}
    bends |= {"pelvis": (1, 0.6), "thorax": (0, 0.3), "spine": (0, 0.2), "left_hip": (0, 0.5)}
    pose = np.zeros((frames, 17, 3))
    turn = np.tile(np.eye(3), (frames, 17, 1, 1))
    share = np.linspace(0, 1, frames)

    def turned(joint: int, above: np.ndarray) -> np.ndarray:
        axis, angle = bends.get(H36M_17.joints[joint], (0, 0.0))
        return above @ rotation_about(axis, angle * share)

    turn[:, 0] = turned(0, turn[:, 0])
    for parent, child in H36M_17.bones:
        turn[:, child] = turned(child, turn[:, parent])
        pose[:, child] = pose[:, parent] + turn[:, parent] @ np.array(along[H36M_17.joints[child]])
    return pose


def clip(people: int = 1) -> ClipPoses:
    pose = np.stack([body() for _ in range(people)]).astype(np.float32)
    pose[0, LOST] = np.nan
    names = tuple(f"person-{number + 1}" for number in range(people))
    frames = pose.shape[1]
    return ClipPoses(
        names, pose, np.zeros((people, frames, 17, 2)), np.ones((people, frames, 17)), np.arange(frames), FPS
    )


@pytest.fixture
def written(tmp_path: Path) -> Path:
    pytest.importorskip("ezc3d", reason="needs ezc3d: pip install 'auglift[c3d]'")
    formats.write(clip(), tmp_path, formats.NAMES)
    return tmp_path


def test_an_npz_holds_the_poses_and_opens_without_pickle(written):
    with np.load(written / "poses.npz", allow_pickle=False) as file:
        assert file["joints"].tolist() == list(H36M_17.joints)
        np.testing.assert_array_equal(file["pose3d"], clip().pose)
        assert (~file["found"][0]).nonzero()[0].tolist() == LOST


def test_a_trc_holds_the_poses_in_metres_with_y_up_and_empty_cells_where_nobody_was(written):
    found = read_trc(written / "person-1.trc")
    assert (found.names, found.rate) == (H36M_17.joints, FPS)
    expected = clip().pose[0].astype(float) * [1, -1, -1]
    np.testing.assert_allclose(found.positions, expected, atol=1e-6, equal_nan=True)
    lines = (written / "person-1.trc").read_text().splitlines()
    assert {len(line.split("\t")) for line in lines[5:]} == {2 + 3 * 17}


def test_a_c3d_holds_the_poses_in_millimetres_with_z_up_and_says_where_nobody_was(written):
    """Read by the package c3d, which shares no code with ezc3d."""
    reader = pytest.importorskip("c3d").Reader(io.BytesIO((written / "person-1.c3d").read_bytes()))
    assert [label.strip() for label in reader.point_labels] == list(H36M_17.joints)
    assert (reader.point_rate, reader.get("POINT:UNITS").string_value.strip()) == (FPS, "mm")
    rows = np.stack([points for _, points, _ in reader.read_frames()])
    pose = clip().pose[0]
    found = np.isfinite(pose).all(axis=(1, 2))
    np.testing.assert_allclose(rows[found][..., :3], pose[found][..., [0, 2, 1]] * [1000, 1000, -1000], atol=0.01)
    assert (rows[~found][..., 3] == -1).all()
    assert (rows[found][..., 3] >= 0).all()


def places_of(path: Path) -> np.ndarray:
    """(T, 17, 3): forward kinematics by the definition of BVH, from the project's other reader."""
    read = read_bvh(path)
    turn, place = [], []
    for joint, parent in enumerate(read.parent):
        if parent < 0:
            turn.append(read.rotation[:, joint])
            place.append(read.root)
        else:
            turn.append(turn[parent] @ read.rotation[:, joint])
            place.append(place[parent] + turn[parent] @ read.offset[joint])
    return np.stack(place, axis=1)


def test_a_bvh_moves_as_the_poses_do(written):
    order: list[int] = []

    def visit(joint: int) -> None:
        order.append(joint)
        for parent, child in H36M_17.bones:
            if parent == joint:
                visit(child)

    visit(0)
    whole = body() * [1, -1, -1] * 100
    found = [frame for frame in range(len(whole)) if frame not in LOST]
    distance = np.linalg.norm(places_of(written / "person-1.bvh") - whole[:, order], axis=-1)
    assert distance[found].max() < 1.5  # cm: the body's own shoulders lie a little otherwise than those at rest
    assert distance.max() < 4  # and a gap of two frames is bridged


def test_a_bvh_is_read_by_another_program(written):
    bvhio = pytest.importorskip("bvhio", reason="needs bvhio")
    root = bvhio.readAsBvh(str(written / "person-1.bvh"))
    assert root.FrameCount == 12
    assert root.FrameTime == pytest.approx(1 / FPS, abs=1e-6)


def test_several_people_have_a_file_each(tmp_path):
    made = formats.write(clip(2), tmp_path, ("npz", "trc", "bvh"))
    assert sorted(path.name for path in made) == [
        "person-1.bvh", "person-1.trc", "person-2.bvh", "person-2.trc", "poses.npz",
    ]  # fmt: skip


def test_a_format_that_there_is_not_is_named(monkeypatch):
    with pytest.raises(InvalidValueError, match="no format 'fbx'; there are npz, trc, bvh, c3d"):
        formats.choose("trc,fbx")
    monkeypatch.setitem(__import__("sys").modules, "ezc3d", None)
    with pytest.raises(MissingExtraError, match=r"auglift\[c3d\]"):
        formats.choose("c3d")
    names, notes = formats.choose(None)
    assert names == ("npz", "trc", "bvh")
    assert "C3D" in notes[0]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreWriteError, match="choose another --out"):
        formats.write(clip(), tmp_path / "file" / "out", ("npz",))
