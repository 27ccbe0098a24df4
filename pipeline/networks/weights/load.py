"""Load a model's weights: found in a folder, a cache or at their origin, checked, read without running code."""

from __future__ import annotations

import contextlib
import pickle
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ....stores.errors import InvalidValueError, MissingExtraError, MissingFileError, StoreWriteError
from ..models import ModelSpec
from .fetch import check_digest, download, fetch_from_hub, is_published, sha256
from .places import in_caches, in_folder, is_there, torch_cache, wanted
from .tensor_names import constants, match_names
from .wheel import fetch_from_wheel, in_folder_of_wheels

RANDOM = "random"
_PACKAGE = "package://"


def random_seed(weights: str | Path | None) -> int | None:
    """Return the seed of `random` (0) or `random:SEED`; None for weights that were trained."""
    found = re.fullmatch(r"random(?::(\d+))?", str(weights)) if isinstance(weights, str) else None
    return int(found[1] or 0) if found else None


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let random draws in the block depend on `seed` alone, and keep the caller's random state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


# ---------------------------------------------------------------------------------------------------------------------
# Where they lie
# ---------------------------------------------------------------------------------------------------------------------


def locate(spec: ModelSpec, weights: str | Path | None = None) -> Path:
    """Return the file of a model's weights: from the folder `weights`, then the usual caches, then the origin.

    In the folder, `<name>.safetensors` and `<name>.pth` (`<name>.tflite` where the published file is one) are the
    user's own and taken as they are. So is the file of a Hugging Face repository, if none there is the published one:
    its name promises nothing, and the store is told (`networks.warnings`). A file whose name has a digest must have
    that, wherever it lies, and so must what comes from a wheel, a cache or the origin.
    Raises MissingFileError naming the file, its origin and both ways to supply it; InvalidValueError for a bad digest,
    and for random weights where the file holds the network too.
    """
    if random_seed(weights) is not None and not spec.has_random_weights:
        raise InvalidValueError(
            f"--weights {weights}: {spec.name} has no random weights, its file is network and weights in one; leave "
            "--weights out"
        )
    folder = check_folder(weights, wanted(spec))
    for path in [] if folder is None else [folder / f"{spec.name}{end}" for end in spec.endings]:
        if is_there(path):
            return path
    if spec.origin.startswith(_PACKAGE):
        return _shipped(spec)
    mine = [] if folder is None else in_folder(spec, folder)
    for path in (found := [*mine, *in_caches(spec)]):
        if is_published(spec, path):
            return path
    unpacked = None if folder is None else in_folder_of_wheels(spec, folder)
    if unpacked is not None:
        return unpacked
    if found:
        if found[0] not in mine or not spec.repository:
            check_digest(spec, found[0])
        return found[0]
    itself = None if folder is None or not spec.repository else folder / spec.file
    if itself is not None and itself.is_file() and spec.sha256 and is_published(spec, itself):
        return itself  # the folder is the repository's own, under another name
    try:
        return _fetch(spec)
    except (OSError, ValueError) as error:
        if isinstance(error, (InvalidValueError, StoreWriteError)):
            raise
        cache = "Hugging Face's cache" if spec.repository else str(torch_cache())
        places = cache if folder is None else f"{folder} or {cache}"
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise MissingFileError(
            f"no weights for {spec.name}: {wanted(spec)} ({spec.note}) is not in {places} and could not be fetched "
            f"from {spec.address} ({reason}). Fetch it elsewhere, put it in a folder and give that with --weights "
            f"FOLDER; or take {_instead(spec)}"
        ) from error


def _instead(spec: ModelSpec) -> str:
    """What runs without the weights of that model."""
    choices = [f"--{spec.kind} tiny, which is shipped and knows rendered people only"]
    if spec.kind != "depth" and spec.wheel is None:
        choices.insert(0, f"--{spec.kind} blazepose, whose weights come with a Python package")
    if spec.has_random_weights:
        choices.insert(0, "--weights random, for a trial that only shows that everything runs")
    return ", or ".join(choices)


def _fetch(spec: ModelSpec) -> Path:
    """From wherever the origin says, into the usual cache."""
    if spec.repository:
        return fetch_from_hub(spec)
    return fetch_from_wheel(spec) if spec.wheel else download(spec)


def check_folder(weights: str | Path | None, holding: str) -> Path | None:
    """Return the folder that `weights` names, if it names one; MissingFileError where it is none.

    holding  what such a folder holds, for the message
    """
    if weights is None:
        return None
    folder = Path(weights)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise MissingFileError(f"weights: {folder} {what}; give the folder that holds {holding}, or 'random'")
    return folder


def _shipped(spec: ModelSpec) -> Path:
    path = Path(__file__).parents[2] / spec.origin.removeprefix(_PACKAGE)
    if not path.is_file():
        raise MissingFileError(
            f"no weights for {spec.name}: {path} is part of auglift and is not there: install it again, or make it "
            f"with `make train-tiny`"
        )
    digest = sha256(path)
    if not digest.startswith(spec.sha256):
        raise InvalidValueError(
            f"{path} is damaged: its SHA-256 begins {digest[:8]}, not {spec.sha256[:8]}. Install auglift again; "
            f"weights of your own go in a folder as {path.name}, with --weights"
        )
    return path


# ---------------------------------------------------------------------------------------------------------------------
# Reading
# ---------------------------------------------------------------------------------------------------------------------


class _Discarded:
    """Stands for whatever a training run left in its checkpoint beside the weights: takes everything, does nothing."""

    def __new__(cls, *_: object, **__: object) -> _Discarded:
        return object.__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


