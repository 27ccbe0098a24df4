"""networks/compiled.py: few shapes are compiled, what is filled up is dropped, and what does not work is not used."""

from __future__ import annotations

import shutil
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from auglift.pipeline import computing
from auglift.pipeline.computing import Computing
from auglift.pipeline.extract import Extractor
from auglift.pipeline.networks import compiled
from auglift.pipeline.networks.compiled import FRAMES_WORTH_COMPILING, Compiled, sizes_for, wants_compiler, works
from auglift.pipeline.networks.depth import build_depth
from auglift.pipeline.networks.substitutes.ground_truth import FromTruth
from auglift.stores.errors import InvalidValueError

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def network(inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
    return inputs.mean((2, 3)), [inputs * 2, inputs[:, :1] + 1]


@given(st.integers(1, 20), st.integers(1, 9))
def test_whatever_the_batch_the_results_are_the_networks_and_the_shapes_few(count, most):
    shapes = set()

    def compiler(function):
        def call(inputs):
            shapes.add(len(inputs))
            return function(inputs)

        return call

    inputs = torch.from_numpy(np.random.default_rng(count).normal(size=(count, 3, 4, 5)).astype(np.float32))
    means, maps = Compiled(network, most, compiler)(inputs)
    expected_means, expected_maps = network(inputs)
    assert torch.equal(means, expected_means)
    assert all(torch.equal(a, b) for a, b in zip(maps, expected_maps, strict=True))
    assert shapes <= set(sizes_for(most))
    assert len(sizes_for(most)) <= 5


def test_channels_last_stays_so_when_a_batch_is_filled_up():
    seen = []
    inputs = torch.ones(3, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    Compiled(lambda x: x, 4, lambda function: lambda x: seen.append(x) or function(x))(inputs)
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    assert len(seen[0]) == 4


@pytest.mark.parametrize(
    ("choice", "device", "frames", "triton", "wanted"),
    [
        ("auto", CPU, 10**6, True, False),
        ("auto", GPU, 10**6, True, True),
        ("auto", GPU, 10**6, False, False),
        ("auto", GPU, FRAMES_WORTH_COMPILING - 1, True, False),
        ("auto", GPU, None, True, False),
        ("on", CPU, 3, False, True),
        ("off", GPU, 10**6, True, False),
    ],
)
def test_auto_compiles_a_large_job_on_a_gpu(monkeypatch, choice, device, frames, triton, wanted):
    monkeypatch.setattr(compiled, "find_spec", lambda name: triton or None)
    assert wants_compiler(choice, device, frames) is wanted


def test_a_compiler_that_fails_or_says_something_else_is_found_out():
    def broken(inputs):
        raise RuntimeError("no compiler here\nand a page more")

    sample = torch.ones(2, 3, 4, 4)
    assert works(network, network, sample, torch.float32) == ""
    assert works(broken, network, sample, torch.float32) == "no compiler here"
    assert "off" in works(lambda x: network(x * 1.01), network, sample, torch.float32)
    assert works(lambda x: network(x * 1.01), network, sample, torch.float16) == ""


def tiny_depth() -> Extractor:
    return Extractor(FromTruth(), FromTruth(), build_depth("tiny"), (), CPU)


def set_up(extractor: Extractor, choice: str, compiler, monkeypatch) -> None:
    monkeypatch.setattr(computing, "Compiled", lambda function, most: Compiled(function, most, compiler))
    Computing(compile=choice).set_up(extractor, batch=2, threads=1)


def test_what_is_compiled_is_said_and_computes_the_same(monkeypatch):
    frames = torch.full((3, 90, 120, 3), 90, dtype=torch.uint8)
    plain, faster = tiny_depth(), tiny_depth()
    set_up(faster, "on", lambda function: function, monkeypatch)
    assert faster.depth.describe()["run_by"] == "torch.compile"
    assert "run_by" not in plain.depth.describe()
    torch.testing.assert_close(faster.depth.estimate(frames), plain.depth.estimate(frames), rtol=1e-5, atol=1e-5)  # type: ignore[union-attr]


def failing(function):
    def call(inputs):
        raise RuntimeError("no C++ compiler")

    return call


def test_where_it_does_not_work_on_is_an_error_and_auto_a_warning(monkeypatch):
    with pytest.raises(
        InvalidValueError, match="--compile on: tiny-depth cannot be compiled here: no C\\+\\+ compiler"
    ):
        set_up(tiny_depth(), "on", failing, monkeypatch)
    monkeypatch.setattr(computing, "wants_compiler", lambda *_: True)
    extractor = tiny_depth()
    with pytest.warns(RuntimeWarning, match="tiny-depth is not compiled: no C\\+\\+ compiler"):
        set_up(extractor, "auto", failing, monkeypatch)
    assert "run_by" not in extractor.depth.describe()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_torch_compiles_the_depth_network_here():
    frames = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 90, 120, 3), dtype=np.uint8))
    extractor, plain = tiny_depth(), tiny_depth()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Computing(compile="on", frame_size=(90, 120)).set_up(extractor, batch=2, threads=1)
    torch.testing.assert_close(extractor.depth.estimate(frames), plain.depth.estimate(frames), rtol=1e-3, atol=1e-3)  # type: ignore[union-attr]
