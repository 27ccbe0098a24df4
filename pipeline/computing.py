"""Set how loaded networks compute: in which precision, compiled or not, the depth by torch or by OpenVINO."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch

from ..stores.errors import InvalidValueError
from .device import precision
from .device.precision import choose_precision
from .extract import Extractor
from .networks import compiled
from .networks.compiled import Compiled, wants_compiler
from .networks.depth import DepthAnything
from .networks.depth_models.openvino_depth import OpenVinoDepth, require_openvino
from .networks.depth_models.transformers_depth import DepthPro, TransformersDepth
from .networks.detect import RTMDet
from .networks.own_networks.transformers_detector import TransformersDetector
from .networks.own_networks.vitpose import VitPose
from .networks.pose import RTMPose

_IN_FLOAT32 = (TransformersDepth, DepthPro, TransformersDetector, VitPose)
BACKENDS = ("torch", "openvino")
# Frames a forward pass, where nothing is said. A GPU that gets fewer waits for the host to start its kernels.
BATCH = {"cuda": 16}
BATCH_ELSEWHERE = 8


@dataclass(frozen=True)
class Computing:
    """What a user may choose, beside the networks.

    precision      one of `precision.CHOICES`
    compile        one of `compiled.CHOICES`
    depth_backend  one of `BACKENDS`
    frames         of the whole job, as far as they are known: `compile` leaves a small one alone
    frame_size     (height, width) of most frames, as far as it is known; what is compiled is tried on it
    """

    precision: str = "auto"
    compile: str = "auto"
    depth_backend: str = "torch"
    frames: int | None = None
    frame_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name, value, choices in (
            ("precision", self.precision, precision.CHOICES),
            ("compile", self.compile, compiled.CHOICES),
            ("depth-backend", self.depth_backend, BACKENDS),
        ):
            if value not in choices:
                raise InvalidValueError(f"--{name} '{value}' is none of {', '.join(choices)}")

    def check(self, device: torch.device) -> None:
        """Raise InvalidValueError or MissingExtraError for what this device cannot do, before anything is loaded."""
        chosen = choose_precision(self.precision, device)
        if self.depth_backend == "openvino":
            if device.type != "cpu":
                raise InvalidValueError(f"--depth-backend openvino runs on a CPU, not on {device}; leave one out")
            OpenVinoDepth.check(chosen)
            require_openvino()

    def set_up(self, extractor: Extractor, batch: int, threads: int) -> None:
        """Let the extractor's networks compute so; once. What they then are is in their `describe`.

        InvalidValueError where the choice cannot be had.
        """
        device = extractor.device
        chosen = choose_precision(self.precision, device)
        chosen.apply()
        every = extractor.detector, extractor.pose, extractor.depth
        networks = [each for each in every if isinstance(each, (RTMDet, RTMPose, DepthAnything))]
        plain = [each for each in every if isinstance(each, _IN_FLOAT32)]
        if plain and self.precision not in ("auto", "float32"):
            raise InvalidValueError(
                f"--precision {self.precision}: {plain[0].name} runs as transformers has it, in float32; choose "
                "auto or float32"
            )
        if self.depth_backend == "openvino":
            self._use_openvino(extractor.depth, chosen, threads)
            networks = [each for each in networks if each is not extractor.depth]
        for network in networks:
            network.compute_in(chosen)
        if wants_compiler(self.compile, device, self.frames):
            for network in networks:
                most = network.crop_batch * 2 if isinstance(network, RTMPose) else batch
                self._compile(network, most, device, chosen.half or torch.float32)

    def _use_openvino(self, depth: Any, chosen: precision.Precision, threads: int) -> None:
        if not isinstance(depth, DepthAnything):
            raise InvalidValueError(
                f"--depth-backend openvino runs Depth Anything, not {depth.name}; use --depth-backend torch"
            )
        depth.run_by(OpenVinoDepth(depth.model, depth.patch, chosen, threads, depth.keeps_map), "openvino", chosen)

    def _compile(self, network: Any, most: int, device: torch.device, kind: torch.dtype) -> None:
        """Compile a network and try it; `auto` goes on without where it does not work, and says so."""
        faster = Compiled(network.run, most)
        with torch.inference_mode():
            sample = torch.randn(network.input_shape(most, self.frame_size), device=device)
            problem = compiled.works(faster, network.run, sample, kind)
        if not problem:
            network.run_by(faster, "torch.compile")
        elif self.compile == "on":
            raise InvalidValueError(f"--compile on: {network.name} cannot be compiled here: {problem}")
        else:
            warnings.warn(f"{network.name} is not compiled: {problem}", RuntimeWarning, stacklevel=2)


def default_batch(device: torch.device) -> int:
    """Return the frames of a forward pass, where the user names none."""
    return BATCH.get(device.type, BATCH_ELSEWHERE)
