"""How fast is the depth network's forward on a CPU, by torch as we run it and by whatever could be faster?

Depth Anything V2 small on a square frame, 518 x 518, two threads, each candidate in turn with torch's float32 as we run
it, which is the reference. What a candidate's results are off is measured on the shipped small network, whose weights
are trained, on rendered frames: random weights would say nearly the same depth everywhere. Built in is what is at least
1.3 times as fast with an error of at most 1 % of the depth: `--depth-backend openvino` and `--precision bfloat16`. ONNX
Runtime is tried where onnxruntime and onnxscript are installed.
"""

from __future__ import annotations

import copy
import importlib.util
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from auglift.pipeline.device.precision import Precision
from auglift.pipeline.networks.depth import DepthAnything, build_depth
from auglift.pipeline.networks.depth_models.openvino_depth import OpenVinoDepth
from auglift.pipeline.synth.clip import plan_clips
from auglift.pipeline.synth.video import render_clip

from .harness import Row, compare, main

THREADS = 2
FASTER, ERROR = ">= 1.3", "<= 0.01"
Forward = Callable[[Tensor], Tensor]


class _Whole(nn.Module):
    """The network for one size of input, as exporters want it."""

    def __init__(self, network: DepthAnything, size: tuple[int, int]):
        super().__init__()
        self.model = copy.deepcopy(network.model).to(memory_format=torch.contiguous_format)
        self.patches = size[0] // network.patch, size[1] // network.patch

    def forward(self, inputs: Tensor) -> Tensor:
        return self.model.head(self.model.neck(self.model.backbone(inputs).feature_maps, *self.patches), *self.patches)


def contiguous(network: DepthAnything, inputs: Tensor) -> Forward:
    whole = _Whole(network, (inputs.shape[-2], inputs.shape[-1]))
    return lambda x: whole(x.contiguous())


def half(network: DepthAnything, inputs: Tensor) -> Forward:
    other = copy.deepcopy(network)
    other.run = other._network
    other.compute_in(Precision("bfloat16"))
    return other.forward


def compiled(network: DepthAnything, inputs: Tensor) -> Forward:
    made: Any = torch.compile(network._network, dynamic=False)
    return made


def onnx_runtime(network: DepthAnything, inputs: Tensor) -> Forward:
    import onnxruntime  # pyright: ignore[reportMissingImports]

    whole = _Whole(network, (inputs.shape[-2], inputs.shape[-1]))
    sample = inputs[:1].clone().contiguous()
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "depth.onnx")
        with torch.inference_mode(False), torch.no_grad():
            torch.onnx.export(whole, (sample.clone(),), file, dynamo=True, verbose=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = THREADS, 1
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: torch.from_numpy(
        np.concatenate([np.asarray(session.run(None, {name: frame[None]})[0]) for frame in x.contiguous().numpy()])
    )


def openvino(precision: str) -> Callable[[DepthAnything, Tensor], Any]:
    return lambda network, inputs: OpenVinoDepth(network.model, network.patch, Precision(precision), THREADS)


# name -> (what it needs, how it is made, whether it is built in, whether it takes minutes)
CANDIDATES: dict[str, tuple[tuple[str, ...], Callable[[DepthAnything, Tensor], Forward], bool, bool]] = {
    "torch, float32, not channels last": ((), contiguous, False, False),
    "torch, bfloat16, last layers float32": ((), half, True, False),
    "torch.compile, float32": ((), compiled, False, True),
    "ONNX Runtime, float32": (("onnxruntime", "onnxscript"), onnx_runtime, False, True),
    "OpenVINO, float32": (("openvino",), openvino("float32"), True, False),
    "OpenVINO, bfloat16, last layers float32": (("openvino",), openvino("bfloat16"), True, False),
}


def rows(quick: bool) -> list[Row]:
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    warnings.simplefilter("ignore")  # exporters'
    try:
        return _rows(quick)
    finally:
        torch.set_num_threads(threads)


@torch.inference_mode()
def _rows(quick: bool) -> list[Row]:
    large = build_depth("depth-anything-v2-small", "random")
    trained = build_depth("tiny")
    assert isinstance(large, DepthAnything)
    assert isinstance(trained, DepthAnything)
    inputs = large.inputs(torch.full((1, 518, 518, 3), 90, dtype=torch.uint8))
    pictures = trained.inputs(torch.from_numpy(rendered_people()))
    expected = trained.forward(pictures)
    out = []
    for name, (needs, make, built_in, slow) in CANDIDATES.items():
        missing = [package for package in needs if importlib.util.find_spec(package) is None]
        if missing or (slow and quick):
            continue
        found = make(trained, pictures)(pictures).reshape(expected.shape)
        off = (found - expected).abs() / expected
        fast = make(large, inputs)
        timing = compare(lambda fast=fast: fast(inputs), lambda: large.forward(inputs), 0, least=3 if quick else 7)
        out += [
            Row(
                f"{name}: a frame",
                timing.ours * 1e3,
                "ms",
                against=f"torch, float32, as we run it: {timing.theirs * 1e3:.0f} ms",
                ratio=timing.ratio,
                wanted=FASTER if built_in else None,
            ),
            Row(
                f"{name}: relative error",
                float(off.mean()),
                "of the depth, mean",
                against=f"99 % of the pixels under {float(off.flatten().quantile(0.99)):.1e}",
                wanted=ERROR if built_in else None,
            ),
        ]
    return out


def rendered_people(each: int = 1) -> np.ndarray:
    """(4 each, 256, 256, 3) uint8: so many frames of each domain, of people that the small networks never saw."""
    domains = ("studio", "greenscreen", "street", "gym")
    clips = [clip for domain in domains for clip in plan_clips(domain, each, seed=3, frames=1, size=256)]
    return np.stack([next(render_clip(clip)).image[0] for clip in clips])


if __name__ == "__main__":
    main(rows, __doc__)
