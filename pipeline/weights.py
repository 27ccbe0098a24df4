"""A model's weights: found in a folder, a cache or at their origin, checked, read without running code, and fitted."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import re
import socket
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn

from ..stores.errors import InvalidValueError, MissingExtraError, MissingFileError, StoreWriteError
from .models import ModelSpec

RANDOM = "random"
_PACKAGE = "package://"
_CHUNK = 1 << 20
_TIMEOUT = 30  # seconds without an answer


def random_seed(weights: str | Path | None) -> int | None:
    """The seed that `random` (0) or `random:SEED` asks for; None for weights that were trained."""
    found = re.fullmatch(r"random(?::(\d+))?", str(weights)) if isinstance(weights, str) else None
    return int(found[1] or 0) if found else None


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """What is drawn inside depends on `seed` alone, and the caller's random state is as before afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


# ---------------------------------------------------------------------------------------------------------------------
# Where they lie
# ---------------------------------------------------------------------------------------------------------------------


def torch_cache() -> Path:
    """The folder that torch.hub, and so OpenMMLab's own tools, keep checkpoints in; ours go there too."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def locate(spec: ModelSpec, weights: str | Path | None = None) -> Path:
    """The file of a model's weights: from the folder `weights`, then the usual caches, then the origin.

    In the folder, `<name>.safetensors` and `<name>.pth` are the user's own and taken as they are; the file under its
    published name must have the published digest.
    Raises MissingFileError naming the file, its origin and both ways to supply it; InvalidValueError for a bad digest.
    """
    folder = None if weights is None else Path(weights)
    if folder is not None and not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise MissingFileError(f"weights: {folder} {what}; give the folder that holds {_wanted(spec)}, or 'random'")
    for path in [] if folder is None else [folder / f"{spec.name}{end}" for end in (".safetensors", ".pth")]:
        if path.is_file():
            return path
    for path in _published(spec, folder):
        if path.is_file():
            _check_digest(spec, path, sha256(path))
            return path
    try:
        return _from_hub(spec) if spec.repository else _download(spec)
    except (OSError, ValueError) as error:
        if isinstance(error, (InvalidValueError, StoreWriteError)):
            raise
        if spec.origin.startswith(_PACKAGE):
            raise MissingFileError(
                f"no weights for {spec.name}: {path} is part of auglift and is not there: install it again, or make it "
                f"with `make train-tiny`"
            ) from error
        cache = "Hugging Face's cache" if spec.repository else str(torch_cache())
        places = cache if folder is None else f"{folder} or {cache}"
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise MissingFileError(
            f"no weights for {spec.name}: {_wanted(spec)} is not in {places} and could not be fetched from "
            f"{spec.address} ({reason}). Fetch it elsewhere, put it in a folder and give that with --weights FOLDER; "
            f"or give --weights random for a trial that only shows that everything runs, or --{spec.kind} tiny, which "
            f"is shipped and knows rendered people only"
        ) from error


def _wanted(spec: ModelSpec) -> str:
    """The file's name in a folder the user fills; every Hugging Face repository calls it `model.safetensors`."""
    return f"{spec.repository.rsplit('/', 1)[-1]}/{spec.file}" if spec.repository else spec.file


def _published(spec: ModelSpec, folder: Path | None) -> list[Path]:
    if spec.origin.startswith(_PACKAGE):
        return [Path(__file__).parent / spec.origin.removeprefix(_PACKAGE)]
    places = [] if folder is None else [folder / _wanted(spec)]
    if not spec.repository:
        places += [torch_cache() / spec.file, Path.home() / ".cache" / "mim" / spec.file]
    return places


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_digest(spec: ModelSpec, path: Path, digest: str) -> None:
    if not digest.startswith(spec.sha256):
        if spec.origin.startswith(_PACKAGE):
            raise InvalidValueError(
                f"{path} is damaged: its SHA-256 begins {digest[:8]}, not {spec.sha256}. Install auglift again; "
                f"weights of your own go in a folder as {path.name}, with --weights"
            )
        raise InvalidValueError(
            f"{path} is damaged or not the published file: its SHA-256 begins {digest[:8]}, not {spec.sha256}. Delete "
            f"it to fetch it again; weights of your own go in a folder as {spec.name}{path.suffix}, with --weights"
        )


