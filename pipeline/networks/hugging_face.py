"""Models as transformers loads them from a folder: weights from safetensors alone, and no code that lies there."""

from __future__ import annotations

from typing import Any

import torch

from ...stores.errors import InvalidValueError, MissingExtraError
from .weights.load import RANDOM, seeded
from .weights.model_folder import ModelFolder


def transformers_package() -> Any:
    """The package. MissingExtraError where it is not installed."""
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError("depth networks need transformers: pip install 'auglift[prep]'") from error
    transformers.utils.logging.disable_progress_bar()  # it would write across ours
    return transformers


def load_model(found: ModelFolder, auto: str, what: str, seed: int | None) -> Any:
    """The model of a folder in float32, on the CPU.

    auto  the class of transformers that chooses the architecture, `AutoModelForDepthEstimation`
    what  such a model is called, for messages
    seed  of random weights; None: those in the folder, of which none may be missing
    """
    transformers = transformers_package()
    # Its loader's argument was renamed with the configuration's property.
    float32 = {"dtype" if hasattr(transformers.PretrainedConfig(), "dtype") else "torch_dtype": torch.float32}
    loader = getattr(transformers, auto)
    missing: list[str] = []
    try:
        with seeded(seed or 0):
            if seed is not None:
                config = transformers.AutoConfig.from_pretrained(found.path, local_files_only=True)
                model = loader.from_config(config, **float32)
            else:
                model, report = loader.from_pretrained(
                    found.path, local_files_only=True, use_safetensors=True, output_loading_info=True, **float32
                )
                missing = sorted(report["missing_keys"])
    except Exception as error:  # transformers raises whatever its parts do
        raise InvalidValueError(f"{found.path} cannot be loaded as a {what}: {first_line(error)}") from error
    if missing:  # transformers would draw them at random
        raise InvalidValueError(f"the weights in {found.path} lack {missing[0]}, {len(missing)} tensors in all")
    return model


def load_processor(found: ModelFolder, what: str) -> Any:
    """The folder's image processor."""
    try:
        return transformers_package().AutoImageProcessor.from_pretrained(found.path, local_files_only=True)
    except Exception as error:  # as above
        raise InvalidValueError(f"{found.path} cannot be loaded as a {what}: {first_line(error)}") from error


def identity_of(found: ModelFolder, name: str, seed: int | None) -> dict[str, str]:
    """Name and weights, for the fingerprint."""
    return {"name": name, "weights": f"{RANDOM}:{seed}" if seed is not None else f"sha256:{found.digest}"}


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return (str(error).strip() or repr(error)).splitlines()[0]
