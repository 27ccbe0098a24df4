"""The networks of a depth pass: the options that choose them, and the extractor that they build."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from ..stores.errors import InvalidValueError
from .extract import Extractor, describe
from .networks.depth import build_depth
from .networks.detect import build_detector
from .networks.ground_truth import FromTruth, is_truth
from .networks.models import DEFAULTS, MODELS, Kind, resolve
from .networks.pose import build_pose
from .networks.stored import STORED, FromStore
from .networks.weights.load import locate, random_seed
from .networks.weights.model_folder import find_repository, open_folder
from .uadd.descriptor import PRESETS, Preset


@dataclass(frozen=True)
class NetworkOptions:
    """The options of a user; each changes the bytes of a store.

    detector   `stored`: the boxes of a finished store, which is extended; likewise pose
    pose       `ground-truth`: joints and box of the dataset; then no detector is loaded either
    depth      `ground-truth`: the depth maps of the dataset
    weights    a folder, `random` (or `random:SEED`), or None: the caches, then the origin
    batch      frames of a forward pass
    threads    CPU threads of a worker; they decide the order of sums
    """

    detector: str = DEFAULTS["detector"]
    pose: str = DEFAULTS["pose"]
    depth: str = DEFAULTS["depth"]
    weights: str | Path | None = None
    presets: tuple[Preset, ...] = field(default_factory=lambda: tuple(PRESETS.values()))
    device: str = "auto"
    batch: int = 8
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)

    def __post_init__(self):
        if self.batch < 1:
            raise InvalidValueError(f"--batch must be at least 1, not {self.batch}")
        if self.threads < 1:
            raise InvalidValueError(f"--threads must be at least 1, not {self.threads}")

    def build(self) -> Extractor:
        """Load the networks onto the device."""
        device = pick_device(self.device)
        torch.set_num_threads(self.threads)
        return Extractor(
            detector=self._instead("detector") or build_detector(self.detector, self.weights, device),
            pose=self._instead("pose") or build_pose(self.pose, self.weights, device),
            depth=FromTruth() if is_truth(self.depth) else build_depth(self.depth, self.weights, device),
            presets=self.presets,
            device=device,
        )

    def _instead(self, kind: Literal["detector", "pose"]) -> FromTruth | FromStore | None:
        """What stands in the place of this network."""
        if is_truth(self.pose):
            return FromTruth()
        return FromStore() if getattr(self, kind) == STORED else None

    def find_weights(self) -> None:
        """Look for the weights without loading a network, before hours of rendering end with an error.

        Raises MissingFileError, InvalidValueError (names, digests).
        """
        wanted: dict[Kind, str] = {}
        if self._instead("detector") is None:
            wanted["detector"] = self.detector
        if self._instead("pose") is None:
            wanted["pose"] = self.pose
        if not is_truth(self.depth) and Path(self.depth).is_dir():
            open_folder(Path(self.depth), self.weights)
        elif not is_truth(self.depth):
            wanted["depth"] = self.depth
        for kind, name in wanted.items():
            spec = resolve(name, kind)
            if spec.config is None:
                open_folder(find_repository(spec, self.weights), self.weights)
            elif random_seed(self.weights) is None:
                locate(spec, self.weights)

    def settings(self, extractor: Extractor) -> dict[str, Any]:
        """Return the part of a plan's fingerprint that these options decide, as plain data."""
        return {
            **describe(extractor),
            "batch": self.batch,
            "threads": self.threads,
            "device": extractor.device.type,
        }


def warnings(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a reader of a store with these settings must know."""
    random = [
        settings[kind]["name"]
        for kind in ("detector", "pose", "depth")
        if str(settings[kind].get("weights", "")).startswith("random")
    ]
    own = [settings[kind]["name"] for kind in ("detector", "pose", "depth") if _is_own(settings[kind])]
    noise = (f"RANDOM WEIGHTS in {', '.join(random)}: THE FEATURES ARE NOISE",) if random else ()
    return noise + ((f"weights of one's own, not the published ones, in {', '.join(own)}",) if own else ())


def _is_own(network: Mapping[str, Any]) -> bool:
    """Whether a named network has other weights than the table's, as far as those are known."""
    spec = MODELS.get(str(network["name"]))
    algorithm, _, digest = str(network.get("weights", "")).partition(":")
    return spec is not None and algorithm == "sha256" and not digest.startswith(spec.sha256)


def choose_presets(names: str) -> tuple[Preset, ...]:
    """Return the UADD presets of a comma-separated list, in the table's order; `all` for all.

    Constants may follow a name: `paper:r_min=1:r_max=8`. InvalidValueError for unknown names and constants and for
    impossible values.
    """
    chosen: dict[str, Preset] = {}
    for part in filter(None, (part.strip() for part in names.split(","))):
        name, *constants = part.split(":")
        if name == "all" and not constants:
            chosen = {**PRESETS, **chosen}
        elif name not in PRESETS:
            raise InvalidValueError(f"no UADD preset '{name}'; there are all, {', '.join(PRESETS)}")
        else:
            chosen[name] = PRESETS[name].replace(**dict(_constant(part, each) for each in constants))
    if not chosen:
        raise InvalidValueError(f"no UADD preset in '{names}'; there are all, {', '.join(PRESETS)}")
    return tuple(chosen[name] for name in PRESETS if name in chosen)


def _constant(part: str, text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError as error:
        raise InvalidValueError(f"'{part}': constants are NAME=NUMBER, as in paper:r_min=1:r_max=8") from error


def pick_device(name: str) -> torch.device:
    """Return the device of that name; `auto` is a GPU if there is one. InvalidValueError if it is not here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InvalidValueError(f"--device '{name}' is no device; try cpu, cuda or cuda:0") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InvalidValueError(f"--device {name}: this machine has {torch.cuda.device_count()} GPUs; try --device cpu")
    return device
