"""pipeline/keypoints: from a file's joints to H36M-17, by name, by number and where they lie, and by a table."""

from __future__ import annotations

import numpy as np
import pytest

from auglift.pipeline.keypoints.detections import Detections, Sequence
from auglift.pipeline.keypoints.mapping import mapping_of
from auglift.pipeline.keypoints.skeletons import BODY_25, BODY_25B, HALPE_26, SKELETONS, canonical, rows_by_name
from auglift.stores.errors import InvalidValueError, MissingFileError
from auglift.stores.format.skeleton import COCO_17, H36M_17, H36M_FROM_COCO, coco_to_h36m

from ...fakes import keypoints as fake


def detections(joints, names=(), skeleton="", people: int = 5) -> Detections:
    """People of these joints, of which the file tells only what is said."""
    values = fake.walk(people, joints)[..., :2]
    return Detections((Sequence(("x",), np.arange(people), values),), names, skeleton)


def test_coco_by_its_names_is_the_mapping_of_the_method():
    assert rows_by_name(COCO_17.joints) == H36M_FROM_COCO
    values = np.random.default_rng(0).normal(size=(4, 17, 3))
    np.testing.assert_allclose(mapping_of(detections(COCO_17.joints), "coco-17")(values), coco_to_h36m(values))


def test_h36m_by_its_names_stays_as_it_is():
    assert rows_by_name(H36M_17.joints) == tuple((number,) for number in range(17))


# By hand: which number of each skeleton a joint of H36M-17 is the mean of.
BY_HAND = {
    "body-25": "8|9|10|11|12|13|14|5 2 12 9|1|0|16 15|5|6|7|2|3|4",
    "body-25b": "11 12|12|14|16|11|13|15|5 6 11 12|17|0|18|5|7|9|6|8|10",
    "halpe-26": "19|12|14|16|11|13|15|5 6 11 12|18|0|17|5|7|9|6|8|10",
    "coco-wholebody-133": "11 12|12|14|16|11|13|15|5 6 11 12|5 6|0|1 2|5|7|9|6|8|10",
}


@pytest.mark.parametrize("name", BY_HAND)
def test_named_skeletons_are_mapped_as_their_tables_say(name):
    rows = tuple(tuple(map(int, each.split())) for each in BY_HAND[name].split("|"))
    assert rows_by_name(SKELETONS[name]) == rows


def test_halpe_26_has_the_names_that_mmpose_gives_it():
    pytest.importorskip("mmpose", reason="MMPose is not installed")
    from importlib.util import find_spec
    from pathlib import Path

    spec = find_spec("mmpose")
    assert spec is not None
    assert spec.origin is not None
    file = Path(spec.origin).parent / ".mim/configs/_base_/datasets/halpe26.py"
    content: dict = {}
    exec(file.read_text(), content)  # a configuration of MMPose's own
    infos = content["dataset_info"]["keypoint_info"]
    assert tuple(infos[number]["name"] for number in range(26)) == HALPE_26


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("LHip", "left_hip"),
        ("left hip", "left_hip"),
        ("hip_l", "left_hip"),
        ("RSho", "right_shoulder"),
        ("R_Wrist", "right_wrist"),
        ("MidHip", "pelvis"),
        ("Neck/Nose", "nose"),
        ("TopOfHead", "head"),
        ("tail", "tail"),
    ],
)
def test_spellings_of_projects_are_one_name(spelling, name):
    assert canonical(spelling) == name


@pytest.mark.parametrize("name", ["coco-17", "h36m-17", "body-25", "body-25b", "halpe-26"])
def test_a_file_that_says_nothing_is_recognised_by_its_number_of_joints_and_where_they_lie(name):
    mapping = mapping_of(detections(SKELETONS[name]), None)
    assert mapping.skeleton == name
    assert f"by its {len(SKELETONS[name])} joints" in mapping.guessed
    assert mapping.rows == rows_by_name(SKELETONS[name])


def test_openposes_two_skeletons_of_25_joints_are_not_mixed_up():
    """BODY_25 and BODY_25B, one said to be the other, would put the hips where the elbows are."""
    for mine, other in ((BODY_25, "body-25b"), (BODY_25B, "body-25")):
        choice = mapping_of(detections(mine), other)
        assert choice.guessed == ""
        hips = choice(fake.walk(3, mine)[..., :2])[:, 0]
        right = mapping_of(detections(mine), None)(fake.walk(3, mine)[..., :2])[:, 0]
        assert (np.linalg.norm(hips - right, axis=-1) > 5).all()


