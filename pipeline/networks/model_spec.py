"""What is known of a named network: how it is built, where its weights come from, and under which licence."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["detector", "pose", "depth"]
Family = Literal["openmmlab", "transformers", "blazepose"]  # who builds it: families.py

WHEEL = "wheel://"


@dataclass(frozen=True)
class ModelSpec:
    """One named model.

    config      an official configuration file, as a path from the folder that holds the installed packages
                (`mmdet/.mim/configs/...`), or our own as plain data; None: whatever lies at the origin
    origin      `https://...`, `hf://owner/repository/file`, `wheel://wheel's file name/file in it`, or
                `package://file` for weights inside this package
    sha256      of the weights' file: all 64 hex digits where they are known, else the first 8, from its name; empty:
                not known
    megabytes   (10^6 bytes) of the file, where that is known; else of the weights in float32, which it holds at least
    input_size  (width, height) of the network's input in px; for depth, the length of the short side, twice
    max_depth   metres at which a metric depth network saturates; None for other kinds
    """

    name: str
    kind: Kind
    config: str | dict[str, Any] | None = field(hash=False)
    origin: str
    sha256: str
    licence: str
    megabytes: float
    input_size: tuple[int, int]
    max_depth: int | None = None
    is_size_known: bool = True
    family: Family = "openmmlab"

    @property
    def file(self) -> str:
        """Name of the weights' file at its origin."""
        return self.origin.rsplit("/", 1)[-1]

    @property
    def repository(self) -> str | None:
        """`owner/name` on the Hugging Face hub, or None."""
        return self.origin[len("hf://") :].rsplit("/", 1)[0] if self.origin.startswith("hf://") else None

    @property
    def wheel(self) -> str | None:
        """File name of the wheel that the weights lie in, or None."""
        return self.origin[len(WHEEL) :].split("/", 1)[0] if self.origin.startswith(WHEEL) else None

    @property
    def endings(self) -> tuple[str, ...]:
        """Of weights of one's own, in the order they are looked for."""
        return (".tflite",) if self.file.endswith(".tflite") else (".safetensors", ".pth")

    @property
    def has_random_weights(self) -> bool:
        """Whether it can be built without its file; one that holds graph and weights together cannot."""
        return not self.file.endswith(".tflite")

    @property
    def address(self) -> str:
        """The origin as a person would open it."""
        if self.wheel is not None:
            name, version, *_ = self.wheel.split("-")
            return f"the package index (`pip download --no-deps {name}=={version}`: it lies in that wheel)"
        return f"https://huggingface.co/{self.repository}/blob/main/{self.file}" if self.repository else self.origin

    @property
    def note(self) -> str:
        """One line for a list of choices."""
        terms = "not for commercial use" if "NC" in self.licence else ""
        size = f"{self.megabytes} MB" + ("" if self.is_size_known else " or more") if self.megabytes else ""
        return ", ".join(part for part in (size, self.licence, terms) if part)


def digest_in_name(file: str) -> str:
    """The 8 hex digits of the SHA-256 in an OpenMMLab file name (`...-229f527c.pth`, `...-026a1439_20230504.pth`)."""
    found = re.search(r"-([0-9a-f]{8})(?:_\d{8})?\.pth$", file)
    return found[1] if found else ""
