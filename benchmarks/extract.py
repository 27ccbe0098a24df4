"""How near does the depth pass come to its limit, the depth network's forward, and how far ahead of the research code?

The whole pass, from an H.264 file to the finished store, against the depth network's forward alone at the same batch,
and against one image at a time through the libraries' own calls: inference_detector, inference_topdown, transformers'
processor, a depth map at the frame's size, and a Python loop over the joints. Random weights, one person a frame. The
wanted figures are for one H100 or H200: the paper's networks at square and at wide frames, with and without the
compiler, and the small depth network. Sampling learned features at the joints (`--features pose,depth`) is to cost at
most a twentieth more time. On a CPU the depth network takes nearly all the time of either, and nothing is
wanted.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from auglift.pipeline.build import NetworkOptions
from auglift.pipeline.computing import Computing
from auglift.pipeline.datasets.video import clips
from auglift.pipeline.execution.serial import SerialExecutor, execute
from auglift.pipeline.extract import STAGES, Extractor
from auglift.pipeline.frames.sources import read
from auglift.pipeline.networks import openmmlab
from auglift.pipeline.networks.depth import MEAN, STD, DepthAnything
from auglift.pipeline.networks.models import resolve
from auglift.pipeline.plan import Plan
from auglift.stores.format.skeleton import COCO_17, coco_to_h36m
from auglift.stores.locations.choose import locate

from .harness import Row, main, measure
from .uadd import research, upsampled

WANTED_OF_LIMIT, WANTED_OVER_RESEARCH, WANTED_OF_PEOPLE, WANTED_OF_FEATURES = ">= 0.9", ">= 8", "< 0.1", "<= 1.05"


@dataclass(frozen=True)
class Case:
    """A run of the pass.

    size       (height, width) of the frames, px
    wanted     of the depth network's forward alone, frames/s
    research   frames that go the research code's way; 0: none
    """

    networks: tuple[str, str, str]
    size: tuple[int, int]
    frames: int
    batch: int
    compile: str = "off"
    wanted: str | None = None
    research: int = 0

    def describe(self, device: str) -> str:
        how = ", compiled" if self.compile == "on" else ""
        return f"{', '.join(self.networks)}, {self.size[1]} x {self.size[0]}, batch {self.batch}, {device}{how}"


PAPER = ("rtmdet-m", "rtmpose-l", "depth-anything-v2-large")
SMALL = ("rtmdet-m", "rtmpose-l", "depth-anything-v2-small")
# Two CPU cores would need an hour for the paper's.
SMALLEST = ("rtmdet-nano", "rtmpose-s", "depth-anything-v2-small")


def cases(device: str, quick: bool) -> list[Case]:
    if device != "cuda":
        return [Case(SMALLEST, (1000, 1000), 4 if quick else 16, 4, research=2 if quick else 4)]
    frames = 128 if quick else 1024
    square = Case(PAPER, (1000, 1000), frames, 16, wanted=">= 250", research=8 if quick else 64)
    if quick:
        return [square]
    plain = [
        square,
        Case(PAPER, (1080, 1920), frames, 16, wanted=">= 120"),
        Case(SMALL, (1000, 1000), 4 * frames, 32, wanted=">= 1000"),
    ]
    compiled = [replace(case, compile="on", research=0) for case in plain] if find_spec("triton") else []
    return plain + compiled


def rows(quick: bool) -> list[Row]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return [row for case in cases(device, quick) for row in _rows(case, device)]


def _rows(case: Case, device: str) -> list[Row]:
    gpu = device == "cuda"
    computing = Computing(compile=case.compile, frame_size=case.size)
    options = NetworkOptions(*case.networks, weights="random", device=device, batch=case.batch, computing=computing)
    # Random weights see a person in every box; one a frame is what a trained detector finds in these datasets.
    extractor = replace(options.build(), max_people=1)
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "clip.mp4"
        write_clip(video, case.frames, case.size)
        whole, seconds = whole_pass(extractor, options, video, Path(folder) / "store.zarr")
        limit = depth_alone(extractor, video, case.batch)
        cost = cost_of_features(extractor, options, video, Path(folder))
        research = research_way(extractor, case.networks, video, case.research) if case.research else None
    people = (seconds["detect"] + seconds["pose"]) / seconds["depth"]
    out = [
        Row(f"whole pass, file to store ({case.describe(device)})", whole, "frames/s"),
        Row("the depth network's forward alone (the limit)", limit, "frames/s", wanted=case.wanted),
        Row(
            "share of the limit",
            whole / limit,
            "",
            against="depth forward alone",
            ratio=whole / limit,
            wanted=WANTED_OF_LIMIT if gpu else None,
        ),
        Row(
            "detector and pose together",
            people,
            "of the depth network's time",
            wanted=WANTED_OF_PEOPLE if gpu else None,
        ),
    ]
    out.append(
        Row("with features, time of the pass without", cost, "x", "the same pass without", cost, WANTED_OF_FEATURES)
    )
    if research is not None:
        out += [
            Row("one image at a time, the research code's way", research, "frames/s"),
            Row(
                "times faster than the research code's way",
                whole / research,
                "x",
                against="one image at a time",
                ratio=whole / research,
                wanted=WANTED_OVER_RESEARCH if gpu else None,
            ),
        ]
    # Decoding and writing go on beside the rest.
    total = sum(seconds[stage] for stage in STAGES if stage not in ("decode", "write"))
    return out + [Row(f"time in {stage}", seconds[stage] / total, "of the pass") for stage in STAGES]


def write_clip(path: Path, frames: int, size: tuple[int, int]) -> None:
    """H.264, moving texture: neither trivial nor impossible to compress."""
    import av

    rng = np.random.default_rng(0)
    coarse = rng.integers(30, 220, (size[0] // 8, size[1] // 8, 3), dtype=np.uint8)
    texture = np.kron(coarse, np.ones((8, 8, 1), np.uint8))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=50)
        stream.width, stream.height = texture.shape[1], texture.shape[0]
        stream.pix_fmt = "yuv420p"
        for index in range(frames):
            picture = np.ascontiguousarray(np.roll(texture, (2 * index, 3 * index), axis=(0, 1)))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def whole_pass(extractor: Extractor, options: NetworkOptions, video: Path, out: Path) -> tuple[float, dict[str, float]]:
    """Frames a second from the file to the finished store, serial executor, and seconds by stage."""
    found, _ = clips([video])
    settings = options.settings(extractor)
    plan = Plan(tuple(found), settings, tuple(p.name for p in extractor.presets), found[0].count)
    warm_up(extractor, video, settings["batch"])
    begin = time.perf_counter()
    outcome = execute(plan, locate(out), SerialExecutor(lambda: extractor))
    return plan.frames / (time.perf_counter() - begin), outcome.seconds


def cost_of_features(plain: Extractor, options: NetworkOptions, video: Path, folder: Path, pairs: int = 3) -> float:
    """Time of the pass with both streams, as a multiple of that without: median of pairs, one after the other."""
    both = replace(options, features=("pose", "depth"))
    extractor = replace(both.build(), max_people=plain.max_people)
    ratios = []
    for number in range(pairs):
        rate = whole_pass(plain, options, video, folder / f"without{number}.zarr")[0]
        ratios.append(rate / whole_pass(extractor, both, video, folder / f"with{number}.zarr")[0])
    return statistics.median(ratios)


def warm_up(extractor: Extractor, video: Path, batch: int) -> None:
    first = next(read(video, np.arange(batch), batch, 0))
    extractor.extract(first.frames, first.ok)


@torch.inference_mode()
def depth_alone(extractor: Extractor, video: Path, batch: int) -> float:
    """Frames a second of the network's forward on inputs that are there already, at the same batch."""
    assert isinstance(extractor.depth, DepthAnything)
    network = extractor.depth
    first = next(read(video, np.arange(batch), batch, 0))
    inputs = network.inputs(torch.from_numpy(first.frames).to(extractor.device))
    wait = torch.cuda.synchronize if extractor.device.type == "cuda" else lambda: None
    return batch / measure(lambda: network.forward(inputs), 0, least=3, wait=wait)


