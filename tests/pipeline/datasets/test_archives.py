"""pipeline/datasets: each archive's joints, axes, units, frames and splits are those of the person and the cameras
that the fakes were written from."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from auglift.pipeline.datasets.fit3d import fit3d
from auglift.pipeline.datasets.formats.pickles import read_pickle
from auglift.pipeline.datasets.h36m import h36m
from auglift.pipeline.datasets.mpi_inf_3dhp import mpi_inf_3dhp
from auglift.pipeline.datasets.sanity import check
from auglift.pipeline.datasets.threedpw import threedpw
from auglift.stores.errors import InvalidValueError, MissingFileError

from ...fakes.datasets import write
from ...fakes.datasets.scene import view, walk
from ...fakes.hostile import Hostile
from ...fakes.video import truncate


def truth_of(clip, frames=None):
    assert clip.truth is not None
    return clip.truth.read(clip.source_frames(0, clip.count) if frames is None else np.array(frames))


def assert_sees(clip, number: int, size: tuple[int, int], frames: int, pixels: float = 1e-2) -> None:
    """The clip's truth is the person as camera `number` sees it."""
    eye, truth = view(number, size), truth_of(clip, range(frames))
    seen = eye.see(walk(frames))
    np.testing.assert_allclose(truth["target/pose3d"], seen, atol=1e-5)
    np.testing.assert_allclose(truth["target/keypoints"], eye.project(seen), atol=pixels)
    np.testing.assert_allclose(clip.intrinsics, (*eye.focal, *eye.middle), atol=0.05)
    box = truth["bbox"]
    assert (box[:, :2] < eye.project(seen).min(axis=1)).all()
    assert (box[:, 2:] > eye.project(seen).max(axis=1)).all()


