"""A shipped lifter: `<name>.safetensors` and `<name>.json`, read where a run's folder would be.

The JSON holds what a run's folder does (`description`, `setup`), the digest of the weights, the networks whose joints
it was made for, and how it was trained.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from ...stores.errors import CorruptStoreError, InvalidValueError, MissingExtraError, MissingFileError, reason
from ..inputs import Inputs
from ..models import Lifter
from ..training.checkpoint import Run, load_weights
from ..training.setup import Setup

FOLDER = Path(__file__).parent
FORMAT = 1


def names(folder: Path = FOLDER) -> list[str]:
    """Return the lifters that are shipped, the default first."""
    return [path.stem for path in sorted(folder.glob("*.json"))]


class Shipped(Run):
    """A lifter of the zoo; what a `Run` can do, it can.

    networks   detector, pose and depth whose joints it was made for
    about      all that its JSON says
    """

    def __init__(self, name: str | None = None, folder: Path = FOLDER):
        there = names(folder)
        if not there:
            raise MissingFileError(f"no lifter is shipped in {folder}; name a run: --lifter runs/NAME")
        name = there[0] if name is None else name
        if name not in there:
            raise InvalidValueError(f"no lifter '{name}' is shipped; there are {', '.join(there)}")
        self.name, self.folder = name, folder / name
        try:
            self.about: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
            if self.about["format"] != FORMAT:
                raise ValueError(f"its format is {self.about['format']}, and {FORMAT} is known")
            self.description = self.about["description"]
            self.setup = Setup.from_dict(self.about["setup"])
            self.inputs = Inputs(**self.description["inputs"])
            self.networks: dict[str, str] = self.about["networks"]
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise CorruptStoreError(
                f"{name}.json of the zoo cannot be read ({reason(error)}); install again"
            ) from error
        self.allow_changed_lifter, self._found = False, None

    def model(self, device: torch.device | str = "cpu", checkpoint: str = "") -> Lifter:
        """Load the lifter, in evaluation mode. CorruptStoreError where its bytes are not those that were shipped."""
        try:
            from safetensors.torch import load
        except ImportError as error:
            raise MissingExtraError("a shipped lifter needs safetensors: pip install 'auglift[prep]'") from error
        path = self.folder.with_name(f"{self.name}.safetensors")
        try:
            data = path.read_bytes()
        except OSError as error:
            raise MissingFileError(f"{path} is not there ({error.strerror}); install auglift again") from error
        if hashlib.sha256(data).hexdigest() != self.about["sha256"]:
            raise CorruptStoreError(f"{path} is not what was shipped: its SHA-256 is another; install auglift again")
        model = self._untrained(device)
        load_weights(model, load(data), path)
        return model.to(device).eval()