def research_way(extractor: Extractor, names: tuple[str, str, str], video: Path, count: int) -> float:
    """Frames a second of the libraries' own calls, each an image at a time."""
    one = research_steps(extractor, names)
    frames = next(read(video, np.arange(count), count, 0)).frames
    one(frames[0])
    begin = time.perf_counter()
    for frame in frames:
        one(frame)
    return len(frames) / (time.perf_counter() - begin)


def research_steps(extractor: Extractor, names: tuple[str, str, str]) -> Callable[[np.ndarray], object]:
    """One frame through the libraries' own calls: the same architectures, random weights, a depth map of full size."""
    from PIL import Image
    from transformers import DPTImageProcessorPil

    assert isinstance(extractor.depth, DepthAnything)
    network = extractor.depth
    registry = openmmlab.load("mmengine.registry")
    detector = openmmlab_model(names[0], "mmdet", extractor.device)
    pose = openmmlab_model(names[1], "mmpose", extractor.device)
    pose.dataset_meta = {"dataset_name": "coco", "flip_indices": COCO_17.flip.tolist()}
    for package in ("mmdet", "mmpose"):
        openmmlab.load(f"{package}.datasets.transforms")
    inference_detector = openmmlab.load("mmdet.apis").inference_detector
    with without_torchvision():
        inference_topdown = openmmlab.load("mmpose.apis").inference_topdown
    processor = DPTImageProcessorPil(
        size={"height": 518, "width": 518},
        keep_aspect_ratio=True,
        ensure_multiple_of=14,
        image_mean=list(MEAN),
        image_std=list(STD),
    )

    @torch.inference_mode()
    def one(frame: np.ndarray) -> np.ndarray:
        bgr = np.ascontiguousarray(frame[..., ::-1])
        registry.init_default_scope("mmdet")
        boxes = inference_detector(detector, bgr).pred_instances.bboxes[:1].cpu().numpy()
        registry.init_default_scope("mmpose")
        person = inference_topdown(pose, bgr, boxes)[0].pred_instances
        keypoints, score = coco_to_h36m(person.keypoints[0]), coco_to_h36m(person.keypoint_scores[0][:, None])[:, 0]
        prepared = processor(images=Image.fromarray(frame), return_tensors="pt")["pixel_values"]
        depth = network.forward(prepared.to(extractor.device))
        full = upsampled(depth[0].cpu())
        radii = 3 + (1 - score.clip(0, 1)) * 27
        return research("paper", full, keypoints.clip(30, frame.shape[0] - 31), radii)

    return one


@contextmanager
def without_torchvision() -> Iterator[None]:
    """mmpose.apis imports a class of torchvision's for drawing, which is not wanted here: a stand-in while it does."""
    if "torchvision" in sys.modules or find_spec("torchvision") is not None:
        yield
        return
    package, transforms = ModuleType("torchvision"), ModuleType("torchvision.transforms")
    transforms.ToPILImage = None  # type: ignore[attr-defined]
    sys.modules |= {"torchvision": package, "torchvision.transforms": transforms}
    try:
        yield
    finally:
        del sys.modules["torchvision"], sys.modules["torchvision.transforms"]


def openmmlab_model(name: str, package: str, device: torch.device) -> Any:
    kind = "detector" if package == "mmdet" else "pose"
    config = openmmlab.read_config(str(resolve(name, kind).config))
    model: Any = openmmlab.build(config, package, 0).to(device)
    model.cfg = config
    return model


if __name__ == "__main__":
    main(rows, __doc__)