# ---------------------------------------------------------------------------------------------------------------------
# Fetching
# ---------------------------------------------------------------------------------------------------------------------


def _download(spec: ModelSpec) -> Path:
    """From the origin into torch's cache: under a name of this process's own, checked, then renamed at once."""
    if not spec.origin.startswith(("http://", "https://")):
        raise FileNotFoundError(f"nothing at {spec.origin}")
    target = torch_cache() / spec.file
    part = target.with_name(f".{spec.file}.{os.getpid()}.{threading.get_ident()}.part")
    digest = hashlib.sha256()
    _resolve_host(spec.origin)
    with urllib.request.urlopen(spec.origin, timeout=_TIMEOUT) as answer:
        length = int(answer.headers.get("Content-Length") or 0)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            file = part.open("wb")
        except OSError as error:
            raise StoreWriteError(f"cannot keep {spec.file} in {target.parent}: {error.strerror}") from error
        try:
            with file, Progress(console=Console(stderr=True), transient=True) as progress:
                task = progress.add_task(spec.file, total=length or None)
                while chunk := answer.read(_CHUNK):
                    digest.update(chunk)
                    _write(file, chunk, target)
                    progress.advance(task, len(chunk))
                if length and file.tell() != length:
                    raise ConnectionError(f"broke off after {file.tell():,} of {length:,} bytes")
            if not digest.hexdigest().startswith(spec.sha256):
                raise ConnectionError(f"what came has SHA-256 {digest.hexdigest()[:8]}..., not {spec.sha256}...")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    return target


def _resolve_host(url: str) -> None:
    """Fail at once where there is no network, not after a client's half minute of retries; a proxy resolves itself."""
    address = urllib.parse.urlsplit(url)
    if not urllib.request.getproxies():
        socket.getaddrinfo(address.hostname, address.port or address.scheme)


def _write(file: Any, chunk: bytes, target: Path) -> None:
    """A full disk is not a missing network."""
    try:
        file.write(chunk)
    except OSError as error:
        raise StoreWriteError(f"cannot keep {target.name} in {target.parent}: {error.strerror}") from error


def _from_hub(spec: ModelSpec) -> Path:
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtraError("Hugging Face models need huggingface_hub: pip install 'auglift[prep]'") from error
    repository = spec.repository or ""
    cached = huggingface_hub.try_to_load_from_cache(repository, spec.file)
    if isinstance(cached, str):
        return Path(cached)
    try:
        _resolve_host(huggingface_hub.constants.ENDPOINT)
        return Path(huggingface_hub.hf_hub_download(repository, spec.file))
    except Exception as error:  # its HTTP library's errors have no base class of ours or Python's
        raise ConnectionError(str(error)) from error


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
    """A model's weights on the CPU, and what the store's fingerprint says of them.

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
    """The weights in a .safetensors file or a PyTorch checkpoint, OpenMMLab's layout included; no code in it is run.

    Of a checkpoint with two copies, `state_dict` is taken: OpenMMLab's averaging hook keeps the averaged weights there.
    """
    loaded = _read_safetensors(path) if path.suffix == ".safetensors" else _read_checkpoint(path)
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


def fit_state(model: nn.Module, state: Mapping[str, Tensor], spec: ModelSpec) -> None:
    """Load `state` into `model`, all of it and nothing left out; InvalidValueError names what does not fit.

    Layers that share their weights (RTMDet's levels do) may be there once: safetensors keeps one copy.
    """
    own = model.state_dict()
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
        raise InvalidValueError(f"these weights are not those of {spec.name}: {'; '.join(problems)}")
    model.load_state_dict(state)