def test_what_the_user_says_comes_before_what_the_file_says():
    assert mapping_of(detections(COCO_17.joints, skeleton="h36m-17"), None).skeleton == "h36m-17"
    assert mapping_of(detections(COCO_17.joints, skeleton="h36m-17"), "COCO_17").skeleton == "coco-17"
    assert mapping_of(detections(HALPE_26, names=HALPE_26), None).skeleton == "by name"


def test_a_skeleton_that_nobody_knows_is_refused_with_those_that_are_known():
    with pytest.raises(
        InvalidValueError, match=r"a skeleton of 16 joints .* 17 \(coco-17 or h36m-17\), 25 .*--keypoints-skeleton"
    ):
        mapping_of(detections(COCO_17.joints[:16]), None)
    with pytest.raises(InvalidValueError, match="no such skeleton; there are coco-17, h36m-17, body-25"):
        mapping_of(detections(COCO_17.joints), "mpii")
    with pytest.raises(InvalidValueError, match="the file has 17 joints a person, --keypoints-skeleton says 25"):
        mapping_of(detections(COCO_17.joints), "body-25")
    names = [name for name in H36M_17.joints if name not in ("nose", "head")]
    with pytest.raises(InvalidValueError, match="no nose, head among the joints"):
        mapping_of(detections(names, names=tuple(names)), None)
    with pytest.raises(MissingFileError, match=r"no skeleton at .*mine\.toml"):
        mapping_of(detections(COCO_17.joints), "mine.toml")


MPII = ["rank", "rkne", "rhip", "lhip", "lkne", "lank", "pelv", "thrx", "neck", "top"]
MPII += ["rwri", "relb", "rsho", "lsho", "lelb", "lwri"]


def own(tmp_path, text: str):
    (tmp_path / "own.toml").write_text(text)
    return str(tmp_path / "own.toml")


def test_a_table_of_ones_own_maps_by_names_and_leaves_the_usual_ones_to_be_found(tmp_path):
    """MPII's 16 joints: no eyes, no nose, and names of its own for the middle ones."""
    choice = own(
        tmp_path,
        f"names = {MPII}\n[mapping]\npelvis = ['pelv']\nthorax = ['thrx']\nhead = ['top']\nnose = ['neck', 'top']\n",
    )
    mapping = mapping_of(detections([H36M_17.joints[0]] * 16), choice)
    assert mapping.skeleton == "own.toml"
    assert mapping.rows[0] == (6,)
    assert mapping.rows[H36M_17.index("nose")] == (8, 9)
    assert mapping.rows[H36M_17.index("left_wrist")] == (15,)
    assert sorted(mapping.rows[H36M_17.index("spine")]) == [2, 3, 12, 13]


def test_a_table_of_numbers_needs_no_names_and_may_say_that_a_joint_is_not_there(tmp_path):
    lines = [f"{joint} = [{number}]" for number, joint in enumerate(H36M_17.joints) if joint not in ("nose", "head")]
    choice = own(tmp_path, "[mapping]\nnose = []\nhead = [9, 10]\n" + "\n".join(lines))
    mapping = mapping_of(detections(H36M_17.joints), choice)
    values = np.random.default_rng(0).normal(size=(2, 17, 2))
    mapped = mapping(values)
    assert np.isnan(mapped[:, H36M_17.index("nose")]).all()
    np.testing.assert_allclose(mapped[:, 10], values[:, 9:11].mean(axis=1))
    others = [number for number, joint in enumerate(H36M_17.joints) if joint not in ("nose", "head")]
    np.testing.assert_array_equal(mapped[:, others], values[:, others])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("names = 3 3", "is not TOML"),
        ("joints = []", "holds joints; a skeleton is"),
        ("names = ['a']", "names 1 joints, the file has 17"),
        ("[mapping]\nhip = [0]", "no joint 'hip'; there are pelvis"),
        ("[mapping]\npelvis = 3", "pelvis must be a list"),
        ("[mapping]\npelvis = [17]", r"pelvis is made of 17; the file has 17 joints, it names none"),
        ("[mapping]\npelvis = ['mitte']", "pelvis is made of 'mitte'"),
        ("[mapping]\npelvis = [0]", "leaves out right_hip.*no right_hip"),
    ],
)
def test_a_table_that_cannot_be_is_refused_with_the_place(tmp_path, text, problem):
    with pytest.raises(InvalidValueError, match=problem):
        mapping_of(detections(COCO_17.joints), own(tmp_path, text))


def test_the_mapping_is_in_the_fingerprint_joint_by_joint():
    said = mapping_of(detections(BODY_25), "body-25").describe()
    assert said["skeleton"] == "body-25"
    assert said["mapping"]["pelvis"] == [8]
    assert list(said["mapping"]) == list(H36M_17.joints)
