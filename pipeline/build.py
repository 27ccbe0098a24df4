"""The networks of a depth pass: the options that choose them, and the extractor that they build."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from ..stores.errors import InvalidValueError
from ..stores.format.schema import FEATURES
from ..stores.format.schema import field as field_of_format
from .computing import Computing, default_batch
from .device.cores import usable_cores
from .extract import Extractor, describe
from .features.sampling import DEFAULT
from .features.streams import no_map, require_sampling, streams_of
from .networks import openmmlab
from .networks.depth import DepthEstimator, build_depth
from .networks.families import find_own, load_detector, load_pose, require
from .networks.models import DEFAULTS, MODELS, Kind, resolve
from .networks.own_networks.config_file import config_file
from .networks.substitutes.given import FromFile
from .networks.substitutes.ground_truth import FromTruth, is_truth
from .networks.substitutes.no_depth import NoDepth, is_none
from .networks.substitutes.simulated import SIMULATED
from .networks.substitutes.stored import STORED, FromStore
from .networks.weights.load import locate, random_seed
from .uadd.descriptor import PRESETS, Preset


@dataclass(frozen=True)
class NetworkOptions:
    """The options of a user; each changes the bytes of a store.

    detector   a name, CONFIG.py:CHECKPOINT of MMDetection's, or a folder or Hugging Face repository (owner/name) that
               transformers loads; `stored`: the boxes of a finished store, which is extended; likewise pose
    pose       `ground-truth`: joints and box of the dataset; then no detector is loaded either
    given      joints of a file or of a simulated sensor, in the place of both
    given_depth   what stands in the place of the depth network, whatever `depth` is called
    depth      `ground-truth`: the depth maps of the dataset; `none`: 2D alone, without descriptors
    weights    a folder, `random` (or `random:SEED`), or None: the caches, then the origin
    batch      frames of a forward pass; None: 8, and 16 on a GPU
    threads    CPU threads of a worker; they decide the order of sums
    computing  precision, compiler and backend
    depth_size px of the short side of the depth network's input; None: its own
    features   streams of learned features that are sampled at the joints, of `pose` and `depth`
    sampling   how: nearest_4, nearest_1 or bilinear
    feature_pose  the pose network whose features are sampled where joints are `stored`
    """

    detector: str = DEFAULTS["detector"]
    pose: str = DEFAULTS["pose"]
    depth: str = DEFAULTS["depth"]
    weights: str | Path | None = None
    given: FromFile | None = None
    given_depth: FromTruth | None = None
    presets: tuple[Preset, ...] = field(default_factory=lambda: tuple(PRESETS.values()))
    device: str = "auto"
    batch: int | None = None
    threads: int = field(default_factory=usable_cores)
    computing: Computing = field(default_factory=Computing)
    depth_size: int | None = None
    features: tuple[str, ...] = ()
    sampling: str = DEFAULT
    feature_pose: str | None = None

    def __post_init__(self):
        if self.batch is not None and self.batch < 1:
            raise InvalidValueError(f"--batch must be at least 1, not {self.batch}")
        if self.depth_size is not None and self.depth_size < 1:
            raise InvalidValueError(f"--depth-size must be at least 1, not {self.depth_size}")
        require_sampling(self.sampling)
        if self.threads < 1:
            raise InvalidValueError(f"--threads must be at least 1, not {self.threads}")

    def build(self) -> Extractor:
        """Load the networks onto the device."""
        device = pick_device(self.device)
        self.computing.check(device)
        torch.set_num_threads(self.threads)
        detector = self._instead("detector") or load_detector(self.detector, self.weights, device)
        pose, depth = self._instead("pose") or load_pose(self.pose, self.weights, device), self._depth(device)
        beside: Any = load_pose(self.feature_pose, self.weights, device) if self.feature_pose else None
        extractor = Extractor(
            detector=detector,
            pose=pose,
            depth=depth,
            presets=() if is_none(self.depth) else self.presets,
            device=device,
            streams=streams_of(self.features, self.sampling, pose, depth, beside),
        )
        self.computing.set_up(extractor, self.batch or default_batch(device), self.threads)
        return extractor

    def _instead(self, kind: Literal["detector", "pose"]) -> FromTruth | FromStore | None:
        """What stands in the place of this network."""
        if self.given is not None:
            return self.given if kind == "pose" else FromTruth("none")
        if is_truth(self.pose):
            return FromTruth()
        return FromStore() if getattr(self, kind) == STORED else None

    def _depth(self, device: torch.device) -> DepthEstimator | FromTruth | NoDepth:
        if self.given_depth is not None:
            return self.given_depth
        if is_none(self.depth):
            return NoDepth()
        return FromTruth() if is_truth(self.depth) else build_depth(self.depth, self.weights, device, self.depth_size)

    def find_weights(self) -> None:
        """Look for the weights without loading a network, before hours of rendering end with an error.

        Raises MissingFileError, InvalidValueError (names, digests), MissingExtraError.
        """
        wanted: dict[Kind, str] = {}
        if self._instead("detector") is None:
            wanted["detector"] = self.detector
        if self._instead("pose") is None or self.feature_pose:
            wanted["pose"] = self.feature_pose or self.pose
        if not is_truth(self.depth) and not is_none(self.depth):
            wanted["depth"] = self.depth
        for kind, name in wanted.items():
            if find_own(name, kind, self.weights):
                continue
            spec = resolve(name, kind)
            require(name, kind)
            if random_seed(self.weights) is None or not spec.has_random_weights:
                locate(spec, self.weights)

    def expected_features(self) -> dict[str, Any]:
        """Return by stream its `channels`, before a network is loaded; where they are not known, the published ones'.

        InvalidValueError for a network that has no feature map, as far as its name tells.
        """
        found: dict[str, Any] = {}
        for stream in self.features:
            name = (self.feature_pose or self.pose) if stream == "pose" else self.depth
            given = self.given is not None and stream == "pose"
            if given or is_truth(name) or is_none(name) or name == STORED:
                raise no_map(stream, self.given.name if self.given is not None and given else name)
            found[stream] = {"channels": _channels(stream, name)}
        return found

    def settings(self, extractor: Extractor) -> dict[str, Any]:
        """Return the part of a plan's fingerprint that these options decide, as plain data."""
        return {
            **describe(extractor),
            "batch": self.batch or default_batch(extractor.device),
            "threads": self.threads,
            "device": extractor.device.type,
        }


