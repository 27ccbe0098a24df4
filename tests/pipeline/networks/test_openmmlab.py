"""mmdet and mmpose with mmcv-lite: suppression equals its definition, and what is supplied stays out of the way."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auglift.pipeline.networks import openmmlab
from auglift.stores.errors import InvalidValueError, MissingExtraError


def greedy(boxes: np.ndarray, scores: np.ndarray, threshold: float, offset: int) -> list[int]:
    """Take the best box left, drop all that overlap it, and again: the textbook's loop, in float32 like the ops."""
    left = sorted(range(len(boxes)), key=lambda i: (-scores[i], i))
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [i for i in left if not _iou(boxes[best], boxes[i], np.float32(offset)) > np.float32(threshold)]
    return kept


def _iou(a: np.ndarray, b: np.ndarray, offset: np.float32) -> np.float32:
    zero = np.float32(0)
    width = max(min(a[2], b[2]) - max(a[0], b[0]) + offset, zero)
    height = max(min(a[3], b[3]) - max(a[1], b[1]) + offset, zero)
    areas = [(x[2] - x[0] + offset) * (x[3] - x[1] + offset) for x in (a, b)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return width * height / (areas[0] + areas[1] - width * height)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 60),
    grid=st.sampled_from([4, 30, 1000]),  # coarse grids make equal, empty and touching boxes
    threshold=st.sampled_from([0.0, 0.3, 0.5, 0.65, 1.0]),
    offset=st.sampled_from([0, 1]),
    block=st.sampled_from([1, 7, 1024]),
)
def test_suppression_keeps_the_boxes_that_the_greedy_loop_keeps(seed, count, grid, threshold, offset, block):
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, grid, (count, 2))
    boxes = np.concatenate([corner, corner + rng.integers(0, max(2, grid // 2), (count, 2))], axis=1).astype(np.float32)
    scores = (rng.integers(0, 8, count) / 8).astype(np.float32)  # equal scores too
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openmmlab, "_BLOCK", block)
        kept = openmmlab.nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold, offset)
    assert kept.tolist() == greedy(boxes, scores, threshold, offset)


def test_a_long_chain_of_overlapping_boxes_is_cut_at_every_second_one():
    """The worst case for a fixed point: each box is suppressed, or not, only through all the better ones."""
    x = torch.arange(50.0)
    boxes = torch.stack([x, 0 * x, x + 2, 0 * x + 1], dim=1)  # neighbours overlap by a third, others touch at most
    assert openmmlab.nms(boxes, -x, 0.3).tolist() == list(range(0, 50, 2))


def test_mmcv_calls_the_supplied_suppression():
    ops = openmmlab.load("mmcv.ops")
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]])
    kept, order = ops.nms(boxes, torch.tensor([0.5, 0.9, 0.7]), 0.5)
    assert order.tolist() == [1, 2]
    assert torch.equal(kept, torch.tensor([[0, 0, 10, 9, 0.9], [20, 20, 30, 30, 0.7]]))


def test_another_compiled_op_says_that_it_is_missing_when_it_is_called_and_not_before():
    ops = openmmlab.load("mmcv.ops")
    with pytest.raises(MissingExtraError, match=r"compiled op 'softnms'.*install a compiled mmcv"):
        ops.soft_nms(torch.zeros(1, 4), torch.ones(1))


def test_nothing_here_needs_torchvision():
    openmmlab.load("mmdet.models")
    openmmlab.load("mmpose.models")
    assert "torchvision" not in sys.modules


def test_an_installed_compiled_mmcv_is_left_alone(monkeypatch):
    openmmlab.prepare()
    find_spec = openmmlab.importlib.util.find_spec
    monkeypatch.setattr(openmmlab, "_ready", False)
    monkeypatch.delitem(sys.modules, "mmcv._ext")
    monkeypatch.setattr(
        openmmlab.importlib.util, "find_spec", lambda name: object() if name == "mmcv._ext" else find_spec(name)
    )
    openmmlab.prepare()
    assert "mmcv._ext" not in sys.modules


@pytest.mark.parametrize(
    ("source", "supplied"),
    [
        ("loads = True", False),
        ("raise ValueError('numpy.dtype size changed')", True),
    ],
    ids=["that loads is left alone", "that does not load is replaced"],
)
def test_an_installed_xtcocotools(monkeypatch, tmp_path: Path, source: str, supplied: bool):
    package = tmp_path / "xtcocotools"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "mask.py").write_text(source)
    for name in [name for name in sys.modules if name.partition(".")[0] == "xtcocotools"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    openmmlab._supply_xtcocotools()
    from pycocotools import mask

    assert (sys.modules["xtcocotools.mask"] is mask) is supplied
    for name in [name for name in sys.modules if name.partition(".")[0] == "xtcocotools"]:
        monkeypatch.delitem(sys.modules, name)
    openmmlab._ready = False  # the next use supplies it again


def test_without_the_extra_the_error_names_it(monkeypatch):
    find_spec = openmmlab.importlib.util.find_spec
    monkeypatch.setattr(openmmlab, "_ready", False)
    monkeypatch.setattr(
        openmmlab.importlib.util, "find_spec", lambda name: None if name == "mmdet" else find_spec(name)
    )
    with pytest.raises(MissingExtraError, match=r"need mmdet: pip install 'auglift\[prep\]'"):
        openmmlab.prepare()


def test_the_users_own_warnings_are_not_silenced():
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with openmmlab.quietly():
            for module in ("mine", "notmmdet.x", "mmdet.models.x", "mmcv", "torch.jit._script"):
                warnings.warn_explicit("beware", UserWarning, f"{module}.py", 1, module)
        warnings.warn_explicit("again", UserWarning, "x.py", 1, "mmdet.models.x")
    assert [(str(each.message), each.filename) for each in heard] == [
        ("beware", "mine.py"),
        ("beware", "notmmdet.x.py"),
        ("again", "x.py"),
    ]


def test_a_configuration_that_the_installed_package_does_not_have_is_an_error():
    with pytest.raises(InvalidValueError, match=r"mmdet has no \.mim/configs/rtmdet/none\.py in"):
        openmmlab.read_config("mmdet/.mim/configs/rtmdet/none.py")


@pytest.mark.slow
def test_a_fresh_process_imports_in_two_threads_at_once_and_hears_no_warning():
    code = """
import threading
from auglift.pipeline import openmmlab
failed = []
def run(package):
    try:
        openmmlab.load(package + ".models")
    except BaseException as error:
        failed.append(error)
threads = [threading.Thread(target=run, args=[package]) for package in ("mmdet", "mmpose")]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert not failed, failed
config = openmmlab.read_config("mmpose/.mim/demo/mmdetection_cfg/rtmdet_nano_320-8xb32_coco-person.py")
openmmlab.build(config, "mmdet", 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=280, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
