"""Read a model as transformers saves it in a folder: its configuration, its preparation of pictures, its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ....stores.errors import InvalidValueError, MissingExtraError, MissingFileError
from ..models import Kind, ModelSpec
from .fetch import resolve_host, sha256
from .load import check_folder, random_seed, read_state
from .places import is_there, repository_folders

_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_BICUBIC = 3  # as Pillow counts its filters

# What is wanted, in messages.
CALLED: Mapping[Kind, str] = {"detector": "detector", "pose": "pose network", "depth": "depth model"}


@dataclass(frozen=True)
class ModelFolder:
    """What lies in the folder.

    config     config.json
    processor  preprocessor_config.json; empty where there is none
    files      the weights, one file or the parts that its index names; none where weights are to be random
    """

    path: Path
    config: Mapping[str, Any]
    processor: Mapping[str, Any]
    files: tuple[Path, ...]

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the weights' files, in order."""
        return ",".join(sha256(path) for path in self.files)

    def state(self) -> dict[str, Tensor]:
        """Return the weights on the CPU, of all files together."""
        return {key: value for path in self.files for key, value in read_state(path).items()}


@dataclass(frozen=True)
class Preparation:
    """How a picture becomes a network's input: resized (`depth.input_size`, bicubic), then normalised.

    side       px that the side of the milder scale becomes
    multiple   px that both sides are whole multiples of
    mean, std  of the colours red, green, blue in 0..1
    """

    side: int
    multiple: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def open_folder(folder: Path, weights: str | Path | None = None, kind: Kind = "depth") -> ModelFolder:
    """Open the model in `folder`; without its weights where `weights` says random. kind: for messages.

    Raises MissingFileError (what a model needs and is not there), InvalidValueError (what is there is no JSON).
    """
    if not (folder / "config.json").is_file():
        raise MissingFileError(_incomplete(folder, kind))
    processor = folder / "preprocessor_config.json"
    return ModelFolder(
        folder,
        _read_json(folder / "config.json"),
        _read_json(processor) if processor.is_file() else {},
        () if random_seed(weights) is not None else _weight_files(folder, kind),
    )


# What resizing and normalising on the device stands for: of each of the processor's settings what it must be, after
# what it is where the file does not say.
_SAME_ON_DEVICE = {
    "do_resize": (True, True),
    "keep_aspect_ratio": (False, True),
    "resample": (_BICUBIC, _BICUBIC),
    "do_rescale": (True, True),
    "do_normalize": (True, True),
    "do_pad": (False, False),
    "do_center_crop": (False, False),
}


def preparation(processor: Mapping[str, Any]) -> Preparation | None:
    """Return how to prepare pictures, if resizing and normalising on the device gives the same; else None.

    That is DPT's processor with the aspect kept, bicubic, to a square size, without padding or cropping: what every
    published Depth Anything repository has.
    """
    said = {key: value for key, value in processor.items() if value is not None}
    size, multiple = said.get("size"), said.get("ensure_multiple_of")
    mean, std = said.get("image_mean"), said.get("image_std")
    if (
        not str(said.get("image_processor_type", "")).startswith("DPTImageProcessor")
        or any(said.get(key, default) != value for key, (default, value) in _SAME_ON_DEVICE.items())
        or abs(float(said.get("rescale_factor", 1 / 255)) * 255 - 1) > 1e-6
        or not isinstance(size, Mapping)
        or size.get("height") != size.get("width")
        or not isinstance(side := size.get("height"), int)
        or not isinstance(multiple, int)
        or not (isinstance(mean, list) and isinstance(std, list) and len(mean) == len(std) == 3)
    ):
        return None
    return Preparation(side, multiple, tuple(map(float, mean)), tuple(map(float, std)))


def find_repository(spec: ModelSpec, weights: str | Path | None) -> Path:
    """Find the folder of a Hugging Face repository: in the folder `weights`, else in its cache, else from the hub.

    Raises MissingFileError, MissingExtraError.
    """
    repository = spec.repository or ""
    is_random = random_seed(weights) is not None
    folder = None if is_random else check_folder(weights, repository.rsplit("/", 1)[-1])
    for given in [] if folder is None else repository_folders(repository, folder):
        if (given / "config.json").is_file():
            return given
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtraError("Hugging Face models need huggingface_hub: pip install 'auglift[prep]'") from error
    wanted = ["*.json"] if is_random else ["*.json", "model*.safetensors"]
    try:
        found = Path(huggingface_hub.snapshot_download(repository, allow_patterns=wanted, local_files_only=True))
        open_folder(found, weights, spec.kind)  # what is cached may be the configuration alone
        return found
    except Exception as failure:  # its HTTP library's errors have no base class of ours or Python's
        error: Exception = failure
    try:
        resolve_host(huggingface_hub.constants.ENDPOINT)
        return Path(huggingface_hub.snapshot_download(repository, allow_patterns=wanted))
    except Exception as failure:
        error = failure
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    raise MissingFileError(
        f"no {CALLED[spec.kind]} {repository}: there is no such folder, and as a repository it is not in Hugging "
        f"Face's cache and could not be fetched ({reason}). Fetch it elsewhere and give its folder with --{spec.kind} "
        "FOLDER"
    ) from error


def _weight_files(folder: Path, kind: Kind) -> tuple[Path, ...]:
    if is_there(folder / _WEIGHTS):
        return (folder / _WEIGHTS,)
    if not (folder / _INDEX).is_file():
        raise MissingFileError(_incomplete(folder, kind))
    parts = _read_json(folder / _INDEX).get("weight_map")
    names = sorted({str(name) for name in parts.values()}) if isinstance(parts, Mapping) else []
    files = tuple(folder / Path(name).name for name in names)
    absent = [path.name for path in files if not is_there(path)]
    if absent or not files:
        raise MissingFileError(f"{folder / _INDEX} names {absent[0] if absent else 'no files'}, which is not there")
    return files


def _incomplete(folder: Path, kind: Kind) -> str:
    return (
        f"{folder} holds no {CALLED[kind]}: it needs config.json and {_WEIGHTS} (or its parts and {_INDEX}), as "
        "transformers' save_pretrained writes them"
    )


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InvalidValueError(f"{path} is not JSON: {str(error).splitlines()[0]}") from error
    if not isinstance(found, dict):
        raise InvalidValueError(f"{path} holds a {type(found).__name__} where an object should be")
    return found