@pytest.fixture(scope="module")
def human36m(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("h36m")
    write.write_h36m(root)
    return root


def test_human36m_is_the_person_that_was_filmed(human36m):
    found = h36m(human36m)
    there = {clip.id: clip for clip in found.clips}
    assert len(there) == 8
    for number, (camera, height) in enumerate(write.H36M_CAMERAS.items()):
        assert_sees(there[f"S1/Walking.{camera}"], number, (1000, height), 6)
    assert check(found.clips).problems == ()


def test_human36m_has_its_splits_and_the_missing_subjects_are_named(human36m):
    train, test = h36m(human36m, "train"), h36m(human36m, "test")
    assert {clip.subject for clip in train.clips} == {"S1"}
    assert {clip.subject for clip in test.clips} == {"S9"}
    assert [line.split("/")[0] for line in train.missing][::4] == ["S5", "S6", "S7", "S8"]
    assert train.complete == 4 / 20


def test_fifty_hertz_become_twenty_five_with_the_truth_of_the_same_frames(human36m):
    clip = h36m(human36m, "train", fps=25).clips[0]
    assert (clip.count, clip.fps) == (3, 25.0)
    seen = view(0, (1000, 1002)).see(walk(6))[[0, 2, 4]]
    np.testing.assert_allclose(truth_of(clip)["target/pose3d"], seen, atol=1e-5)


def test_known_bad_sequences_are_named_and_left_out_unless_kept(tmp_path):
    write.write_h36m(tmp_path, ("S9",), ("Greeting", "Walking"), 4)
    assert {clip.action for clip in h36m(tmp_path, "test").clips} == {"Walking"}
    assert any("Greeting" in note and "drifted" in note for note in h36m(tmp_path, "test").notes)
    assert {clip.action for clip in h36m(tmp_path, "test", keep_bad=True).clips} == {"Walking", "Greeting"}


def test_extracted_images_are_found_by_the_names_in_metadata(tmp_path):
    write.write_h36m(tmp_path, ("S1",), ("Walking",), 4)
    (tmp_path / "S1/Videos/Walking.55011271.mp4").unlink()
    rows = "<tr><td/><td/><td>S1</td></tr><tr><td>14</td><td>1</td><td>Walking</td></tr>"
    (tmp_path / "metadata.xml").write_text(f"<meta><mapping>{rows}</mapping></meta>")
    name = "s_01_act_14_subact_01_ca_02"
    write.write_images(tmp_path / "images" / name, write.grey(4, (1000, 1000)), "jpg", name + "_{:06d}")
    clip = next(clip for clip in h36m(tmp_path, "train").clips if clip.camera == "55011271")
    assert clip.info.kind == "images"
    assert clip.fps == 50.0
    assert_sees(clip, 1, (1000, 1000), 4)


def test_the_train_part_of_3dhp_is_the_person_that_was_filmed(tmp_path):
    write.write_3dhp_train(tmp_path)
    found = mpi_inf_3dhp(tmp_path, "train")
    assert [clip.camera for clip in found.clips] == [str(c) for c in write.MPI_CAMERAS] * 2
    for clip in found.clips[:8]:
        assert_sees(clip, int(clip.camera), (2048, 2048), 4)
    assert check(found.clips).problems == ()


@pytest.mark.parametrize(("part", "writer"), [("train", write.write_3dhp_train), ("test", write.write_3dhp_test)])
def test_3dhp_can_be_read_with_bodies_of_one_size_and_only_those_change(tmp_path, part, writer):
    writer(tmp_path)
    metric, scaled = (mpi_inf_3dhp(tmp_path, part, annotation=kind) for kind in ("annot3", "univ_annot3"))
    assert (metric.about, scaled.about) == ({"annotation": "annot3"}, {"annotation": "univ_annot3"})
    assert any("univ_annot3: bodies scaled" in note for note in scaled.notes)
    for one, other in zip(metric.clips, scaled.clips, strict=True):
        np.testing.assert_allclose(one.intrinsics, other.intrinsics, rtol=1e-5)
        truth, universal = truth_of(one), truth_of(other)
        np.testing.assert_array_equal(truth["target/keypoints"], universal["target/keypoints"])
        pose = truth["target/pose3d"]
        np.testing.assert_allclose(universal["target/pose3d"], write.universal(pose), atol=1e-5)
        assert one.truth is not None
        assert other.truth is not None
        assert one.truth.describe() != other.truth.describe(), "the two have different fingerprints"


@pytest.mark.parametrize(("subject", "size"), [("TS1", (2048, 2048)), ("TS5", (1920, 1080))])
def test_the_test_part_of_3dhp_has_truth_in_valid_frames_only(tmp_path, subject, size):
    write.write_3dhp_test(tmp_path, subject)
    found = mpi_inf_3dhp(tmp_path, "test")
    (clip,) = found.clips
    eye, truth = view(0, size), truth_of(clip)
    seen = eye.see(walk(5))
    valid = [0, 1, 3, 4]
    np.testing.assert_allclose(truth["target/pose3d"][valid], seen[valid], atol=1e-5)
    assert np.isnan(truth["target/pose3d"][2]).all()
    np.testing.assert_allclose(clip.intrinsics, (*eye.focal, *eye.middle), atol=0.05)
    assert len(found.missing) == 5


def test_each_actor_of_3dpw_is_a_sequence_and_frames_of_lost_cameras_have_no_truth(tmp_path):
    write.write_3dpw(tmp_path)
    found = threedpw(tmp_path, "test")
    assert [clip.subject for clip in found.clips] == ["street_00/0", "street_00/1"]
    eye = view(0, (192, 108))
    for actor, clip in enumerate(found.clips):
        truth = truth_of(clip)
        seen = eye.see(walk(5) + np.array([0.5 * actor, 0, 0]))
        known = [0, 1, 2, 4]
        joints = [joint for joint in range(17) if joint != 10]
        np.testing.assert_allclose(truth["target/pose3d"][known][:, joints], seen[known][:, joints], atol=1e-5)
        np.testing.assert_allclose(
            truth["target/keypoints"][known][:, joints], eye.project(seen)[known][:, joints], atol=1e-2
        )
        assert np.isnan(truth["target/pose3d"][3]).all()
        assert clip.fps == 30.0
    assert any("approximated" in note for note in found.notes)


@pytest.mark.parametrize("left_first", [False, True])
def test_fit3d_is_the_person_that_was_filmed_whichever_leg_comes_first(tmp_path, left_first):
    write.write_fit3d(tmp_path, left_first=left_first)
    found = fit3d(tmp_path)
    for number, clip in enumerate(found.clips[:4]):
        assert_sees(clip, number, (900, 900), 5)
    assert {clip.subject: clip.split for clip in found.clips} == {"s03": "train", "s10": "test"}
    assert any("exchanged" in note for note in found.notes) == left_first
    assert check(found.clips).problems == ()


def test_a_hostile_pickle_does_not_run(tmp_path):
    path = write.write_3dpw(tmp_path)
    trap = tmp_path / "it-ran"
    path.write_bytes(pickle.dumps({"jointPositions": [Hostile(os.mkdir, str(trap))]}, protocol=2))
    with pytest.raises(InvalidValueError, match="mkdir"):
        read_pickle(path)
    found = threedpw(tmp_path, "test")
    assert "refused" in found.damaged[0]
    assert not trap.exists()
    pickle.loads(path.read_bytes())
    assert trap.exists(), "the trap would not have sprung"


def test_a_wrong_root_says_what_was_looked_for_and_the_nearest_thing(human36m, tmp_path):
    with pytest.raises(MissingFileError, match="no folder"):
        h36m(tmp_path / "nowhere")
    with pytest.raises(MissingFileError, match=r"MyPoseFeatures.*nearest.*S1"):
        h36m(human36m.parent)
    with pytest.raises(MissingFileError, match="3DPW"):
        threedpw(human36m)


def test_an_unknown_subject_or_split_is_refused(tmp_path):
    write.write_h36m(tmp_path, ("S1", "S12"), frames=2)
    with pytest.raises(InvalidValueError, match="no subject S12"):
        h36m(tmp_path)
    with pytest.raises(InvalidValueError, match="no split 'dev'"):
        h36m(tmp_path, "dev")


def test_a_missing_camera_and_damaged_files_are_listed_and_the_rest_goes_on(tmp_path):
    write.write_h36m(tmp_path, ("S1",), frames=4)
    cdf = tmp_path / "S1/MyPoseFeatures/D3_Positions_mono"
    (tmp_path / "S1/Videos/Walking.54138969.mp4").unlink()
    truncate(cdf / "Walking.55011271.cdf", 0.3)
    truncate(tmp_path / "S1/Videos/Walking.58860488.mp4", 0.5)
    found = h36m(tmp_path, "train")
    assert [clip.camera for clip in found.clips] == ["60457274"]
    assert any("Walking.54138969.mp4" in line for line in found.missing)
    assert any("Walking.55011271.cdf" in line for line in found.damaged)
    assert any("moov" in line for line in found.damaged)


def test_truth_a_frame_short_is_noted_and_truth_of_another_video_refused(tmp_path):
    write.write_h36m(tmp_path / "a", ("S1",), frames=4, video_frames=5)
    clip = h36m(tmp_path / "a", "train").clips[0]
    assert np.isnan(truth_of(clip)["target/pose3d"][4]).all()
    assert np.isfinite(truth_of(clip)["target/pose3d"][:4]).all()
    write.write_h36m(tmp_path / "b", ("S1",), frames=12, video_frames=5)
    found = h36m(tmp_path / "b", "train")
    assert found.clips == []
    assert "5 frames, its ground truth 12" in found.damaged[0]


def test_a_nan_in_ground_truth_takes_its_frame_and_no_other(tmp_path):
    write.write_fit3d(tmp_path, ("s03",))
    path = tmp_path / "fit3d/train/s03/joints3d_25/squat.json"
    text = path.read_text()
    path.write_text(text.replace(text[text.index("[[[") + 3 : text.index(",")], "NaN", 1))
    found = fit3d(tmp_path, "train")
    pose = truth_of(found.clips[0])["target/pose3d"]
    assert np.isnan(pose[0]).all()
    assert np.isfinite(pose[1:]).all()
    assert any("1 of 5 frames without" in note for note in found.notes)


def test_frames_that_are_not_the_calibrations_size_are_refused(tmp_path):
    write.write_3dhp_test(tmp_path, "TS5")
    (tmp_path / "TS5").rename(tmp_path / "TS1")
    found = mpi_inf_3dhp(tmp_path, "test")
    assert "1920 x 1080, its calibration of 2048 x 2048" in found.damaged[0]


@pytest.mark.slow
def test_a_tree_of_ten_thousand_files_is_checked_whole(tmp_path):
    for number in range(60):
        write.write_3dpw(tmp_path, name=f"street_{number:02d}", frames=167)
    (tmp_path / "imageFiles/street_07/image_00100.jpg").unlink()
    truncate(tmp_path / "sequenceFiles/test/street_11.pkl", 0.5)
    found = threedpw(tmp_path, "test")
    report = check(found.clips)
    assert found.expected == 119  # how many actors there are in a damaged pickle cannot be known
    assert len(found.clips) == 118
    assert "street_11" in found.damaged[0]
    assert any("166 frames, ground truth for 167" in note for note in found.notes)
    assert len(report.clips) == 118
    assert report.problems == ()
