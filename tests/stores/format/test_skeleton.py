"""stores/format/skeleton.py: both skeletons are what their names say, and the mapping is that of method.md."""

from __future__ import annotations

import numpy as np
import pytest

from auglift.stores.format.skeleton import COCO_17, H36M_17, Skeleton, coco_to_h36m


@pytest.mark.parametrize("skeleton", [COCO_17, H36M_17], ids=lambda s: s.name)
def test_a_mirror_swaps_left_and_right_names_and_twice_is_nothing(skeleton: Skeleton):
    swapped = [skeleton.joints[i] for i in skeleton.flip]
    expected = [
        name.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right") for name in skeleton.joints
    ]
    assert swapped == expected
    assert (skeleton.flip[skeleton.flip] == np.arange(len(skeleton))).all()


@pytest.mark.parametrize("skeleton", [COCO_17, H36M_17], ids=lambda s: s.name)
def test_a_mirrored_skeleton_has_the_same_bones(skeleton: Skeleton):
    mirrored = {frozenset((int(skeleton.flip[a]), int(skeleton.flip[b]))) for a, b in skeleton.bones}
    bones = {frozenset(bone) for bone in skeleton.bones}
    assert mirrored == bones


def test_the_bones_of_h36m_are_a_tree_from_the_pelvis_down():
    parents = {child: parent for parent, child in H36M_17.bones}
    assert len(parents) == len(H36M_17.bones) == 16
    for joint in range(1, 17):
        seen = set()
        while joint:
            assert joint not in seen
            seen.add(joint)
            joint = parents[joint]


def test_coco_to_h36m_is_the_mapping_of_the_specification():
    rng = np.random.default_rng(0)
    coco = rng.normal(size=(5, 17, 2))
    named = {name: coco[:, i] for i, name in enumerate(COCO_17.joints)}
    h36m = coco_to_h36m(coco)
    pelvis = (named["left_hip"] + named["right_hip"]) / 2
    thorax = (named["left_shoulder"] + named["right_shoulder"]) / 2
    expected = {
        "pelvis": pelvis,
        "thorax": thorax,
        "spine": (pelvis + thorax) / 2,
        "head": (named["left_eye"] + named["right_eye"]) / 2,
        "nose": named["nose"],
        "left_ankle": named["left_ankle"],
        "right_ankle": named["right_ankle"],
    }
    for side in ("left", "right"):
        for joint in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist"):
            expected[f"{side}_{joint}"] = named[f"{side}_{joint}"]
    assert set(expected) == set(H36M_17.joints)
    for joint, values in expected.items():
        np.testing.assert_allclose(h36m[:, H36M_17.index(joint)], values, atol=1e-12, err_msg=joint)


def test_the_joint_numbers_are_those_of_the_specification():
    h36m = coco_to_h36m(np.arange(17, dtype=float)[:, None])[:, 0]
    assert h36m[1:7].tolist() == [12, 14, 16, 11, 13, 15]
    assert h36m[11:17].tolist() == [5, 7, 9, 6, 8, 10]
    assert h36m[[0, 8, 7, 10, 9]].tolist() == [11.5, 5.5, 8.5, 1.5, 0]


def test_mapping_and_mirror_commute():
    coco = np.random.default_rng(1).normal(size=(17, 3))
    np.testing.assert_allclose(coco_to_h36m(coco[COCO_17.flip]), coco_to_h36m(coco)[H36M_17.flip], atol=1e-12)


def test_a_nan_joint_spoils_only_what_is_averaged_from_it():
    coco = np.ones((17, 1), dtype=np.float32)
    coco[COCO_17.joints.index("left_hip")] = np.nan
    lost = {H36M_17.joints[i] for i in np.flatnonzero(np.isnan(coco_to_h36m(coco)[:, 0]))}
    assert lost == {"pelvis", "spine", "left_hip"}
    assert coco_to_h36m(coco).dtype == np.float32


def test_another_number_of_joints_is_refused():
    with pytest.raises(ValueError, match="17"):
        coco_to_h36m(np.zeros((5, 18, 2)))