def _channels(stream: str, name: str) -> int:
    """Of the map that is sampled, from the network's configuration; the published ones' where that is not ours."""
    usual = field_of_format(FEATURES[stream]).shape[-1]
    if Path(name).is_dir() or config_file(name) is not None:
        return usual
    spec = resolve(name, "pose" if stream == "pose" else "depth")
    if spec.family == "blazepose":
        raise no_map(stream, name)
    if isinstance(spec.config, dict):
        model = spec.config.get("model")
        return int(model["head"]["in_channels"] if model else spec.config["fusion_hidden_size"])
    if spec.config is None:
        return usual
    return int(openmmlab.read_config(spec.config).model.head.in_channels)


def warnings(settings: Mapping[str, Any], datasets: Iterable[str] = ()) -> tuple[str, ...]:
    """Return what a reader of a store with these settings, made from clips of these datasets, must know."""
    kinds = [settings[kind] for kind in ("detector", "pose", "depth")]
    random = [each["name"] for each in kinds if str(each.get("weights", "")).startswith("random")]
    own = [each["name"] for each in kinds if is_own(each)]
    tiny = [each["name"] for each in kinds if each["name"].startswith("tiny-") and each["name"] not in random]
    simulated = [each["name"] for each in kinds if each["name"] == SIMULATED]
    filmed = any(not dataset.startswith("synth-") for dataset in datasets)
    found = [
        (random, "RANDOM WEIGHTS in {}: THE FEATURES ARE NOISE"),
        (simulated[:1], "SIMULATED SENSOR: NO PICTURES, NO NETWORKS; JOINTS AND DEPTH ARE GEOMETRY WITH STATED ERRORS"),
        (own, "weights of one's own, not the published ones, in {}"),
        (tiny if filmed else [], "{} KNOWS RENDERED PEOPLE ONLY: OF FILMED ONES EXPECT LITTLE"),
    ]
    return tuple(text.format(", ".join(names)) for names, text in found if names)


def is_own(network: Mapping[str, Any]) -> bool:
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
