"""Motion capture: files read as their conventions say, errors that say what is wrong, motion that fits another body."""

from __future__ import annotations

import io
import itertools
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from auglift.pipeline.synth.motion.bvh import read_bvh
from auglift.pipeline.synth.motion.mocap import ARCHIVE_NAME, MocapArchive, exponential_maps
from auglift.pipeline.synth.motion.retarget import captured_motion, longest_sound_run, resample, retarget
from auglift.pipeline.synth.motion.rig import INDEX, PARENTS, Rig
from auglift.pipeline.synth.scene.body import Subject, build_rig
from auglift.pipeline.synth.seeding import seeded
from auglift.stores.errors import AugliftError, InvalidValueError, MissingFileError

BONES = [
    (f"{side}_{start}", f"{side}_{end}")
    for side in ("left", "right")
    for start, end in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
]
# A person at rest: name, parent, offset; the two legs and arms are written out below.
CENTRE = (
    ("Hips", None, (0, 0, 0)),
    ("Spine", "Hips", (0, 2, 0)),
    ("Neck", "Spine", (0, 4, 0)),
    ("Head", "Neck", (0, 1, 0)),
)


def rig(seed: int = 0) -> Rig:
    return build_rig(Subject.draw("r", seeded("rig", seed), (1.5, 1.9), (0.9, 1.1)))


def write_bvh(path: Path, frames: np.ndarray, order: str = "zyx", rename: dict[str, str] | None = None) -> Path:
    """A BVH of 18 joints; frames (T, 3 + 18 * 3): root position, then each joint's angles in `order`."""
    joints = [*CENTRE]
    for side, x in (("Left", 1.0), ("Right", -1.0)):
        joints += [(f"{side}UpLeg", "Hips", (x, 0, 0)), (f"{side}Leg", f"{side}UpLeg", (0, -4, 0))]
        joints += [(f"{side}Foot", f"{side}Leg", (0, -4, 0)), (f"{side}Shoulder", "Spine", (0.2 * x, 3.5, 0))]
        joints += [(f"{side}Arm", f"{side}Shoulder", (1.3 * x, 0, 0)), (f"{side}ForeArm", f"{side}Arm", (3 * x, 0, 0))]
        joints += [(f"{side}Hand", f"{side}ForeArm", (2.5 * x, 0, 0))]
    called = {name: (rename or {}).get(name, name) for name, *_ in joints}
    angles = " ".join(f"{axis.upper()}rotation" for axis in order)

    def block(name: str, indent: str) -> list[str]:
        offset = next(offset for joint, _, offset in joints if joint == name)
        root = name == "Hips"
        channels = f"6 Xposition Yposition Zposition {angles}" if root else f"3 {angles}"
        lines = [f"{indent}{'ROOT' if root else 'JOINT'} {called[name]}", indent + "{"]
        lines += [f"{indent}  OFFSET {offset[0]} {offset[1]} {offset[2]}", f"{indent}  CHANNELS {channels}"]
        children = [joint for joint, parent, _ in joints if parent == name]
        for child in children:
            lines += block(child, indent + "  ")
        if not children:
            lines += [f"{indent}  End Site", indent + "  {", indent + "    OFFSET 0 1 0", indent + "  }"]
        return [*lines, indent + "}"]

    rows = [" ".join(f"{value:.6f}" for value in frame) for frame in frames]
    text = ["HIERARCHY", *block("Hips", ""), "MOTION", f"Frames: {len(frames)}", "Frame Time: 0.02", *rows]
    path.write_text("\n".join(text))
    return path


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.sampled_from(["".join(order) for order in itertools.permutations("xyz")]))
def test_a_bvh_joint_turns_in_the_order_its_channels_are_listed(tmp_path: Path, order: str) -> None:
    frames = np.random.default_rng(3).uniform(-80, 80, (4, 57))
    found = read_bvh(write_bvh(tmp_path / "a.bvh", frames, order))
    assert abs(found.fps - 50) < 1e-9
    np.testing.assert_allclose(found.root, frames[:, :3], atol=1e-5)
    for joint in range(18):
        expected = Rotation.from_euler(order.upper(), frames[:, 3 + 3 * joint : 6 + 3 * joint], degrees=True)
        np.testing.assert_allclose(found.rotation[:, joint], expected.as_matrix(), atol=1e-6)


