"""Joints of any network become H36M-17 by their names."""

from __future__ import annotations

import pytest

from auglift.pipeline.networks.own_networks.joint_names import joint_rows
from auglift.stores.errors import InvalidValueError
from auglift.stores.format.skeleton import COCO_17, H36M_17, H36M_FROM_COCO

from ....fakes.configs import described


def names_of(dataset: str) -> list[str]:
    return list(described(dataset)["keypoint_name2id"])


def made_of(names: list[str]) -> dict[str, set[str]]:
    found = joint_rows(names, "it")
    return {
        joint: {names[found.used[place]] for place in row}
        for joint, row in zip(H36M_17.joints, found.rows, strict=True)
    }


def test_cocos_joints_give_the_rows_of_the_method():
    found = joint_rows(COCO_17.joints, "it")
    rows = [{found.used[place] for place in row} for row in found.rows]
    assert rows == [set(row) for row in H36M_FROM_COCO]
    assert [COCO_17.joints[number] for number in range(17) if number not in found.used] == ["left_ear", "right_ear"]


@pytest.mark.filterwarnings("ignore:The metainfo config file")
def test_human36ms_own_joints_are_taken_as_they_are():
    made = made_of(names_of("h36m"))
    assert all(len(row) == 1 for row in made.values())
    assert made["pelvis"] == {"root"}
    assert made["left_ankle"] == {"left_foot"}
    assert made["nose"] == {"neck_base"}


@pytest.mark.filterwarnings("ignore:The metainfo config file")
def test_halpes_own_pelvis_neck_and_head_are_preferred_to_means():
    made = made_of(names_of("halpe26"))
    assert made["pelvis"] == {"hip"}
    assert made["thorax"] == {"neck"}
    assert made["head"] == {"head"}
    assert made["spine"] == {"left_shoulder", "right_shoulder", "left_hip", "right_hip"}


@pytest.mark.filterwarnings("ignore:The metainfo config file")
def test_of_a_whole_body_only_the_body_is_used():
    names = names_of("coco_wholebody")
    assert len(names) == 133
    assert max(joint_rows(names, "it").used) < 17


@pytest.mark.filterwarnings("ignore:The metainfo config file")
@pytest.mark.parametrize(("dataset", "lacking"), [("mpii", "nose"), ("aic", "nose"), ("coco_wholebody_hand", "pelvis")])
def test_a_skeleton_that_lacks_a_joint_is_refused_in_one_line(dataset, lacking):
    with pytest.raises(InvalidValueError, match=f"it finds no .*{lacking}") as caught:
        joint_rows(names_of(dataset), "it")
    assert "\n" not in str(caught.value)


def test_spelling_does_not_matter():
    names = [name.replace("left_", "L").replace("right_", "R").title() for name in COCO_17.joints]
    names[3:5] = ["Left-Ear", "Right-Ear"]
    assert joint_rows(names, "it") == joint_rows(COCO_17.joints, "it")
