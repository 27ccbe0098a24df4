"""`CONFIG.py:CHECKPOINT`: a network of MMPose or MMDetection as its own project keeps it.

A configuration is Python: it runs when it is read, and so does what it imports (`custom_imports`). Only the file that
the user named is read, never one that a store or a checkpoint speaks of. A checkpoint runs nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from ....stores.errors import AugliftError, InvalidValueError, MissingFileError, reason
from .. import openmmlab
from ..weights.fetch import sha256
from ..weights.load import RANDOM, fit_state, random_seed, read_checkpoint, state_of

_ENDING = ".py"


@dataclass(frozen=True)
class ConfigFile:
    """A configuration and the checkpoint that belongs to it; None: none was named."""

    config: Path
    checkpoint: Path | None

    @property
    def name(self) -> str:
        """The files' names without their folders: the same wherever they lie."""
        return self.config.name + (f":{self.checkpoint.name}" if self.checkpoint else "")


def config_file(name: str) -> ConfigFile | None:
    """What `CONFIG.py:CHECKPOINT` names, or `CONFIG.py` alone; None for any other name. Nothing is opened."""
    text = name.strip()
    head, mark, checkpoint = text.partition(f"{_ENDING}:")
    if mark:
        return ConfigFile(Path(head + _ENDING), Path(checkpoint) if checkpoint else None)
    return ConfigFile(Path(text), None) if text.endswith(_ENDING) else None


def check_files(named: ConfigFile, kind: str, weights: str | Path | None) -> None:
    """MissingFileError where one of the files is not there, or a checkpoint is needed and none was named."""
    if not named.config.is_file():
        raise MissingFileError(f"--{kind}: there is no configuration {named.config}")
    if random_seed(weights) is not None:
        return
    if named.checkpoint is None:
        raise MissingFileError(
            f"--{kind} {named.config} names no checkpoint: give CONFIG.py:CHECKPOINT, or --weights random for a trial"
        )
    if not named.checkpoint.is_file():
        raise MissingFileError(f"--{kind}: there is no checkpoint {named.checkpoint}")


@dataclass(frozen=True)
class Opened:
    """A network from its files, on the CPU.

    dataset_meta  what the checkpoint says of the data it was trained on; empty where it says nothing
    identity      name, digest of the configuration and of the weights, for the fingerprint
    seed          of random weights, else None
    """

    model: Any
    config: Any
    dataset_meta: Mapping[str, Any]
    identity: dict[str, str]
    seed: int | None


def open_config(named: ConfigFile, kind: str, package: str, weights: str | Path | None) -> Opened:
    """Run the configuration, build its network and fit the checkpoint into it.

    package  `mmpose` or `mmdet`
    Raises MissingFileError, MissingExtraError, and InvalidValueError for a configuration that fails, that is of
    something else, or that the checkpoint does not fit.
    """
    check_files(named, kind, weights)
    seed = random_seed(weights)
    config = attempt(f"{named.config} cannot be read as a configuration", lambda: openmmlab.run_config(named.config))
    if not isinstance(config.get("model"), Mapping) or "type" not in config.model:
        raise InvalidValueError(f"{named.config} has no `model`: it is not a configuration of {package}'s")
    identity = {"name": named.name, "config": f"sha256:{digest(config)}"}
    if seed is not None:
        _accept_all(config.model)
    model: nn.Module = attempt(
        f"the network of {named.config} cannot be built with {package}",
        lambda: openmmlab.build(config, package, seed, settle_head=False),
    )
    if seed is not None:
        return Opened(model, config, {}, {**identity, "weights": f"{RANDOM}:{seed}"}, seed)
    assert named.checkpoint is not None
    loaded = read_checkpoint(named.checkpoint)
    fit_state(model, state_of(loaded, named.checkpoint), named.config.name)
    meta = loaded.get("meta") if isinstance(loaded, Mapping) else None
    about = meta.get("dataset_meta") if isinstance(meta, Mapping) else None
    identity["weights"] = f"sha256:{sha256(named.checkpoint)}"
    return Opened(model, config, about if isinstance(about, Mapping) else {}, identity, None)


def _accept_all(section: Any) -> None:
    """Set the scores that a detection needs to 0: random weights get past none, and a trial run would find nobody."""
    for key, value in section.items():
        if isinstance(value, Mapping):
            _accept_all(value)
        elif key in ("score_thr", "score_threshold"):
            section[key] = 0.0


def attempt(what: str, make: Callable[[], Any]) -> Any:
    """`make()`; what goes wrong in it, in foreign code, as an InvalidValueError that begins with `what`."""
    try:
        return make()
    except AugliftError:
        raise
    except Exception as error:  # a configuration is Python, a registry builds anything: either raises what it likes
        raise InvalidValueError(f"{what}: {type(error).__name__}: {reason(error)}") from error


def digest(config: Any) -> str:
    """SHA-256 of what decides the result: the network, how pictures are prepared, what its classes or joints are.

    Of the values after inheritance, and not of the text: where the data lie, or how long was trained, changes nothing.
    """
    dataset = config.get("test_dataloader", {}).get("dataset", {})
    decides = {
        "model": config.model,
        "imports": config.get("custom_imports"),
        "test": {key: dataset.get(key) for key in ("type", "metainfo", "pipeline")},
    }
    text = json.dumps(_plain(decides), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """As JSON can say it; of classes and functions their names, as an address in memory is another one each time."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(each) for each in (sorted(value, key=str) if isinstance(value, set) else value)]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"


def test_dataset(config: Any, whose: str) -> Any:
    """The `test_dataloader.dataset` of a configuration, which says how pictures are prepared."""
    dataset = config.get("test_dataloader", {}).get("dataset")
    while isinstance(dataset, Mapping) and "pipeline" not in dataset and isinstance(dataset.get("dataset"), Mapping):
        dataset = dataset["dataset"]  # a wrapper, as for class-balanced sampling
    if not isinstance(dataset, Mapping) or not dataset.get("pipeline"):
        raise InvalidValueError(f"{whose}: its configuration has no test_dataloader.dataset.pipeline")
    return dataset


def step_name(step: Mapping[str, Any]) -> str:
    """The class of a step of a pipeline, without scope or package."""
    kind = step["type"]
    return str(getattr(kind, "__name__", kind)).split(".")[-1]
