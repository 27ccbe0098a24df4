"""pipeline/datasets/formats/smpl.py: joints without a mesh are those of the mesh."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest

from auglift.pipeline.datasets.formats.pickles import read_pickle
from auglift.pipeline.datasets.formats.smpl import find_files, load_smpl, pose_joints
from auglift.pipeline.datasets.threedpw import threedpw
from auglift.stores.errors import InvalidValueError, MissingFileError

from ....fakes.datasets import smpl as fake
from ....fakes.datasets import write
from ....fakes.datasets.scene import view
from ....fakes.hostile import Hostile


def parameters(frames: int, seed: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    poses, betas = rng.normal(0, 0.7, (frames, 72)), rng.normal(0, 1, 10)
    return poses, betas, rng.normal(0, 1, (frames, 3)) + np.array([0, 0, 6])


@pytest.mark.parametrize("gender", ["m", "f"])
def test_the_joints_are_those_of_the_vertices_one_by_one(tmp_path, gender):
    regressor = fake.write_folder(tmp_path)
    poses, betas, trans = parameters(3)
    joints, centres = pose_joints(load_smpl(*find_files(tmp_path)[gender]), poses, betas, trans)
    model = fake.body("mf".index(gender))
    for frame in range(3):
        vertices, expected = fake.mesh(model, poses[frame], betas, trans[frame])
        np.testing.assert_allclose(joints[frame], regressor @ (vertices - trans[frame]) + trans[frame], atol=1e-9)
        np.testing.assert_allclose(centres[frame], expected, atol=1e-9)


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_a_published_pickle_is_read_without_its_libraries(tmp_path, protocol):
    model = fake.body(3)
    fake.write_folder(tmp_path)
    fake.write_pickle(tmp_path / "SMPL_FEMALE.pkl", model, protocol)
    loaded = load_smpl(tmp_path / "SMPL_FEMALE.pkl", tmp_path / "J_regressor_h36m.npy")
    np.testing.assert_allclose(loaded.centres, model["J_regressor"])
    np.testing.assert_array_equal(loaded.template, model["v_template"])
    np.testing.assert_array_equal(loaded.shape, model["shapedirs"])
    assert loaded.parents == tuple(fake.PARENTS)


def test_a_hostile_model_does_not_run(tmp_path):
    path, trap = tmp_path / "SMPL_MALE.pkl", tmp_path / "it-ran"
    path.write_bytes(pickle.dumps({"v_template": Hostile(os.mkdir, str(trap))}, protocol=2))
    with pytest.raises(InvalidValueError, match="mkdir"):
        read_pickle(path, stand_ins=True)
    assert not trap.exists()


def test_objects_are_refused_where_none_are_expected(tmp_path):
    fake.write_pickle(tmp_path / "SMPL_MALE.pkl", fake.body(0))
    with pytest.raises(InvalidValueError, match="chumpy"):
        read_pickle(tmp_path / "SMPL_MALE.pkl")


def with_parameters(root, folder, genders):
    """3DPW's fake, whose actors are now fake bodies: the joints (actors, T, 17, 3) in the world."""
    path = write.write_3dpw(root)
    content = read_pickle(path)
    regressor, joints = fake.write_folder(folder), []
    poses, betas, trans = parameters(5)
    for actor, gender in enumerate(genders):
        model = fake.body("mf".index(gender))
        frames = [fake.mesh(model, *each) for each in zip(poses, [betas] * 5, trans, strict=True)]
        content["jointPositions"][actor] = np.stack([centres for _, centres in frames]).reshape(5, 72)
        joints.append(
            np.stack([regressor @ (mesh - move) + move for (mesh, _), move in zip(frames, trans, strict=True)])
        )
    content.update(
        poses=[poses] * len(genders), betas=[betas] * len(genders), trans=[trans] * len(genders), genders=list(genders)
    )
    path.write_bytes(pickle.dumps(content, protocol=2))
    return np.stack(joints)


def test_3dpw_takes_the_joints_of_the_surface_where_there_are_licensed_files(tmp_path):
    joints = with_parameters(tmp_path / "3dpw", tmp_path / "smpl", "mf")
    found = threedpw(tmp_path / "3dpw", "test", smpl=tmp_path / "smpl")
    assert not found.damaged
    eye = view(0, (192, 108))
    for actor, clip in enumerate(found.clips):
        assert clip.truth is not None
        got = clip.truth.read(np.arange(5))["target/pose3d"]
        np.testing.assert_allclose(got[[0, 1, 2, 4]], eye.see(joints[actor])[[0, 1, 2, 4]], atol=1e-5)
    assert any("by a joint regressor" in note for note in found.notes)
    assert not any("approximated" in note for note in found.notes)


def test_another_body_than_the_archives_is_found_out(tmp_path):
    with_parameters(tmp_path / "3dpw", tmp_path / "smpl", "mf")
    fake.write_folder(tmp_path / "smpl", (1, 0))
    found = threedpw(tmp_path / "3dpw", "test", smpl=tmp_path / "smpl")
    assert all("mm from those of the archive" in line for line in found.damaged)
    assert len(found.damaged) == 2


def test_files_that_lack_or_do_not_fit_are_named(tmp_path):
    with pytest.raises(MissingFileError, match="J_regressor_h36m"):
        find_files(tmp_path)
    fake.write_folder(tmp_path)
    (tmp_path / "SMPL_MALE.npz").unlink()
    with pytest.raises(MissingFileError, match="SMPL_MALE"):
        find_files(tmp_path)
    np.save(tmp_path / "J_regressor_h36m.npy", np.zeros((17, 7)))
    model, regressor = tmp_path / "basicModel_f_lbs_10_207_0_v1.0.0.pkl", tmp_path / "J_regressor_h36m.npy"
    with pytest.raises(InvalidValueError, match=r"\(17, 7\)"):
        load_smpl(model, regressor)
