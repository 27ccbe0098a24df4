"""cli/prep/keypoints.py: `--keypoints` as a user types it, from a file of joints to a finished store."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from auglift.cli.prep.main import main
from auglift.stores.export.h36m_names import CAMERAS
from auglift.stores.format.skeleton import COCO_17, H36M_17, coco_to_h36m
from auglift.stores.reading.store import FeatureStore
from auglift.stores.writing.verify import verify

from ...fakes import keypoints as fake
from ...fakes.datasets import write
from ...fakes.datasets.scene import view, walk
from ...fakes.depth import write_tiny_depth
from ...fakes.folders import digest_of_folder
from ...fakes.video import number_frames, write_video


def prep(*arguments: object):
    return CliRunner().invoke(main, [*map(str, arguments)])


@pytest.fixture(scope="module")
def quick(tmp_path_factory) -> list[object]:
    """A depth model that takes no time, and no other network."""
    depth = write_tiny_depth(tmp_path_factory.mktemp("depth"))
    return ["--depth", depth, "--weights", "random", "--batch", "4", "--threads", "1", "--uadd", "paper"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return write_video(tmp_path_factory.mktemp("clip") / "walk.mp4", number_frames(9, 120, 160), fps=30)


@pytest.fixture
def no_people(monkeypatch):
    """Neither a detector nor a pose network is built."""
    for name in ("load_detector", "load_pose"):
        monkeypatch.setattr(f"auglift.pipeline.build.{name}", None)


def test_a_store_has_the_files_joints_and_the_depth_at_them_and_no_network_ran(clip, quick, tmp_path, no_people):
    joints = fake.walk(9)
    joints[5] = 0
    path = fake.write_openpose(tmp_path / "walk_json", [[each] for each in joints])
    out = tmp_path / "a.zarr"
    result = prep("video", clip, "--keypoints", path, "--out", out, *quick, "--shard-frames", 4)
    assert result.exit_code == 0, result.output
    store = FeatureStore.open(out)
    expected = coco_to_h36m(joints)
    expected[5] = np.nan
    np.testing.assert_allclose(store.read("keypoints"), expected[..., :2], rtol=1e-6)
    np.testing.assert_allclose(store.read("score"), expected[..., 2], rtol=1e-6)
    assert store.read("valid").tolist() == [1, 1, 1, 1, 1, 0, 1, 1, 1]
    # Relative depth: a frame in which the random network sees one depth everywhere has no scale.
    described = np.asarray(np.isfinite(store.read("uadd/paper")).all(axis=(1, 2)))
    assert described.sum() > 4
    assert not described[5]
    radius = 3 + (1 - expected[..., 2]) * (30 - 3)  # the paper's preset, method.md section 3
    np.testing.assert_allclose(store.read("radius/paper"), radius, rtol=1e-5)
    assert store.configuration["detector"]["name"] == "none"
    said = store.configuration["pose"]
    assert (said["name"], said["format"], said["skeleton"]) == ("keypoints-file", "openpose", "coco-17")
    assert said["mapping"]["pelvis"] == [11, 12]
    assert any("no detector and no pose network ran" in line for line in store.attributes["warnings"])
    assert verify(out, deep=True) == []


def test_the_files_digest_is_in_the_fingerprint_and_its_place_is_not(clip, quick, tmp_path):
    first, moved, other = (tmp_path / name / "walk.json" for name in ("a", "b", "c"))
    for path in (first, moved, other):
        path.parent.mkdir()
        fake.write_mmpose(path, [[each] for each in fake.walk(9) + (path is other)])
    call = ["video", clip, "--out", tmp_path / "s.zarr", *quick]
    assert prep(*call, "--keypoints", first).exit_code == 0
    before = digest_of_folder(tmp_path / "s.zarr")
    again = prep(*call, "--keypoints", moved)
    assert again.exit_code == 0, again.output
    assert digest_of_folder(tmp_path / "s.zarr") == before
    refused = prep(*call, "--keypoints", other)
    assert refused.exit_code == 2
    assert "pose.sha256" in refused.output


def test_a_store_gives_its_joints_to_a_store_of_another_descriptor(clip, quick, tmp_path, no_people):
    path = fake.write_mmpose(tmp_path / "walk.json", [[each] for each in fake.walk(9)])
    call = ["video", clip, *quick[:-1]]
    assert prep(*call, "paper", "--keypoints", path, "--out", tmp_path / "a.zarr").exit_code == 0
    result = prep(*call, "fixed", "--keypoints", tmp_path / "a.zarr", "--out", tmp_path / "b.zarr")
    assert result.exit_code == 0, result.output
    a, b = (FeatureStore.open(tmp_path / name) for name in ("a.zarr", "b.zarr"))
    for name in ("keypoints", "score", "bbox", "valid"):
        np.testing.assert_array_equal(a.read(name), b.read(name))
    assert "uadd/fixed" in b.fields


def test_human36m_takes_videopose3ds_detections_by_subject_action_and_camera(quick, tmp_path, no_people):
    root, cameras = tmp_path / "root", {}
    write.write_h36m(root, ("S9",), ("WalkingDog",), frames=3)
    for number, height in enumerate((1002, 1000, 1000, 1002)):
        eye = view(number, (1000, height))
        cameras[number] = eye.project(eye.see(walk(3))).astype(np.float32)
    positions = {"S9": {"WalkDog": [cameras[number] for number in range(4)]}}
    path = fake.write_videopose3d(tmp_path / "data_2d_h36m_x.npz", positions, fake.symmetry(H36M_17.left_right))
    out = tmp_path / "h.zarr"
    result = prep("h36m", "--root", root, "--split", "test", "--out", out, "--keypoints", path, *quick)
    assert result.exit_code == 1, result.output  # S11 is not in this copy of the archive
    store = FeatureStore.open(out)
    assert [row.camera for row in store.sequences] == list(CAMERAS)
    for number, row in enumerate(store.sequences):
        np.testing.assert_allclose(store.read("keypoints", row.start, row.stop), cameras[number], rtol=1e-6)
    np.testing.assert_allclose(store.read("keypoints"), store.read("target/keypoints"), atol=0.05)
    assert (store.read("score") == 1).all()
    assert any("c = 1" in line for line in store.attributes["warnings"])


def test_clips_without_joints_are_left_out_and_named(clip, quick, tmp_path):
    other = write_video(tmp_path / "run.mp4", number_frames(9, 120, 160), fps=30)
    fake.write_mmpose(tmp_path / "walk.json", [[each] for each in fake.walk(9)])
    call = ["video", clip, other, "--keypoints", tmp_path / "walk.json", *quick]
    result = prep(*call, "--out", tmp_path / "s.zarr", "--json")
    assert result.exit_code == 1, result.output
    said = json.loads(result.stdout.splitlines()[-1])
    assert said["left_out"] == ["run: walk.json has no joints for it"]
    assert [row.id for row in FeatureStore.open(tmp_path / "s.zarr").sequences] == ["walk"]


def test_a_dry_run_says_what_is_odd_about_the_file_and_writes_nothing(clip, tmp_path):
    frames = [[each] for each in fake.walk(9)]
    frames[2] = []
    path = fake.write_mmpose(tmp_path / "walk.json", frames)
    result = prep("video", clip, "--keypoints", path, "--out", tmp_path / "s.zarr", "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    warnings = json.loads(result.stdout)["warnings"]
    assert any("taken for coco-17 by its 17 joints" in line for line in warnings)
    assert any("nobody in 1 of 9 frames" in line for line in warnings)
    assert not (tmp_path / "s.zarr").exists()


REFUSED = {
    "another video": (lambda p: ["--keypoints", fake.write_mmpose(p / "x.json", [[WALK[0]]] * 5)], "the video has 9"),
    "a network too": (lambda p: ["--keypoints", walking(p), "--pose", "rtmpose-s"], "leave --pose away"),
    "a detector too": (lambda p: ["--keypoints", walking(p), "--detector", "rtmdet-s"], "leave --detector away"),
    "no file": (lambda p: ["--keypoints", p / "none.json"], "no 2D joints at"),
    "an option alone": (lambda p: ["--keypoints-skeleton", "coco-17"], "--keypoints-skeleton goes with --keypoints"),
    "an unknown skeleton": (lambda p: ["--keypoints", walking(p), "--keypoints-skeleton", "mpii"], "no such skeleton"),
}
WALK = fake.walk(9, COCO_17.joints)


def walking(folder: Path) -> Path:
    return fake.write_mmpose(folder / "walk.json", [[each] for each in WALK])


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_is_one_line_and_exit_2_and_leaves_nothing(what, clip, quick, tmp_path):
    options, problem = REFUSED[what]
    result = prep("video", clip, *options(tmp_path), "--out", tmp_path / "s.zarr", *quick)
    assert result.exit_code == 2
    assert problem in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert not (tmp_path / "s.zarr").exists()
