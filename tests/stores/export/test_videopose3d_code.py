"""VideoPose3D's own code on what `auglift-store export` writes: its loader, its training, its prediction.

Its repository is not part of this one: the tests skip where it neither lies beside this one nor is named by
AUGLIFT_VIDEOPOSE3D.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from auglift.stores.export import export

from ...fakes.filmed import Rig, h36m_store, row, write_store

BESIDE = Path(__file__).resolve().parents[4] / "VideoPose3D"
SMALL = ("-arc", "3,3", "-ch", "16")

# What it needs on today's PyTorch, whose `load` takes no random state by default; and it looks for a trajectory network
# in a checkpoint that was trained without one.
SHIM = """
import runpy, sys, torch
load = torch.load
def everything(*arguments, **options):
    found = load(*arguments, **(options | {"weights_only": False}))
    return {key: value for key, value in found.items() if value is not None}
torch.load = everything
torch.set_num_threads(1)
sys.path.insert(0, "")
sys.argv[0] = "run.py"
runpy.run_path("run.py", run_name="__main__")
"""

# Two steps with its generator, its network and its loss; its run.py has no truth for `-d custom`.
STEPS = """
import sys
import numpy as np, torch
torch.set_num_threads(1)
sys.path.insert(0, "")
sys.argv[1:] = []
from common.custom_dataset import CustomDataset
from common.camera import normalize_screen_coordinates
from common.generators import ChunkedGenerator
from common.loss import mpjpe
from common.model import TemporalModelOptimized1f
dataset = CustomDataset("data/data_2d_custom_made.npz")
flat = np.load("data/data_2d_custom_made.npz", allow_pickle=True)["positions_2d"].item()
solid = np.load("data/data_3d_custom_made.npz", allow_pickle=True)["positions_3d"].item()
inputs, truth = [], []
for subject in dataset.subjects():
    (camera,) = dataset.cameras()[subject]
    for action in dataset[subject]:
        (kps,), (pose,) = flat[subject][action], solid[subject][action]
        kps[..., :2] = normalize_screen_coordinates(kps[..., :2], w=camera["res_w"], h=camera["res_h"])
        pose[:, 1:] -= pose[:, :1]
        inputs.append(kps)
        truth.append(pose)
net = TemporalModelOptimized1f(17, 2, dataset.skeleton().num_joints(), [3, 3], channels=16)
adam = torch.optim.Adam(net.parameters())
left, right = list(dataset.skeleton().joints_left()), list(dataset.skeleton().joints_right())
steps = ChunkedGenerator(32, None, truth, inputs, 1, 4, augment=True, kps_left=left, kps_right=right,
                         joints_left=left, joints_right=right)
for number, (_, pose, kps) in enumerate(steps.next_epoch()):
    pose = torch.from_numpy(pose.astype("float32"))
    pose[:, :, 0] = 0
    loss = mpjpe(net(torch.from_numpy(kps.astype("float32"))), pose)
    adam.zero_grad(); loss.backward(); adam.step()
    print("loss", loss.item())
    if number == 1:
        break
