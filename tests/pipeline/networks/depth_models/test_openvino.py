"""The depth network by OpenVINO says what torch's says; where it cannot be had, a line says what to do."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from auglift.pipeline.computing import Computing
from auglift.pipeline.extract import Extractor
from auglift.pipeline.networks.depth import DepthAnything, build_depth
from auglift.pipeline.networks.depth_models import openvino_depth
from auglift.pipeline.networks.substitutes.ground_truth import FromTruth
from auglift.stores.errors import InvalidValueError, MissingExtraError

from ....fakes.depth import write_tiny_depth
from .test_sign import relative

CPU = torch.device("cpu")
pytestmark = pytest.mark.filterwarnings("ignore:`isinstance.treespec:FutureWarning")  # torch.export's own
needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="needs auglift[openvino]")


def set_up(depth, **choices) -> DepthAnything:
    extractor = Extractor(FromTruth(), FromTruth(), depth, (), CPU)
    computing = Computing(depth_backend="openvino", **choices)
    computing.check(CPU)
    computing.set_up(extractor, batch=2, threads=1)
    return depth


def pictures(*sizes: tuple[int, int, int]) -> list[torch.Tensor]:
    rng = np.random.default_rng(0)
    return [torch.from_numpy(rng.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]


@needs_openvino
def test_depth_is_torchs_to_a_millionth_for_every_size_and_batch():
    plain, faster = build_depth("tiny"), set_up(build_depth("tiny"))
    for frames in pictures((3, 90, 120), (1, 120, 90)):
        found, expected = faster.estimate(frames), plain.estimate(frames)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        # A frame's depth does not depend on its batch, and comes out the same again.
        assert torch.equal(faster.estimate(frames[:1])[0], found[0])
        assert torch.equal(faster.estimate(frames), found)
    assert faster.describe()["run_by"] == "openvino"
    assert faster.describe()["precision"] == "float32"


@needs_openvino
def test_half_precision_does_not_lay_depth_on_steps():
    (frames,) = pictures((2, 90, 120))
    expected, found = (
        build_depth("tiny").estimate(frames),
        set_up(build_depth("tiny"), precision="bfloat16").estimate(frames),
    )
    assert ((found - expected).abs() / expected).mean() < 1e-2
    assert found.bfloat16().float().ne(found).float().mean() > 0.9


@needs_openvino
def test_relative_depth_has_its_sign_turned_once():
    depth = relative()
    inputs = torch.randn(1, 3, 126, 126)
    expected = depth.forward(inputs)
    torch.testing.assert_close(set_up(depth).forward(inputs), expected, rtol=1e-3, atol=1e-3)


@needs_openvino
def test_it_gives_the_map_that_features_are_sampled_from():
    (frames,) = pictures((2, 90, 120))
    found = []
    for run in (lambda depth: depth, set_up):
        depth: Any = build_depth("tiny")
        depth.with_features("nearest_4")
        found.append(run(depth).estimate_with_map(frames))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(theirs, ours, rtol=1e-3, atol=1e-3)


@needs_openvino
def test_it_reports_its_use_to_nobody():
    code = (
        "import sys\n"
        "from auglift.pipeline.networks.depth_models.openvino_depth import require_openvino\n"
        "require_openvino()\n"
        "print(sys.modules.get('openvino_telemetry'))"
    )
    root = Path(__file__).resolve().parents[4]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None"


def test_where_it_is_not_installed_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(openvino_depth, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'auglift\[openvino\]'"):
        Computing(depth_backend="openvino").check(CPU)


@pytest.mark.parametrize("precision", ["float16", "tf32"])
def test_a_precision_that_it_does_not_have_is_refused(precision):
    with pytest.raises(InvalidValueError, match=f"precision {precision}"):
        Computing(precision, depth_backend="openvino").check(CPU)


def test_it_is_for_a_cpu():
    with pytest.raises(InvalidValueError, match="runs on a CPU, not on cuda"):
        Computing(depth_backend="openvino").check(torch.device("cuda"))


@needs_openvino
def test_another_kind_of_depth_network_is_refused(tmp_path):
    depth = build_depth(str(write_tiny_depth(tmp_path / "dpt")))
    with pytest.raises(InvalidValueError, match="openvino runs Depth Anything, not "):
        set_up(depth)


@pytest.mark.parametrize("wrong", [{"precision": "int8"}, {"compile": "yes"}, {"depth_backend": "tensorrt"}])
def test_a_word_that_is_no_choice_is_refused(wrong):
    with pytest.raises(InvalidValueError, match="is none of"):
        Computing(**wrong)


@needs_openvino
def test_its_runtime_is_made_once_and_never_deleted(monkeypatch):
    """A deleted one leaves the thread without a stack for its signal handlers where the CPU has AMX.

    After tests/lifters/data/test_dataset.py, which handles SIGCHLD, the next child process ended pytest.
    """
    openvino = openvino_depth.require_openvino()
    made = []
    runtime = openvino.Core
    monkeypatch.setattr(openvino, "Core", lambda: made.append(runtime()) or made[-1])
    openvino_depth._core.cache_clear()
    for _ in range(2):
        set_up(build_depth("tiny")).estimate(torch.zeros(1, 64, 64, 3, dtype=torch.uint8))
    assert len(made) == 1
    assert openvino_depth._core() is made[0]
