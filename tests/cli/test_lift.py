"""`auglift-lift`: a clip, or a store, to files of poses and a video of them."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner

from auglift.cli.lift import main
from auglift.lifters.evaluation.evaluate import predictions
from auglift.lifters.inputs import Inputs
from auglift.lifters.training.checkpoint import Run
from auglift.lifters.training.setup import Setup, parse_changes
from auglift.lifters.training.train import train
from auglift.pipeline.datasets.formats.markers import read_trc
from auglift.stores.reading.store import FeatureStore
from tests.fakes.keypoints import walk, write_openpose
from tests.fakes.people import people
from tests.fakes.video import number_frames, write_video

FRAMES, LOST = 14, 6
WIDTH, HEIGHT = 160, 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip with 2D joints of a person who walks through it and is lost in one frame, and two runs."""
    folder = tmp_path_factory.mktemp("lift")
    write_video(folder / "walk.mp4", number_frames(FRAMES, width=WIDTH, height=HEIGHT))
    write_video(folder / "black.mp4", np.zeros((4, HEIGHT, WIDTH, 3), np.uint8))
    seen = [[] if frame == LOST else [joints] for frame, joints in enumerate(walk(FRAMES, width=WIDTH, height=HEIGHT))]
    write_openpose(folder / "walk", seen)
    store = people(folder / "people.zarr").url
    for name, inputs in (("xy", Inputs("xy")), ("uadd", Inputs("uadd"))):
        changes = parse_changes("video_pose3d", ["width=16"])
        train(Setup((store,), "video_pose3d", inputs, 9, 64, 1, changes, device="cpu"), folder / name)
    return folder


def call(*arguments: object):
    return CliRunner().invoke(main, [*map(str, arguments), "--device", "cpu", "--threads", "1"])


def given(folder: Path) -> list[object]:
    skeleton = ["--keypoints-skeleton", "coco-17"]
    return ["--keypoints", folder / "walk", *skeleton, "--depth", "none", "--lifter", folder / "xy"]


@pytest.fixture(scope="module")
def lifted(folder: Path) -> Path:
    done = call(folder / "walk.mp4", *given(folder), "--out", folder / "out", "--keep-store", folder / "walk.zarr")
    assert done.exit_code == 0, done.output
    return folder / "out"


def test_a_clip_becomes_a_video_and_files_of_poses(lifted: Path):
    assert {"overlay.mp4", "poses.npz", "person-1.trc", "person-1.bvh"} <= {path.name for path in lifted.iterdir()}
    with av.open(str(lifted / "overlay.mp4")) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(frames) == FRAMES
    turned = np.abs(frames[0][:, 740:].astype(int) - frames[-1][:, 740:]).max()
    assert turned > 100  # the skeleton is drawn, and turns


def test_every_frame_has_the_pose_that_evaluation_predicts(folder: Path, lifted: Path):
    run, store = Run(folder / "xy"), FeatureStore.open(folder / "walk.zarr")
    expected = predictions(run.model(), store, run.inputs, "")
    with np.load(lifted / "poses.npz") as file:
        pose, found = file["pose3d"][0], file["found"][0]
    assert np.flatnonzero(~found).tolist() == [LOST]
    assert expected.frame.tolist() == np.flatnonzero(found).tolist()
    rooted = expected.pose - expected.pose[:, :1]
    np.testing.assert_allclose(pose[found], rooted.numpy(), atol=1e-6)
    assert np.isnan(read_trc(lifted / "person-1.trc").positions[LOST]).all()


def test_the_same_command_gives_the_same_bytes(folder: Path, lifted: Path, tmp_path: Path):
    call(folder / "walk.mp4", *given(folder), "--out", tmp_path, "--format", "npz,trc,bvh")
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (lifted / path.name).read_bytes(), path.name


def test_a_store_can_stand_in_the_place_of_the_clip(folder: Path, lifted: Path, tmp_path: Path):
    done = call(
        folder / "walk.zarr", "--lifter", folder / "xy", "--videos", folder, "--out", tmp_path,
        "--format", "npz", "--json",
    )  # fmt: skip
    (clip,) = json.loads(done.stdout)["clips"]
    assert clip["people"] == {"person-1": {"sequence": "walk", "frames": FRAMES - 1}}
    assert (tmp_path / "poses.npz").read_bytes() == (lifted / "poses.npz").read_bytes()
    assert (tmp_path / "overlay.mp4").read_bytes() == (lifted / "overlay.mp4").read_bytes()


def test_a_recording_is_read_by_reruns_own_reader(folder: Path, lifted: Path, tmp_path: Path):
    pytest.importorskip("rerun", reason="needs rerun: pip install 'auglift[viz]'")
    import subprocess
    import sys

    store = ["--lifter", folder / "xy", "--videos", folder, "--format", "npz", "--no-overlay", "--rrd"]
    done = call(folder / "walk.zarr", *store, "--out", tmp_path)
    assert done.exit_code == 0, done.output
    reader = [sys.executable, "-m", "rerun", "rrd"]
    checked = subprocess.run([*reader, "verify", tmp_path / "poses.rrd"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    shown = subprocess.run(
        [*reader, "print", "-vv", tmp_path / "poses.rrd"], capture_output=True, text=True, check=False
    )
    assert shown.stdout.count("/world/person-1/bones") >= 1
    assert "/camera/image/person-1/joints" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["walk.mp4", "--lifter", "uadd", "--depth", "none"], "was trained with depth, and --depth none makes none"),
        (
            ["walk.zarr", "--lifter", "uadd", "--videos", "."],
            "walk.zarr has no score, uadd/paper|walk.zarr has no uadd/paper",
        ),
        (
            ["black.mp4", "--lifter", "xy", "--detector", "tiny", "--pose", "tiny"],
            "nobody was found in any of the 4 frames",
        ),
        (
            ["walk.zarr", "--lifter", "xy", "--videos", "people.zarr"],
            "'walk.mp4' of sequence 'walk' is not in .*--no-overlay",
        ),
        (["people.zarr", "--lifter", "nowhere"], "no run at .*nowhere, and no shipped lifter of that name"),
        (["notes.mp4", "--lifter", "xy"], "notes.mp4"),
        (["absent.mp4", "--lifter", "xy"], "no such video or folder"),
        (["walk.zarr", "--lifter", "xy", "--detector", "tiny"], "--detector is for a clip, and this is a store"),
        (["walk.zarr", "--lifter", "xy", "--sequence", "run"], "has no sequence 'run'; it has walk"),
        (["walk.mp4", "--lifter", "xy", "--format", "fbx"], "no format 'fbx'"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_one_line_and_exit_code_2(
    folder: Path, lifted: Path, tmp_path: Path, arguments: list[str], words: str
):
    (folder / "notes.mp4").write_text("this is no video\n" * 50)
    files = [
        folder / part if (folder / part).exists() or part[-4:] in (".mp4", "zarr", "here") else part
        for part in arguments
    ]
    done = call(*files, "--out", tmp_path)
    assert done.exit_code == 2, done.output
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    import re

    assert re.search(words, last), last