"""


@pytest.fixture(scope="module")
def original() -> Path:
    place = Path(os.environ.get("AUGLIFT_VIDEOPOSE3D", BESIDE))
    if not (place / "run.py").is_file():
        pytest.skip(f"needs VideoPose3D's repository at {place}, or where AUGLIFT_VIDEOPOSE3D says")
    pytest.importorskip("torch")
    return place


@pytest.fixture
def checkout(original, tmp_path) -> Path:
    """A copy, with a data folder of its own."""
    copy = tmp_path / "VideoPose3D"
    shutil.copytree(original / "common", copy / "common")
    shutil.copy(original / "run.py", copy)
    return copy


def rigs_of(checkout: Path) -> dict[str, Rig]:
    text = (checkout / "common" / "h36m_dataset.py").read_text()
    table = re.search(r"^h36m_cameras_extrinsic_params = (\{.*?^\})", text, re.MULTILINE | re.DOTALL)
    assert table is not None
    return {
        subject: Rig(np.array([p["orientation"] for p in places]), np.array([p["translation"] for p in places]))
        for subject, places in ast.literal_eval(table[1]).items()
        if all(places)
    }


def python(checkout: Path, code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=checkout, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_its_run_py_loads_h36m_trains_two_steps_and_evaluates(checkout, tmp_path):
    takes = {("S1", "Walking 1"): 40, ("S1", "TakingPhoto"): 23, ("S9", "WalkingDog"): 20, ("S9", "Photo 1"): 9}
    rigs = rigs_of(checkout)
    pose = h36m_store(tmp_path / "s", rigs, takes)[0].read("target/pose3d")
    pose[[5, 45, 85, 125]] = np.nan  # a frame of the first take, in all cameras
    valid = np.ones(len(pose), np.uint8)
    valid[[7, 8, 200]] = 0
    store, _ = h36m_store(tmp_path / "t", rigs, takes, **{"target/pose3d": pose, "valid": valid})
    done = export(store, "videopose3d", checkout / "data")
    options = done.notes[-1].partition("run.py ")[2].split()
    # Frames of S1 in four cameras, each also flipped, in two batches.
    printed = python(checkout, SHIM, *options, *SMALL, "-e", "1", "-b", "256", "--checkpoint-frequency", "1")
    assert f"Testing on {4 * 29} frames" in printed
    losses = re.search(r"3d_train (\S+) 3d_eval (\S+) 3d_valid (\S+)", printed)
    assert losses is not None
    assert all(0 < float(loss) < 1e5 for loss in losses.groups())
    assert re.findall(r"^----([A-Z]\w+)----$", printed, re.MULTILINE) == ["WalkDog", "Photo"]
    assert "nan" not in printed.lower()


def test_its_world_to_camera_gives_the_truth_of_the_store(checkout, tmp_path):
    store, _ = h36m_store(tmp_path / "s", rigs_of(checkout), {("S5", "Eating"): 6})
    export(store, "videopose3d", checkout / "data")
    code = """
import sys; sys.path.insert(0, "")
import numpy as np
from common.h36m_dataset import Human36mDataset
from common.camera import world_to_camera
take = Human36mDataset("data/data_3d_h36m.npz")["S5"]["Eating"]
views = [world_to_camera(take["positions"], R=c["orientation"], t=c["translation"]) for c in take["cameras"]]
np.save("views.npy", views)
"""
    python(checkout, code)
    views = np.load(checkout / "views.npy").reshape(-1, 17, 3)
    np.testing.assert_allclose(views, store.read("target/pose3d"), atol=1e-5)


def test_its_run_py_predicts_for_d_custom_from_a_video_and_from_a_store_with_subjects(checkout, tmp_path):
    trained, _ = h36m_store(tmp_path / "h", rigs_of(checkout), {("S1", "Walking"): 9, ("S9", "Walking"): 9})
    export(trained, "videopose3d", checkout / "data")
    options = ("-k", "auglift", "-str", "S1", "-ste", "S9", *SMALL, "-e", "1", "--checkpoint-frequency", "1")
    python(checkout, SHIM, *options)
    rows = [row("S1/walk 1/cam 1", 20, width=640, height=480), row("clip", 12, subject="", action="", width=1080)]
    store = write_store(tmp_path / "s", rows, {}, "my clips")
    export(store, "videopose3d", checkout / "data")
    for one in rows:
        predict = ("--evaluate", "epoch_1.bin", "--render", "--viz-subject", one.id, "--viz-action", "custom")
        printed = python(checkout, SHIM, "-d", "custom", "-k", "my-clips", *SMALL, *predict, "--viz-export", "out.npy")
        assert "this action is unlabeled" in printed
        found = np.load(checkout / "out.npy")
        assert found.shape == (one.length, 17, 3)
        assert np.isfinite(found).all()


def test_its_generator_network_and_loss_take_two_steps_on_the_files_of_d_custom(checkout, tmp_path):
    truth = np.random.default_rng(0).normal(0, 1, (60, 17, 3))
    truth[[10, 11, 40]] = np.nan
    rows = [row("S1/walk/a", 25, width=640, height=480), row("S1/walk/b", 35, width=1080, height=1920)]
    export(write_store(tmp_path / "s", rows, {"target/pose3d": truth}), "videopose3d", checkout / "data")
    losses = [float(line.split()[1]) for line in python(checkout, STEPS).splitlines() if line.startswith("loss")]
    assert len(losses) == 2
    assert np.isfinite(losses).all()