def test_a_bvh_with_unknown_names_says_which_and_takes_a_mapping(tmp_path: Path) -> None:
    frames = np.zeros((3, 57))
    path = write_bvh(tmp_path / "a.bvh", frames, rename={"LeftLeg": "lKn", "Head": "Kopf"})
    with pytest.raises(InvalidValueError) as error:
        read_bvh(path)
    message = str(error.value)
    assert "a.bvh" in message
    assert "left_knee" in message
    assert "head" in message
    assert "right_knee" not in message
    assert "lKn" in message  # what there is to choose from
    assert "mapping=" in message
    assert "\n" not in message
    found = read_bvh(path, mapping={"left_knee": "lKn", "head": "Kopf"})
    assert found.role["left_knee"] == read_bvh(write_bvh(tmp_path / "b.bvh", frames)).role["left_knee"]
    with pytest.raises(InvalidValueError, match="left_knee = 'nowhere'"):
        read_bvh(path, mapping={"left_knee": "nowhere", "head": "Kopf"})
    with pytest.raises(InvalidValueError, match="'knee_of_the_left'"):
        read_bvh(path, mapping={"knee_of_the_left": "lKn", "head": "Kopf"})


@pytest.mark.parametrize("damage", ["truncated", "empty", "other", "words"])
def test_a_damaged_bvh_is_an_error_that_names_the_file(tmp_path: Path, damage: str) -> None:
    path = write_bvh(tmp_path / "a.bvh", np.zeros((5, 57)))
    text = path.read_text()
    path.write_text(
        {"truncated": text[:-200], "empty": "", "other": "x,y,z\n", "words": text[:-9] + " nonsense"}[damage]
    )
    with pytest.raises(InvalidValueError, match=r"a\.bvh"):
        read_bvh(path)
    with pytest.raises(MissingFileError, match=r"c\.bvh"):
        read_bvh(tmp_path / "c.bvh")


def test_both_conventions_of_joint_names_are_known(shared_data: Path) -> None:
    for name, (clavicle, shoulder) in {"01_01": (18, 19), "131_01": (18, 19)}.items():
        found = read_bvh(shared_data / "cmu_mocap" / f"{name}.bvh")
        text = (shared_data / "cmu_mocap" / f"{name}.bvh").read_text().split("MOTION")[0].split()
        names = [text[at + 1] for at, word in enumerate(text) if word in ("ROOT", "JOINT")]
        played = {role: names[index] for role, index in found.role.items()}
        for side in ("Left", "Right"):
            assert played[f"{side.lower()}_hip"] in (f"{side}UpLeg", f"{side}Hip")
            assert played[f"{side.lower()}_elbow"] in (f"{side}ForeArm", f"{side}Elbow")
            assert played[f"{side.lower()}_shoulder"] in (f"{side}Arm", f"{side}Shoulder")
        assert names[found.role["left_clavicle"]] != names[found.role["left_shoulder"]]
        assert clavicle != shoulder


def test_exponential_maps_are_rotation_vectors() -> None:
    vectors = np.random.default_rng(0).normal(0, 2, (200, 3))
    vectors[0], vectors[1] = 0, 1e-9
    np.testing.assert_allclose(exponential_maps(vectors), Rotation.from_rotvec(vectors).as_matrix(), atol=1e-12)


def small_archive(folder: Path, motions: dict[str, np.ndarray]) -> Path:
    """An archive of the CMU one's layout: 38 joints in a comb of plausible parents."""
    parents = [-1, 0, 1, 2, 3, 4, 5, 0, 7, 8, 9, 10, 11, 0, 13, 14, 15, 16, 17, 18, 15, 20, 21, 22, 23, 24, 25, 23, 27]
    parents += [15, 29, 30, 31, 32, 33, 34, 32, 36]
    offsets = np.zeros((38, 3))
    for joint, offset in {
        2: (1, 0, 0),
        3: (0, -4, 0),
        4: (0, -4, 0),
        5: (0, -0.4, 1.5),
        8: (-1, 0, 0),
        9: (0, -4, 0),
    }.items():
        offsets[joint] = offset
    for joint, offset in {
        10: (0, -4, 0),
        11: (0, -0.4, 1.5),
        14: (0, 2, 0),
        15: (0, 2, 0),
        17: (0, 1, 0),
        18: (0, 1, 0),
    }.items():
        offsets[joint] = offset
    for joint, offset in {
        21: (1.5, 1, 0),
        22: (3, 0, 0),
        23: (3, 0, 0),
        30: (-1.5, 1, 0),
        31: (-3, 0, 0),
        32: (-3, 0, 0),
    }.items():
        offsets[joint] = offset
    fields = {"parents": parents, "offsets_cmu_units": offsets.tolist(), "metres_per_unit": 0.056}
    (folder / "skeleton.json").write_text(json.dumps(fields))
    path = folder / ARCHIVE_NAME
    with tarfile.open(path, "w:xz") as archive:
        for name, values in motions.items():
            data = "\n".join(",".join(f"{value:.6f}" for value in row) for row in values).encode() + b"\n"
            entry = tarfile.TarInfo(f"cmu_mocap/{name}.txt")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def poses(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.3, (count, 117))


