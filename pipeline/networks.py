"""From names to networks: the options of a depth pass, and the extractor they build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..stores.errors import InvalidValueError
from .computing import Computing, default_batch
from .cores import usable_cores
from .depth import build_depth
from .detect import build_detector
from .extract import Extractor, describe
from .ground_truth import FromTruth, is_truth
from .models import DEFAULTS, Kind, resolve
from .pose import build_pose
from .uadd import PRESETS, Preset
from .weights import locate, random_seed


@dataclass(frozen=True)
class NetworkOptions:
    """What a user chooses; everything here changes the bytes of a store.

    pose       `ground-truth`: joints and box as the dataset knows them; no detector is loaded either
    depth      `ground-truth`: the dataset's own depth maps
    weights    a folder, `random` (or `random:SEED`), or None: the caches, then the origin
    batch      frames a forward pass; None: 8, and 16 on a GPU
    threads    CPU threads a worker; sums are ordered by them
    computing  precision, compiler and backend
    """

    detector: str = DEFAULTS["detector"]
    pose: str = DEFAULTS["pose"]
    depth: str = DEFAULTS["depth"]
    weights: str | Path | None = None
    presets: tuple[Preset, ...] = field(default_factory=lambda: tuple(PRESETS.values()))
    device: str = "auto"
    batch: int | None = None
    threads: int = field(default_factory=usable_cores)
    computing: Computing = field(default_factory=Computing)

    def __post_init__(self):
        if self.batch is not None and self.batch < 1:
            raise InvalidValueError(f"--batch must be at least 1, not {self.batch}")
        if self.threads < 1:
            raise InvalidValueError(f"--threads must be at least 1, not {self.threads}")

    def build(self) -> Extractor:
        """Load the networks onto the device."""
        device = pick_device(self.device)
        self.computing.check(device)
        torch.set_num_threads(self.threads)
        extractor = Extractor(
            detector=FromTruth() if is_truth(self.pose) else build_detector(self.detector, self.weights, device),
            pose=FromTruth() if is_truth(self.pose) else build_pose(self.pose, self.weights, device),
            depth=FromTruth() if is_truth(self.depth) else build_depth(self.depth, self.weights, device),
            presets=self.presets,
            device=device,
        )
        self.computing.set_up(extractor, self.batch or default_batch(device), self.threads)
        return extractor

    def find_weights(self) -> None:
        """Look for the weights without loading a network, so that hours of drawing are not followed by an error.

        Raises MissingFileError, InvalidValueError (names, digests).
        """
        wanted: dict[Kind, str] = {} if is_truth(self.pose) else {"detector": self.detector, "pose": self.pose}
        if not (is_truth(self.depth) or Path(self.depth).is_dir()):
            wanted["depth"] = self.depth
        for kind, name in wanted.items():
            spec = resolve(name, kind)
            if random_seed(self.weights) is None and spec.config is not None:
                locate(spec, self.weights)

    def settings(self, extractor: Extractor) -> dict[str, Any]:
        """What a plan's fingerprint holds of these options: plain data."""
        return {
            **describe(extractor),
            "batch": self.batch or default_batch(extractor.device),
            "threads": self.threads,
            "device": extractor.device.type,
        }


def warnings(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """What whoever reads a store made with these settings must know."""
    random = [
        settings[kind]["name"]
        for kind in ("detector", "pose", "depth")
        if str(settings[kind].get("weights", "")).startswith("random")
    ]
    return (f"RANDOM WEIGHTS in {', '.join(random)}: THE FEATURES ARE NOISE",) if random else ()


def choose_presets(names: str) -> tuple[Preset, ...]:
    """The UADD presets of a comma-separated list, in the table's order; `all` for all.

    A name may be followed by constants: `paper:r_min=1:r_max=8`. InvalidValueError for names, constants and values that
    cannot be.
    """
    asked: dict[str, Preset] = {}
    for part in filter(None, (part.strip() for part in names.split(","))):
        name, *constants = part.split(":")
        if name == "all" and not constants:
            asked = {**PRESETS, **asked}
        elif name not in PRESETS:
            raise InvalidValueError(f"no UADD preset '{name}'; there are all, {', '.join(PRESETS)}")
        else:
            asked[name] = PRESETS[name].replace(**dict(_constant(part, each) for each in constants))
    if not asked:
        raise InvalidValueError(f"no UADD preset in '{names}'; there are all, {', '.join(PRESETS)}")
    return tuple(asked[name] for name in PRESETS if name in asked)


def _constant(part: str, text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError as error:
        raise InvalidValueError(f"'{part}': constants are NAME=NUMBER, as in paper:r_min=1:r_max=8") from error


def pick_device(name: str) -> torch.device:
    """`auto`: a GPU where there is one. InvalidValueError where the device named is not here."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InvalidValueError(f"--device '{name}' is no device; try cpu, cuda or cuda:0") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InvalidValueError(f"--device {name}: this machine has {torch.cuda.device_count()} GPUs; try --device cpu")
    # With its number: streams and caches are of one GPU.
    return (
        torch.device("cuda", torch.cuda.current_device()) if device.type == "cuda" and device.index is None else device
    )
