"""The loaders of MotionBERT, MotionAGFormer, TCPFormer and P-STMO on what `auglift-store export` writes.

Their repositories are no part of this one: a test skips where the one it needs neither lies beside the checkout nor is
named by an environment variable (AUGLIFT_MOTIONBERT, AUGLIFT_MOTIONAGFORMER, AUGLIFT_TCPFORMER, AUGLIFT_PSTMO).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from auglift.stores.export import export
from auglift.stores.reading.store import FeatureStore

from ...fakes.filmed import h36m_store as filmed
from ...fakes.filmed import rig, row, write_store

BESIDE = Path(__file__).resolve().parents[4]
FRAMES = 27

# What their code imports and these tests do not need, and what is gone from today's NumPy.
SHIM = """
import sys, types
import numpy as np
np.float = float
for name in ("tensorboardX", "prettytable", "wandb", "thop", "thop.profile"):
    sys.modules[name] = types.ModuleType(name)
class Table:
    def add_row(self, row): pass
sys.modules["prettytable"].PrettyTable = Table
easy = types.ModuleType("easydict")
easy.EasyDict = type("EasyDict", (dict,), {"__getattr__": dict.__getitem__, "__setattr__": dict.__setitem__})
sys.modules.setdefault("easydict", easy)
sys.path.insert(0, "")
given = sys.argv[1:]
sys.argv[1:] = []
from argparse import Namespace
import torch
torch.set_num_threads(1)
"""


def repository(name: str, file: str) -> Path:
    place = Path(os.environ.get(f"AUGLIFT_{name.upper().replace('-', '')}", BESIDE / name))
    if not (place / file).is_file():
        pytest.skip(f"needs {name}'s repository at {place}, or where AUGLIFT_{name.upper().replace('-', '')} says")
    return place


def python(folder: Path, code: str, *arguments: object) -> str:
    command = [sys.executable, "-c", SHIM + code, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def h36m(path: Path) -> FeatureStore:
    takes = {("S1", "Walking 1"): 60, ("S1", "Photo"): 31, ("S9", "Greeting 1"): 58, ("S9", "Sitting 2"): 40}
    store, _ = filmed(path / "first", {"S1": rig(1), "S9": rig(2)}, takes)
    # Those cameras stand anywhere; people must be before them.
    pose = store.read("target/pose3d").astype(np.float64)
    pose += np.array([0, 0, 6]) - pose[:, :1].mean(axis=0)
    return filmed(path / "h36m", {"S1": rig(1), "S9": rig(2)}, takes, **{"target/pose3d": pose})[0]


# With a network that says the truth, its evaluation must find no error: clips, their order, the file that its figures
# are made of, its frame sizes and the factor back to mm have then all gone together.
EVALUATE = """
import train
from lib.data.dataset_motion_3d import MotionDataset3D
from lib.data.datareader_h36m import DataReaderH36M
root, name, frames = "data/motion3d", given[-2], int(given[-1])
args = Namespace(data_root=f"{root}/MB3D_f{frames}s{frames // 3}/", flip=False, synthetic=False, gt_2d=False,
                 no_conf=False, rootrel=True)