def test_the_archive_reads_back_what_was_written(tmp_path: Path) -> None:
    motions = {"train/walking/walking_1": poses(7), "test/running/running_1": poses(4, 1)}
    path = small_archive(tmp_path, motions)
    archive = MocapArchive(path, tmp_path / "cache")
    assert archive.names == tuple(sorted(motions))
    assert archive.group("train/walking") == ("train/walking/walking_1",)
    found = archive.read("train/walking/walking_1")
    expected = motions["train/walking/walking_1"]
    np.testing.assert_allclose(found.root, expected[:, :3], atol=1e-5)
    # The data's README, row vectors: X_child = X_parent + offset R_parent, R_child = R(expmap_child) R_parent.
    parents, offsets = (
        json.loads((tmp_path / "skeleton.json").read_text())[key] for key in ("parents", "offsets_cmu_units")
    )
    position, orientation = found.forward()
    for frame in range(7):
        turned, placed = [], []
        for joint, parent in enumerate(parents):
            own = Rotation.from_rotvec(expected[frame, 3 + 3 * joint : 6 + 3 * joint]).as_matrix()
            turned.append(own if parent < 0 else own @ turned[parent])
            placed.append(
                expected[frame, :3] if parent < 0 else placed[parent] + np.array(offsets[joint]) @ turned[parent]
            )
        np.testing.assert_allclose(position[frame], placed, atol=5e-5)
        np.testing.assert_allclose(orientation[frame], np.transpose(turned, (0, 2, 1)), atol=1e-5)


def test_the_archive_is_unpacked_once_and_a_damaged_cache_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_archive(tmp_path, {"train/a/a_1": poses(5)})
    opened = []
    original = tarfile.open
    monkeypatch.setattr(tarfile, "open", lambda *a, **k: opened.append(1) or original(*a, **k))
    first = MocapArchive(tmp_path, tmp_path / "cache").read("train/a/a_1")
    second = MocapArchive(tmp_path, tmp_path / "cache").read("train/a/a_1")
    assert len(opened) == 1
    np.testing.assert_array_equal(first.rotation, second.rotation)
    (cached,) = (tmp_path / "cache").iterdir()
    cached.write_bytes(b"not a cache")
    third = MocapArchive(tmp_path, tmp_path / "cache").read("train/a/a_1")
    assert len(opened) == 2
    np.testing.assert_array_equal(first.rotation, third.rotation)


def test_a_missing_or_damaged_archive_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=f"no motion capture archive at .*{ARCHIVE_NAME}.*procedural"):
        MocapArchive(tmp_path, tmp_path / "cache")
    path = small_archive(tmp_path, {"train/a/a_1": poses(300)})
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"nothing like it", whole[:100] + b"\0" * 50 + whole[150:]):
        path.write_bytes(damaged)
        with pytest.raises(InvalidValueError, match="not a complete"):
            MocapArchive(tmp_path, tmp_path / "cache")
        assert not list((tmp_path / "cache").iterdir())  # nothing half made is left
    path.write_bytes(whole)
    (tmp_path / "skeleton.json").unlink()
    with pytest.raises(MissingFileError, match=r"skeleton\.json"):
        MocapArchive(tmp_path, tmp_path / "cache")
    small_archive(tmp_path, {"train/a/a_1": poses(3)[:, :50]})
    with pytest.raises(InvalidValueError, match="50 columns"):
        MocapArchive(tmp_path, tmp_path / "cache")


def test_the_error_for_an_unknown_name_in_the_archive_has_the_nearest(tmp_path: Path) -> None:
    small_archive(tmp_path, {"train/walking/walking_1": poses(3)})
    with pytest.raises(AugliftError, match="did you mean 'train/walking/walking_1'"):
        MocapArchive(tmp_path, tmp_path / "cache").read("train/walking/waking_1")


