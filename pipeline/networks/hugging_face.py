"""Models as transformers loads them from a folder: weights from safetensors alone, and no code that lies there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from ...stores.errors import InvalidValueError, MissingExtraError
from .models import Kind, is_named, resolve
from .weights.load import RANDOM, seeded
from .weights.model_folder import ModelFolder, find_repository, open_folder


def transformers_package() -> Any:
    """The package. MissingExtraError where it is not installed."""
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError("this network needs transformers: pip install 'auglift[prep]'") from error
    transformers.utils.logging.disable_progress_bar()  # it would write across ours
    return transformers


def find_model(name: str, kind: Kind, weights: str | Path | None) -> ModelFolder | None:
    """Open the folder or the Hugging Face repository that `name` says; None: it is a model of the table.

    Raises MissingFileError, InvalidValueError (names, files that are no JSON), MissingExtraError.
    """
    if is_named(name, kind):
        return None
    if Path(name).is_dir():
        return open_folder(Path(name), weights, kind)
    return open_folder(find_repository(resolve(name, kind), weights), weights, kind)


def load_model(found: ModelFolder, auto: str, what: str, seed: int | None) -> Any:
    """The model of a folder in float32, on the CPU.

    auto  the class of transformers that has the architecture or chooses it, `AutoModelForDepthEstimation`
    what  such a model is called, for messages
    seed  of random weights; None: those in the folder, of which none may be missing
    """
    transformers = transformers_package()
    # Its loader's argument was renamed with the configuration's property.
    float32 = {"dtype" if hasattr(transformers.PretrainedConfig(), "dtype") else "torch_dtype": torch.float32}
    here: Any = {"local_files_only": True, "trust_remote_code": False}
    missing: list[str] = []
    try:
        loader = getattr(transformers, auto)
        with seeded(seed or 0):
            config = transformers.AutoConfig.from_pretrained(found.path, **here)
            _alone(config)
            if seed is not None:
                build = loader.from_config if hasattr(loader, "from_config") else loader._from_config
                model = build(config, **float32)
            else:
                model, report = loader.from_pretrained(
                    found.path, config=config, use_safetensors=True, output_loading_info=True, **here, **float32
                )
                missing = sorted(report["missing_keys"])
    except ImportError as error:
        package = re.search(r"requires the (\S+) library", str(error))
        if package is None:
            raise _not_loaded(found, what, error) from error
        raise MissingExtraError(
            f"{found.path} is a {what} that needs the package {package[1]}: pip install {package[1]}"
        ) from error
    except Exception as error:  # transformers raises whatever its parts do
        raise _not_loaded(found, what, error) from error
    if missing:  # transformers would draw them at random
        raise InvalidValueError(f"the weights in {found.path} lack {missing[0]}, {len(missing)} tensors in all")
    return model


def _alone(config: Any) -> None:
    """Let a model need nothing but its folder: no weights of a backbone's fetched, no kernels compiled or fetched."""
    for part in (config, getattr(config, "backbone_config", None)):
        for key, value in (("use_pretrained_backbone", False), ("disable_custom_kernels", True)):
            if hasattr(part, key):
                setattr(part, key, value)


def _not_loaded(found: ModelFolder, what: str, error: Exception) -> InvalidValueError:
    return InvalidValueError(f"{found.path} cannot be loaded as a {what}: {first_line(error)}")


def load_processor(found: ModelFolder, what: str) -> Any:
    """The folder's image processor."""
    try:
        return transformers_package().AutoImageProcessor.from_pretrained(
            found.path, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # as above
        raise _not_loaded(found, what, error) from error


def identity_of(found: ModelFolder, name: str, seed: int | None) -> dict[str, str]:
    """Name and weights, for the fingerprint."""
    return {"name": name, "weights": f"{RANDOM}:{seed}" if seed is not None else f"sha256:{found.digest}"}


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return (str(error).strip() or repr(error)).splitlines()[0]