sets = {part: MotionDataset3D(args, ["h36m-auglift"], part) for part in ("train", "test")}
reader = DataReaderH36M(frames, 1, frames // 3, frames, dt_root=root, dt_file=name)
cut = dict(zip(("train_x", "test_x", "train_y", "test_y"), reader.get_sliced_data()))
for part, clips in sets.items():
    assert len(clips) == len(cut[f"{part}_x"]) > 0, (part, len(clips), len(cut[f"{part}_x"]))
    for number, (x, y) in enumerate((clips[i] for i in range(len(clips)))):
        np.testing.assert_allclose(x.numpy(), cut[f"{part}_x"][number], atol=1e-5)
        np.testing.assert_allclose(y.numpy(), cut[f"{part}_y"][number], atol=1e-5)
class Truth(torch.nn.Module):
    def __init__(self, off): super().__init__(); self.number, self.off = 0, off
    def forward(self, x):
        y = torch.stack([sets["test"][self.number + i][1] for i in range(len(x))])
        self.number += len(x)
        y = y - y[:, :, :1]
        y[:, :, 5, 0] += self.off
        return y
loader = torch.utils.data.DataLoader(sets["test"], batch_size=2)
for off in (0, 0.01):
    print("mpjpe", train.evaluate(args, Truth(off), loader, reader)[0])
"""


def copied(place: Path, target: Path) -> Path:
    """Links to all of a repository, and a data folder of its own."""
    target.mkdir()
    for each in place.iterdir():
        if each.name not in ("data", ".git"):
            (target / each.name).symlink_to(each)
    (target / "data").mkdir()
    return target


def test_motionbert_loads_the_clips_cuts_the_same_itself_and_evaluates_them(tmp_path):
    checkout = copied(repository("MotionBERT", "train.py"), tmp_path / "MotionBERT")
    store = h36m(tmp_path)
    done = export(store, "motionbert", checkout / "data/motion3d", clip_frames=FRAMES)
    printed = python(checkout, EVALUATE, done.paths[1].name, FRAMES)
    exact, off = (float(line.split()[1]) for line in printed.splitlines() if line.startswith("mpjpe"))
    assert exact < 0.01  # mm
    # 0.01 of half a picture of 1000 px is 5 px in one joint of 17, some 4 mm each.
    assert 0.5 < off < 5


CUT = """
from data.reader.h36m import DataReaderH36M
import pickle
from pathlib import Path
source, clips, frames = Path(given[-3]), Path(given[-2]), int(given[-1])
reader = DataReaderH36M(n_frames=frames, sample_stride=1, data_stride_train=frames // 3, data_stride_test=frames,
                        dt_root=str(source.parent), dt_file=source.name)
train_x, test_x, train_y, test_y = reader.get_sliced_data()
for part, x, y in (("train", train_x, train_y), ("test", test_x, test_y)):
    ours = [pickle.loads(path.read_bytes()) for path in sorted((clips / part).iterdir())]
    assert len(ours) == len(x) > 0
    for clip, their_x, their_y in zip(ours, x, y):
        np.testing.assert_allclose(clip["data_input"], their_x, atol=1e-5)
        np.testing.assert_allclose(clip["data_label"], their_y, atol=1e-5)
print("clips", len(train_x), len(test_x))
"""


@pytest.mark.parametrize("name", ["MotionAGFormer", "TCPFormer"])
def test_motionagformer_and_tcpformer_cut_our_clips_from_our_source(tmp_path, name):
    place = repository(name, "data/reader/h36m.py")
    done = export(h36m(tmp_path), "motionbert", tmp_path / "o", clip_frames=FRAMES)
    printed = python(place, CUT, done.paths[1], done.paths[0], FRAMES)
    assert printed.startswith("clips")


def mpi(path: Path) -> FeatureStore:
    rng = np.random.default_rng(0)
    square = {"width": 2048, "height": 2048}
    rows = [
        *(row(f"S1/Seq1/{c}", 40, subject="S1", action="Seq1", camera=str(c), fps=25, **square) for c in (0, 4)),
        row("TS1", 33, subject="TS1", action="", camera="", split="test", **square),
        row("TS5", 21, subject="TS5", action="", camera="", split="test", width=1920, height=1080),
    ]
    pose = rng.normal(0, 0.5, (134, 17, 3)) + np.array([0, 0, 4])
    flat = rng.uniform(10, 1000, (134, 17, 2))
    pose[85], flat[85] = np.nan, np.nan  # a frame of TS1 that is not valid
    return write_store(path / "mpi", rows, {"target/pose3d": pose, "target/keypoints": flat}, "mpi-inf-3dhp")


PSTMO = """
from common.load_data_3dhp_mae import Fusion
opt = Namespace(dataset="3dhp", keypoints="gt", root_path=given[-1] + "/", subjects_train="S1", subjects_test="TS1",
                actions="*", downsample=1, subset=1, stride=1, crop_uv=0, test_augmentation=True, pad=4, batchSize=8,
                data_augmentation=True, reverse_augmentation=False, out_all=1)
found = {}
for train in (True, False):
    data = Fusion(opt, opt.root_path, train=train)
    samples = [data[number] for number in range(len(data))]
    assert all(np.isfinite(part).all() for sample in samples for part in sample[:3])
    found["train" if train else "test"] = len(samples)
    if train:
        keys = [("S1", "Seq1", "0"), ("S1", "Seq1", "4")]
        np.savez(given[-1] + "/seen.npz", solid=np.stack([data.poses_train[k] for k in keys]),
                 flat=np.stack([data.poses_train_2d[k] for k in keys]))
print("samples", found["train"], found["test"])
"""


def test_p_stmo_loads_both_files_and_their_joints_are_the_stores(tmp_path):
    place = repository("P-STMO", "common/load_data_3dhp_mae.py")
    store = mpi(tmp_path)
    export(store, "mpi-inf-3dhp", tmp_path / "o")
    printed = python(place, PSTMO, tmp_path / "o")
    # Each frame of training also mirrored; of the 54 of testing, all that are valid.
    assert printed.split()[-3:] == ["samples", "160", "53"]
    with np.load(tmp_path / "o" / "seen.npz") as seen:
        pose, flat = (store.read(name, 0, 80).reshape(2, 40, 17, -1) for name in ("target/pose3d", "target/keypoints"))
        order = [10, 8, 14, 15, 16, 11, 12, 13, 1, 2, 3, 4, 5, 6, 0, 7, 9]
        relative = 1000 * (pose - pose[:, :, :1])[:, :, order]
        others = [number for number in range(17) if number != 14]  # the pelvis keeps its place
        np.testing.assert_allclose(seen["solid"][:, :, others], relative[:, :, others], atol=1e-3)
        np.testing.assert_allclose(seen["flat"], flat[:, :, order] / 2048 * 2 - 1, atol=1e-6)


AGFORMER = """
from data.reader.motion_dataset import MPI3DHP, Fusion
args = Namespace(data_root=given[-1], n_frames=9, stride=3, flip=True, test_augmentation=True,
                 data_augmentation=True, reverse_augmentation=False, out_all=1, test_batch_size=8)
train = MPI3DHP(args, train=True)
assert all(torch.isfinite(part).all() for number in range(len(train)) for part in train[number])
test = Fusion(args, train=False)
assert all(np.isfinite(part).all() for number in range(len(test)) for part in test[number][:3])
print("samples", len(train), len(test))
"""


@pytest.mark.parametrize("name", ["MotionAGFormer", "TCPFormer"])
def test_motionagformer_and_tcpformer_load_both_files(tmp_path, name):
    place = repository(name, "data/reader/motion_dataset.py")
    export(mpi(tmp_path), "mpi-inf-3dhp", tmp_path / "o")
    printed = python(place, AGFORMER, tmp_path / "o")
    assert printed.split()[-3:] == ["samples", "28", "53"]