# OpenMMLab's checkpoints carry training logs: a HistoryBuffer a quantity, NumPy arrays and numbers. Not one of these
# names is resolved to what it says: all become _Discarded, so that none of that code runs.
_LOGS = (
    "mmengine.logging.history_buffer.HistoryBuffer",
    "mmengine.config.config.ConfigDict",
    "numpy.ndarray",
    "numpy.dtype",
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *(f"numpy.dtypes.{kind}DType" for kind in ("Float32", "Float64", "Int32", "Int64", "Bool")),
    "numpy.core.numeric._frombuffer",
    "numpy._core.numeric._frombuffer",
    "builtins.getattr",
)
_reading = threading.Lock()  # torch's list of allowed names is global


def load_state(spec: ModelSpec, weights: str | Path | None = None) -> tuple[dict[str, Tensor] | None, dict[str, str]]:
    """Return a model's weights on the CPU, and what the store's fingerprint says of them.

    weights  None (caches, then the origin), a folder, `random` or `random:SEED`
    Returns (state, {"name", "weights": "sha256:..."}), or (None, {"name", "weights": "random:SEED"}).
    Raises MissingFileError, InvalidValueError.
    """
    seed = random_seed(weights)
    if seed is not None:
        return None, {"name": spec.name, "weights": f"{RANDOM}:{seed}"}
    path = locate(spec, weights)
    return read_state(path), {"name": spec.name, "weights": f"sha256:{sha256(path)}"}


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a .safetensors file or a PyTorch checkpoint, OpenMMLab's layout included; no code in it is run.

    Of a checkpoint with two copies, `state_dict` is taken: OpenMMLab's averaging hook keeps the averaged weights there.
    """
    return state_of(read_checkpoint(path), path)


def read_checkpoint(path: Path) -> Any:
    """All of a file's content, weights and what lies beside them; what is no plain value stands there empty."""
    return _read_safetensors(path) if path.suffix == ".safetensors" else _read_checkpoint(path)


def state_of(loaded: Any, path: Path) -> dict[str, Tensor]:
    """The weights in what `read_checkpoint` gave of that file."""
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping):
        raise InvalidValueError(f"{path} holds no weights: {type(loaded).__name__} where a table of tensors should be")
    # "module." is left by data-parallel training, "ema_" precedes the second copy of older averaging hooks.
    state = {str(key).removeprefix("module."): value for key, value in loaded.items()}
    state = {key: value for key, value in state.items() if not key.startswith("ema_")}
    strange = [key for key, value in state.items() if not isinstance(value, Tensor)]
    if strange or not state:
        what = f"{strange[0]!r} is not a tensor" if strange else "it is empty"
        raise InvalidValueError(f"{path} holds no weights: {what}")
    return state


def _read_safetensors(path: Path) -> Any:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise MissingExtraError(f"reading {path} needs safetensors: pip install 'auglift[prep]'") from error
    try:
        return load_file(path)
    except SafetensorError as error:
        raise InvalidValueError(f"{path} is not a safetensors file: {error}") from error


def _read_checkpoint(path: Path) -> Any:
    try:
        with _reading, torch.serialization.safe_globals([(_Discarded, name) for name in _LOGS]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        what = f"it wants to call {found[1]}" if found else "it is damaged, or holds more than weights"
        raise InvalidValueError(
            f"{path} was not loaded: {what}. A checkpoint may hold tensors and plain values alone; save its state_dict"
        ) from error
    except (RuntimeError, EOFError, KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InvalidValueError(f"{path} is not a PyTorch checkpoint: {reason}") from error


# ---------------------------------------------------------------------------------------------------------------------
# Fitting
# ---------------------------------------------------------------------------------------------------------------------


def fit_state(model: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Load `state` into `model`, all of it and nothing left out; InvalidValueError names what does not fit.

    Layers that share their weights (RTMDet's levels do) may be there once: safetensors keeps one copy. Names may be
    those of another version of the library (`match_names`). What the model takes from its configuration must be the
    configuration's in the file too.
    """
    own = model.state_dict()
    state = match_names(state, own)
    for key, value in constants(model, state).items():
        stored = state.pop(key)
        if not _equal(stored, value):
            raise InvalidValueError(
                f"these weights are not those of {name}: their {key} is {_numbers(stored)}, its configuration's "
                f"{_numbers(value)}"
            )
    places = {key: (value.data_ptr(), value.shape) for key, value in own.items()}
    shared = {places[key]: value for key, value in state.items() if key in own}
    state = {**{key: shared[place] for key, place in places.items() if place in shared}, **state}
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    shapes = [key for key in own if key in state and own[key].shape != state[key].shape]
    problems = []
    for label, keys in (("missing", missing), ("unexpected", unexpected)):
        if keys:
            problems.append(f"{label} {keys[0]}" + (f" and {len(keys) - 1} more" if keys[1:] else ""))
    if shapes:
        key = shapes[0]
        problems.append(f"{key} is {tuple(state[key].shape)} instead of {tuple(own[key].shape)}")
    if problems:
        raise InvalidValueError(f"these weights are not those of {name}: {'; '.join(problems)}")
    model.load_state_dict(state)


def _equal(stored: Tensor, configured: Tensor) -> bool:
    """The same numbers, whatever their type and shape: half precision rounds, and (3,) may be stored as (3, 1, 1)."""
    stored, configured = stored.float().flatten(), configured.float().flatten().cpu()
    return stored.shape == configured.shape and torch.allclose(stored, configured, rtol=1e-3, atol=0)


def _numbers(values: Tensor) -> str:
    return ", ".join(f"{value:.6g}" for value in values.flatten().tolist()[:8])