@pytest.mark.parametrize("seed", [0, 1])
def test_retargeted_bones_keep_their_directions_and_take_the_bodys_lengths(tmp_path: Path, seed: int) -> None:
    small_archive(tmp_path, {"train/a/a_1": poses(12, seed)})
    recording = MocapArchive(tmp_path, tmp_path / "cache").read("train/a/a_1")
    ours = rig(seed)
    position, _ = ours.forward(retarget(recording, ours))
    captured, _ = recording.forward()
    for start, end in BONES:
        bone = position[:, INDEX[end]] - position[:, INDEX[start]]
        theirs = captured[:, recording.role[end]] - captured[:, recording.role[start]]
        length = np.linalg.norm(bone, axis=-1)
        np.testing.assert_allclose(length, np.linalg.norm(ours.offset[INDEX[end]]), atol=1e-9)
        np.testing.assert_allclose(
            bone / length[:, None], theirs / np.linalg.norm(theirs, axis=-1, keepdims=True), atol=1e-6
        )


def test_the_real_recordings_walk_upright_on_the_floor_with_knees_that_bend_backwards(
    shared_data: Path, tmp_path: Path
) -> None:
    ours = rig()
    for name in ("01_01", "131_01"):
        recording = read_bvh(shared_data / "cmu_mocap" / f"{name}.bvh")
        pose = retarget(recording, ours)
        position, orientation = ours.forward(pose)
        assert orientation[:, 0, 1, 1].mean() > 0.9  # upright
        assert position[:, INDEX["head"], 1].mean() > 1.2
        for side in ("left", "right"):
            shin = position[:, INDEX[f"{side}_ankle"]] - position[:, INDEX[f"{side}_knee"]]
            ahead = orientation[:, INDEX[f"{side}_hip"], :, 2]
            assert ((shin * ahead).sum(-1) < 0.02).mean() > 0.98
        left = position[:, INDEX["left_shoulder"]] - position[:, INDEX["right_shoulder"]]
        assert (left * orientation[:, 0, :, 0]).sum(-1).mean() > 0.2
        low = ours.lowest(pose)
        assert low.min() > -1e-6
        assert np.median(low) < 0.06


def test_calibration_frames_and_glitches_are_left_out(tmp_path: Path) -> None:
    calm = np.zeros((90, 117))
    calm[:, 1] = 8 + 0.01 * np.arange(90)
    calm[0, 3:] = 0.9  # a calibration pose
    calm[60:62, 4] = 3.0  # the body flips over for two frames
    small_archive(tmp_path, {"train/a/a_1": calm})
    recording = MocapArchive(tmp_path, tmp_path / "cache").read("train/a/a_1")
    ours = rig()
    run = longest_sound_run(retarget(recording, ours), ours, recording.fps)
    assert (run.start, run.stop) == (1, 60)


def test_a_recording_is_sampled_between_its_frames_and_past_its_end(tmp_path: Path) -> None:
    angle = np.linspace(0, 1, 50)
    still = np.zeros((50, 117))
    still[:, 1], still[:, 4] = 8, angle  # turning about the vertical
    small_archive(tmp_path, {"train/a/a_1": still})
    recording = MocapArchive(tmp_path, tmp_path / "cache").read("train/a/a_1")
    pose = retarget(recording, rig())
    between = resample(pose, 120.0, np.array([0.0, 10.5 / 120, 49 / 120, 60 / 120]))
    turned = Rotation.from_matrix(between.rotation[:, 0]).as_euler("YXZ")[:, 0]
    wanted = [0, (angle[10] + angle[11]) / 2, 1, angle[38]]  # past the end it runs backwards
    np.testing.assert_allclose(np.abs(turned), wanted, atol=1e-5)
    motion = captured_motion(recording, rig(), 4)
    np.testing.assert_allclose(motion.sample(np.array([0.0])).root[0, [0, 2]], 0, atol=1e-9)
    lengths = np.linalg.det(motion.sample(np.arange(0, 3, 0.013)).rotation)
    np.testing.assert_allclose(lengths, 1, atol=1e-9)
    assert len(PARENTS) == motion.sample(np.zeros(1)).rotation.shape[1]


@pytest.mark.slow
def test_every_recording_of_the_real_archive_has_a_sound_part_on_two_feet(shared_data: Path, tmp_path: Path) -> None:
    archive = MocapArchive(shared_data / "cmu_mocap", tmp_path)
    assert len(archive.names) == 89
    assert {name.split("/")[0] for name in archive.names} == {"train", "test"}
    ours = rig()
    for name in archive.names:
        recording = archive.read(name)
        pose = retarget(recording, ours)
        pose = pose[longest_sound_run(pose, ours, recording.fps)]
        assert len(pose) > 1.2 * recording.fps, name
        position, orientation = ours.forward(pose)
        assert np.median(position[:, INDEX["head"], 1]) > 1.1, name
        assert np.median(orientation[:, 0, 1, 1]) > 0.8, name
        assert np.median(ours.lowest(pose)) < 0.06, name
